from fakes.clock import ManualClock
from fakes.intake import RecordingIntake
from ringwatch_daemon.sources.delivery import Delivery, DeliveryFilter
from ringwatch_daemon.sources.watchdog import FrameWatchdog


def watchdog(stall_s: float = 5.0) -> tuple[FrameWatchdog, ManualClock, RecordingIntake]:
    clock, intake = ManualClock(), RecordingIntake()
    return FrameWatchdog(intake, clock, stall_s=stall_s, stage="13PE1:Pva1:Image"), clock, intake


def frames(dog: FrameWatchdog, clock: ManualClock, *, count: int, every_s: float, exposure_s: float = 0.5) -> None:
    for _ in range(count):
        clock.go_on(every_s)
        dog.frame_came(exposure_s=exposure_s)


def test_a_detector_that_acquires_without_frames_stalls_once():
    dog, clock, intake = watchdog()
    dog.check(acquiring=True, connected=True)
    for _ in range(3):
        clock.go_on(6)
        dog.check(acquiring=True, connected=True)
    ((kind, text),) = intake.warnings
    assert kind == "STALL"
    assert "13PE1:Pva1:Image" in text
    assert "says that it acquires" in text


def test_a_long_exposure_is_no_stall():
    dog, clock, intake = watchdog()
    dog.check(acquiring=True, connected=True)
    frames(dog, clock, count=1, every_s=1, exposure_s=60)
    clock.go_on(64)
    dog.check(acquiring=True, connected=True)
    assert intake.warnings == []
    clock.go_on(2)
    dog.check(acquiring=True, connected=True)
    assert intake.warned_of("STALL")


def test_a_detector_that_stopped_does_not_stall():
    dog, clock, intake = watchdog()
    frames(dog, clock, count=10, every_s=1)
    clock.go_on(1000)
    dog.check(acquiring=False, connected=True)
    assert intake.warnings == []


def test_regular_frames_that_stay_away_are_a_stall_even_where_the_detector_says_nothing():
    dog, clock, intake = watchdog()
    frames(dog, clock, count=10, every_s=10)
    dog.check(acquiring=None, connected=True)
    clock.go_on(49)
    dog.check(acquiring=None, connected=True)
    assert intake.warnings == []
    clock.go_on(2)
    dog.check(acquiring=None, connected=True)
    assert intake.warned_of("STALL")
    frames(dog, clock, count=1, every_s=1)
    assert intake.warned_of("STALL_OVER")


def test_no_frames_are_expected_while_the_connection_is_lost():
    dog, clock, intake = watchdog()
    frames(dog, clock, count=10, every_s=1)
    clock.go_on(1000)
    dog.check(acquiring=True, connected=False)
    assert intake.warnings == []


def test_only_the_first_delivery_of_a_subscription_can_be_stale():
    judge = DeliveryFilter(started_ns=100).judge
    assert judge(unique_id=1, stamp_ns=99) is Delivery.STALE
    assert judge(unique_id=2, stamp_ns=98) is Delivery.NEW


def test_after_a_reconnection_the_last_frame_is_not_new_but_another_one_is():
    deliveries = DeliveryFilter(started_ns=0)
    assert deliveries.judge(unique_id=5, stamp_ns=10) is Delivery.NEW
    assert deliveries.judge(unique_id=5, stamp_ns=10) is Delivery.NEW  # a duplicate is for the ledger to tell
    deliveries.reconnected()
    assert deliveries.judge(unique_id=5, stamp_ns=10) is Delivery.REPLAYED
    deliveries.reconnected()
    assert deliveries.judge(unique_id=5, stamp_ns=11) is Delivery.NEW

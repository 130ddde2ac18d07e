"""What the PVs beside the image tell: the counter, and whether the IOC is another one than before."""

from ringwatch_daemon.sources.area_detector import DetectorState, perkin_elmer_pvs

PVS = perkin_elmer_pvs("P:")
NAMES = PVS.all
BOOT_NS = 1_800_000_000_000_000_000
SECOND = 1_000_000_000


def told(state: DetectorState, stamps_ns) -> None:
    for pv, stamp_ns in stamps_ns.items():
        state.tell(pv, 1, stamp_ns=stamp_ns)


def connected_state() -> DetectorState:
    state = DetectorState(PVS)
    told(state, dict.fromkeys(NAMES, BOOT_NS))
    state.tell(PVS.counter, 57, stamp_ns=BOOT_NS + 100 * SECOND)
    return state


def test_before_any_loss_nothing_is_known_and_nothing_waited_for():
    state = connected_state()
    assert not state.knows_times
    assert state.restarted_ns is None


def test_records_that_kept_their_time_belong_to_the_same_ioc():
    state = connected_state()
    state.connection_lost()
    assert state.knows_times
    told(state, {NAMES[0]: BOOT_NS})
    assert state.restarted_ns == 0


def test_records_that_are_all_younger_than_the_loss_belong_to_another_ioc():
    state = connected_state()
    state.connection_lost()
    booted_ns = BOOT_NS + 200 * SECOND
    told(state, dict.fromkeys(NAMES[:-1], booted_ns))
    assert state.restarted_ns is None  # one of them may still have kept its time
    told(state, {NAMES[-1]: booted_ns + 1})
    assert state.restarted_ns == booted_ns


def test_records_without_a_time_tell_nothing():
    state = DetectorState(PVS)
    told(state, dict.fromkeys(NAMES, 0))
    state.connection_lost()
    assert not state.knows_times


def test_the_counter_is_passed_on_and_so_is_its_end():
    counts: list[int | None] = []
    state = DetectorState(PVS, on_count=counts.append)
    for value in (5, 6, "seven", None):
        state.tell(PVS.counter, value)
    assert counts == [5, 6, None]

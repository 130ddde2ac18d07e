"""What the detector's own counter, the times of frames and a known restart say about frames that nobody saw."""

import pytest

from ringwatch_daemon.core.ledger import Admission, Ledger
from ringwatch_daemon.core.records import FrameState, Reason

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
QUIET_S = 10.0


def arrive(ledger: Ledger, unique_id: int, second: float, *, received: float | None = None) -> Admission:
    stamp_ns = START + round(second * SECOND)
    received_ns = START + round((second if received is None else received) * SECOND)
    admission = ledger.arrive(unique_id=unique_id, timestamp_ns=stamp_ns, received_ns=received_ns, exposure_s=0.1)
    if admission.row is not None:
        rejected = admission.verdict is not Reason.NONE
        ledger.settle(FrameState.REJECTED if rejected else FrameState.PROCESSED, admission.verdict)
    return admission


def counting(count: int) -> Ledger:
    """A ledger after frames from 1 to `count`, one a second, whose counter said so each time."""
    ledger = Ledger()
    for number in range(1, count + 1):
        ledger.counter_told(number, now_s=number)
        arrive(ledger, number, number)
    return ledger


def given_up(ledger: Ledger, second: float) -> list[tuple[int, Reason]]:
    given = ledger.give_up(now_ns=START + round(second * SECOND), now_s=second, after_s=QUIET_S)
    return [] if given is None else [(frame.unique_id, frame.reason) for frame in given.lost]


def lost(admission: Admission) -> list[tuple[int, Reason]]:
    return [(frame.unique_id, frame.reason) for frame in admission.lost]


def test_frames_that_were_counted_and_never_came_are_named_once_the_counter_has_been_quiet():
    ledger = counting(10)
    ledger.counter_told(13, now_s=13)
    assert given_up(ledger, 14) == []
    assert given_up(ledger, 24) == [(11, "GAP_IN_ID"), (12, "GAP_IN_ID"), (13, "GAP_IN_ID")]
    assert given_up(ledger, 60) == []
    assert lost(arrive(ledger, 14, 70)) == []
    assert ledger.totals.announced == ledger.totals.processed + ledger.totals.lost == 14


def test_an_outage_that_ends_with_the_acquisition_is_named_without_another_frame():
    ledger = counting(10)
    ledger.disconnected()
    ledger.counter_told(None, now_s=11)
    ledger.reconnected(restarted_ns=0)
    ledger.counter_told(12, now_s=20)
    assert given_up(ledger, 31) == [(11, "DISCONNECTED"), (12, "DISCONNECTED")]


def test_a_frame_that_comes_after_it_was_given_up_is_a_late_one_and_no_new_count():
    ledger = counting(10)
    ledger.counter_told(11, now_s=11)
    assert given_up(ledger, 30) == [(11, "GAP_IN_ID")]
    late = arrive(ledger, 11, 30.5)
    assert late.row is None
    assert late.correction is not None
    assert not arrive(ledger, 12, 31).lost


def test_what_a_killed_ioc_had_counted_is_lost_with_it():
    ledger = counting(10)
    ledger.counter_told(12, now_s=12)
    ledger.disconnected()
    ledger.counter_told(None, now_s=12)
    ledger.reconnected(restarted_ns=START + 16 * SECOND)
    ledger.counter_told(3, now_s=20)
    gone = "IOC_RESTARTED"
    assert lost(arrive(ledger, 3, 20)) == [(11, gone), (12, gone), (1, gone), (2, gone)]
    assert not arrive(ledger, 4, 21).lost


def test_a_restart_that_is_known_begins_a_new_count_even_where_its_ids_are_beyond_the_old_ones():
    ledger = counting(3)
    ledger.disconnected()
    ledger.reconnected(restarted_ns=START + 6 * SECOND)
    assert lost(arrive(ledger, 5, 12)) == [(number, "IOC_RESTARTED") for number in range(1, 5)]


@pytest.mark.parametrize("heard_before", [1, 5, 18, 30])
def test_what_a_killed_ioc_had_counted_is_lost_with_it_also_where_the_next_one_is_first_heard_by_its_counter(
    heard_before,
):
    ledger = counting(10)
    ledger.counter_told(12, now_s=12)
    ledger.disconnected()
    ledger.counter_told(None, now_s=12)
    for number in range(heard_before + 1):
        ledger.counter_told(number, now_s=20 + number)
    ledger.reconnected(restarted_ns=START + 16 * SECOND)
    told = lost(arrive(ledger, heard_before, 20 + heard_before))
    assert told == [(number, "IOC_RESTARTED") for number in (11, 12, *range(1, heard_before))]


@pytest.mark.parametrize("unique_id", [2, 12, 20, 25])
def test_a_restart_that_is_known_begins_a_new_count_also_with_a_frame_that_has_no_time_of_its_own(unique_id):
    ledger = counting(20)
    ledger.disconnected()
    ledger.reconnected(restarted_ns=START + 30 * SECOND)
    first = ledger.arrive(unique_id=unique_id, timestamp_ns=0, received_ns=START + 60 * SECOND, exposure_s=0.1)
    assert lost(first) == [(number, "IOC_RESTARTED") for number in range(1, unique_id)]
    assert not arrive(ledger, unique_id + 1, 61).lost


def test_an_ioc_that_goes_on_where_its_counter_was_is_believed():
    ledger = counting(100)
    ledger.disconnected()
    ledger.reconnected(restarted_ns=START + 110 * SECOND)
    assert lost(arrive(ledger, 103, 112)) == [(101, "DISCONNECTED"), (102, "DISCONNECTED")]


def test_the_same_ids_after_a_mere_loss_of_connection_go_on():
    ledger = counting(3)
    ledger.disconnected()
    ledger.reconnected(restarted_ns=0)
    assert lost(arrive(ledger, 5, 12)) == [(4, "DISCONNECTED")]


def test_a_counter_that_contradicts_the_ids_is_not_believed():
    ledger = Ledger()
    for number in range(1, 20):
        ledger.counter_told(number + 1000, now_s=number)
        arrive(ledger, number, number)
    assert given_up(ledger, 60) == []


def test_a_counter_and_a_clock_that_are_set_back_together_make_a_new_count():
    ledger = counting(50)
    first = arrive(ledger, 1, 10.5, received=51)
    assert first.verdict is Reason.NONE
    assert [event.kind for event in first.events] == ["COUNTER_RESET"]
    assert arrive(ledger, 2, 11.5, received=52).verdict is Reason.NONE


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_our_own_clock_that_steps_leaves_frames_at_their_times_and_names_what_is_lost(step_s):
    ledger = counting(20)
    for number in range(21, 41):
        admission = arrive(ledger, number, number, received=number + step_s)
        assert admission.timestamp_ns == START + number * SECOND
        assert admission.flag == ("FUTURE_TIMESTAMP" if step_s < 0 else "")
    assert len(lost(arrive(ledger, 51, 51, received=51 + step_s))) == 10


def test_a_clock_that_is_set_back_in_an_outage_does_not_hide_what_was_lost():
    ledger = counting(50)
    ledger.disconnected()
    assert len(lost(arrive(ledger, 151, 20, received=151))) == 100


def test_a_frame_that_is_posted_again_with_the_time_of_the_post_is_a_duplicate_and_a_stuck_counter_is_not():
    ledger = counting(20)
    assert arrive(ledger, 20, 20.1).verdict is Reason.DUPLICATE
    assert arrive(ledger, 20, 21.0).verdict is Reason.NONE


def test_a_duplicate_of_a_frame_without_a_time_is_one():
    ledger = counting(20)
    for _ in range(2):
        admission = ledger.arrive(unique_id=21, timestamp_ns=0, received_ns=START + 30 * SECOND, exposure_s=0.1)
    assert admission.verdict is Reason.DUPLICATE


def test_without_any_times_two_ids_in_a_row_well_below_the_last_one_are_a_new_count():
    ledger = counting(50)
    verdicts = [
        ledger.arrive(
            unique_id=number, timestamp_ns=0, received_ns=START + (60 + number) * SECOND, exposure_s=0.1
        ).verdict
        for number in (1, 2, 3)
    ]
    assert verdicts == [Reason.DUPLICATE, Reason.NONE, Reason.NONE]


def test_a_frame_that_is_missing_by_its_period_only_is_told():
    ledger = counting(20)
    admission = arrive(ledger, 21, 23)
    (event,) = admission.events
    assert event.kind == "GAP_IN_TIME"
    assert "lost 2 without counting" in event.text
    assert not admission.lost
    assert not arrive(ledger, 22, 24).events


@pytest.mark.parametrize("step", [1.0, 1.3])
def test_a_frame_that_is_a_little_late_is_not_missing(step):
    assert not arrive(counting(20), 21, 20 + step).events


def test_frames_without_a_regular_period_are_never_missing_by_it():
    ledger, second = Ledger(), 0.0
    for number in range(1, 30):
        second += 1.0 if number % 2 else 2.0
        assert not arrive(ledger, number, second).events
    assert not arrive(ledger, 30, second + 4.0).events


def test_frames_that_lag_behind_the_counter_do_not_make_it_a_liar():
    ledger = Ledger()
    for number in range(1, 40):
        ledger.counter_told(number + 4, now_s=number)
        arrive(ledger, number, number)
    assert given_up(ledger, 60) == [(number, "GAP_IN_ID") for number in range(40, 44)]

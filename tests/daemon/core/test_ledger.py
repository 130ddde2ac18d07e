"""The ledger: every announced frame ends in exactly one named state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.core.ledger import Admission, Ledger
from ringwatch_daemon.core.records import FrameState, Reason

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def arrive(ledger: Ledger, unique_id: int | None, second: float) -> Admission:
    stamp = START + round(second * SECOND)
    admission = ledger.arrive(unique_id=unique_id, timestamp_ns=stamp, received_ns=stamp + SECOND, exposure_s=0.1)
    if admission.row is not None:
        rejected = admission.verdict is not Reason.NONE
        ledger.settle(FrameState.REJECTED if rejected else FrameState.PROCESSED, admission.verdict)
    return admission


def ledger_after(count: int) -> Ledger:
    ledger = Ledger()
    for number in range(1, count + 1):
        arrive(ledger, number, number)
    return ledger


def assert_balanced(ledger: Ledger) -> None:
    totals = ledger.totals
    assert totals.announced == totals.processed + totals.rejected + totals.lost


def test_ids_in_order_are_processed_in_rows_that_follow_each_other():
    ledger = Ledger()
    assert [arrive(ledger, number, number).row for number in range(500, 510)] == list(range(10))
    assert ledger.totals.processed == 10


def test_ids_passed_over_are_lost_in_rows_before_the_frame_that_shows_it():
    ledger = ledger_after(10)
    admission = arrive(ledger, 14, 14)
    assert [(frame.unique_id, frame.row, frame.reason) for frame in admission.lost] == [
        (11, 10, Reason.GAP_IN_ID),
        (12, 11, Reason.GAP_IN_ID),
        (13, 12, Reason.GAP_IN_ID),
    ]
    assert admission.row == 13
    assert [event.kind for event in admission.events] == ["GAP"]
    assert_balanced(ledger)


def test_ids_passed_over_while_disconnected_say_so():
    ledger = ledger_after(10)
    ledger.disconnected()
    assert {frame.reason for frame in arrive(ledger, 21, 21).lost} == {Reason.DISCONNECTED}
    assert not arrive(ledger, 22, 22).lost


def test_a_frame_seen_twice_is_a_duplicate():
    ledger = ledger_after(10)
    assert arrive(ledger, 10, 10).verdict is Reason.DUPLICATE
    assert ledger.totals.rejected == 1
    assert_balanced(ledger)


def test_a_frame_that_comes_late_corrects_its_lost_row():
    ledger = ledger_after(10)
    lost = arrive(ledger, 12, 12).lost[0]
    admission = arrive(ledger, 11, 11)
    assert admission.row is None
    assert admission.correction is not None
    assert (admission.correction.row, admission.correction.reason) == (lost.row, Reason.LATE)
    assert ledger.totals.lost == 0
    assert dict(ledger.totals.reasons) == {"LATE": 1}
    assert_balanced(ledger)


def test_a_restarted_ioc_begins_a_new_count_and_what_it_sent_meanwhile_is_lost():
    ledger = ledger_after(100)
    ledger.disconnected()
    admission = arrive(ledger, 4, 110)
    assert admission.verdict is Reason.NONE
    assert [frame.unique_id for frame in admission.lost] == [1, 2, 3]
    assert {frame.reason for frame in admission.lost} == {Reason.IOC_RESTARTED}
    assert [event.kind for event in admission.events] == ["COUNTER_RESET"]
    assert not arrive(ledger, 5, 111).lost


def test_a_counter_that_somebody_set_loses_nothing():
    ledger = ledger_after(20)
    forward = arrive(ledger, 5_000_000, 21)
    assert forward.verdict is Reason.NONE
    assert not forward.lost
    assert [event.kind for event in forward.events] == ["COUNTER_SET"]
    back = arrive(ledger, 1000, 22)
    assert not back.lost
    assert [event.kind for event in back.events] == ["COUNTER_RESET"]


@pytest.mark.parametrize("unusable", [None, -5])
def test_an_arrival_without_a_usable_id_gets_a_row_and_nothing_else_is_concluded(unusable):
    ledger = ledger_after(3)
    admission = arrive(ledger, unusable, 3.5)
    assert (admission.row, admission.lost, admission.events) == (3, (), ())
    assert arrive(ledger, 4, 4.0).lost == ()
    assert_balanced(ledger)


def test_a_stamp_from_the_future_is_replaced_and_flagged():
    ledger = ledger_after(20)
    admission = ledger.arrive(
        unique_id=21, timestamp_ns=START + 10**18, received_ns=START + 30 * SECOND, exposure_s=0.1
    )
    assert admission.flag is Reason.FUTURE_TIMESTAMP
    assert admission.timestamp_ns == START + 21 * SECOND


def test_a_frame_without_time_is_placed_by_its_receipt_when_nothing_else_is_known():
    admission = Ledger().arrive(unique_id=1, timestamp_ns=0, received_ns=START, exposure_s=2.0)
    assert admission.flag is Reason.NO_TIMESTAMP
    assert admission.timestamp_ns == START - SECOND


def test_one_stamp_in_the_past_is_told_and_the_next_gap_is_still_believed():
    ledger = ledger_after(20)
    assert arrive(ledger, 21, -1e6).flag is Reason.BACKWARD_TIMESTAMP
    assert arrive(ledger, 22, 22).flag is Reason.NONE
    assert len(arrive(ledger, 25, 25).lost) == 2


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 60)), st.floats(-10, 100)), max_size=60))
def test_totals_balance_whatever_arrives(arrivals):
    ledger = Ledger()
    rows: list[int] = []
    for unique_id, second in arrivals:
        admission = arrive(ledger, unique_id, second)
        rows.extend(frame.row for frame in admission.lost)
        if admission.row is not None:
            rows.append(admission.row)
    assert rows == list(range(len(rows)))
    assert ledger.totals.announced == len(rows)
    assert_balanced(ledger)
    assert sum(count for _, count in ledger.totals.reasons) <= ledger.totals.announced


def test_a_frame_without_a_time_does_not_make_the_next_true_time_look_like_a_step_back():
    ledger = ledger_after(20)
    ledger.arrive(unique_id=21, timestamp_ns=0, received_ns=START + 40 * SECOND, exposure_s=0.1)
    after = arrive(ledger, 22, 21.9)
    assert after.flag is Reason.NONE
    assert not after.events


def test_a_counter_that_somebody_set_back_a_little_loses_nothing():
    assert not arrive(ledger_after(20), 3, 21).lost

"""Ids and times that no counter and no clock can have: they cost themselves, and nothing is made up over them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.ledger_book import LedgerBook
from ringwatch_daemon.core.ledger import Admission
from ringwatch_daemon.core.records import FrameState, Reason

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
LARGEST = 2**31 - 1


class Book(LedgerBook):
    """A book of frames whose times are given in seconds, and of what was called lost when it was."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[tuple[int, str]] = []

    def arrive(self, unique_id: int, second: float, *, stamp_ns: int | None = None) -> Admission:
        received_ns = START + round(second * SECOND)
        timestamp_ns = received_ns if stamp_ns is None else stamp_ns
        admission = self.enter(unique_id=unique_id, timestamp_ns=timestamp_ns, received_ns=received_ns)
        self.lost += [(frame.unique_id, str(frame.reason)) for frame in admission.lost]
        return admission

    def count(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            self.arrive(number, number)

    def resumed(self) -> "Book":
        """The book of the next process, which has seen the file."""
        book = Book()
        book.rows, book.received_ns, book.lost = list(self.rows), list(self.received_ns), list(self.lost)
        book.ledger.resume(book.rows, self.ledger.totals)
        book.ledger.daemon_was_down()
        return book

    def assert_balanced(self) -> None:
        totals = self.ledger.totals
        assert totals.announced == totals.processed + totals.rejected + totals.lost == len(self.rows)


def counted(frames: int) -> Book:
    book = Book()
    book.count(1, frames)
    return book


@pytest.mark.parametrize("garbage", [LARGEST, 5_000_000, -5, -(2**31), 0, 7, 90])
def test_one_frame_with_a_garbage_id_is_taken_and_only_the_id_that_it_should_have_had_is_missing(garbage):
    book = counted(100)
    assert book.arrive(garbage, 101).verdict is Reason.NONE
    for number in range(102, 120):
        assert book.arrive(number, number).verdict is Reason.NONE
    assert book.lost == [(101, "GAP_IN_ID")]
    book.assert_balanced()


def test_several_garbage_ids_in_a_row_lose_what_is_missing_and_no_more():
    book = counted(100)
    for place, garbage in enumerate((LARGEST, -7, 2**30, 12, LARGEST - 1), start=101):
        book.arrive(garbage, place)
    book.arrive(106, 106)
    assert [unique_id for unique_id, _ in book.lost] == [101, 102, 103, 104, 105]
    book.assert_balanced()


def test_what_passed_in_an_outage_is_named_though_the_first_id_after_it_is_garbage():
    book = counted(100)
    book.ledger.disconnected()
    book.arrive(LARGEST, 149)
    book.arrive(150, 150)
    book.arrive(151, 151)
    assert book.lost == [(number, "DISCONNECTED") for number in range(101, 150)]


def test_a_garbage_id_just_before_a_kill_hides_nothing_that_passed_meanwhile():
    book = counted(100)
    book.arrive(LARGEST, 101)
    book = book.resumed()
    book.arrive(150, 150)
    assert book.lost == [(number, "DAEMON_DOWN") for number in range(101, 150)]
    book.assert_balanced()


def test_a_count_that_began_anew_just_before_a_kill_is_that_of_a_restarted_ioc():
    book = counted(100)
    book.ledger.disconnected()
    book.arrive(1, 110)
    book = book.resumed()
    book.arrive(120, 229)
    assert book.lost == [(number, "DAEMON_DOWN") for number in range(2, 120)]


def test_a_frame_out_of_its_order_around_a_reset_of_the_counter_belongs_to_the_old_count():
    book = counted(29)
    book.arrive(1, 31)
    book.arrive(30, 31.001, stamp_ns=START + 30 * SECOND)
    book.arrive(3, 33)
    assert book.lost == [(2, "GAP_IN_ID")]
    for number in range(4, 40):
        assert book.arrive(number, 30 + number).verdict is Reason.NONE
    assert book.lost == [(2, "GAP_IN_ID")]


def test_a_copy_of_the_old_count_that_comes_after_the_new_one_began_is_a_duplicate():
    book = counted(29)
    book.arrive(1, 30)
    assert book.arrive(29, 30.1, stamp_ns=START + 29 * SECOND).verdict is Reason.DUPLICATE
    assert book.arrive(2, 31).events == ()
    assert book.lost == []


def test_a_frame_with_the_id_of_another_one_and_a_time_of_its_own_is_taken():
    book = counted(50)
    assert book.arrive(48, 51).verdict is Reason.NONE
    assert book.arrive(52, 52).verdict is Reason.NONE
    assert book.lost == [(51, "GAP_IN_ID")]


def test_a_counter_that_runs_over_its_32_bits_goes_on_below_zero():
    book = Book()
    ids = [LARGEST - 1, LARGEST, -(2**31), -(2**31) + 1, -(2**31) + 4, -(2**31) + 5]
    for place, unique_id in zip((1, 2, 3, 4, 7, 8), ids, strict=True):
        admission = book.arrive(unique_id, place)
        assert admission.verdict is Reason.NONE
        assert not [event for event in admission.events if event.kind != "GAP"]
    assert book.lost == [(-(2**31) + 2, "GAP_IN_ID"), (-(2**31) + 3, "GAP_IN_ID")]
    assert book.arrive(-(2**31) + 5, 8).verdict is Reason.DUPLICATE
    resumed = book.resumed()
    resumed.arrive(-(2**31) + 8, 11)
    assert resumed.lost[2:] == [(-(2**31) + 6, "DAEMON_DOWN"), (-(2**31) + 7, "DAEMON_DOWN")]
    resumed.assert_balanced()


def test_an_outage_of_many_hours_is_named_where_both_clocks_agree_with_the_count():
    book = counted(20)
    book.ledger.disconnected()
    book.arrive(150_001, 150_001)
    assert len(book.lost) == 150_001 - 21
    book = counted(20)
    book.ledger.disconnected()
    book.arrive(150_001, 80_000)  # twice as fast as frames ever came
    assert book.lost == []
    assert book.ledger.totals.announced == 21


@pytest.mark.parametrize("stamp_ns", [0, -1, 631_152_000 * SECOND, 10**18 * 9, START - 10**8 * SECOND])
def test_a_time_that_cannot_be_costs_nobody_else_anything(stamp_ns):
    book = counted(50)
    assert book.arrive(51, 51, stamp_ns=stamp_ns).verdict is Reason.NONE
    for number in range(52, 80):
        admission = book.arrive(number, number)
        assert (admission.verdict, admission.timestamp_ns) == (Reason.NONE, START + number * SECOND)
        assert not admission.events
    assert book.lost == []


def test_a_garbage_id_without_a_time_is_placed_by_its_receipt():
    book = counted(50)
    assert book.arrive(LARGEST, 51, stamp_ns=0).timestamp_ns == START + 51 * SECOND - SECOND // 20


def test_frames_without_any_times_and_with_garbage_ids_still_balance():
    book = Book()
    for place, unique_id in enumerate([1, 2, 3, LARGEST, 5, 6, -9, 8, 9]):
        book.arrive(unique_id, place + 1, stamp_ns=0)
    assert [unique_id for unique_id, _ in book.lost] == [4, 7]
    book.assert_balanced()


GARBAGE = st.one_of(st.integers(1, LARGEST // 1000), st.integers(-LARGEST // 1000, -1)).map(lambda part: 1000 * part)


@given(
    places=st.lists(st.integers(30, 90), max_size=6, unique=True), garbage=st.lists(GARBAGE, max_size=6, unique=True)
)
def test_whatever_ids_are_garbage_exactly_the_true_ones_in_their_place_are_missing(places, garbage):
    strays = dict(zip(places, garbage, strict=False))
    book = Book()
    for number in range(1, 101):
        book.arrive(strays.get(number, number), number)
    assert [unique_id for unique_id, _ in book.lost] == sorted(strays)
    book.assert_balanced()


@pytest.mark.parametrize(("first", "verdict"), [(1, Reason.NONE), (40, Reason.DUPLICATE)])
def test_after_an_outage_a_frame_without_a_time_is_a_new_counts_or_the_newest_once_more(first, verdict):
    """A server posts its newest frame again to whoever connects, and never one that is far older."""
    book = counted(40)
    book.ledger.disconnected()
    book.ledger.reconnected(restarted_ns=0)
    assert book.arrive(first, 60.0, stamp_ns=0).verdict is verdict
    book.arrive(first + 1, 61.0)
    book.assert_balanced()
    if first == 1:
        assert [row.state for row in book.rows[-2:]] == [FrameState.PROCESSED] * 2


def begun_late(first: int, last: int) -> Book:
    """A book of a count whose first frames were lost, after another one."""
    book = counted(40)
    book.ledger.disconnected()
    book.ledger.reconnected(restarted_ns=START + 45 * SECOND)
    for number in range(first, last + 1):
        book.arrive(number, 50.0 + number)
    return book


def test_a_new_count_is_none_of_the_lost_frames_of_the_old_one_though_the_newest_stamp_lies_ahead():
    book = begun_late(30, 69)
    book.arrive(70, 120.0, stamp_ns=START + 400 * SECOND)
    assert [book.arrive(number, 120.0 + number).verdict for number in range(2, 20)] == [Reason.NONE] * 18
    book.assert_balanced()


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("ahead_s", [1, 40, 10**8])
def test_a_straggler_of_the_old_count_with_a_stamp_far_ahead_costs_the_new_count_nothing(ahead_s, told):
    book = counted(400)
    if told:
        book.ledger.counter_told(401, now_s=401.0)
    book.arrive(1, 401.0)
    book.arrive(401, 401.01, stamp_ns=START + (401 + ahead_s) * SECOND)
    verdicts = [book.arrive(number, 400.0 + number).verdict for number in range(2, 500)]
    assert verdicts == [Reason.NONE] * len(verdicts)
    assert book.lost == [(401, Reason.GAP_IN_ID)] * told
    book.assert_balanced()


def test_the_first_frame_of_a_new_count_that_comes_second_is_named_though_the_old_count_has_lost_its_number():
    book = begun_late(30, 69)
    lost = list(book.lost)
    book.arrive(70, 120.0, stamp_ns=START + 160 * SECOND)
    assert book.arrive(2, 121.0).verdict is Reason.NONE
    assert book.arrive(1, 122.0, stamp_ns=START + 120 * SECOND).row is not None
    assert [book.arrive(number, 120.0 + number).verdict for number in range(3, 20)] == [Reason.NONE] * 17
    assert book.lost == lost
    book.assert_balanced()

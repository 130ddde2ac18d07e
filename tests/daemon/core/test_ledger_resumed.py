"""A ledger that goes on where the file of an earlier process ends."""

from hypothesis import given
from hypothesis import strategies as st

from fakes.ledger_book import LedgerBook
from ringwatch_daemon.core.ledger import EnteredRow
from ringwatch_daemon.core.records import FrameState, Totals

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class Book(LedgerBook):
    """The book of a process."""

    def arrive(self, unique_id: int, second: float) -> None:
        stamp_ns = START + round(second * SECOND)
        self.enter(unique_id=unique_id, timestamp_ns=stamp_ns, received_ns=stamp_ns + SECOND)

    def cut(self, rows: int) -> "Book":
        """The book of a process that found so many rows in the file."""
        book = Book()
        book.rows, book.received_ns = self.rows[:rows], self.received_ns[:rows]
        states = [row.state for row in book.rows]
        reasons = [row.reason for row in book.rows if row.reason]
        totals = Totals(
            announced=rows,
            processed=states.count(FrameState.PROCESSED),
            rejected=states.count(FrameState.REJECTED),
            lost=states.count(FrameState.LOST),
            reasons=tuple((reason, reasons.count(reason)) for reason in set(reasons)),
        )
        book.ledger.resume(book.rows, totals)
        return book


def ids_and_reasons(book: Book) -> list[tuple[int, str]]:
    return [(row.unique_id, row.reason) for row in book.rows]


def test_frames_missed_while_the_daemon_was_down_are_lost_by_that_name():
    book = Book()
    for number in range(1, 11):
        book.arrive(number, number)
    book = book.cut(10)
    book.ledger.daemon_was_down()
    book.arrive(15, 15)
    book.arrive(17, 17)
    assert ids_and_reasons(book)[10:] == [
        (11, "DAEMON_DOWN"),
        (12, "DAEMON_DOWN"),
        (13, "DAEMON_DOWN"),
        (14, "DAEMON_DOWN"),
        (15, ""),
        (16, "GAP_IN_ID"),
        (17, ""),
    ]
    assert book.ledger.totals.announced == 17
    assert book.ledger.totals.lost == 5


def test_a_kill_among_the_rows_of_lost_frames_loses_none_twice():
    book = Book()
    for number in (1, 2, 3, 9):
        book.arrive(number, number)
    book = book.cut(6)  # 1, 2, 3 and the lost 4, 5, 6
    book.ledger.daemon_was_down()
    book.arrive(12, 12)
    assert [row.unique_id for row in book.rows] == list(range(1, 13))


def test_an_ioc_that_restarted_while_the_daemon_was_down_counts_anew():
    book = Book()
    for number in range(1, 11):
        book.arrive(number, number)
    book = book.cut(10)
    book.ledger.daemon_was_down()
    book.arrive(4, 30)
    assert ids_and_reasons(book)[10:] == [
        (1, "IOC_RESTARTED"),
        (2, "IOC_RESTARTED"),
        (3, "IOC_RESTARTED"),
        (4, ""),
    ]


def test_a_duplicate_and_a_late_frame_are_known_after_the_pause_too():
    book = Book()
    for number in (1, 2, 4, 5):
        book.arrive(number, number)
    book = book.cut(5)
    book.arrive(5, 5)
    book.arrive(3, 3)
    assert ids_and_reasons(book)[5:] == [(5, "DUPLICATE")]
    assert book.rows[2] == EnteredRow(2, 3, 0, FrameState.REJECTED, "LATE")


@given(gaps=st.lists(st.integers(1, 4), min_size=4, max_size=30), data=st.data())
def test_wherever_it_was_cut_the_rest_of_the_run_is_entered_the_same(gaps, data):
    ids = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    whole = Book()
    ends = []
    for number in ids:
        whole.arrive(number, number)
        ends.append(len(whole.rows))
    place = data.draw(st.integers(2, len(ids) - 1))
    book = whole.cut(ends[place - 1])
    for number in ids[place:]:
        book.arrive(number, number)
    assert book.rows == whole.rows
    assert book.ledger.totals == whole.ledger.totals

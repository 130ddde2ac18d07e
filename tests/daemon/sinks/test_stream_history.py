import numpy as np

from ringwatch_daemon.core.wire import StreamMessage, decode
from ringwatch_daemon.sinks.stream_history import Page, StreamHistory


def message(seq: int, topic: str = "frame.tracking", run: str = "r", size: int = 1000) -> StreamMessage:
    return StreamMessage(topic, run, seq, topic, -1, 0, {}, (("x", np.zeros(size, np.uint8)),))


def history(count: int, *, capacity_bytes: int = 10**6) -> StreamHistory:
    made = StreamHistory(capacity_bytes)
    made.append(message(0, "run.start"))
    made.append(message(1, "event"))
    for seq in range(2, count):
        made.append(message(seq))
    return made


def numbers(page: Page) -> list[int]:
    return [decode(kept.parts).seq for kept in page.messages]


def test_everything_within_the_bound_is_kept():
    page = history(20).since(run="r", seq=0, limit_bytes=10**6)
    assert numbers(page) == list(range(20))
    assert (page.run, page.next_seq, page.newest_seq, page.gone) == ("r", 20, 20, ())


def test_old_messages_go_but_the_start_and_the_newest_of_each_topic_stay():
    page = history(100, capacity_bytes=12_000).since(run="r", seq=0, limit_bytes=10**6)
    kept = numbers(page)
    assert kept[:2] == [0, 1]
    assert kept[2:] == list(range(kept[2], 100))
    assert len(kept) < 14
    assert page.gone == ((2, kept[2] - 1),)


def test_pages_follow_each_other_without_a_hole():
    kept, seq, pages = [], 0, 0
    long = history(100)
    while seq < 100:
        page = long.since(run="r", seq=seq, limit_bytes=8_000)
        assert page.gone == ()
        kept += numbers(page)
        seq, pages = page.next_seq, pages + 1
    assert kept == list(range(100))
    assert pages > 10


def test_a_message_larger_than_a_page_still_comes():
    assert numbers(history(5).since(run="r", seq=3, limit_bytes=10)) == [3]


def test_a_message_larger_than_the_bound_is_kept_alone():
    small = StreamHistory(100)
    for seq in range(3):
        small.append(message(seq))
    assert numbers(small.since(run="r", seq=0, limit_bytes=10**6)) == [2]


def test_a_new_run_begins_a_new_history():
    two = history(10)
    two.append(message(0, "run.start", run="s"))
    page = two.since(run="r", seq=7, limit_bytes=10**6)
    assert (page.run, numbers(page), page.gone) == ("s", [0], ())


def test_a_snapshot_is_the_start_and_the_newest_of_each_topic():
    page = history(10).snapshot()
    assert numbers(page) == [0, 1, 9]
    assert page.next_seq == 10


def test_nothing_is_known_before_the_first_run():
    page = StreamHistory(100).since(run=None, seq=0, limit_bytes=100)
    assert (page.run, page.messages, page.newest_seq) == ("", (), 0)


def test_a_number_from_the_future_is_answered_with_nothing():
    page = history(5).since(run="r", seq=50, limit_bytes=100)
    assert (page.messages, page.next_seq, page.gone) == ((), 50, ())

"""The last stage: every record to every sink, in order, and all of them closed whatever happens."""

import pytest

from fakes.records import event, frame_record, run_start
from fakes.stages import BreakingSink, ListSink
from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.workers.sink_stage import SinkStage

RECORDS = (run_start(), frame_record(0), event())


def filled_channel() -> Channel:
    channel = Channel("records", 10)
    for record in RECORDS:
        channel.put(record)
    channel.close()
    return channel


def test_a_batch_is_durable_in_the_first_sink_before_the_second_sees_it():
    calls: list[str] = []
    first, second = ListSink("file", calls), ListSink("stream", calls)
    SinkStage(records=filled_channel(), sinks=(first, second)).run()
    assert tuple(first.records) == tuple(second.records) == RECORDS
    batch = ["accept", "accept", "accept", "flush"]
    expected = [f"file {call}" for call in batch] + [f"stream {call}" for call in batch]
    assert calls == [*expected, "file close", "stream close"]


@pytest.mark.parametrize("in_flush", [False, True])
def test_a_sink_that_fails_ends_the_stage_with_its_first_error_and_all_are_closed(in_flush):
    before, after, broken = ListSink(), ListSink(), BreakingSink(after=0, in_flush=in_flush)
    channel = filled_channel()
    with pytest.raises(SinkError, match="the disk is full"):
        SinkStage(records=channel, sinks=(before, broken, after)).run()
    assert [sink.calls[-1].strip() for sink in (before, broken, after)] == ["close"] * 3
    assert after.records == []


def test_a_writer_is_freed_when_a_sink_fails():
    channel = Channel("records", 10)
    channel.put(RECORDS[0])
    with pytest.raises(SinkError):
        SinkStage(records=channel, sinks=(BreakingSink(after=0),)).run()
    assert not channel.put(RECORDS[1])


def test_an_error_on_closing_is_told():
    class Unclosable(ListSink):
        def close(self) -> None:
            super().close()
            raise SinkError("the last rows cannot be written")

    other = ListSink()
    with pytest.raises(SinkError, match="the last rows"):
        SinkStage(records=filled_channel(), sinks=(Unclosable(), other)).run()
    assert other.calls[-1].strip() == "close"

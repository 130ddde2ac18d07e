from dataclasses import replace

from fakes import records
from ringwatch_daemon.core.record_channel import RecordChannel
from ringwatch_daemon.core.records import Checkpoint, FrameRecord


def checkpoint_flags(batch: list) -> list[tuple[str, ...] | None]:
    frames = (record for record in batch if isinstance(record, FrameRecord))
    return [None if frame.checkpoint is None else frame.checkpoint.flags for frame in frames]


def remembered(row: int) -> FrameRecord:
    return replace(records.frame_record(row), checkpoint=Checkpoint(None, (f"after {row}",)))


def test_of_records_that_wait_only_the_newest_has_a_checkpoint():
    channel = RecordChannel("records", 10)
    for record in (remembered(0), records.event(), remembered(1), records.lost_record(2), records.status()):
        channel.put(record)
    batch = channel.take_all(0.0)
    assert checkpoint_flags(batch) == [None, ("after 1",), None]
    assert [record.row for record in batch if isinstance(record, FrameRecord)] == [0, 1, 2]
    assert len(batch) == 5


def test_what_was_taken_keeps_its_checkpoint():
    channel = RecordChannel("records", 10)
    channel.put(remembered(0))
    first = channel.take_all(0.0)
    channel.put(remembered(1))
    assert checkpoint_flags(first) == [("after 0",)]
    assert checkpoint_flags(channel.take_all(0.0)) == [("after 1",)]

"""A disk that is full at whatever byte: it is said, nothing is torn, and all of it is written once there is room."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import records
from fakes.checkpoints import memory
from fakes.small_disks import fill, small_disk
from ringwatch_daemon.core.errors import SinkError, StorageError
from ringwatch_daemon.core.records import Checkpoint, FrameRecord
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.resumable_file import ResumableFile
from ringwatch_daemon.sinks.run_memory import checkpoint_at, memory_folder

BINS, PART_ROWS = 200, 40
LEFT = (0, 70_000, 2_000_000)
"""Bytes that are free: none, less than a part takes at its beginning, less than the reserve."""
READ = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1]) as file:
    rows = int(file["entry/ledger/rows"][()])
    np.testing.assert_array_equal(file["entry/frames/unique_id"][:rows], np.arange(1000, 1000 + rows))
    np.testing.assert_array_equal(file["entry/azint1d/I"][:rows, 1], np.arange(rows))
print(rows)
"""


def rows_in(path: Path) -> int:
    """Rows that another process finds, which knows nothing of the writer."""
    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def remembered(row: int) -> FrameRecord:
    checkpoint = Checkpoint(memory(row, series=row % 9 == 0), ("a flag",))
    return replace(records.frame_record(row, bins=BINS), checkpoint=checkpoint)


def refused(sink: ResumableFile) -> bool:
    try:
        sink.flush()
    except StorageError:
        return True
    return False


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_disk_that_is_full_at_any_byte_costs_no_row_and_no_memory_of_the_run(tmp_path, kind):
    chance, row, refusals = random.Random(5), 0, 0
    with small_disk(tmp_path / "disk", 100, kind=kind) as disk:
        path = disk / "run.h5"
        sink = ResumableFile(path, NexusFile(path=path, part_rows=PART_ROWS))
        sink.accept(records.run_start(bins=BINS))
        sink.flush()
        for left in LEFT:
            filler, durable, waits = fill(disk, but=left), row, False
            for _ in range(2500):
                if waits := refused(sink):
                    refusals += 1
                    break
                durable = row
                for _ in range(chance.choice((1, 7, 60))):
                    sink.accept(remembered(row))
                    row += 1
            assert waits, "the reserve was expected to end once"
            assert durable <= rows_in(path) <= row
            assert refused(sink)
            filler.unlink()
            sink.flush()
            found = checkpoint_at(memory_folder(path), row)
            assert found is not None
            assert found.memory.judge.frames == row - 1
        sink.accept(records.run_stop())
        sink.close()
        assert rows_in(path) == row
        assert not memory_folder(path).exists()
    assert refusals == len(LEFT)


def test_a_file_system_that_turns_read_only_is_told_and_keeps_what_was_acknowledged(tmp_path):
    with small_disk(tmp_path / "disk", 60, kind="ext4") as disk:
        path = disk / "run.h5"
        sink = ResumableFile(path, NexusFile(path=path))
        sink.accept(records.run_start(bins=BINS))
        for row in range(30):
            sink.accept(remembered(row))
        sink.flush()
        subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)
        for row in range(30, 50):
            sink.accept(remembered(row))
            assert refused(sink)
        assert rows_in(path) == 30
        with pytest.raises(SinkError, match="Read-only"):
            sink.close()
        assert rows_in(path) == 30
        found = checkpoint_at(memory_folder(path), 30)
        assert found is not None
        assert found.memory.judge.frames == 29

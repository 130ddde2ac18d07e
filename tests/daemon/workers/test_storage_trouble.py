"""A disk that is full, read-only or gone: it is told, results wait, and none is missing when it is back."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes import records
from fakes.stages import ListSink
from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.errors import SinkError, StorageError
from ringwatch_daemon.core.records import Event, FrameRecord, Record, Status
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.workers.sink_stage import SinkStage
from ringwatch_daemon.workers.storage_trouble import Patience

QUICK = Patience(trouble_s=60.0, stopping_s=0.3, retry_s=0.02)
PATIENCE_S = 60.0


class FullDisk(ListSink):
    """A file on a disk that is full until somebody makes room."""

    def __init__(self) -> None:
        super().__init__()
        self.full = threading.Event()
        self.tried = threading.Semaphore(0)
        self.durable = 0

    def flush(self) -> None:
        self.tried.release()
        if self.full.is_set():
            raise StorageError("run.h5 cannot be written: no space left on device")
        self.durable = len(self.records)


class RunningStage:
    """A sink stage in a thread of its own."""

    def __init__(self, *sinks, patience: Patience = QUICK) -> None:
        self.channel: Channel[Record] = Channel("records", 2000)
        self.stop = threading.Event()
        self.error: Exception | None = None
        stage = SinkStage(records=self.channel, sinks=sinks, patience=patience)
        self._thread = threading.Thread(target=self._run, args=(stage,), daemon=True)
        self._thread.start()

    def put(self, *some: Record) -> None:
        for record in some:
            assert self.channel.put(record, 1.0)

    def end(self) -> None:
        self.channel.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def _run(self, stage: SinkStage) -> None:
        try:
            stage.run(self.stop)
        except SinkError as error:
            self.error = error


def wait_for(condition) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def texts(sink: ListSink) -> list[str]:
    return [record.text for record in sink.records if isinstance(record, Event) and record.kind == "STORAGE"]


def frames(sink: ListSink) -> list[int]:
    return [record.row for record in sink.records if isinstance(record, FrameRecord)]


def test_nothing_is_published_before_the_disk_has_it_and_all_of_it_when_it_has():
    disk, stream = FullDisk(), ListSink()
    stage = RunningStage(disk, stream)
    stage.put(records.run_start(), records.status(1), records.frame_record(0))
    wait_for(lambda: frames(stream) == [0])
    disk.full.set()
    stage.put(records.frame_record(1), records.frame_record(2))
    wait_for(lambda: len(texts(stream)) == 1 and any(isinstance(r, Status) and r.flags for r in stream.records))
    assert frames(stream) == [0]
    assert "no space left" in texts(stream)[0]
    assert "no space left" in [r for r in stream.records if isinstance(r, Status)][-1].flags[-1]
    disk.full.clear()
    wait_for(lambda: frames(stream) == [0, 1, 2])
    stage.put(records.frame_record(3))
    stage.end()
    assert stage.error is None
    assert frames(disk) == frames(stream) == [0, 1, 2, 3]
    assert texts(disk) == texts(stream)
    assert "none of them is missing" in texts(disk)[1]
    assert disk.durable == len(disk.records)


@pytest.mark.parametrize("ending", ["patience", "stop"])
def test_a_disk_that_does_not_come_back_ends_the_run_with_its_reason(ending):
    disk, stream = FullDisk(), ListSink()
    disk.full.set()
    stage = RunningStage(
        disk, stream, patience=Patience(trouble_s=0.2, retry_s=0.02) if ending == "patience" else QUICK
    )
    stage.put(records.run_start(), records.frame_record(0))
    assert disk.tried.acquire(timeout=PATIENCE_S)
    if ending == "stop":
        stage.stop.set()
    stage.end()
    assert "no space left" in str(stage.error)
    assert frames(stream) == []


def test_a_stream_that_fails_on_the_same_disk_does_not_end_the_wait():
    class Stumbling(ListSink):
        def accept(self, record: Record) -> None:
            if isinstance(record, Event):
                raise SinkError("the number cannot be noted")
            super().accept(record)

    disk, stream = FullDisk(), Stumbling()
    disk.full.set()
    stage = RunningStage(disk, stream)
    stage.put(records.run_start(), records.frame_record(0))
    for _ in range(4):
        assert disk.tried.acquire(timeout=PATIENCE_S)
    disk.full.clear()
    stage.end()
    assert stage.error is None
    assert frames(stream) == [0]


def mount(*arguments: object) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system of its own was wanted for this test: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    if os.geteuid():
        pytest.skip("only root can mount a file system for this test")
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


READ = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1]) as file:
    entry, rows = file["entry"], int(sys.argv[2])
    assert entry["ledger/rows"][()] == rows, entry["ledger/rows"][()]
    np.testing.assert_array_equal(entry["frames/unique_id"][:rows], np.arange(1000, 1000 + rows))
    np.testing.assert_array_equal(entry["azint1d/I"][:rows, 1], np.arange(rows))
"""


def assert_readable_with(path: Path, rows: int) -> None:
    """Another process, as that of the writer shares its view of the file."""
    done = subprocess.run([sys.executable, "-c", READ, path, str(rows)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def fill(disk: Path, *, but: int = 0) -> Path:
    room = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(bytes(room.f_bavail * room.f_bsize - but))
    return filler


def write_until_told(stage: RunningStage, stream: ListSink) -> int:
    """Rows in great batches until the disk is full, since the reserve lasts for a while; return how many."""
    row = len(frames(stream))
    while not texts(stream):
        stage.put(*(records.frame_record(each) for each in range(row, row + 200)))
        row += 200
        wait_for(lambda now=row: len(frames(stream)) == now or texts(stream))
    return row


def test_a_real_disk_that_fills_up_costs_no_row_and_the_file_is_readable_all_the_while(tmp_path):
    with small_disk(tmp_path / "disk", "24m") as disk:
        path, stream = disk / "run.h5", ListSink()
        stage = RunningStage(NexusFile(path=path), stream)
        stage.put(records.run_start(), records.frame_record(0))
        wait_for(lambda: frames(stream) == [0])
        filler = fill(disk)
        rows = write_until_told(stage, stream)
        assert_readable_with(path, len(frames(stream)))
        stage.put(*(records.frame_record(row) for row in range(rows, rows + 20)))
        filler.unlink()
        wait_for(lambda: len(frames(stream)) == rows + 20)
        stage.end()
        assert stage.error is None
        assert_readable_with(path, rows + 20)


def test_a_real_disk_that_stays_full_ends_the_run_and_leaves_a_readable_file(tmp_path):
    with small_disk(tmp_path / "disk", "24m") as disk:
        path, stream = disk / "run.h5", ListSink()
        stage = RunningStage(NexusFile(path=path), stream)
        stage.put(records.run_start(), records.frame_record(0))
        wait_for(lambda: frames(stream) == [0])
        fill(disk)
        write_until_told(stage, stream)
        stage.stop.set()
        stage.end()
        assert "run.h5 cannot be written" in str(stage.error)
        assert_readable_with(path, len(frames(stream)))


def test_a_mount_that_goes_and_comes_back_costs_no_row(tmp_path):
    with small_disk(tmp_path / "disk", "64m") as disk:
        seen = tmp_path / "seen"
        seen.mkdir()
        mount("--bind", disk, seen)
        path, stream = seen / "run.h5", ListSink()
        stage = RunningStage(NexusFile(path=path), stream)
        stage.put(records.run_start(), records.frame_record(0))
        wait_for(lambda: frames(stream) == [0])
        subprocess.run(["umount", "-l", str(seen)], check=True)
        stage.put(records.frame_record(1))
        wait_for(lambda: texts(stream))
        assert "not there any more" in texts(stream)[0]
        mount("--bind", disk, seen)
        wait_for(lambda: frames(stream) == [0, 1])
        stage.end()
        assert stage.error is None
        assert_readable_with(path, 2)
        subprocess.run(["umount", "-l", str(seen)], check=True)

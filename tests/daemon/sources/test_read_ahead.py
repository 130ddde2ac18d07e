"""Files that are read side by side come in their order, and not more of them than there is room for."""

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest

from fakes.intake import RecordingIntake
from fakes.quarter_rings import BINNING, SHAPE, geometry, light
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.files import FileSource, FileSourceConfig, ReadAhead
from ringwatch_daemon.sources.frame_reading import STRETCH_BYTES, FrameReading, ReadStretch, Stretch
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_daemon.sources.read_ahead import ReadingThreads, read_in_order
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.reduction.corrections import Corrections

IMAGE = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48)


@dataclass
class HandReaders:
    """Readers whose work is done by hand: `finish` ends what was begun, the newest first."""

    reading: FrameReading
    ahead: int = 3
    begun: list[tuple[Stretch, Future[ReadStretch]]] = field(default_factory=list)
    most: int = 0
    kept: list[bool] = field(default_factory=list)
    closed: bool = False

    def submit(self, stretch: Stretch, *, keep_images: bool) -> Future[ReadStretch]:
        future: Future[ReadStretch] = Future()
        self.begun.append((stretch, future))
        self.kept.append(keep_images)
        self.most = max(self.most, len(self.begun))
        return future

    def finish(self) -> None:
        while self.begun:
            stretch, future = self.begun.pop()
            future.set_result(self.reading.read(stretch))

    def close(self) -> None:
        self.closed = True


class EagerReaders(HandReaders):
    """The same, done as soon as it is asked for."""

    def submit(self, stretch: Stretch, *, keep_images: bool) -> Future[ReadStretch]:
        future = super().submit(stretch, keep_images=keep_images)
        self.finish()
        return future


def write_images(folder: Path, count: int) -> list[str]:
    for number in range(count):
        np.save(folder / f"{number:05d}.npy", IMAGE + np.uint16(number))
    return [str(folder / f"{number:05d}.npy") for number in range(count)]


def ahead_of(readers_of=ReadingThreads, **settings) -> ReadAhead:
    return ReadAhead(readers_of, **settings)


def frames_ahead(*paths: object, ahead: ReadAhead | None = None, **settings: object) -> RecordingIntake:
    intake = RecordingIntake()
    source = FileSource(FileSourceConfig(tuple(map(str, paths)), **settings), SystemClock())
    source.read_ahead(ahead or ahead_of())
    source.run(intake, threading.Event())
    assert source.expected == len(intake.frames) + len(intake.refusals)
    return intake


def plain(*paths: object, **settings: object) -> RecordingIntake:
    intake = RecordingIntake()
    FileSource(FileSourceConfig(tuple(map(str, paths)), **settings), SystemClock()).run(intake, threading.Event())
    return intake


def assert_alike(one: RecordingIntake, other: RecordingIntake) -> None:
    for name in ("unique_id", "timestamp_ns", "monitor", "origin", "kind", "conditions", "attributes"):
        np.testing.assert_equal(
            [getattr(frame, name) for frame in one.frames], [getattr(frame, name) for frame in other.frames]
        )
    for mine, theirs in zip(one.frames, other.frames, strict=True):
        np.testing.assert_array_equal(mine.image, theirs.image)
    assert [(refusal.unique_id, refusal.text) for refusal in one.refusals] == [
        (refusal.unique_id, refusal.text) for refusal in other.refusals
    ]
    assert one.warnings == other.warnings


def test_a_folder_with_bad_files_is_the_same_ahead_and_one_by_one(tmp_path: Path):
    write_images(tmp_path, 12)
    (tmp_path / "00003.npy").write_bytes(b"torn")
    (tmp_path / "00011.npy").write_bytes((tmp_path / "00010.npy").read_bytes()[:-100])
    np.save(tmp_path / "00007.npy", IMAGE.astype(np.complex64))
    intake = frames_ahead(tmp_path)
    assert_alike(intake, plain(tmp_path))
    assert intake.ids == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert intake.reasons == [Reason.UNREADABLE, Reason.WRONG_TYPE, Reason.UNREADABLE]


def test_what_is_read_first_is_not_handed_over_first(tmp_path: Path):
    files = write_images(tmp_path, 7)
    readers = HandReaders(FrameReading())
    stop, taken = threading.Event(), []

    def take() -> None:
        for file, read in read_in_order(files, readers, keep_images=lambda: True, stop=stop):
            taken.append((file, len(read.frames)))

    thread = threading.Thread(target=take)
    thread.start()
    end_s = time.monotonic() + 20.0
    while len(taken) < len(files) and time.monotonic() < end_s:
        readers.finish()
    thread.join(20.0)
    assert taken == [(file, 1) for file in files]
    assert readers.most == readers.ahead


def test_a_stack_is_read_in_stretches_of_bounded_size_one_beside_the_other(tmp_path: Path):
    rows = 1024
    frames = 2 * STRETCH_BYTES // (2 * rows * rows) + 3
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        stack = file.create_dataset("entry/data/data", (frames, rows, rows), np.uint16, chunks=(1, rows, rows))
        for number in range(0, frames, 5):
            stack[number] = number
        file["entry/instrument/NDAttributes/uniqueId"] = np.arange(100, 100 + frames)
    np.save(tmp_path / "then.npy", IMAGE)
    readers: list[EagerReaders] = []

    def readers_of(reading: FrameReading) -> EagerReaders:
        readers.append(EagerReaders(reading))
        return readers[0]

    intake = frames_ahead(tmp_path / "stack.h5", tmp_path / "then.npy", ahead=ahead_of(readers_of))
    assert intake.ids == [*range(100, 100 + frames), 100 + frames]
    assert [int(frame.image[0, 0]) for frame in intake.frames[:-1:5]] == list(range(0, frames, 5))
    assert len(readers[0].kept) == 4  # three stretches of the stack, and the other file
    assert readers[0].closed


def test_a_stop_is_heard_while_a_file_is_being_read(tmp_path: Path):
    files = write_images(tmp_path, 3)
    readers, stop = HandReaders(FrameReading()), threading.Event()
    reading = read_in_order(files, readers, keep_images=lambda: True, stop=stop)
    threading.Timer(0.1, stop.set).start()
    assert list(reading) == []
    assert len(readers.begun) == readers.ahead


def test_images_of_counted_frames_stay_behind_once_nobody_needs_them(tmp_path: Path):
    counter = Analyser(Recipe(geometry=geometry(), corrections=Corrections(), binning=BINNING)).counter
    for number in range(6):
        np.save(tmp_path / f"{number}.npy", light(1).image)
        (tmp_path / f"{number}.npy.metadata").write_text(f"[metadata]\nshutter={'closed' if number == 4 else 'open'}\n")
    needed = iter([True, True])
    seen: list[bool] = []

    class Watching(EagerReaders):
        def submit(self, stretch: Stretch, *, keep_images: bool) -> Future[ReadStretch]:
            seen.append(keep_images)
            future: Future[ReadStretch] = Future()
            future.set_result(self.reading.read(stretch, keep_images=keep_images))
            return future

    ahead = ReadAhead(lambda reading: Watching(reading, ahead=1), counter, needs_images=lambda: next(needed, False))
    intake = frames_ahead(tmp_path, ahead=ahead, names=MetadataNames(dark=("shutter",)))
    assert seen == [True, True, False, False, False, False]
    assert [frame.image.shape == SHAPE for frame in intake.frames] == [True, True, False, False, True, False]
    assert all(frame.counts.pattern is not None for frame in intake.frames if frame.kind == "LIGHT")
    assert intake.frames[4].counts.pattern is None


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(tmp_path: Path, threads: int):
    write_images(tmp_path, 20)
    intake = frames_ahead(tmp_path, ahead=ahead_of(lambda reading: ReadingThreads(reading, threads=threads)))
    assert [int(frame.image[0, 0]) for frame in intake.frames] == list(range(20))

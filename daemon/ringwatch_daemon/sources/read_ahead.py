"""Files are read ahead of the analysis, side by side, and handed over in their order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event as StopRequest
from typing import Protocol

from ringwatch_daemon.sources.frame_reading import FrameReading, ReadStretch, Stretch

LOOK_S = 0.2
MOST_THREADS = 8
"""Where the analysis, which keeps its order, waits for none of them any more; each holds a stretch in memory."""


class PendingRead(Protocol):
    """A stretch that is being read, or waits for it."""

    def result(self, timeout: float | None = None) -> ReadStretch:
        """What came of it; TimeoutError when that takes longer than `timeout` seconds."""
        ...


class Readers(Protocol):
    """Those who read, side by side."""

    @property
    def ahead(self) -> int:
        """Stretches that may be in work or waiting to be handed over; times `STRETCH_BYTES`, it bounds the memory."""
        ...

    def submit(self, stretch: Stretch, *, keep_images: bool) -> PendingRead:
        """Have a stretch read."""
        ...

    def close(self) -> None:
        """Let go of what was not asked for."""
        ...


ReadersOf = Callable[[FrameReading], Readers]


class ReadingThreads:
    """Threads of this process: reading and counting let go of the interpreter's lock.

    Parameters
    ----------
    threads
        How many; where it is left out one for each core that this process may use, `MOST_THREADS` at most.
    """

    def __init__(self, reading: FrameReading, *, threads: int | None = None) -> None:
        self._reading = reading
        count = threads or min(_cores(), MOST_THREADS)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="reader")
        self.ahead = count + 1

    def submit(self, stretch: Stretch, *, keep_images: bool) -> Future[ReadStretch]:
        """Have a stretch read."""
        return self._pool.submit(self._reading.read, stretch, keep_images=keep_images)

    def close(self) -> None:
        """Wait for what is being read; what only waits is not read any more."""
        self._pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """Cores that this process may use; all there are where the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class _Plan:
    """Which stretch is read next: those of the file at hand first, then the beginnings of the files that follow.

    How many frames a file has, and how many of them make a stretch, is known once its first stretch is read.
    """

    files: Iterator[str]
    rest: Iterator[Stretch]
    at_hand: deque[tuple[Stretch, PendingRead]]
    to_come: deque[tuple[Stretch, PendingRead]]

    def begun(self, stretch: Stretch, read: ReadStretch) -> None:
        """The first stretch of a file is read: now its others are known."""
        step = len(read.frames)
        if step and not read.problem:
            self.rest = (Stretch(stretch.file, first) for first in range(step, read.count, step))


def read_in_order(
    files: Iterable[str], readers: Readers, *, keep_images: Callable[[], bool], stop: StopRequest
) -> Iterator[tuple[str, ReadStretch]]:
    """Every stretch of every file with the name of its file, in order, until `stop` is set.

    Parameters
    ----------
    keep_images
        Whether a stretch that is begun now has to bring the images of counted frames.
    """
    plan = _Plan(iter(files), iter(()), deque(), deque())
    while not stop.is_set():
        _begin(plan, readers, keep_images)
        waiting = plan.at_hand or plan.to_come
        if not waiting:
            return
        stretch, pending = waiting.popleft()
        read = _awaited(pending, stop)
        if read is None:
            return
        if stretch.first == 0:
            plan.begun(stretch, read)
        yield stretch.file, read


def _begin(plan: _Plan, readers: Readers, keep_images: Callable[[], bool]) -> None:
    while len(plan.at_hand) < readers.ahead and (stretch := next(plan.rest, None)) is not None:
        plan.at_hand.append((stretch, readers.submit(stretch, keep_images=keep_images())))
    while len(plan.at_hand) + len(plan.to_come) < readers.ahead and (file := next(plan.files, None)) is not None:
        stretch = Stretch(file)
        plan.to_come.append((stretch, readers.submit(stretch, keep_images=keep_images())))


def _awaited(pending: PendingRead, stop: StopRequest) -> ReadStretch | None:
    """What is read, or None when a stop is asked for before."""
    while not stop.is_set():
        try:
            return pending.result(timeout=LOOK_S)
        except TimeoutError:
            continue
    return None

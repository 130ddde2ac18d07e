"""What the stream has said, kept within a bound, so that a late joiner can hear it too."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from ringwatch_daemon.core.wire import StreamMessage, encode


@dataclass(frozen=True, slots=True)
class Kept:
    """An encoded message and its number."""

    seq: int
    topic: str
    parts: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(len(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the history.

    Parameters
    ----------
    run
        The run that the history is of; empty before the first.
    messages
        In the order of their numbers.
    next_seq
        Number to ask for next.
    newest_seq
        Number that the next message of the run will have.
    gone
        Ranges (first, last) before `next_seq` that are kept no more.
    """

    run: str
    messages: tuple[Kept, ...]
    next_seq: int
    newest_seq: int
    gone: tuple[tuple[int, int], ...] = ()


class StreamHistory:
    """The messages of the current run, oldest dropped first, from any thread.

    The start of the run and the newest message of each topic are kept however old they are.

    Parameters
    ----------
    capacity_bytes
        Bound on the messages kept besides those.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._lock = threading.Lock()
        self._begin("")

    def append(self, message: StreamMessage) -> None:
        """Keep `message`; one of another run begins a new history.

        Raises
        ------
        WireError
            The message has no form on the wire.
        """
        kept = Kept(message.seq, message.topic, tuple(encode(message)))
        with self._lock:
            if message.run != self._run:
                self._begin(message.run)
            self._ring[kept.seq] = kept
            self._newest[kept.topic] = kept
            self._newest_seq = kept.seq + 1
            self._bytes += kept.size
            self._drop_oldest()

    def resume(self, start: StreamMessage, next_seq: int) -> None:
        """Begin with the start of a run that an earlier process has told up to `next_seq`.

        Raises
        ------
        WireError
            The message has no form on the wire.
        """
        kept = Kept(start.seq, start.topic, tuple(encode(start)))
        with self._lock:
            self._begin(start.run)
            self._newest[kept.topic] = kept
            self._oldest_seq = self._newest_seq = max(next_seq, start.seq + 1)

    def since(self, *, run: str | None, seq: int, limit_bytes: int) -> Page:
        """What is kept from number `seq` on, up to about `limit_bytes` but at least one message.

        A `run` that is not the current one is answered with the current one from its start.
        """
        with self._lock:
            first = seq if run is None or run == self._run else 0
            messages: list[Kept] = []
            size, next_seq = 0, max(first, self._newest_seq)
            for kept in self._from(first):
                if messages and size + kept.size > limit_bytes:
                    next_seq = messages[-1].seq + 1
                    break
                messages.append(kept)
                size += kept.size
            gone = _missing(first, messages, next_seq)
            return Page(self._run, tuple(messages), next_seq, self._newest_seq, gone)

    def snapshot(self) -> Page:
        """The run's start and the newest message of each topic."""
        with self._lock:
            messages = tuple(sorted(self._newest.values(), key=lambda kept: kept.seq))
            return Page(self._run, messages, self._newest_seq, self._newest_seq)

    def _begin(self, run: str) -> None:
        self._run = run
        self._ring: dict[int, Kept] = {}
        self._newest: dict[str, Kept] = {}
        self._oldest_seq = 0
        self._newest_seq = 0
        self._bytes = 0

    def _drop_oldest(self) -> None:
        while self._bytes > self._capacity_bytes and len(self._ring) > 1:
            oldest = next(iter(self._ring))
            self._bytes -= self._ring.pop(oldest).size
        self._oldest_seq = next(iter(self._ring))

    def _from(self, first: int) -> Iterator[Kept]:
        """Everything kept from `first` on: single old messages, then the unbroken rest."""
        old = sorted(
            (kept for kept in self._newest.values() if first <= kept.seq < self._oldest_seq),
            key=lambda kept: kept.seq,
        )
        unbroken = range(max(first, self._oldest_seq), self._newest_seq)
        return chain(old, (self._ring[seq] for seq in unbroken))


def _missing(first: int, messages: list[Kept], next_seq: int) -> tuple[tuple[int, int], ...]:
    ranges, expected = [], first
    for kept in messages:
        if kept.seq > expected:
            ranges.append((expected, kept.seq - 1))
        expected = kept.seq + 1
    if next_seq > expected:
        ranges.append((expected, next_seq - 1))
    return tuple(ranges)

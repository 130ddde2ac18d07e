"""Thousands of connections at the stream's sockets: strangers, subscribers that never read, and no descriptors left."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.fuzz_stream import GREETING
from chaos.listener import DeafSubscriber

AT_ONCE = 100
SPARE_DESCRIPTORS = 12
MOST_HELD = 200


def address_of(endpoint: str, *, further: int = 0) -> tuple[str, int]:
    """Host and port of an endpoint, or of its neighbour."""
    host, port = endpoint.removeprefix("tcp://").split(":")
    return host, int(port) + further


def connect_and_leave(endpoint: str, *, connections: int) -> int:
    """Connect so many times in batches, half of them with a greeting; return how many were let in."""
    let_in = 0
    for first in range(0, connections, AT_ONCE):
        with ExitStack() as batch:
            for number in range(first, min(first + AT_ONCE, connections)):
                let_in += _connect(batch, address_of(endpoint, further=number % 2), greet=number % 4 < 2)
    return let_in


def _connect(batch: ExitStack, address: tuple[str, int], *, greet: bool) -> bool:
    stranger = batch.enter_context(socket.socket())
    stranger.settimeout(2.0)
    try:
        stranger.connect(address)
        if greet:
            stranger.sendall(GREETING)
    except OSError:
        return False
    return True


@contextmanager
def no_descriptors_left(process: int, endpoint: str) -> Iterator[None]:
    """For the length of a block a process has hardly any descriptors left, and strangers ask for more."""
    soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    used = max(int(entry.name) for entry in Path(f"/proc/{process}/fd").iterdir())
    resource.prlimit(process, resource.RLIMIT_NOFILE, (used + SPARE_DESCRIPTORS, hard))
    try:
        with ExitStack() as held:
            for number in range(MOST_HELD):
                _connect(held, address_of(endpoint, further=number % 2), greet=False)
            yield
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, (soft, hard))


@dataclass(frozen=True, slots=True)
class Pace:
    """How a daemon fares over a stretch of time."""

    frames_a_s: float
    resident_MiB: float


def pace_of(process: int, frames: list[object], *, for_s: float) -> Pace:
    """Published frames a second, and the memory at the end."""
    before, begun_s = len(frames), time.monotonic()
    time.sleep(for_s)
    return Pace((len(frames) - before) / (time.monotonic() - begun_s), resident_MiB(process))


def resident_MiB(process: int) -> float:
    """Memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


@contextmanager
def deaf_crowd(endpoint: str, *, count: int) -> Iterator[None]:
    """So many subscribers that never read."""
    with ExitStack() as held:
        for _ in range(count):
            held.callback(DeafSubscriber(endpoint).close)
        yield

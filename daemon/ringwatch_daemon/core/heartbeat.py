"""Whether the data path turns over, told to whoever watches over the daemon."""

import threading
from collections.abc import Callable
from functools import partial

from ringwatch_daemon.core.clock import Clock

Turned = Callable[[bool], None]
"""What a stage calls after each turn of its loop, and whether it had something to do."""


class Heartbeat:
    """Beats once every working stage has turned over since the last beat.

    There is no timer: a stage that hangs, or waits for one that does, holds the beat back. A
    stage with nothing to do does not, since its loop turns over all the same.

    Parameters
    ----------
    beat
        Called in the thread of the stage that turned over last, with whether any stage had
        something to do.
    every_s
        Shortest time between two beats.
    """

    def __init__(self, *, beat: Callable[[bool], None], every_s: float, clock: Clock) -> None:
        self._beat = beat
        self._every_s = every_s
        self._clock = clock
        self._working: set[str] = set()
        self._awaited: set[str] = set()
        self._worked = False
        self._turned_s: dict[str, float] = {}
        self._next_s = clock.monotonic_s()
        self._lock = threading.Lock()

    def stage(self, name: str) -> Turned:
        """Wait for this stage, too, from now until it has `ended`."""
        with self._lock:
            self._working.add(name)
            self._awaited.add(name)
            self._turned_s[name] = self._clock.monotonic_s()
        return partial(self._turned, name)

    def ended(self, name: str) -> None:
        """Wait for this stage no longer; those that work on still beat."""
        with self._lock:
            self._working.discard(name)
            self._awaited.discard(name)

    def silent(self, for_s: float) -> tuple[str, ...]:
        """The stages that work and have not turned over for so long."""
        with self._lock:
            since_s = self._clock.monotonic_s() - for_s
            return tuple(sorted(name for name in self._working if self._turned_s[name] < since_s))

    def _turned(self, name: str, worked: bool) -> None:
        with self._lock:
            self._awaited.discard(name)
            self._worked |= worked
            now_s = self._turned_s[name] = self._clock.monotonic_s()
            if self._awaited or now_s < self._next_s:
                return
            self._awaited = set(self._working)
            self._next_s = now_s + self._every_s
            anything, self._worked = self._worked, False
        self._beat(anything)

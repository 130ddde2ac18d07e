"""Clocks are passed in, so that tests and accelerated runs can bring their own."""

import time
from typing import Protocol

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Wall time to stamp a receipt, monotonic time to prove liveness."""

    def utc_ns(self) -> int:
        """UTC, nanoseconds since 1970."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never step."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def utc_ns(self) -> int:
        """UTC, nanoseconds since 1970."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Seconds that never step."""
        return time.monotonic()

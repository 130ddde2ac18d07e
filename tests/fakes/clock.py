"""A clock that stands until it is told to go on."""

import threading


class ManualClock:
    def __init__(self, utc_ns: int = 1_800_000_000_000_000_000) -> None:
        self._lock = threading.Lock()
        self._utc_ns = utc_ns
        self._monotonic_s = 0.0

    def utc_ns(self) -> int:
        with self._lock:
            return self._utc_ns

    def monotonic_s(self) -> float:
        with self._lock:
            return self._monotonic_s

    def go_on(self, seconds: float) -> None:
        with self._lock:
            self._utc_ns += round(seconds * 1e9)
            self._monotonic_s += seconds

"""Tells when frames should come and do not."""

import threading
from collections import deque
from statistics import median

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.ports import FrameIntake

_ENOUGH_STEPS = 3
_STEPS_KEPT = 16
_TOO_LATE = 5.0
"""A frame is missing after so many of the periods seen before."""


class FrameWatchdog:
    """Warns of a stall once, and once more when it is over.

    Parameters
    ----------
    stall_s
        How long frames may stay away, beyond the exposure, before it is a stall; longer where they came at
        longer periods.
    stage
        Who should have delivered, for the message: a PV or a plugin.
    """

    def __init__(self, intake: FrameIntake, clock: Clock, *, stall_s: float, stage: str) -> None:
        self._intake = intake
        self._clock = clock
        self._stall_s = stall_s
        self._stage = stage
        self._lock = threading.Lock()
        self._steps_s: deque[float] = deque(maxlen=_STEPS_KEPT)
        self._last_s: float | None = None
        self._waiting_since_s: float | None = None
        self._exposure_s = 0.0
        self._stalled = False
        self._cause = ""

    def frame_came(self, *, exposure_s: float) -> None:
        """A frame was seen, whether or not it could be taken."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if self._last_s is not None and not self._stalled:
                self._steps_s.append(now_s - self._last_s)
            self._last_s = now_s
            self._exposure_s = exposure_s if exposure_s > 0 else self._exposure_s
            was_stalled, self._stalled = self._stalled, False
        if was_stalled:
            self._intake.warning(kind="STALL_OVER", text=f"frames come again from {self._stage}")

    def check(self, *, acquiring: bool | None, connected: bool, cause: str = "") -> None:
        """Warn where a frame is overdue.

        Parameters
        ----------
        acquiring
            What the detector says of itself, None where it does not.
        cause
            What is known to keep frames away; told at once, stall or not.
        """
        if cause and cause != self._cause:
            self._intake.warning(kind="NO_FRAMES", text=cause)
        self._cause = cause
        now_s = self._clock.monotonic_s()
        with self._lock:
            overdue_s = self._overdue_s(now_s, acquiring if connected else False)
            if overdue_s is None or self._stalled:
                return
            self._stalled = True
        if not cause:
            cause = "the detector says that it acquires" if acquiring else "frames had come regularly"
        self._intake.warning(kind="STALL", text=f"no frame from {self._stage} for {overdue_s:.1f} s: {cause}")

    def _overdue_s(self, now_s: float, acquiring: bool | None) -> float | None:
        """How long frames have been awaited, None while that is no stall."""
        if acquiring is False:
            self._waiting_since_s = None
            self._steps_s.clear()
            self._last_s = None
            return None
        if acquiring is None and len(self._steps_s) < _ENOUGH_STEPS:
            return None
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        since_s = self._waiting_since_s if self._last_s is None else max(self._last_s, self._waiting_since_s)
        period_s = median(self._steps_s) if self._steps_s else 0.0
        limit_s = max(self._stall_s + self._exposure_s, _TOO_LATE * period_s)
        return now_s - since_s if now_s - since_s > limit_s else None

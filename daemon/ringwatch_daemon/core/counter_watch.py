"""How far the detector says that its counter has got: it names frames that were counted and never came.

The counter comes beside the frames, on a way of its own, so it may be a little ahead of them or behind. It is
believed as long as it says what the unique ids of the frames say.
"""

from collections import deque

AHEAD = 1
"""The counter may have been told before the frame that it counts."""
ON_THEIR_WAY = 16
"""Frames may lag so far behind the counter, on a busy machine, before it is taken to say something else."""
ENOUGH = 3
"""So many agreements outweigh one value that does not fit, as a frame lost on its way leaves one."""


class CounterWatch:
    """The counter of one detector."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._before: int | None = None
        self._told_s = 0.0
        self._awaited: deque[int] = deque()
        self._agreed = 0
        self._differed = 0

    def tell(self, count: int | None, *, last_id: int | None, now_s: float) -> None:
        """Note a value, or None when the counter can be heard no more.

        Parameters
        ----------
        last_id
            Unique id of the newest frame, None before the first.
        now_s
            Monotonic time.
        """
        if count is None or (self._newest is not None and count < self._newest):
            # It begins anew, or may do so unheard: what it had reached belongs to the frames before.
            known = [each for each in (self._before, self._newest) if each is not None]
            self._before = max(known, default=None)
            self._awaited.clear()
        elif last_id is not None:
            self._compare(count, last_id)
        self._newest, self._told_s = count, now_s

    def frame_came(self, unique_id: int) -> None:
        """A frame has got so far by itself: the counter said so before, and what it had reached then is done with."""
        if unique_id in self._awaited:
            self._agreed += 1
        while self._awaited and self._awaited[0] <= unique_id:
            self._awaited.popleft()
        if self._before is not None and unique_id >= self._before:
            self._before = None

    def new_count(self) -> int:
        """The counter began anew: what it had reached before, 0 where nobody knows."""
        before, self._before = self._before, None
        reached = self._newest if before is None else before
        if before is None:
            self._newest = None
        return reached or 0 if self._is_trusted else 0

    def reached(self) -> int:
        """What the counter has reached, 0 where nobody knows."""
        return self._newest or 0 if self._is_trusted else 0

    def silent_s(self, now_s: float) -> float:
        """How long it has said nothing new."""
        return now_s - self._told_s

    @property
    def _is_trusted(self) -> bool:
        return self._agreed >= ENOUGH * self._differed

    def _compare(self, count: int, last_id: int) -> None:
        if 0 <= count - last_id <= AHEAD:
            self._agreed += 1
        elif count > last_id and len(self._awaited) < ON_THEIR_WAY:
            self._awaited.append(count)
        else:
            self._differed += 1

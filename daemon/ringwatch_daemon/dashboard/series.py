"""A curve of bounded length over a run of any length, and how it looks in one line of text."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

CAPACITY = 128
BLOCKS = "▁▂▃▄▅▆▇█"
_HOLE = " "


@dataclass(frozen=True, slots=True)
class Series:
    """Means over equal numbers of values; when there are too many means, pairs of them are merged.

    Parameters
    ----------
    means
        At most `CAPACITY`, oldest first; NaN where no value of the stretch was finite.
    stretch
        Values behind each mean.
    waiting
        Values after the last complete stretch.
    waiting_finite, waiting_sum
        How many of them are finite, and their sum.
    """

    means: tuple[float, ...] = ()
    stretch: int = 1
    waiting: int = 0
    waiting_finite: int = 0
    waiting_sum: float = 0.0

    def with_value(self, value: float) -> "Series":
        """The series with one more value at its end."""
        finite = math.isfinite(value)
        longer = replace(
            self,
            waiting=self.waiting + 1,
            waiting_finite=self.waiting_finite + finite,
            waiting_sum=self.waiting_sum + (value if finite else 0.0),
        )
        return longer if longer.waiting < self.stretch else longer._closed()

    def curve(self) -> tuple[float, ...]:
        """The means, and that of the values that wait."""
        return (*self.means, self._waiting_mean()) if self.waiting else self.means

    def _closed(self) -> "Series":
        if len(self.means) < CAPACITY:
            return Series((*self.means, self._waiting_mean()), self.stretch)
        return replace(self, means=_in_pairs(self.means), stretch=self.stretch * 2)

    def _waiting_mean(self) -> float:
        return self.waiting_sum / self.waiting_finite if self.waiting_finite else math.nan


def sparkline(values: tuple[float, ...], width: int) -> str:
    """Draw values in at most `width` characters, lowest to highest; a hole where there is none.

    Parameters
    ----------
    values
        Neighbours are averaged when there are more than `width`.
    """
    count = min(len(values), width)
    if count < 1:
        return ""
    edges = [index * len(values) // count for index in range(count + 1)]
    shown = [_mean(values[first:last]) for first, last in pairwise(edges)]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return _HOLE * len(shown)
    lowest, highest = min(finite), max(finite)
    return "".join(_block(value, lowest, highest) for value in shown)


def _block(value: float, lowest: float, highest: float) -> str:
    if not math.isfinite(value):
        return _HOLE
    middle = (len(BLOCKS) - 1) / 2
    span = highest - lowest
    level = middle if span <= 0 or not math.isfinite(span) else (value - lowest) / span * (len(BLOCKS) - 1)
    return BLOCKS[round(level)]


def _in_pairs(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(_mean(values[first : first + 2]) for first in range(0, len(values), 2))


def _mean(values: tuple[float, ...]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(value / len(finite) for value in finite) if finite else math.nan

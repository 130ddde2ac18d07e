"""A curve with error bars over a run of any length, in memory of a fixed size."""

import math
from dataclasses import dataclass, field

CAPACITY = 400


@dataclass(slots=True)
class Curve:
    """Means over equal numbers of values; when there are too many means, pairs of them are merged.

    Parameters
    ----------
    time_h, value, sigma
        Of each mean, oldest first; sigma is that of the mean, NaN where none was told.
    stretch
        Values behind each mean.
    """

    time_h: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    sigma: list[float] = field(default_factory=list)
    stretch: int = 1
    _waiting: list[tuple[float, float, float]] = field(default_factory=list)

    def add(self, time_h: float, value: float, sigma: float = math.nan) -> None:
        """One more value; what is not finite has no place on a curve."""
        if not (math.isfinite(time_h) and math.isfinite(value)):
            return
        self._waiting.append((time_h, value, sigma))
        if len(self._waiting) < self.stretch:
            return
        if len(self.value) >= CAPACITY:
            self._merge_pairs()
            return
        self._append(_mean(self._waiting))
        self._waiting.clear()

    def points(self) -> tuple[list[float], list[float], list[float]]:
        """Time, value and sigma of every mean, that of the values that wait included."""
        if not self._waiting:
            return self.time_h, self.value, self.sigma
        time_h, value, sigma = _mean(self._waiting)
        return [*self.time_h, time_h], [*self.value, value], [*self.sigma, sigma]

    def _append(self, point: tuple[float, float, float]) -> None:
        for column, number in zip((self.time_h, self.value, self.sigma), point, strict=True):
            column.append(number)

    def _merge_pairs(self) -> None:
        points = list(zip(self.time_h, self.value, self.sigma, strict=True))
        self.time_h, self.value, self.sigma = [], [], []
        for first in range(0, len(points), 2):
            self._append(_mean(points[first : first + 2]))
        self.stretch *= 2


def _mean(points: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Of independent values: sigma falls with the root of their number."""
    count = len(points)
    time_h = math.fsum(point[0] for point in points) / count
    value = math.fsum(point[1] for point in points) / count
    return time_h, value, math.sqrt(math.fsum(point[2] ** 2 for point in points)) / count

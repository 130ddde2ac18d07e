"""The darks of a run: those it begins with, and those it sees."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ringwatch_pipelines.frames import DetectorConditions, Frame
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.corrections import Dark, DarkChoice, select_dark
from ringwatch_pipelines.reduction.operators import DarkSums, FoldedOperator

KEPT_ALIKE = 2
"""The newest dark, and the one before it for a frame that was taken before the newest and comes after it."""


@dataclass(frozen=True, slots=True, eq=False)
class DarkSeries:
    """Frames without beam, taken one after the other under the same conditions.

    Parameters
    ----------
    total
        (rows, columns) sum of the frames: exact, since float64 holds sums of counts up to 2^53.
    origin
        Where the first of them came from.
    """

    total: FloatArray
    conditions: DetectorConditions
    last_timestamp_ns: int
    origin: str
    frames: int = 1

    def takes(self, frame: Frame) -> bool:
        """Whether a frame without beam belongs to this series."""
        return self.total.shape == frame.image.shape and not self.conditions.disagreement(frame.conditions)

    def averaged(self) -> Dark:
        """The dark that the series makes."""
        return Dark(
            image=self.total / self.frames,
            conditions=self.conditions,
            timestamp_ns=self.last_timestamp_ns,
            frames=self.frames,
            origin=self.origin,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DarkMemory:
    """What a store has seen during the run.

    Parameters
    ----------
    kept
        As (index, dark).
    next_index
        Index of the next dark.
    series
        Frames without beam that may still be followed by more.
    """

    kept: tuple[tuple[int, Dark], ...] = ()
    next_index: int = 0
    series: DarkSeries | None = None


class DarkStore:
    """Keeps darks by index; frames without beam that follow each other are averaged into one.

    Of the darks seen during the run that were taken under the same conditions, only the newest
    are kept: an image is large, and a run is long.

    Parameters
    ----------
    darks
        Those known beforehand, oldest first.
    """

    def __init__(self, darks: Iterable[Dark] = ()) -> None:
        self._kept = dict(enumerate(darks))
        self._known_beforehand = self._next_index = len(self._kept)
        self._series: DarkSeries | None = None

    def take(self, frame: Frame, *, timestamp_ns: int) -> int:
        """Take in a frame without beam, finite everywhere, and return the index of the dark it belongs to."""
        series = self._series
        if series is not None and series.takes(frame):
            # A new array each time: what `memory` gave out does not change.
            self._series = replace(
                series, total=series.total + frame.image, frames=series.frames + 1, last_timestamp_ns=timestamp_ns
            )
        else:
            self._end_series()
            origin = f"frames {frame.unique_id} ff. of {frame.origin}"
            total = frame.image.astype(np.float64)
            self._series = DarkSeries(total, frame.conditions, timestamp_ns, origin)
        return self._next_index

    def choose(self, frame: Frame, *, timestamp_ns: int) -> DarkChoice:
        """The newest dark that is valid for a frame, or why there is none."""
        self._end_series()
        choice = select_dark(list(self._kept.values()), conditions=frame.conditions, timestamp_ns=timestamp_ns)
        return choice if choice.dark is None else replace(choice, index=list(self._kept)[choice.index])

    def memory(self) -> DarkMemory:
        """What was seen during the run, for a store that is to go on from here."""
        seen = tuple((index, dark) for index, dark in self._kept.items() if index >= self._known_beforehand)
        return DarkMemory(seen, self._next_index, self._series)

    def recall(self, memory: DarkMemory) -> None:
        """Go on from what another store with the same darks beforehand has seen."""
        beforehand = {index: dark for index, dark in self._kept.items() if index < self._known_beforehand}
        self._kept = beforehand | dict(memory.kept)
        self._next_index = memory.next_index
        self._series = memory.series

    def _end_series(self) -> None:
        series, self._series = self._series, None
        if series is None:
            return
        newest = self._kept[self._next_index] = series.averaged()
        self._next_index += 1
        alike = [
            index
            for index, dark in self._kept.items()
            if index >= self._known_beforehand and not dark.conditions.disagreement(newest.conditions)
        ]
        for index in alike[:-KEPT_ALIKE]:
            del self._kept[index]


class DarkSumsOf:
    """What a dark adds to the bins of one operator, worked out once for each dark."""

    def __init__(self, operator: FoldedOperator) -> None:
        self._operator = operator
        self._checksum = ""
        self._sums: DarkSums | None = None

    def __call__(self, dark: Dark | None) -> DarkSums | None:
        """Sums of `dark`, or None for none."""
        if dark is None:
            return None
        if dark.checksum != self._checksum:
            self._checksum = dark.checksum
            self._sums = self._operator.dark_sums(dark)
        return self._sums

"""The darks of a run: those it begins with, and those it sees."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ringwatch_pipelines.corrections import Dark, DarkChoice, select_dark
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.operators import DarkSums, FoldedOperator
from ringwatch_pipelines.patterns import FloatArray

KEPT_ALIKE = 2
"""The newest dark, and the one before it for a frame that was taken before the newest and comes after it."""


@dataclass(slots=True)
class _Series:
    """Frames without beam, taken one after the other under the same conditions."""

    first: Frame
    last_timestamp_ns: int
    total: FloatArray
    frames: int = 1

    def takes(self, frame: Frame) -> bool:
        same_shape = self.first.image.shape == frame.image.shape
        return same_shape and not self.first.conditions.disagreement(frame.conditions)

    def averaged(self) -> Dark:
        return Dark(
            image=self.total / self.frames,
            conditions=self.first.conditions,
            timestamp_ns=self.last_timestamp_ns,
            frames=self.frames,
            origin=f"frames {self.first.unique_id} ff. of {self.first.origin}",
        )


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
        self._series: _Series | None = None

    def take(self, frame: Frame, *, timestamp_ns: int) -> int:
        """Take in a frame without beam, finite everywhere, and return the index of the dark it belongs to.

        The average is exact: float64 holds sums of counts up to 2^53.
        """
        series = self._series
        if series is not None and series.takes(frame):
            series.total += frame.image
            series.frames += 1
            series.last_timestamp_ns = timestamp_ns
        else:
            self._end_series()
            self._series = _Series(frame, timestamp_ns, frame.image.astype(np.float64))
        return self._next_index

    def choose(self, frame: Frame, *, timestamp_ns: int) -> DarkChoice:
        """The newest dark that is valid for a frame, or why there is none."""
        self._end_series()
        choice = select_dark(list(self._kept.values()), conditions=frame.conditions, timestamp_ns=timestamp_ns)
        return choice if choice.dark is None else replace(choice, index=list(self._kept)[choice.index])

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

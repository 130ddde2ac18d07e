"""The darks of a run: those it begins with, and those it sees."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.corrections import Dark, DarkChoice, select_dark
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.operators import DarkSums, FoldedOperator
from ringwatch_pipelines.patterns import FloatArray


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

    Parameters
    ----------
    darks
        Those known beforehand, oldest first.
    """

    def __init__(self, darks: Iterable[Dark] = ()) -> None:
        self._darks = list(darks)
        self._series: _Series | None = None

    def take(self, frame: Frame, *, timestamp_ns: int) -> int:
        """Take in a frame without beam and return the index of the dark it belongs to.

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
        return len(self._darks)

    def choose(self, frame: Frame, *, timestamp_ns: int) -> DarkChoice:
        """The newest dark that is valid for a frame, or why there is none."""
        self._end_series()
        return select_dark(self._darks, conditions=frame.conditions, timestamp_ns=timestamp_ns)

    def _end_series(self) -> None:
        if self._series is not None:
            self._darks.append(self._series.averaged())
            self._series = None


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

"""Gives out each row of a file once, however often the file is written again."""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import read_only


class GivenOnce:
    """Remembers the stamps that were given out; of a file that begins again only new ones pass."""

    def __init__(self) -> None:
        self._given: list[NDArray[np.int64]] = []
        self._newest_ns = 0
        self._repeats = False

    def begins_again(self) -> None:
        """What comes next stands at the beginning of a file."""
        self._repeats = bool(self._given)

    def new_ones(self, samples: CyclerSamples) -> CyclerSamples | None:
        """The rows that were not given out yet, None where there are none."""
        stamps = samples.cycler_timestamp_ns
        if self._repeats and stamps.size:
            self._repeats = bool(stamps.min() <= self._newest_ns)
            self._given = [np.concatenate(self._given)]
            samples = chosen(samples, self._unknown(stamps, self._given[0]))
        if not samples.timestamp_ns.size:
            return None
        self._given.append(samples.cycler_timestamp_ns)
        self._newest_ns = max(self._newest_ns, int(samples.cycler_timestamp_ns.max()))
        return samples

    @staticmethod
    def _unknown(stamps: NDArray[np.int64], given: NDArray[np.int64]) -> NDArray[np.bool_]:
        if np.array_equal(stamps[: given.size], given):
            # The same rows and more: a stamp that the last of them shares with the first new one is no repetition.
            return np.arange(stamps.size) >= given.size
        return ~np.isin(stamps, given)


def chosen(samples: CyclerSamples, which: NDArray[np.bool_]) -> CyclerSamples:
    """The rows where `which` is true."""
    return CyclerSamples(**{field.name: read_only(getattr(samples, field.name)[which]) for field in fields(samples)})

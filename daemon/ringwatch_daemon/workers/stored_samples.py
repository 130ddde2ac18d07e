"""The cycler's samples that the file of a resumed run has already, so that none stands in it twice."""

from dataclasses import fields

import numpy as np

from ringwatch_pipelines.cell.cycling import CyclerSamples

_COMPARED = ("voltage_V", "current_A", "cycle", "step")


class StoredSamples:
    """Tells what is new in a series that is read again from its start.

    Parameters
    ----------
    stored
        In any order; of samples with one stamp the last counts.
    """

    def __init__(self, stored: CyclerSamples) -> None:
        order = np.argsort(stored.cycler_timestamp_ns, kind="stable")
        self._stored = _taken(stored, order)
        self._newest_ns = int(stored.cycler_timestamp_ns.max()) if stored.cycler_timestamp_ns.size else -1

    def new_of(self, samples: CyclerSamples) -> CyclerSamples:
        """Those of `samples` that are not stored, or are stored with other values."""
        if not samples.cycler_timestamp_ns.size or int(samples.cycler_timestamp_ns.min()) > self._newest_ns:
            return samples
        stamps = self._stored.cycler_timestamp_ns
        at = np.searchsorted(stamps, samples.cycler_timestamp_ns, side="right") - 1
        known = (at >= 0) & (stamps[at] == samples.cycler_timestamp_ns)
        for name in _COMPARED:
            before, now = getattr(self._stored, name)[at], getattr(samples, name)
            known &= (before == now) | (np.isnan(before) & np.isnan(now))
        return _taken(samples, np.flatnonzero(~known))


def _taken(samples: CyclerSamples, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> CyclerSamples:
    return CyclerSamples(**{each.name: getattr(samples, each.name)[places] for each in fields(CyclerSamples)})

"""Few marks for many frames: averages of neighbouring frames with the weights that their errors ask for."""

from dataclasses import dataclass

import numpy as np

from ringwatch_daemon.reporting.run_file import BoolArray, IntArray
from ringwatch_pipelines.patterns import FloatArray

MOST_MARKS = 240
_ONE_SIDED_95 = 1.645
_DETECTION_SIGMAS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """One value a group of frames, NaN where no frame of a group has one.

    Parameters
    ----------
    value, sigma
        (groups,) mean and one standard deviation of it.
    frames
        (groups,) frames with a value.
    """

    value: FloatArray
    sigma: FloatArray
    frames: IntArray

    @property
    def seen(self) -> BoolArray:
        """(groups,) three sigma or more above zero."""
        known: BoolArray = self.value >= _DETECTION_SIGMAS * self.sigma
        return known

    @property
    def limit(self) -> FloatArray:
        """(groups,) 95 % upper limit of what cannot be negative: ``max(value, 0) + 1.645 sigma``."""
        return np.asarray(np.maximum(self.value, 0.0) + _ONE_SIDED_95 * self.sigma)


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Which frames stand together in one mark.

    Parameters
    ----------
    rows
        (frames,) rows of the frames that are shown, in the order of time.
    starts
        (groups,) index into `rows` of each group's first frame.
    """

    rows: IntArray
    starts: IntArray

    @property
    def sizes(self) -> IntArray:
        """(groups,) frames in each group."""
        return np.diff(np.append(self.starts, self.rows.size))

    def plain(self, values: FloatArray) -> FloatArray:
        """(groups,) the unweighted mean of the finite ones of (all frames,)."""
        chosen = values[self.rows]
        known = np.isfinite(chosen)
        return _share(self._sum(np.where(known, chosen, 0.0)), self._sum(known))

    def mean(self, value: FloatArray, sigma: FloatArray) -> Marks:
        """Weighted by 1 / sigma^2."""
        value, sigma = value[self.rows], sigma[self.rows]
        known = np.isfinite(value) & np.isfinite(sigma) & (sigma > 0)
        weight = np.where(known, 1.0 / np.where(known, sigma, 1.0) ** 2, 0.0)
        total = self._sum(weight)
        with np.errstate(divide="ignore"):
            spread = np.where(total > 0, 1 / np.sqrt(total), np.nan)
        return Marks(_share(self._sum(np.where(known, weight * value, 0.0)), total), spread, self._count(known))

    def ratio(self, ratio: FloatArray, sigma: FloatArray, denominator: FloatArray) -> Marks:
        """The ratio of the summed areas: a mean of noisy ratios would be biased.

        With ``r_i = n_i / d_i`` it is ``sum(d_i r_i) / sum(d_i)``, and its variance ``sum(d_i^2 s_i^2) / sum(d_i)^2``.
        """
        ratio, sigma, denominator = ratio[self.rows], sigma[self.rows], denominator[self.rows]
        known = np.isfinite(ratio) & np.isfinite(sigma) & np.isfinite(denominator)
        weight = np.where(known, denominator, 0.0)
        total = self._sum(weight)
        value = _share(self._sum(np.where(known, weight * ratio, 0.0)), total)
        spread = np.sqrt(self._sum(np.where(known, (weight * sigma) ** 2, 0.0)))
        return Marks(value, _share(spread, np.abs(total)), self._count(known))

    def common(self, values: IntArray) -> FloatArray:
        """(groups,) the value that all frames of a group share, NaN where they differ."""
        if not self.starts.size:
            return np.empty(0)
        chosen = values[self.rows]
        low, high = np.minimum.reduceat(chosen, self.starts), np.maximum.reduceat(chosen, self.starts)
        return np.where(low == high, low.astype(np.float64), np.nan)

    def _sum(self, values: FloatArray | BoolArray) -> FloatArray:
        if not self.starts.size:
            return np.empty(0)
        return np.asarray(np.add.reduceat(values.astype(np.float64), self.starts))

    def _count(self, known: BoolArray) -> IntArray:
        return self._sum(known).astype(np.int64)


def grouping_from_rows(rows: IntArray, *, most: int = MOST_MARKS) -> Grouping:
    """Groups of equal numbers of neighbouring frames, `most` of them at most."""
    groups = min(rows.size, most)
    starts = np.linspace(0, rows.size, groups, endpoint=False) if groups else np.empty(0)
    return Grouping(rows, np.ceil(starts).astype(np.int64))


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    known = np.asarray(whole != 0)
    return np.where(known, part / np.where(known, whole, 1.0), np.nan)

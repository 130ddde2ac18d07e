"""Takes drifted offsets of readout blocks off the sums of a frame."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import uniform_filter1d

from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import BinSums, FloatArray
from ringwatch_pipelines.reduction.block_offsets import BlockCounts, BlockOperator, offsets_from_counts
from ringwatch_pipelines.reduction.corrections import Dark, VarianceModel
from ringwatch_pipelines.reduction.folds import Fold

_SMOOTH = 0.05
"""Part of the range of angles over which a background follows anything: more than a line is wide, less than a hump."""


class DriftCorrection:
    """Takes off what the offsets have drifted since the dark, for the bins of one operator.

    What the offsets are not known to is shared by neighbouring bins: it is a part of the background, and no noise of a
    line. What it has of steps between neighbours is added to the variance of the bins; a hump or a background is known
    by a little less than the fit says.

    Parameters
    ----------
    operator
        Frames to blocks.
    fold
        Frames to the bins.
    variance
        Noise of a pixel.
    """

    def __init__(self, operator: BlockOperator, *, fold: Fold, variance: VarianceModel) -> None:
        self.operator = operator
        self._variance = variance
        self._coverage = _coverage(operator, fold)
        self._uneven = _uneven(self._coverage)
        self._checksum = ""
        self._dark: FloatArray | None = None

    def taken_off(self, sums: BinSums, counts: BlockCounts, *, dark: Dark, monitor: float) -> BinSums:
        """The sums of a frame without the drift since `dark`.

        Parameters
        ----------
        sums
            Of the frame, with `dark` taken off.
        monitor
            Of the frame, relative to its reference.
        """
        offsets = offsets_from_counts(
            operator=self.operator,
            counts=counts,
            dark=self._dark_sums(dark),
            frames_of_dark=dark.frames,
            monitor=monitor,
            variance=self._variance,
        )
        drift = offsets.value @ self._coverage
        unknown = np.einsum("br,br->r", self._uneven, offsets.covariance @ self._uneven)
        return replace(sums, dark=sums.dark + drift, variance=sums.variance + unknown)

    def _dark_sums(self, dark: Dark) -> FloatArray:
        if self._dark is None or dark.checksum != self._checksum:
            self._checksum, self._dark = dark.checksum, self.operator.dark_sums(dark.image)
        return self._dark


def _coverage(operator: BlockOperator, fold: Fold) -> FloatArray:
    """(blocks, bins) what an offset of 1 in each block adds to each bin."""
    block = operator.blocks.block_of_pixel(operator.shape)
    rows = [fold.static_sums((block == number).astype(np.float32))[0] for number in range(len(operator.pixels))]
    return read_only(np.array(rows))


def _uneven(coverage: FloatArray) -> FloatArray:
    """(blocks, bins) of the coverage, what a pixel of a bin has more of each block than those of its neighbours."""
    pixels = coverage.sum(axis=0)
    width = max(3, round(_SMOOTH * pixels.size))
    around, all_around = (uniform_filter1d(sums, width, axis=-1, mode="nearest") for sums in (coverage, pixels))
    shares = np.divide(around, all_around, out=np.zeros_like(around), where=all_around > 0.0)
    return read_only(coverage - pixels * shares)

"""Each pixel spread over the bins that it touches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.folds import NO_PIXELS, Counts, FoldInput, StaticSums, block_edges
from ringwatch_pipelines.reduction.frame_limits import Limits, limits_for
from ringwatch_pipelines.reduction.kernels import bad_pixels
from ringwatch_pipelines.reduction.split_kernels import add_split_pixels, add_split_rows
from ringwatch_pipelines.reduction.threads import run_blocks


@dataclass(frozen=True, slots=True, eq=False)
class SplitFold:
    """Each pixel spread over neighbouring bins.

    Parameters
    ----------
    first_bin
        (rows, columns) the first bin of a pixel.
    bins_of_pixel
        (rows, columns) uint8 or uint16: over how many bins it spreads; 0 for a pixel that never counts.
    coefficients
        (shares,) share of each pixel in each of its bins, pixel after pixel.
    row_starts
        (rows,) where the shares of each row begin.
    weight
        (rows, columns) solid angle x polarisation x flat.
    bins
        Number of bins.
    """

    first_bin: NDArray[Any]
    bins_of_pixel: NDArray[Any]
    coefficients: NDArray[np.float32]
    row_starts: NDArray[np.int64]
    weight: NDArray[np.float32]
    bins: int

    def static_sums(self, image: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """(bins,) sums of ``c * image`` and ``c**2 * image`` over all pixels that ever count."""
        limits = limits_for(dtype=image.dtype, minimum_counts=None, saturation_counts=None)
        raw, squares, _ = self._spread(image, limits, threads=1)
        return raw, squares

    def counts(self, frame: FoldInput) -> Counts:
        """Sums over one frame."""
        raw, squares, out_in_row = self._spread(frame.image, frame.limits, threads=frame.threads)
        if not out_in_row.any():
            return Counts(raw, squares, NO_PIXELS, 0)
        low, high = frame.limits.low, frame.limits.high
        bad = bad_pixels(frame.image, self.bins_of_pixel, 0, low, high, out_in_row)
        return Counts(raw, squares, bad, int(np.count_nonzero(frame.image.ravel()[bad] > high)))

    def _spread(
        self, image: NDArray[Any], limits: Limits, *, threads: int
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        edges = block_edges(image.shape[0])
        sums = np.zeros((2, edges.size - 1, 2, self.bins))
        out_in_row = np.zeros(image.shape[0], dtype=np.bool_)

        def work(block: int) -> None:
            add_split_rows(
                image, self.first_bin, self.bins_of_pixel, self.coefficients, self.row_starts,
                limits.low, limits.high, edges[block], edges[block + 1],
                sums[0, block], sums[1, block], out_in_row,
            )  # fmt: skip

        run_blocks(work, blocks=edges.size - 1, threads=threads)
        total = sums.sum(axis=(1, 2))
        return total[0], total[1], out_in_row

    def without(self, static: StaticSums, bad: NDArray[np.int64], *, dark: NDArray[Any] | None) -> StaticSums:
        """The static sums without the pixels in `bad`."""
        lost_norm, _ = self._listed(bad, self.weight.ravel()[bad])
        _, lost_squares = self._listed(bad, np.ones(bad.size))
        # A bin that lost all its pixels is empty exactly, not to within rounding.
        left = static.squares - lost_squares > 1e-9 * static.squares
        lost_dark = lost_dark_squares = np.zeros(self.bins)
        if dark is not None:
            lost_dark, lost_dark_squares = self._listed(bad, dark.ravel()[bad])
        return StaticSums(
            norm=np.where(left, static.norm - lost_norm, 0.0),
            squares=np.where(left, static.squares - lost_squares, 0.0),
            dark=np.where(left, static.dark - lost_dark, 0.0),
            dark_squares=np.where(left, static.dark_squares - lost_dark_squares, 0.0),
        )

    def _listed(self, pixels: NDArray[np.int64], values: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """(bins,) sums of ``c * value`` and ``c**2 * value`` over a list of pixels."""
        sums, squares = np.zeros(self.bins), np.zeros(self.bins)
        add_split_pixels(
            pixels, values.astype(np.float64), self.first_bin, self.bins_of_pixel, self.coefficients,
            self.row_starts, sums, squares,
        )  # fmt: skip
        return sums, squares

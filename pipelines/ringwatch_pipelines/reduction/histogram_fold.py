"""Each pixel in one bin, or only those of a list: integer sums, exact."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.folds import NO_PIXELS, Counts, FoldInput, StaticSums, Sums, block_edges
from ringwatch_pipelines.reduction.group_kernels import add_groups, spread_slots
from ringwatch_pipelines.reduction.kernels import LANES, add_rows, bad_pixels
from ringwatch_pipelines.reduction.pixel_groups import PixelGroups
from ringwatch_pipelines.reduction.threads import run_blocks, share_blocks


@dataclass(frozen=True, slots=True, eq=False)
class HistogramFold:
    """Each pixel in one bin: integer sums, exact, and independent from bin to bin.

    Parameters
    ----------
    bin_of_pixel
        (rows, columns) uint16 or int32; `bins` for a pixel that never counts.
    weight
        (rows, columns) solid angle x polarisation x flat.
    bins
        Number of bins.
    most_pixels
        Pixels of the fullest bin.
    groups
        Neighbouring pixels taken together, for the types of frame that they hold; None to go pixel by pixel.
    """

    bin_of_pixel: NDArray[Any]
    weight: NDArray[np.float32]
    bins: int
    most_pixels: int
    groups: PixelGroups | None = None

    def static_sums(self, image: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """(bins,) the same sum twice: a pixel's share is 1."""
        sums = self._binned(self.bin_of_pixel.ravel(), image.ravel())
        return sums, sums

    def counts(self, frame: FoldInput) -> Counts:
        """Sums over one frame."""
        groups = self.groups
        grouped = groups is not None and groups.holds(frame.image.dtype)
        raw, out_in_row = self._grouped(frame, groups) if groups and grouped else self._histogram(frame)
        if not out_in_row.any():
            return Counts(raw, raw, NO_PIXELS, 0)
        low, high = frame.limits.low, frame.limits.high
        bad = bad_pixels(frame.image, self.bin_of_pixel, self.bins, low, high, out_in_row)
        return Counts(raw, raw, bad, int(np.count_nonzero(frame.image.ravel()[bad] > high)))

    def _grouped(self, frame: FoldInput, groups: PixelGroups) -> tuple[Sums, NDArray[np.bool_]]:
        edges = block_edges(frame.image.shape[0])
        out_in_row = np.zeros(frame.image.shape[0], dtype=np.bool_)
        low, high = frame.limits.low, frame.limits.high

        def work(blocks: Iterator[int]) -> NDArray[np.int64]:
            # Each thread has sums of its own: integers add up to the same whoever has which block.
            sums = np.zeros((groups.bins_of_slot.shape[0], 2), dtype=np.uint64)
            for block in blocks:
                first, last = edges[block], edges[block + 1]
                add_groups(frame.image, groups.slots, groups.spans, low, high, first, last, sums, out_in_row)
            total = np.zeros(self.bins + 1, dtype=np.int64)
            spread_slots(sums.view(np.uint32), groups.bins_of_slot, total)
            return total

        totals = share_blocks(work, blocks=edges.size - 1, threads=frame.threads)
        return np.sum(totals, axis=0)[:-1], out_in_row

    def _histogram(self, frame: FoldInput) -> tuple[Sums, NDArray[np.bool_]]:
        rows = frame.image.shape[0]
        edges = block_edges(rows)
        sums = np.zeros((edges.size - 1, LANES, self.bins + 1), dtype=self._sum_type(frame.image.dtype))
        out_in_row = np.zeros(rows, dtype=np.bool_)
        low, high = frame.limits.low, frame.limits.high

        def work(block: int) -> None:
            first, last = edges[block], edges[block + 1]
            add_rows(frame.image, self.bin_of_pixel, low, high, first, last, sums[block], out_in_row)

        run_blocks(work, blocks=edges.size - 1, threads=frame.threads)
        total = np.float64 if frame.image.dtype.kind == "f" else np.int64
        return sums[:, :, :-1].sum(axis=(0, 1), dtype=total), out_in_row

    def _sum_type(self, dtype: np.dtype[Any]) -> type[np.generic]:
        """32 bit where the fullest bin cannot overflow: half the memory to go through."""
        if dtype.kind == "f":
            return np.float64
        if dtype.kind == "u" and self.most_pixels * int(np.iinfo(dtype).max) < 2**32:
            return np.uint32
        return np.int64

    def without(self, static: StaticSums, bad: NDArray[np.int64], *, dark: NDArray[Any] | None) -> StaticSums:
        """The static sums without the pixels in `bad`."""
        return self.without_values(static, bad, dark=None if dark is None else dark.ravel()[bad])

    def without_values(self, static: StaticSums, bad: NDArray[np.int64], *, dark: NDArray[Any] | None) -> StaticSums:
        """The same, with what the dark is in those pixels only: (bad pixels,)."""
        bins = self.bin_of_pixel.ravel()[bad]
        squares = static.squares - self._binned(bins, np.ones(bad.size))
        # A bin that lost all its pixels is empty exactly, not to within rounding.
        left = squares > 0.5
        norm = np.where(left, static.norm - self._binned(bins, self.weight.ravel()[bad]), 0.0)
        dark_sums = static.dark
        if dark is not None:
            dark_sums = np.where(left, static.dark - self._binned(bins, dark), 0.0)
        return StaticSums(norm=norm, squares=squares, dark=dark_sums, dark_squares=dark_sums)

    def _binned(self, bins: NDArray[Any], values: NDArray[Any]) -> FloatArray:
        sums = np.bincount(bins, weights=values, minlength=self.bins + 1)
        return np.asarray(sums[:-1], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class WindowFold:
    """A list of pixels, laid out as a small frame of its own.

    Parameters
    ----------
    pixels
        (rows, columns) of the small frame: flat indices into the whole one.
    inner
        How the small frame falls into bins.
    """

    pixels: NDArray[np.int32]
    inner: HistogramFold
    weight: NDArray[np.float32]

    def static_sums(self, image: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """(bins,) the same sum twice: a pixel's share is 1."""
        return self.inner.static_sums(image.ravel()[self.pixels])

    def counts(self, frame: FoldInput) -> Counts:
        """Sums over the listed pixels of one frame; what is bad is told by its place in the small frame."""
        return self.inner.counts(replace(frame, image=frame.image.ravel()[self.pixels]))

    def without(self, static: StaticSums, bad: NDArray[np.int64], *, dark: NDArray[Any] | None) -> StaticSums:
        """The static sums without the pixels in `bad`, places in the small frame."""
        values = None if dark is None else dark.ravel()[self.pixels.ravel()[bad]]
        return self.inner.without_values(static, bad, dark=values)

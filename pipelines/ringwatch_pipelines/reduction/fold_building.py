"""Folds from bins: the pixels of each bin, turned round into the bins of each pixel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.histogram_fold import HistogramFold, WindowFold
from ringwatch_pipelines.reduction.pixel_groups import pixel_groups
from ringwatch_pipelines.reduction.split_fold import SplitFold


@dataclass(frozen=True, slots=True, eq=False)
class BinLists:
    """The pixels of each bin: bin b holds entries starts[b] to starts[b + 1].

    Parameters
    ----------
    starts
        (bins + 1,).
    pixels
        (entries,) flat indices.
    shares
        (entries,) share of the pixel that falls into the bin.
    """

    starts: NDArray[Any]
    pixels: NDArray[Any]
    shares: NDArray[Any]

    @property
    def bins(self) -> int:
        """Number of bins."""
        return int(self.starts.size - 1)


def histogram_fold(*, lists: BinLists, weight: FloatArray) -> HistogramFold:
    """Each pixel in its one bin.

    Parameters
    ----------
    weight
        (rows, columns) normalisation; a pixel of weight 0 never counts.
    """
    bins, sizes = lists.bins, np.diff(lists.starts)
    dtype = np.uint16 if bins < np.iinfo(np.uint16).max else np.int32
    bin_of_pixel = np.full(weight.size, bins, dtype=dtype)
    bin_of_pixel[lists.pixels] = np.repeat(np.arange(bins, dtype=dtype), sizes)
    bin_of_pixel[weight.ravel() == 0] = bins
    image = bin_of_pixel.reshape(weight.shape)
    return HistogramFold(
        bin_of_pixel=read_only(image),
        weight=read_only(weight.astype(np.float32)),
        bins=bins,
        most_pixels=int(sizes.max(initial=0)),
        groups=pixel_groups(image, bins=bins),
    )


def split_fold(*, lists: BinLists, weight: FloatArray) -> SplitFold:
    """Each pixel with its shares in neighbouring bins; parameters as for `histogram_fold`.

    Raises
    ------
    GeometryError
        A pixel leaves out a bin between two of its bins.
    """
    bins, counting = lists.bins, np.flatnonzero(weight)
    by_bin = csr_array((lists.shares, lists.pixels, lists.starts), shape=(bins, weight.size))
    by_pixel = by_bin[:, counting].tocsc()
    by_pixel.sort_indices()
    bins_of_each = np.diff(by_pixel.indptr)
    # A byte where it holds them: a pass goes through all of this memory.
    dtype = np.uint8 if bins_of_each.max(initial=0) < 256 else np.uint16
    spread: NDArray[Any] = np.zeros(weight.size, dtype=dtype)
    spread[counting] = bins_of_each
    ends = np.cumsum(spread, dtype=np.int64)
    listed = np.flatnonzero(spread)
    first = by_pixel.indices[ends[listed] - spread[listed]]
    if (by_pixel.indices[ends[listed] - 1] - first + 1 != spread[listed]).any():
        raise GeometryError("a pixel was expected to spread over neighbouring bins, but some bins are left out")
    first_bin = np.zeros(weight.size, dtype=np.uint16 if bins <= np.iinfo(np.uint16).max else np.uint32)
    first_bin[listed] = first
    return SplitFold(
        first_bin=read_only(first_bin.reshape(weight.shape)),
        bins_of_pixel=read_only(spread.reshape(weight.shape)),
        coefficients=read_only(np.asarray(by_pixel.data, dtype=np.float32)),
        row_starts=read_only((ends - spread)[:: weight.shape[1]]),
        weight=read_only(weight.astype(np.float32)),
        bins=bins,
    )


def sector_fold(
    *, two_theta_deg: FloatArray, azimuth_rad: FloatArray, weight: FloatArray, edges_deg: FloatArray, sectors: int
) -> WindowFold:
    """The pixels of a window in sectors of azimuth by radial bins.

    Parameters
    ----------
    two_theta_deg, azimuth_rad, weight
        (rows, columns) of each pixel; a pixel of weight 0 never counts.
    edges_deg
        (radial bins + 1,) ascending.
    sectors
        Sectors of equal width over the circle, from azimuth 0.
    """
    angles = two_theta_deg.ravel()
    listed = np.flatnonzero((angles >= edges_deg[0]) & (angles < edges_deg[-1]) & (weight.ravel() > 0))
    radial_bins = edges_deg.size - 1
    turns = np.mod(azimuth_rad.ravel()[listed] / (2 * np.pi), 1.0)
    sector = np.minimum((turns * sectors).astype(np.int64), sectors - 1)
    radial = np.searchsorted(edges_deg, angles[listed], side="right") - 1
    bins, grid = sectors * radial_bins, _grid_of(listed.size)
    bin_of_pixel = np.full(grid, bins, dtype=np.int32)
    bin_of_pixel.ravel()[: listed.size] = sector * radial_bins + radial
    # The rest of the last row repeats pixel 0, in the bin of pixels that never count.
    window = np.zeros(grid, dtype=np.int32)
    window.ravel()[: listed.size] = listed
    single = weight.astype(np.float32)
    inner = HistogramFold(
        bin_of_pixel=read_only(bin_of_pixel),
        weight=read_only(single.ravel()[window]),
        bins=bins,
        most_pixels=int(np.bincount(bin_of_pixel.ravel())[:bins].max(initial=0)),
    )
    return WindowFold(pixels=read_only(window), inner=inner, weight=read_only(single))


def _grid_of(pixels: int, columns: int = 1024) -> tuple[int, int]:
    """(rows, columns) of a small frame that holds so many pixels."""
    return (max(1, -(-pixels // columns)), columns)

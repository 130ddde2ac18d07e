"""Sums over the pixels of a bin, as one pass over a frame's raw counts.

All static corrections are linear, so their sums are known before the frame comes. What is left
for a frame is the sum of its counts, and taking out, sparsely, the pixels that are bad in it alone.

A `HistogramFold` puts each pixel in one bin, a `SplitFold` spreads a pixel over neighbouring bins, and
a `WindowFold` looks at a list of pixels only.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.frame_limits import Limits

Sums = NDArray[np.int64] | FloatArray

NO_PIXELS = read_only(np.empty(0, dtype=np.int64))

BLOCKS = 8
"""Blocks of a frame, whatever the number of threads: sums of floats then never depend on the threads."""


@dataclass(frozen=True, slots=True, eq=False)
class StaticSums:
    """Sums of what is known before the frame, over the pixels of each bin; c is a pixel's share in the bin.

    Parameters
    ----------
    norm
        (bins,) sum of ``c * weight``.
    squares
        (bins,) sum of ``c**2``; the number of pixels without splitting.
    dark, dark_squares
        (bins,) sums of ``c * dark`` and ``c**2 * dark``; zeros without a dark.
    """

    norm: FloatArray
    squares: FloatArray
    dark: FloatArray
    dark_squares: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What the counts of one frame add to the bins. No dark is in it, so that the frame alone decides it.

    Parameters
    ----------
    raw
        (bins,) sum of ``c * counts`` over the pixels that are good in this frame.
    raw_squares
        (bins,) sum of ``c**2 * counts``, or of ``c**2 * max(counts, 1)`` where a Poisson variance is wanted.
    bad
        (bad pixels,) flat indices, ascending, of the pixels that are bad in this frame alone.
    saturated_pixels
        How many of them lie above the upper limit.
    """

    raw: Sums
    raw_squares: Sums
    bad: NDArray[np.int64]
    saturated_pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class FoldInput:
    """One frame, and how it is to be counted.

    Parameters
    ----------
    image
        (rows, columns) raw counts, contiguous.
    limits
        Which counts count.
    threads
        How many threads share the frame.
    """

    image: NDArray[Any]
    limits: Limits
    threads: int


class Fold(Protocol):
    """How pixels fall into bins."""

    @property
    def weight(self) -> NDArray[np.float32]:
        """(rows, columns) solid angle x polarisation x flat; 0 where a pixel never counts."""

    def static_sums(self, image: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """(bins,) sums of ``c * image`` and ``c**2 * image`` over all pixels that ever count."""

    def counts(self, frame: FoldInput) -> Counts:
        """Sums over one frame."""

    def without(self, static: StaticSums, bad: NDArray[np.int64], *, dark: NDArray[Any] | None) -> StaticSums:
        """The static sums without the pixels in `bad`; `dark` is (rows, columns)."""


def block_edges(rows: int) -> NDArray[np.int64]:
    """First rows of the blocks, and the end of the last."""
    return np.linspace(0, rows, min(BLOCKS, rows) + 1).astype(np.int64)

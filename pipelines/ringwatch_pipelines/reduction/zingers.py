"""Zingers: single pixels that one particle struck, taken out of their frame.

A pixel is one where it stands above the median of its eight neighbours by more than `least_counts`, while none of
these reaches a fifth of that height. Light cannot do that on a panel whose scintillator spreads it: a spot of a coarse
grain shows in the neighbours too, and so stays. On the flank of a strong ring the neighbours differ by themselves, and
only the larger zingers are told; what is left adds to the scatter and not to a line.

The frame alone decides. What is taken out is far above the noise, so nothing of the noise is cut and sigma stays what
it is. A detector that counts photons spreads none of them: there a spot may be one pixel, and this must stay off.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.compiled import compiled
from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.reduction.folds import Counts, Fold, StaticSums
from ringwatch_pipelines.reduction.threads import run_blocks

SPREAD = 0.2
"""Part of its height that a spot of light shows in one neighbour at least."""

_BLOCKS = 8
_MOST_IN_BLOCK = 1 << 14
_STRETCH = 128


@dataclass(frozen=True, slots=True)
class ZingerRule:
    """What is taken for a zinger.

    Parameters
    ----------
    least_counts
        Height above the neighbours; ten times the noise of a pixel or more.
    """

    least_counts: float

    def __post_init__(self) -> None:
        if not 0.0 < self.least_counts < float("inf"):
            raise CorrectionError(f"the least height of a zinger must be positive, got {self.least_counts:g}")


def zingers(image: NDArray[Any], rule: ZingerRule, *, threads: int = 2) -> NDArray[np.int64]:
    """Flat indices, ascending, of the pixels of a frame (rows, columns) that were struck; none on its rim."""
    rows = image.shape[0]
    edges = np.linspace(1, max(1, rows - 1), _BLOCKS + 1).astype(np.int64)
    found = np.empty((_BLOCKS, _MOST_IN_BLOCK), np.int64)
    number = np.zeros(_BLOCKS, np.int64)
    largest = np.finfo(image.dtype).max if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    least = image.dtype.type(min(rule.least_counts, float(largest)))

    def work(block: int) -> None:
        number[block] = find_zingers(image, least, SPREAD, edges[block], edges[block + 1], found[block])

    run_blocks(work, blocks=_BLOCKS, threads=threads)
    return np.concatenate([found[block, : number[block]] for block in range(_BLOCKS)])


def without_zingers(counts: Counts, image: NDArray[Any], hits: NDArray[np.int64], *, fold: Fold) -> Counts:
    """What a frame adds to the bins, without the pixels in `hits`."""
    hits = np.setdiff1d(hits[fold.weight.ravel()[hits] > 0], counts.bad)
    if not hits.size:
        return counts
    nothing = np.zeros(counts.raw.shape)
    whole = StaticSums(norm=nothing, squares=np.full(nothing.shape, 1e18), dark=nothing, dark_squares=nothing)
    # The counts of these pixels leave the sums of counts as those of a dark would leave the sums of the dark.
    left = fold.without(whole, hits, dark=image)
    raw = counts.raw + left.dark.astype(counts.raw.dtype)
    raw_squares = counts.raw_squares + left.dark_squares.astype(counts.raw_squares.dtype)
    return replace(counts, raw=raw, raw_squares=raw_squares, bad=np.union1d(counts.bad, hits))


@compiled
def find_zingers(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    image: NDArray[Any], least: Any, spread: float, first: int, last: int, found: NDArray[np.int64]
) -> int:
    """Write the zingers of rows `first` to `last` to `found`, and return how many there are."""
    columns = image.shape[1]
    around = np.empty(8)
    number = 0
    for row in range(first, last):
        counts = image[row]
        for begin in range(1, columns - 1, _STRETCH):
            end = min(begin + _STRETCH, columns - 1)
            here, left, right = counts[begin:end], counts[begin - 1 : end - 1], counts[begin + 1 : end + 1]
            # Along the row only, which takes several pixels at once: hardly any stretch goes on from here.
            high = 0
            for i in range(here.size):
                high += (here[i] > left[i] + least) & (here[i] > right[i] + least)
            if high == 0:
                continue
            for i in range(here.size):
                if here[i] <= left[i] + least or here[i] <= right[i] + least:
                    continue
                place = 0
                for down in range(-1, 2):
                    for along in range(-1, 2):
                        if down != 0 or along != 0:
                            around[place] = image[row + down, begin + i + along]
                            place += 1
                around.sort()
                usual = 0.5 * (around[3] + around[4])
                height = here[i] - usual
                if height > least and around[7] - usual < spread * height and number < found.size:
                    found[number] = row * columns + begin + i
                    number += 1
    return number

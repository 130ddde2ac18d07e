"""Compiled loops over pixels. They release the interpreter lock and touch only what they are given.

A pixel counts when ``low <= counts <= high``; written so that NaN never counts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.compiled import compiled

LANES = 4
"""Neighbouring pixels add to different copies of the sums: most of them fall into one bin, and an addition
would otherwise wait for the one before it."""


@compiled
def add_rows(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    image: NDArray[Any],
    bin_of_pixel: NDArray[Any],
    low: Any,
    high: Any,
    first: int,
    last: int,
    sums: NDArray[Any],
    out_in_row: NDArray[np.bool_],
) -> None:
    """Add the counts of rows `first` to `last` to their bins; pixels out of limits are left out.

    `sums` is (LANES, bins + 1); the last bin takes the pixels that never count. `out_in_row` tells in which rows
    there are counts out of limits, whether they would have counted or not.
    """
    columns = image.shape[1]
    lane_0, lane_1, lane_2, lane_3 = sums[0], sums[1], sums[2], sums[3]
    whole = columns - columns % 4
    for row in range(first, last):
        counts = image[row]
        bins = bin_of_pixel[row]
        out = np.int32(0)
        for i in range(columns):
            out += np.int32(not ((counts[i] >= low) & (counts[i] <= high)))
        out_in_row[row] = out > 0
        if out == 0:
            for i in range(0, whole, 4):
                lane_0[bins[i]] += counts[i]
                lane_1[bins[i + 1]] += counts[i + 1]
                lane_2[bins[i + 2]] += counts[i + 2]
                lane_3[bins[i + 3]] += counts[i + 3]
            for i in range(whole, columns):
                lane_0[bins[i]] += counts[i]
        else:
            for i in range(columns):
                if (counts[i] >= low) & (counts[i] <= high):
                    lane_0[bins[i]] += counts[i]


@compiled
def bad_pixels(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    image: NDArray[Any],
    bin_of_pixel: NDArray[Any],
    trash: int,
    low: Any,
    high: Any,
    out_in_row: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Flat indices, ascending, of the pixels out of limits that would have counted."""
    rows, columns = image.shape
    bad_in_row = np.zeros(rows, np.int64)
    for row in range(rows):
        if out_in_row[row]:
            counts, bins, bad = image[row], bin_of_pixel[row], np.int32(0)
            for i in range(columns):
                bad += np.int32((not ((counts[i] >= low) & (counts[i] <= high))) & (bins[i] != trash))
            bad_in_row[row] = bad
    found = np.empty(bad_in_row.sum(), np.int64)
    place = 0
    for row in range(rows):
        if bad_in_row[row] > 0:
            for i in range(columns):
                if (not ((image[row, i] >= low) & (image[row, i] <= high))) & (bin_of_pixel[row, i] != trash):
                    found[place] = row * columns + i
                    place += 1
    return found

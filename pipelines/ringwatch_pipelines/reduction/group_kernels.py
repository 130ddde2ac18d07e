"""Compiled loops over groups of four neighbouring pixels; see `pixel_groups`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.compiled import compiled

GROUP = 4
"""Pixels of a group: their counts, 32 bit each, are two words of the processor."""


@compiled
def add_groups(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    image: NDArray[Any],
    slots: NDArray[Any],
    spans: NDArray[np.int32],
    low: Any,
    high: Any,
    first: int,
    last: int,
    sums: NDArray[np.uint64],
    out_in_row: NDArray[np.bool_],
) -> None:
    """Add rows `first` to `last` of unsigned counts to the slots of their groups; counts out of limits add 0.

    `sums` is (slots, 2): two counts of 32 bit share a word, and no carry goes from one to the other. `out_in_row` tells
    in which rows there are counts out of limits, whether they would have counted or not. Groups outside the row's
    span are not looked at.
    """
    wide = np.zeros(GROUP * slots.shape[1], np.uint32)
    words = wide.view(np.uint64)
    for row in range(first, last):
        begin, end = spans[row]
        if begin == end:
            continue
        counts = image[row, GROUP * begin : GROUP * end]
        # Least and largest are what a processor finds fastest; one look at each pixel goes through memory only once.
        least = largest = counts[0]
        for i in range(counts.size):
            wide[i] = counts[i]
            least = min(least, counts[i])
            largest = max(largest, counts[i])
        out = (least < low) | (largest > high)
        out_in_row[row] = out
        if out:
            for i in range(counts.size):
                if (counts[i] < low) | (counts[i] > high):
                    wide[i] = 0
        places = slots[row, begin:end]
        for group in range(places.size):
            # Unsigned, which spares a look whether the index counts from the end.
            slot = np.uint64(places[group])
            left = sums[slot, 0] + words[2 * group]
            right = sums[slot, 1] + words[2 * group + 1]
            sums[slot, 0] = left
            sums[slot, 1] = right


@compiled
def spread_slots(sums: NDArray[np.uint32], bins_of_slot: NDArray[np.uint16], total: NDArray[np.int64]) -> None:
    """Add the sums of the slots, (slots, 4), to their bins; the last of `total` takes the pixels that never count."""
    for slot in range(sums.shape[0]):
        four, bins = sums[slot], bins_of_slot[slot]
        total[bins[0]] += np.int64(four[0])
        total[bins[1]] += np.int64(four[1])
        total[bins[2]] += np.int64(four[2])
        total[bins[3]] += np.int64(four[3])

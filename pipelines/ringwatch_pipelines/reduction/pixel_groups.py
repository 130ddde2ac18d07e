"""Neighbouring pixels taken together: groups of four that fall into the same four bins share a slot.

Adding pixel after pixel to its bin is what a frame costs. In all rows of a detector the same few tuples of bins
return (some 50 000 for 4 million pixels and 2048 bins), so a group of four pixels is added to the slot of its tuple
at once, and the slots are spread over the bins when the frame is done. One number for four pixels takes 2 bytes, where
a bin for each takes 8: less memory to go through as well.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.reduction.group_kernels import GROUP

MOST_SLOTS = 131_072
"""With more tuples of bins than this the slots do not fit a processor's second cache, and gain nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelGroups:
    """The slot of each group of neighbouring pixels, and the bins of each slot.

    Parameters
    ----------
    slots
        (rows, groups) uint16 or uint32.
    spans
        (rows, 2) first group of each row that has a bin, and the one after the last.
    bins_of_slot
        (slots, 4) uint16.
    fullest
        Groups of the fullest slot that has a bin at all.
    """

    slots: NDArray[Any]
    spans: NDArray[np.int32]
    bins_of_slot: NDArray[np.uint16]
    fullest: int

    def holds(self, dtype: np.dtype[Any]) -> bool:
        """Whether the sums of a slot, 32 bit each, cannot overflow in a frame of this type."""
        return dtype.kind == "u" and dtype.itemsize <= 2 and self.fullest * int(np.iinfo(dtype).max) < 2**32


def pixel_groups(bin_of_pixel: NDArray[Any], *, bins: int) -> PixelGroups | None:
    """Find the groups; None where there are too many different ones, or bins that 16 bit cannot number.

    Parameters
    ----------
    bin_of_pixel
        (rows, columns), `bins` for a pixel that never counts.
    """
    if bin_of_pixel.dtype != np.uint16:
        return None
    rows, columns = bin_of_pixel.shape
    # What is missing to a whole group at the end of a row never counts.
    padded = np.full((rows, -(-columns // GROUP) * GROUP), bins, dtype=np.uint16)
    padded[:, :columns] = bin_of_pixel
    words, slots, sizes = np.unique(padded.view(np.uint64), return_inverse=True, return_counts=True)
    if words.size > MOST_SLOTS:
        return None
    tuples = words.view(np.uint16).reshape(-1, GROUP)
    order = _alike_together(tuples)
    place = np.empty(words.size, dtype=np.uint16 if words.size <= np.iinfo(np.uint16).max + 1 else np.uint32)
    place[order] = np.arange(words.size)
    counting = np.any(tuples < bins, axis=1)
    return PixelGroups(
        slots=read_only(place[slots].reshape(rows, -1)),
        spans=read_only(_spans(counting[slots].reshape(rows, -1))),
        bins_of_slot=read_only(tuples[order]),
        fullest=int(sizes[counting].max(initial=0)),
    )


def _spans(counting: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(rows, 2) from the first group that counts to the one after the last; 0, 0 in a row without any."""
    first = np.argmax(counting, axis=1)
    last = counting.shape[1] - np.argmax(counting[:, ::-1], axis=1)
    return np.where(counting.any(axis=1), [first, last], 0).T.astype(np.int32)


def _alike_together(tuples: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Order by the steps within a tuple, then by its first bin: neighbouring rows find theirs close by."""
    steps = np.diff(tuples.astype(np.int32), axis=1)
    return np.lexsort((tuples[:, 0], *steps.T))

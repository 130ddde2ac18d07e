"""The part of the analysis that looks at every pixel, and needs to know no other frame.

It can be done anywhere and in any order: in several threads, or on another machine. What darks, lag and the
frames before make of it follows at home, in the order of the frames.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.errors import FrameShapeError, FrameTypeError
from ringwatch_pipelines.frames import Frame, FrameKind, read_only
from ringwatch_pipelines.reduction.block_offsets import BlockCounts, BlockOperator
from ringwatch_pipelines.reduction.folds import Counts
from ringwatch_pipelines.reduction.frame_limits import prepared_image
from ringwatch_pipelines.reduction.frame_quality import broken_rows
from ringwatch_pipelines.reduction.operators import FoldedOperator
from ringwatch_pipelines.reduction.zingers import ZingerRule, without_zingers, zingers

NO_IMAGE = read_only(np.empty((0, 0), dtype=np.uint16))
"""Stands for an image that stayed where it was counted; no detector has this shape."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameCounts:
    """What one frame tells by itself.

    Parameters
    ----------
    shape, dtype
        Of its image.
    blank
        Part of the rows that hold one value only; see `broken_rows`.
    problem
        Why its counts cannot be summed, in one sentence; empty where they were.
    pattern
        In the bins of the pattern; None for a dark and for a frame that cannot be summed.
    windows
        In the sectors of each line that is followed around its ring.
    blocks
        In the readout blocks, where somebody asks for their offsets.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blank: float = 0.0
    problem: str = ""
    pattern: Counts | None = None
    windows: tuple[Counts, ...] = ()
    blocks: BlockCounts | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CountedFrame(Frame):
    """A frame whose counts are in its bins already. Its image is `NO_IMAGE` where nobody needs it any more."""

    counts: FrameCounts


@dataclass(frozen=True, slots=True, eq=False)
class FrameCounter:
    """Counts frames, one by one and in any order.

    Parameters
    ----------
    pattern
        Frames to the bins of the pattern.
    windows
        Frames to the sectors of each line that is followed around its ring.
    watches_rows
        Whether anybody asks for blank rows.
    blocks
        Frames to readout blocks; None where nobody asks for their offsets.
    zingers
        Pixels to leave out of the pattern; None for none. Sectors leave outliers out by themselves.
    """

    pattern: FoldedOperator
    windows: tuple[FoldedOperator, ...] = ()
    watches_rows: bool = True
    blocks: BlockOperator | None = None
    zingers: ZingerRule | None = None

    def count(self, image: NDArray[Any], kind: FrameKind = FrameKind.LIGHT) -> FrameCounts:
        """What a frame tells by itself; of a dark, shape and type only.

        Parameters
        ----------
        image
            (rows, columns) raw counts.
        """
        told = FrameCounts(image.shape, image.dtype)
        if kind is FrameKind.DARK or image.shape != self.pattern.shape or image.dtype.kind not in "uif":
            return told
        told = replace(told, blank=broken_rows(image) if self.watches_rows else 0.0)
        try:
            return replace(
                told,
                pattern=self._pattern_counts(image),
                windows=tuple(window.count(image) for window in self.windows),
                blocks=None if self.blocks is None else self.blocks.count(image),
            )
        except (FrameShapeError, FrameTypeError) as error:
            return replace(told, problem=str(error))

    def _pattern_counts(self, image: NDArray[Any]) -> Counts:
        counts = self.pattern.count(image)
        if self.zingers is None:
            return counts
        native = prepared_image(image, shape=self.pattern.shape)
        hits = zingers(native, self.zingers, threads=self.pattern.threads)
        return without_zingers(counts, native, hits, fold=self.pattern.fold)

    def on_one_thread(self) -> "FrameCounter":
        """The same for a place where frames are counted side by side; no result depends on it."""
        return replace(
            self,
            pattern=replace(self.pattern, threads=1),
            windows=tuple(replace(window, threads=1) for window in self.windows),
        )


def with_counts(frame: Frame, counts: FrameCounts) -> CountedFrame:
    """The frame with what was counted in it."""
    return CountedFrame(**{each.name: getattr(frame, each.name) for each in fields(Frame)}, counts=counts)

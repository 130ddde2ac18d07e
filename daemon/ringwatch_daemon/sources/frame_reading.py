"""What the files alone tell of frames, whatever came before them: pixels, counts in bins, headers, times.

It can be done anywhere and in any order. Numbers, warnings and rows are given afterwards, in the order of the frames.
"""

from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.image_files import FileImage, ImageFile, open_images
from ringwatch_daemon.sources.images import check_there, checked_grey, split_dataset, told_as_one_sentence
from ringwatch_daemon.sources.metadata import (
    FrameDetails,
    MetadataNames,
    attributes_from_metadata,
    details_from_metadata,
    first_present,
    lower_keys,
    seconds_from_scalar,
)
from ringwatch_daemon.sources.times import Scalar, Stamp, stamp_from_header
from ringwatch_pipelines.frames import FrameKind
from ringwatch_pipelines.reduction.counting import NO_IMAGE, FrameCounter, FrameCounts

STRETCH_BYTES = 32 << 20
"""Pixels that are read in one go: four full frames of a Perkin-Elmer panel, or a thousand small ones."""

TIME_KEYS = (
    "timestamp_ns",
    "timeStamp",
    "time_of_day",
    "acquisition_time",
    "acq_time",
    "DateTime",
    "dateString",
    "Date",
    "time",
    "CREATED",
)
STACK_START_KEYS = ("start_time", "data_collection_date")
"""Keys of the time at which the first frame of a stack began."""
UNIQUE_ID_KEYS = ("uniqueId", "NDUniqueId", "NDArrayUniqueId", "unique_id")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames of one file that are read in one go.

    Parameters
    ----------
    file
        ``stack.h5::entry/data/data`` names the dataset of an HDF5 file.
    first
        The first of them; so many follow as fit into `STRETCH_BYTES`, one at least.
    """

    file: str
    first: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ReadFrame:
    """What a file tells of one of its frames.

    Parameters
    ----------
    image
        (rows, columns), or `NO_IMAGE` where it was counted and nobody needs it.
    dtype
        Of the image as it was read.
    counts
        None where nobody counted.
    told_id
        Number of the frame by its header, None where that tells none.
    stamp, start
        Time of the frame, and time at which its stack began.
    frame_s
        From frame to frame of a stack; NaN where that is unknown.
    """

    index: int
    image: NDArray[Any]
    dtype: np.dtype[Any]
    counts: FrameCounts | None
    details: FrameDetails
    attributes: tuple[tuple[str, Scalar], ...]
    told_id: int | None
    stamp: Stamp
    start: Stamp
    frame_s: float


@dataclass(frozen=True, slots=True, eq=False)
class ReadStretch:
    """What came of a stretch.

    Parameters
    ----------
    first
        Place in the file of the first frame.
    count
        Frames of the whole file, 0 where it cannot be opened.
    problem
        Why no more can be read of the file, in one sentence; empty where it can.
    """

    first: int
    frames: tuple[ReadFrame, ...] = ()
    count: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FrameReading:
    """How files are read.

    Parameters
    ----------
    names
        Where exposure, monitor and conditions stand in the headers.
    time_keys, unique_id_keys
        Header keys of the acquisition time, and of the frame's number.
    zone
        Of header times without one; None not to use such a time.
    counter
        Counts the frames where they are read; None to leave that to the analysis.
    """

    names: MetadataNames = field(default_factory=MetadataNames)
    time_keys: tuple[str, ...] = TIME_KEYS
    unique_id_keys: tuple[str, ...] = UNIQUE_ID_KEYS
    zone: tzinfo | None = None
    counter: FrameCounter | None = None

    def read(self, stretch: Stretch, *, keep_images: bool = True) -> ReadStretch:
        """Read a stretch; what is wrong with the file stands in the result.

        Parameters
        ----------
        keep_images
            Hand over the images of light frames that were counted, too.
        """
        file, dataset = split_dataset(stretch.file)
        frames: list[ReadFrame] = []
        count = 0
        try:
            check_there(file)
            with told_as_one_sentence(file), open_images(file, dataset) as opened:
                count = opened.count
                self._read(opened, stretch.first, file, keep_images, frames)
                problem = opened.problem if stretch.first + len(frames) >= count else ""
        except InputFileError as error:
            problem = str(error)
        return ReadStretch(stretch.first, tuple(frames), count, problem)

    def _read(self, opened: ImageFile, first: int, file: Path, keep_images: bool, frames: list[ReadFrame]) -> None:
        left = STRETCH_BYTES
        for index in range(first, opened.count):
            found = checked_grey(opened.frame(index), file)
            left -= found.image.nbytes
            frames.append(self._described(found, keep_image=keep_images))
            if left < found.image.nbytes:
                return

    def _described(self, found: FileImage, *, keep_image: bool) -> ReadFrame:
        header = lower_keys(found.header)
        details = details_from_metadata(header, self.names)
        told_id = first_present(header, self.unique_id_keys)
        kept = keep_image or self.counter is None or details.kind is FrameKind.DARK
        return ReadFrame(
            index=found.index,
            image=found.image if kept else NO_IMAGE,
            dtype=found.image.dtype,
            counts=None if self.counter is None else self.counter.count(found.image, details.kind),
            details=details,
            attributes=attributes_from_metadata(found.header),
            told_id=told_id if isinstance(told_id, int) and told_id >= 0 else None,
            stamp=stamp_from_header(header, keys=self.time_keys, zone=self.zone),
            start=stamp_from_header(header, keys=STACK_START_KEYS, zone=self.zone),
            frame_s=seconds_from_scalar(first_present(header, ("frame_time",))),
        )

"""Images out of files: any FabIO format, NumPy arrays and HDF5, frame by frame with their headers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.image_files import HDF5_SUFFIXES, FileImage, open_images
from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.frames import read_only

IMAGE_SUFFIXES = HDF5_SUFFIXES.union(
    (".tif", ".tiff", ".edf", ".cbf", ".npy", ".img", ".mccd", ".mar2300", ".mar3450", ".sfrm", ".spe", ".kcd"),
    (".gfrm", ".raw", ".ge", ".ge1", ".ge2", ".ge3", ".ge4", ".ge5", ".cor", ".f2d", ".msk", ".esperanto", ".esper"),
    (".spr", ".pgm", ".dm3", ".mrc"),
)
"""What a folder is searched for; files of other names are taken where they are named one by one."""

DATASET_MARK = "::"


def split_dataset(path: str | Path) -> tuple[Path, str]:
    """``stack.h5::entry/data/data`` to its file and its dataset, the latter empty where none is named."""
    name, _, dataset = str(path).partition(DATASET_MARK)
    return Path(name), dataset


def read_frames(path: str | Path) -> Iterator[FileImage]:
    """Every frame of a file in its order, read one at a time.

    Raises
    ------
    InputFileError
        The file is absent, empty, truncated or no image.
    """
    file, dataset = split_dataset(path)
    check_there(file)
    with told_as_one_sentence(file), open_images(file, dataset) as opened:
        for index in range(opened.count):
            yield checked_grey(opened.frame(index), file)
        if opened.problem:
            raise InputFileError(opened.problem)


@contextmanager
def told_as_one_sentence(file: Path) -> Iterator[None]:
    """Whatever a reader stumbles over within becomes an InputFileError of one sentence."""
    try:
        yield
    except InputFileError:
        raise
    # The readers of some thirty formats raise whatever their parsing stumbles over.
    except Exception as error:
        raise InputFileError(f"expected an image, got {_one_line(error)} from {file}") from error


def read_image(path: str | Path) -> tuple[NDArray[Any], dict[str, Scalar]]:
    """The only image of a file with its header.

    Raises
    ------
    InputFileError
        As `read_frames`, and where the file holds more than one image.
    """
    frames = read_frames(path)
    first = next(frames, None)
    if first is None:
        raise InputFileError(f"expected one image, got none from {path}")
    if next(frames, None) is not None:
        raise InputFileError(f"expected one image, got a stack from {path}")
    return first.image, first.header


def read_mean_image(path: str | Path) -> tuple[NDArray[np.float64], dict[str, Scalar], int]:
    """The mean of all images of a file in float64, the first one's header, and how many there were.

    Raises
    ------
    InputFileError
        As `read_frames`, and where the images differ in shape.
    """
    total: NDArray[np.float64] | None = None
    header: dict[str, Scalar] = {}
    count = 0
    for frame in read_frames(path):
        if total is None:
            total, header = np.zeros(frame.image.shape), frame.header
        if frame.image.shape != total.shape:
            raise InputFileError(f"expected images of {total.shape}, got {frame.image.shape} from {path}")
        total += frame.image
        count += 1
    if total is None:
        raise InputFileError(f"expected an image, got none from {path}")
    return total / count, header, count


def read_mask(path: str | Path, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask, true where a pixel is not to be used (pyFAI's and FabIO's convention).

    Raises
    ------
    InputFileError
        The file cannot be read, has another shape, or holds anything but two values of which one is zero.
    """
    image, _ = read_image(path)
    if image.shape != shape:
        raise InputFileError(f"expected a mask of {shape} (rows, columns), got {image.shape} from {path}")
    values = np.unique(image)
    if values.size > 2 or (values.size == 2 and values[0] != 0 and values[1] != 0):
        raise InputFileError(f"expected a mask of zero (use) and one other value (mask), got {values[:4]} from {path}")
    return read_only(image != 0)


def checked_grey(frame: FileImage, file: Path) -> FileImage:
    """The frame, where it is an image of one channel; raises InputFileError where it is not."""
    if frame.image.ndim != 2 or frame.image.size == 0:
        raise InputFileError(f"expected one grey image of two dimensions, got shape {frame.image.shape} from {file}")
    return frame


def check_there(file: Path) -> None:
    """Raise InputFileError unless there is a file with something in it."""
    try:
        size = file.stat().st_size
    except OSError as error:
        raise InputFileError(f"expected an image file, got {error.strerror or error} from {file}") from error
    if not file.is_file():
        raise InputFileError(f"expected an image file, got a folder from {file}")
    if size == 0:
        raise InputFileError(f"expected an image file, got an empty one from {file}")


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}" if said else f"bytes that are none ({type(error).__name__})"

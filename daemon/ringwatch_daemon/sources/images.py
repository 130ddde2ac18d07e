"""Images out of files: any FabIO format, NumPy arrays and HDF5, frame by frame with their headers."""

import base64
import contextlib
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fabio
import numpy as np
from fabio.cbfimage import CbfImage
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.hdf5_stacks import hdf5_frames
from ringwatch_daemon.sources.header_texts import header_from_fabio
from ringwatch_daemon.sources.qxrd import qxrd_sidecar
from ringwatch_daemon.sources.tiff_tags import TiffDirectory, tiff_directories
from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.frames import read_only

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf", ".nxs", ".nx5"})
IMAGE_SUFFIXES = HDF5_SUFFIXES.union(
    (".tif", ".tiff", ".edf", ".cbf", ".npy", ".img", ".mccd", ".mar2300", ".mar3450", ".sfrm", ".spe", ".kcd"),
    (".gfrm", ".raw", ".ge", ".ge1", ".ge2", ".ge3", ".ge4", ".ge5", ".cor", ".f2d", ".msk", ".esperanto", ".esper"),
    (".spr", ".pgm", ".dm3", ".mrc"),
)
"""What a folder is searched for; files of other names are taken where they are named one by one."""

_DATASET_MARK = "::"


@dataclass(frozen=True, slots=True, eq=False)
class FileImage:
    """One frame of a file.

    Parameters
    ----------
    image
        (rows, columns), read-only, in the dtype of the file.
    header
        Metadata of this frame under the names of the file.
    index
        Place in the file, from 0.
    """

    image: NDArray[Any]
    header: dict[str, Scalar] = field(default_factory=dict)
    index: int = 0


def split_dataset(path: str | Path) -> tuple[Path, str]:
    """``stack.h5::entry/data/data`` to its file and its dataset, the latter empty where none is named."""
    name, _, dataset = str(path).partition(_DATASET_MARK)
    return Path(name), dataset


def read_frames(path: str | Path) -> Iterator[FileImage]:
    """Every frame of a file in its order, read one at a time.

    Raises
    ------
    InputFileError
        The file is absent, empty, truncated or no image.
    """
    file, dataset = split_dataset(path)
    _check_there(file)
    try:
        for frame in _open_frames(file, dataset):
            yield _checked_grey(frame, file)
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


def _checked_grey(frame: FileImage, file: Path) -> FileImage:
    if frame.image.ndim != 2 or frame.image.size == 0:
        raise InputFileError(f"expected one grey image of two dimensions, got shape {frame.image.shape} from {file}")
    return frame


def _check_there(file: Path) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise InputFileError(f"expected an image file, got {error.strerror or error} from {file}") from error
    if not file.is_file():
        raise InputFileError(f"expected an image file, got a folder from {file}")
    if size == 0:
        raise InputFileError(f"expected an image file, got an empty one from {file}")


def _open_frames(file: Path, dataset: str) -> Iterator[FileImage]:
    if dataset or file.suffix.lower() in HDF5_SUFFIXES:
        for index, (image, header) in enumerate(hdf5_frames(file, dataset)):
            yield FileImage(read_only(image), header, index)
    elif file.suffix.lower() == ".npy":
        stack = np.load(file, allow_pickle=False)
        for index, image in enumerate(stack if stack.ndim == 3 else stack[np.newaxis]):
            yield FileImage(read_only(image), qxrd_sidecar(file), index)
    else:
        yield from _fabio_frames(file)


def _fabio_frames(file: Path) -> Iterator[FileImage]:
    directories = _directories_of_whole_tiff(file)
    sidecar = qxrd_sidecar(file)
    opened = fabio.open(str(file))
    with contextlib.closing(opened):
        for index in range(opened.nframes):
            frame = opened.getframe(index) if opened.nframes > 1 else opened
            if frame.data is None:
                raise InputFileError(f"expected an image, got none that FabIO can decode from {file}")
            if getattr(frame, "incomplete_data", False):
                raise InputFileError(f"expected a whole image, got a truncated one from {file}")
            _check_checksum(opened, file)
            if index < len(directories):
                header = directories[index].header
            else:
                header = header_from_fabio(frame.header, kind=type(opened).__name__)
            yield FileImage(read_only(frame.data), header | sidecar, index)


def _check_checksum(opened: Any, file: Path) -> None:
    """FabIO only logs a CBF file whose pixels do not match its checksum."""
    stated = str(opened.header.get("Content-MD5", "")).strip()
    if stated and isinstance(opened, CbfImage):
        packed = CbfImage().read(str(file), only_raw=True)
        found = base64.b64encode(hashlib.md5(packed, usedforsecurity=False).digest()).decode()
        if found != stated:
            raise InputFileError(f"expected pixels of checksum {stated}, got {found} from {file}")


def _directories_of_whole_tiff(file: Path) -> tuple[TiffDirectory, ...]:
    try:
        directories = tiff_directories(file)
    except (struct.error, OSError) as error:
        raise InputFileError(f"expected a whole TIFF, got one that ends within its directory from {file}") from error
    size = file.stat().st_size
    end = max((directory.end_byte for directory in directories), default=0)
    if end > size:
        raise InputFileError(f"expected {end} bytes of TIFF, got {size} from {file}")
    return directories


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}" if said else f"bytes that are none ({type(error).__name__})"

"""Files of images, opened for any of their frames: plain TIFF, any FabIO format, NumPy arrays and HDF5."""

import base64
import hashlib
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import fabio
import numpy as np
from fabio.cbfimage import CbfImage
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.hdf5_stacks import Hdf5Stack, open_stack
from ringwatch_daemon.sources.header_texts import header_from_fabio
from ringwatch_daemon.sources.qxrd import qxrd_sidecar
from ringwatch_daemon.sources.tiff_tags import PlainPixels, TiffDirectory, tiff_directories
from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.frames import read_only

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf", ".nxs", ".nx5"})
_CBF_MARK = b"###CBF"
_CBF_SECTION, _CBF_PIXELS = b"--CIF-BINARY-FORMAT-SECTION--", b"\x0c\x1a\x04\xd5"
_CBF_HEADER_BYTES = 2**16


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


class ImageFile(Protocol):
    """An open file."""

    @property
    def count(self) -> int:
        """How many frames can be asked for."""
        ...

    @property
    def problem(self) -> str:
        """Why there should be more frames than that, or empty."""
        ...

    def frame(self, index: int) -> FileImage:
        """One of its frames; raises whatever the reader of its format stumbles over."""
        ...


@contextmanager
def open_images(file: Path, dataset: str = "") -> Iterator[ImageFile]:
    """A file for its frames; raises whatever the reader of its format stumbles over.

    Parameters
    ----------
    dataset
        Path of the images within an HDF5 file; found by itself where empty.

    Raises
    ------
    InputFileError
        The file holds no images.
    """
    if dataset or file.suffix.lower() in HDF5_SUFFIXES:
        with open_stack(file, dataset) as stack:
            yield _Hdf5File(stack)
    elif file.suffix.lower() == ".npy":
        yield _NumpyFile(file)
    else:
        directories = _directories_of_whole_tiff(file)
        plain = [directory.pixels for directory in directories if directory.pixels is not None]
        if directories and len(plain) == len(directories):
            yield _PlainTiffFile(file, directories, plain)
        else:
            with closing(_opened_by_fabio(file)) as opened:
                yield _FabioFile(file, opened, directories)


class _Hdf5File:
    def __init__(self, stack: Hdf5Stack) -> None:
        self._stack = stack
        self.count = stack.count
        self.problem = stack.problem

    def frame(self, index: int) -> FileImage:
        image, header = self._stack.frame(index)
        return FileImage(read_only(image), header, index)


class _NumpyFile:
    problem = ""

    def __init__(self, file: Path) -> None:
        stack = np.load(file, allow_pickle=False, mmap_mode="r")
        self._stack = stack if stack.ndim == 3 else stack[np.newaxis]
        self._header = qxrd_sidecar(file)
        self.count = len(self._stack)

    def frame(self, index: int) -> FileImage:
        # A copy: what is mapped changes, or is gone, when somebody writes to the file.
        return FileImage(read_only(np.array(self._stack[index])), self._header, index)


class _PlainTiffFile:
    """FabIO reads such a file too, strip by strip; here it is one read."""

    problem = ""

    def __init__(self, file: Path, directories: tuple[TiffDirectory, ...], pixels: list[PlainPixels]) -> None:
        self._file = file
        self._directories = directories
        self._pixels = pixels
        self._sidecar = qxrd_sidecar(file)
        self.count = len(pixels)

    def frame(self, index: int) -> FileImage:
        place = self._pixels[index]
        rows, columns = place.shape
        counts = np.fromfile(self._file, dtype=place.dtype, count=rows * columns, offset=place.offset)
        if counts.size != rows * columns:
            raise InputFileError(f"expected {rows * columns} pixels, got {counts.size} from {self._file}")
        image = counts.astype(place.dtype.newbyteorder("="), copy=False).reshape(place.shape)
        return FileImage(read_only(image), self._directories[index].header | self._sidecar, index)


class _FabioFile:
    problem = ""

    def __init__(self, file: Path, opened: Any, directories: tuple[TiffDirectory, ...]) -> None:
        self._file = file
        self._opened = opened
        self._directories = directories
        self._sidecar = qxrd_sidecar(file)
        self.count = int(opened.nframes)
        _check_checksum(opened, file)

    def frame(self, index: int) -> FileImage:
        frame = self._opened.getframe(index) if self.count > 1 else self._opened
        if frame.data is None:
            raise InputFileError(f"expected an image, got none that FabIO can decode from {self._file}")
        if getattr(frame, "incomplete_data", False):
            raise InputFileError(f"expected a whole image, got a truncated one from {self._file}")
        if index < len(self._directories):
            header = self._directories[index].header
        else:
            header = header_from_fabio(frame.header, kind=type(self._opened).__name__)
        return FileImage(read_only(frame.data), header | self._sidecar, index)


def _opened_by_fabio(file: Path) -> Any:
    with file.open("rb") as opened:
        start = opened.read(_CBF_HEADER_BYTES)
        is_cbf = start.startswith(_CBF_MARK)
        may_be_cbf = start.startswith(_CBF_MARK[:3]) or file.suffix.lower() == ".cbf"
        # FabIO looks for them for ever where there are none.
        if may_be_cbf and not _has_pixels_of_cbf(start) and not _has_pixels_of_cbf(start + opened.read()):
            raise InputFileError(f"expected the pixels of a CBF image, got a file that ends before them from {file}")
    # The checksum of a CBF takes as long as its pixels, and FabIO would only log what it finds.
    return CbfImage().read(str(file), check_MD5=False) if is_cbf else fabio.open(str(file))


def _has_pixels_of_cbf(content: bytes) -> bool:
    return content.find(_CBF_PIXELS, max(content.find(_CBF_SECTION), 0)) >= 0


def _check_checksum(opened: Any, file: Path) -> None:
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

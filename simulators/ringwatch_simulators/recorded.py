"""Recorded frames as a supply: whatever FabIO opens, HDF5 stacks, folders of files.

A frame leaves exactly as the file holds it: same type, same orientation as FabIO or h5py give it.
Unique id, time and attributes are those that areaDetector left in a TIFF; other files bring no
time that is safe to use (a naive date has no zone), so their frames are stamped when they go out.
An exposure that the file tells goes along as ``AcquireTime``.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.errors import FrameFileError
from ringwatch_simulators.supply import AttributeValue, Exposure, SuppliedFrame
from ringwatch_simulators.tiff_tags import AreaDetectorTags, read_tags

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf", ".nxs", ".nx"})
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
IMAGE_SUFFIXES = HDF5_SUFFIXES | TIFF_SUFFIXES | {".cbf", ".edf", ".img", ".mar3450", ".mccd", ".raw", ".ge2", ".ge3"}
_EXPOSURE_NAME = re.compile(r"(exposure|acquire) ?time ?(\(s\))?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
_NO_TAGS = AreaDetectorTags(None, None, ())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a frame lies: a file, the dataset in it (HDF5 only) and the number in the file."""

    path: Path
    dataset: str
    number: int
    dark: bool


class RecordedFrames:
    """Frames from files, in the order given; a folder's files in the order of their names.

    Parameters
    ----------
    paths
        Files and folders; ``FILE.h5::/path/to/dataset`` names a dataset.
    darks
        Files taken with the shutter closed; they come first.
    """

    def __init__(self, paths: Sequence[str], darks: Sequence[str] = ()) -> None:
        logging.getLogger("fabio.TiffIO").setLevel(logging.ERROR)  # it complains of each tag of areaDetector
        self._places = [*_places(darks, dark=True), *_places(paths, dark=False)]
        if not self._places:
            raise FrameFileError(f"expected at least one image file, found none in {', '.join(paths) or 'no path'}")
        self._has_darks = bool(darks)

    def __len__(self) -> int:
        return len(self._places)

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame of that number; behind a shutter closed by the operator, zeros."""
        place = self._places[exposure.index % len(self._places)]
        image = _image(place)
        if exposure.dark:
            return SuppliedFrame(np.zeros_like(image), shutter_closed=True)
        tags = read_tags(place.path) if place.path.suffix.lower() in TIFF_SUFFIXES else _NO_TAGS
        closed = place.dark if self._has_darks else None
        attributes: tuple[tuple[str, AttributeValue], ...] = (*tags.attributes, *_exposure(tags))
        return SuppliedFrame(image, tags.unique_id, tags.timestamp_ns, closed, attributes)


def _exposure(tags: AreaDetectorTags) -> Iterator[tuple[str, float]]:
    """The recorded exposure under the name that areaDetector uses, where an attribute tells it in seconds."""
    for name, text in tags.attributes:
        if _EXPOSURE_NAME.fullmatch(name.strip()) and _NUMBER.fullmatch(text.strip()):
            yield "AcquireTime", float(text)
            return


def _places(paths: Sequence[str], *, dark: bool) -> Iterator[_Place]:
    for text in paths:
        name, _, dataset = text.partition("::")
        path = Path(name)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            files = [path]
        else:
            raise FrameFileError(f"expected a file or folder of frames, found nothing at {path}")
        for file in files:
            yield from _places_in(file, dataset, dark=dark)


def _places_in(path: Path, dataset: str, *, dark: bool) -> Iterator[_Place]:
    if path.suffix.lower() in HDF5_SUFFIXES:
        name, count = _stack(path, dataset)
        yield from (_Place(path, name, number, dark) for number in range(count))
        return
    with _opened(path) as file:
        count = file.nframes
    yield from (_Place(path, "", number, dark) for number in range(count))


def _stack(path: Path, dataset: str) -> tuple[str, int]:
    """Name and length of the stack: the dataset asked for, else the largest one with images in it."""
    with h5py.File(path, "r") as file:
        shapes: dict[str, tuple[int, ...]] = {}
        file.visititems(lambda name, node: shapes.update({name: node.shape}) if _holds_images(node) else None)
        wanted = dataset.strip("/")
        if wanted and wanted not in shapes:
            raise FrameFileError(f"expected images in {path}::{dataset}, found them in {', '.join(shapes) or 'none'}")
        if not shapes:
            raise FrameFileError(f"expected a dataset of 2 or 3 dimensions with images in {path}, found none")
        name = wanted or max(shapes, key=lambda one: int(np.prod(shapes[one])))
        return name, shapes[name][0] if len(shapes[name]) == 3 else 1


def _holds_images(node: Any) -> bool:
    return (
        isinstance(node, h5py.Dataset)
        and node.dtype.kind in "uif"
        and node.ndim in (2, 3)
        and min(node.shape[-2:]) >= 16
    )


def _image(place: _Place) -> NDArray[Any]:
    if place.dataset:
        with h5py.File(place.path, "r") as file:
            stack = file[place.dataset]
            data = stack[place.number] if stack.ndim == 3 else stack[()]
    else:
        with _opened(place.path) as file:
            data = file.data if place.number == 0 else file.get_frame(place.number).data
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def _opened(path: Path) -> Any:
    try:
        return fabio.open(str(path))
    except (OSError, ValueError, RuntimeError, IndexError, TypeError) as error:
        raise FrameFileError(f"expected an image that FabIO can open in {path}, got {error}") from error

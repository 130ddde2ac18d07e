"""Image stacks in HDF5: NeXus, areaDetector, Eiger, or whatever holds one large dataset."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.times import Scalar

FILTERS = hdf5plugin.FILTERS
"""The compression filters that importing hdf5plugin registered with HDF5."""

_SMALLEST_SIDE = 16
_PART = re.compile(r"data_\d+")
_USUAL_PLACES = ("entry/data/data", "entry/data", "entry/instrument/detector/data", "exchange/data")


@contextmanager
def open_stack(file: Path, dataset: str = "") -> Iterator["Hdf5Stack"]:
    """The images of a file.

    Parameters
    ----------
    dataset
        Path of the images within the file; found by itself where empty.

    Raises
    ------
    InputFileError
        No images, or several datasets that could be meant.
    OSError
        Not an HDF5 file, or a broken one.
    """
    with h5py.File(file, "r") as opened:
        yield Hdf5Stack(opened, _stacks(opened, dataset, file), file)


class Hdf5Stack:
    """The images of an open file, one after the other, whether in one dataset or in several that a master links.

    Attributes
    ----------
    count
        Number of images.
    problem
        Which images are linked and not there, or empty.
    """

    def __init__(self, opened: h5py.File, parts: list[h5py.Dataset], file: Path) -> None:
        sizes = [int(np.prod(part.shape[:-2], dtype=np.int64)) for part in parts]
        self._parts = parts
        self._ends = list(accumulate(sizes))
        self.count = self._ends[-1]
        self.problem = _missing_parts(parts[0].parent, opened, file)
        self._columns = [
            _metadata_of_frames(opened, part, size, self.count) for part, size in zip(parts, sizes, strict=True)
        ]

    def frame(self, index: int) -> tuple[NDArray[Any], dict[str, Scalar]]:
        """The (rows, columns) image of that number, and what stands beside it."""
        place = next(place for place, end in enumerate(self._ends) if index < end)
        part, within = self._parts[place], index - (self._ends[place - 1] if place else 0)
        at = np.unravel_index(within, part.shape[:-2]) if part.ndim > 2 else ()
        header = {name: column(within, index) for name, column in self._columns[place].items()}
        return np.asarray(part[tuple(int(number) for number in at)]), header


def _stacks(opened: h5py.File, dataset: str, file: Path) -> list[h5py.Dataset]:
    if dataset:
        found = opened.get(dataset.strip("/"))
        if isinstance(found, h5py.Dataset) and found.ndim >= 2:
            return [_whole(found, file)]
        raise InputFileError(f"expected images at {dataset}, got {_describe(found)} from {file}")
    group = _default_data(opened)
    if group is not None:
        return [_whole(part, file) for part in group]
    candidates = _large_datasets(opened)
    if len(candidates) == 1:
        return [_whole(candidates[0], file)]
    for missing in _dangling(opened):
        raise InputFileError(f"expected the images of {file} in {missing}, to which it links, but they are not there")
    names = ", ".join(images.name for images in candidates[:8])
    raise InputFileError(
        f"expected one dataset of images, got {len(candidates)}{' (' + names + ')' if names else ''} from {file}:"
        " name one as FILE::DATASET"
    )


def _describe(found: object) -> str:
    if isinstance(found, h5py.Dataset):
        return f"{found.ndim} dimensions"
    return "nothing" if found is None else "a group"


def _default_data(opened: h5py.File) -> list[h5py.Dataset] | None:
    """The images that NeXus calls the default plot, or those of the usual places."""
    group: Any = opened
    while isinstance(group, h5py.Group) and _text(group.attrs.get("default")) in group:
        group = group[_text(group.attrs["default"])]
    signal = group.get(_text(group.attrs.get("signal"))) if isinstance(group, h5py.Group) else None
    if _holds_images(signal):
        return [signal]
    for place in _USUAL_PLACES:
        found = opened.get(place)
        if _holds_images(found):
            return [found]
        if isinstance(found, h5py.Group):
            parts = [part for part in map(found.get, _part_names(found)) if _holds_images(part)]
            if parts:
                return parts
    return None


def _part_names(group: h5py.Group) -> list[str]:
    """``data_000001``, ``data_000002``, ... as a master file of an Eiger links them, in the order of their numbers."""
    return sorted((name for name in group if _PART.fullmatch(name)), key=lambda name: int(name.rpartition("_")[2]))


def _missing_parts(group: h5py.Group, opened: h5py.File, file: Path) -> str:
    """What is wrong where some of the parts that a master links are not there."""
    linked = next((opened[place] for place in _USUAL_PLACES if isinstance(opened.get(place), h5py.Group)), group)
    missing = [name for name in _part_names(linked) if linked.get(name) is None]
    if not missing:
        return ""
    names = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
    return f"expected the images {names} that {file} links to, but {len(missing)} of its parts are not there"


def _whole(images: h5py.Dataset, file: Path) -> h5py.Dataset:
    """The dataset; HDF5 itself would fill what it cannot find with zeros."""
    if images.is_virtual:
        for source in images.virtual_sources():
            name = source.file_name
            if name != "." and "%" not in name and not (file.parent / name).exists():
                raise InputFileError(f"expected images of {file} in {name}, of which it is made, but it is not there")
    return images


def _dangling(opened: h5py.File) -> Iterator[str]:
    """Files that the usual places link to, and that are not there."""
    for place in _USUAL_PLACES:
        group, _, name = place.rpartition("/")
        parent = opened.get(group)
        link = parent.get(name, getlink=True) if isinstance(parent, h5py.Group) and name in parent else None
        found = parent.get(name) if link is not None else None
        links = [link] if found is None else []
        if isinstance(found, h5py.Group):
            links = [found.get(part, getlink=True) for part in _part_names(found) if found.get(part) is None]
        yield from (each.filename for each in links if isinstance(each, h5py.ExternalLink))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _holds_images(found: object) -> bool:
    return (
        isinstance(found, h5py.Dataset)
        and found.ndim >= 2
        and found.dtype.kind in "iufb"
        and min(found.shape[-2:]) >= _SMALLEST_SIDE
    )


def _large_datasets(opened: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []

    def note(_name: str, item: object) -> None:
        if _holds_images(item):
            found.append(item)

    opened.visititems(note)
    stacks = [images for images in found if images.ndim >= 3]
    return stacks or found


class _Column:
    """One value for each image of a part or of the whole stack, or the same for all."""

    def __init__(self, values: NDArray[Any], *, of_whole: bool) -> None:
        self._values = values
        self._of_whole = of_whole

    def __call__(self, within: int, index: int) -> Scalar:
        number = index if self._of_whole else within
        value = self._values[number] if self._values.ndim else self._values[()]
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value.item() if isinstance(value, np.generic) else str(value)


def _metadata_of_frames(opened: h5py.File, images: h5py.Dataset, count: int, total: int) -> dict[str, _Column]:
    """Scalars and columns beside the images, in areaDetector's NDAttributes and in the detector's group.

    Parameters
    ----------
    count, total
        Images of this part, and of the whole stack: either is a length of columns.
    """
    columns: dict[str, _Column] = {}
    for group in _metadata_groups(opened, images):
        for name in group:
            item = group.get(name)
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iufbSO":
                continue
            if item.shape in {(total,), (count,)}:
                columns.setdefault(name, _Column(np.asarray(item[()]), of_whole=item.shape == (total,)))
            elif item.shape in {(), (1,)}:
                columns.setdefault(name, _Column(np.asarray(item[()]).reshape(()), of_whole=True))
    return columns


def _metadata_groups(opened: h5py.File, images: h5py.Dataset) -> Iterator[h5py.Group]:
    # A part of a stack may lie in a file of its own, where the groups beside it are others.
    linked = images.file.filename != opened.filename
    entry = "entry" if linked else images.name.strip("/").split("/")[0]
    places = (
        entry if linked else images.parent.name,
        f"{entry}/instrument/NDAttributes",
        f"{entry}/NDAttributes",
        f"{entry}/instrument/detector/NDAttributes",
        f"{entry}/instrument/detector",
        entry,
    )
    seen: set[str] = set()
    for place in places:
        group = opened.get(place)
        if isinstance(group, h5py.Group) and group.name not in seen:
            seen.add(group.name)
            yield group

"""Image stacks in HDF5: NeXus, areaDetector, Eiger, or whatever holds one large dataset."""

from collections.abc import Iterator
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
_USUAL_PLACES = ("entry/data/data", "entry/data", "entry/instrument/detector/data", "exchange/data")


def hdf5_frames(file: Path, dataset: str = "") -> Iterator[tuple[NDArray[Any], dict[str, Scalar]]]:
    """Every (rows, columns) image of a file with its metadata, read one at a time.

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
        for images in _stacks(opened, dataset, file):
            per_frame = _metadata_of_frames(opened, images)
            for number, index in enumerate(np.ndindex(images.shape[:-2])):
                yield np.asarray(images[index]), {name: column(number) for name, column in per_frame.items()}


def _stacks(opened: h5py.File, dataset: str, file: Path) -> list[h5py.Dataset]:
    if dataset:
        found = opened.get(dataset.strip("/"))
        if isinstance(found, h5py.Dataset) and found.ndim >= 2:
            return [found]
        raise InputFileError(f"expected images at {dataset}, got {_describe(found)} from {file}")
    group = _default_data(opened)
    if group is not None:
        return group
    candidates = _large_datasets(opened)
    if len(candidates) == 1:
        return candidates
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
            parts = [found.get(name) for name in sorted(found) if name.startswith("data_0")]
            if parts and all(_holds_images(part) for part in parts):
                return parts
    return None


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
    """One value for each frame, or the same for all."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values

    def __call__(self, number: int) -> Scalar:
        value = self._values[number] if self._values.ndim else self._values[()]
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return value.item() if isinstance(value, np.generic) else str(value)


def _metadata_of_frames(opened: h5py.File, images: h5py.Dataset) -> dict[str, _Column]:
    """Scalars and (frames,) columns beside the images, in areaDetector's NDAttributes and in the detector's group."""
    count = int(np.prod(images.shape[:-2], dtype=np.int64))
    columns: dict[str, _Column] = {}
    for group in _metadata_groups(opened, images):
        for name in group:
            item = group.get(name)
            if isinstance(item, h5py.Dataset) and item.shape in {(), (1,), (count,)} and item.dtype.kind in "iufbSO":
                values = np.asarray(item[()])
                columns.setdefault(name, _Column(values if values.shape == (count,) else values.reshape(())))
    return columns


def _metadata_groups(opened: h5py.File, images: h5py.Dataset) -> Iterator[h5py.Group]:
    entry = images.name.strip("/").split("/")[0]
    places = (
        images.parent.name,
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

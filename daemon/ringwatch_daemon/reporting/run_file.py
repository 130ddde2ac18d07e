"""A run's file as the report sees it: whatever part is missing is None, and never an error."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_pipelines.patterns import FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.str_]

NS_PER_H = 3.6e12
ROWS_A_BLOCK = 2048
BROKEN = (OSError, RuntimeError, KeyError)
"""What HDF5 raises for a damaged block, its metadata or a link; the part it belongs to is then missing."""


@dataclass(frozen=True, slots=True)
class EventEntry:
    """One event; `row` is -1 where it belongs to no frame."""

    timestamp_ns: int
    row: int
    kind: str
    text: str
    sigma_h: float


class RunFile:
    """Reads a run, also one that still grows or that was cut off.

    Parameters
    ----------
    path
        HDF5 file of a run.

    Raises
    ------
    InputFileError
        It cannot be read, or is not the file of a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r", locking=False)
            entry = self._file.get("entry")
            is_run = isinstance(entry, h5py.Group) and "frames/timestamp_ns" in entry
        except BROKEN as error:
            why = "there is no such file" if not path.exists() else str(error)
            raise InputFileError(f"expected the file of a run in {path}, but it cannot be read: {why}") from error
        if not is_run:
            self._file.close()
            raise InputFileError(f"expected the file of a run in {path}, but it has no /entry/frames")
        self._entry = entry

    def __enter__(self) -> "RunFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def frames(self) -> int:
        """How many frames the report is about."""
        return self.stored_frames

    @cached_property
    def stored_frames(self) -> int:
        """Rows that every (frames, ...) dataset has; a run that grows may have more in some."""
        groups = ("frames", "tracking", "azint1d", "cycling/at_frame")
        datasets = [self._dataset(f"{group}/{name}") for group in groups for name in self.names(group)]
        return min(
            int(dataset.shape[0]) for dataset in datasets if dataset is not None and dataset.ndim and _grows(dataset)
        )

    @cached_property
    def frames_missing(self) -> int:
        """Frames that the run has counted, in parts of it that are not there or cannot be read."""
        states, counted = self._dataset("frames/state"), self._single(self._dataset("ledger/rows"))
        if states is None or self._dataset("part_rows") is None or counted is None:
            return 0
        told = states[: int(counted)]
        return int(counted) - int(np.count_nonzero(told != b""))

    def numbers(self, path: str, *, columns: IntArray | None = None) -> FloatArray | None:
        """A dataset below the entry, float64: (frames,) or the chosen columns of (frames, n); None where missing."""
        dataset = self._dataset(path)
        if dataset is None or dataset.dtype.kind not in "iufb":
            return None
        try:
            values = dataset[()] if columns is None else _columns(dataset, columns)
        except BROKEN:
            return None
        return np.asarray(values[self._chosen(path, dataset)], dtype=np.float64)

    def row(self, path: str, row: int) -> FloatArray | None:
        """One row of a (frames, n) dataset, without reading the others."""
        dataset = self._dataset(path)
        if dataset is None or dataset.ndim != 2 or row >= dataset.shape[0]:
            return None
        try:
            return np.asarray(dataset[row], dtype=np.float64)
        except BROKEN:
            return None

    def integers(self, path: str) -> IntArray | None:
        """A dataset of integers, unrounded."""
        dataset = self._dataset(path)
        if dataset is None or dataset.dtype.kind not in "iu":
            return None
        try:
            return np.asarray(dataset[()][self._chosen(path, dataset)], dtype=np.int64)
        except BROKEN:
            return None

    def texts(self, path: str) -> TextArray | None:
        """A dataset of fixed-width text."""
        dataset = self._dataset(path)
        if dataset is None or dataset.dtype.kind != "S":
            return None
        try:
            values = dataset[()]
        except BROKEN:
            return None
        return np.char.decode(values[self._chosen(path, dataset)], "utf-8", "replace")

    def text(self, path: str) -> str:
        """A single text; empty where there is none."""
        dataset = self._dataset(path)
        value = self._single(dataset)
        return _printable(value)

    def number(self, path: str) -> float:
        """A single number; NaN where there is none."""
        dataset = self._dataset(path)
        if dataset is None or dataset.dtype.kind not in "iufb":
            return float("nan")
        value = self._single(dataset)
        return float("nan") if value is None else float(value)

    def attribute(self, path: str, name: str) -> str:
        """A text attribute of a dataset, empty where there is none."""
        dataset = self._dataset(path)
        try:
            value = "" if dataset is None else dataset.attrs.get(name, "")
        except BROKEN:
            return ""
        return _printable(value)

    def names(self, path: str) -> tuple[str, ...]:
        """What stands in a group, in the order in which it was made where the file keeps that."""
        try:
            group = self._entry.get(path)
            return tuple(group) if isinstance(group, h5py.Group) else ()
        except BROKEN:
            return ()

    def has(self, path: str) -> bool:
        """Whether a dataset is there."""
        return self._dataset(path) is not None

    def pattern_blocks(self, *, errors: bool = False) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All patterns a block at a time, as (first row, (rows, bins)); ends early where the file is broken."""
        dataset = self._dataset("azint1d/I_errors" if errors else "azint1d/I")
        if dataset is None or dataset.ndim != 2:
            return
        for start in range(0, self.stored_frames, ROWS_A_BLOCK):
            end = min(start + ROWS_A_BLOCK, self.stored_frames)
            try:
                yield start, np.asarray(dataset[start:end], dtype=np.float32)
            except BROKEN:
                return

    def events(self) -> tuple[EventEntry, ...]:
        """Every event, in the order of the file."""
        stamps, frames = self.integers("events/timestamp_ns"), self.integers("events/frame")
        kinds, texts, sigma_h = self.texts("events/kind"), self.texts("events/text"), self.numbers("events/sigma_h")
        if stamps is None or frames is None or kinds is None or texts is None or sigma_h is None:
            return ()
        rows = zip(stamps, frames, kinds, texts, sigma_h, strict=False)
        return tuple(EventEntry(int(ns), int(row), str(k), str(t), float(s)) for ns, row, k, t, s in rows)

    def _dataset(self, path: str) -> h5py.Dataset | None:
        try:
            item = self._entry.get(path)
        except BROKEN:
            return None
        return item if isinstance(item, h5py.Dataset) else None

    @staticmethod
    def _single(dataset: h5py.Dataset | None) -> Any:
        """The one value of a dataset, None where there is none."""
        if dataset is None or dataset.shape != ():
            return None
        try:
            return dataset[()]
        except BROKEN:
            return None

    def _chosen(self, path: str, dataset: h5py.Dataset) -> slice | IntArray:
        """Which rows are read: a run that grows has the same frames in everything that the report shows."""
        return slice(self.frames if has_frames(path, dataset) else None)


def has_frames(path: str, dataset: h5py.Dataset) -> bool:
    """Whether a dataset has a row for every frame."""
    of_frames = path.startswith(("frames/", "tracking/", "azint1d/I", "cycling/at_frame/"))
    return of_frames and bool(dataset.ndim) and _grows(dataset)


def _printable(value: Any) -> str:
    """Text that can be written again, also where a damaged block gave bytes that are none."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    return text.encode("utf-8", "replace").decode()


def _grows(dataset: h5py.Dataset) -> bool:
    """Whether it has a row for every frame, sample or event."""
    return dataset.maxshape[0] is None


def _columns(dataset: h5py.Dataset, columns: IntArray) -> NDArray[Any]:
    """Some columns of a table, read in blocks so that a long run does not fill the memory."""
    blocks = [dataset[start : start + ROWS_A_BLOCK][:, columns] for start in range(0, dataset.shape[0], ROWS_A_BLOCK)]
    return np.concatenate(blocks) if blocks else np.empty((0, columns.size))

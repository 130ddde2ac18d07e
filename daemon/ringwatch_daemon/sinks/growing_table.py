"""Datasets that grow together: one row a frame, sample or event, written in batches.

A table of a run has some 150 datasets; making each one row longer for every frame would cost more
than the analysis. So rows wait in arrays of a fixed size and go out together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, slots=True)
class Field:
    """One dataset of a table.

    Parameters
    ----------
    path
        Below the entry.
    dtype
        Of one element; fixed-width bytes for text.
    shape
        Of one row; empty for a single value.
    chunk
        Rows and lengths that HDF5 stores as one block.
    blank
        What stands in a row that has no value.
    attributes
        As (name, value).
    """

    path: str
    dtype: DTypeLike
    chunk: tuple[int, ...]
    shape: tuple[int, ...] = ()
    blank: Any = float("nan")
    attributes: tuple[tuple[str, Any], ...] = ()


class GrowingTable:
    """Datasets of one length below a group.

    Parameters
    ----------
    entry
        Where the paths of `fields` begin. The datasets are made here, so before SWMR writing.
    batch_rows
        Rows that wait in memory at most.
    resumed_rows
        Go on after so many rows of datasets that are there already; what lies beyond is written over.

    Raises
    ------
    ValueError
        A dataset that is there already has another form, or fewer rows.
    """

    def __init__(
        self, entry: h5py.Group, fields: tuple[Field, ...], *, batch_rows: int, resumed_rows: int | None = None
    ) -> None:
        self._fields = {field.path: field for field in fields}
        if resumed_rows is None:
            self._datasets = {field.path: _dataset(entry, field) for field in fields}
        else:
            self._datasets = {field.path: _there(entry, field, resumed_rows) for field in fields}
        # After a kill some datasets may hold rows of a batch that others lack. They are not made shorter: that is
        # no change that a second kill would leave whole.
        self._longest = max(dataset.shape[0] for dataset in self._datasets.values())
        # Written once at the start: memory that only a burst of rows would touch could be missing then.
        self._waiting = {
            field.path: np.full((batch_rows, *field.shape), field.blank, dtype=field.dtype) for field in fields
        }
        self._batch_rows = batch_rows
        self._written = resumed_rows or 0
        self._count = 0
        self._unflushed = True

    @property
    def rows(self) -> int:
        """Rows that came so far, written or waiting."""
        return self._written + self._count

    @property
    def waiting(self) -> int:
        """Rows that wait in memory."""
        return self._count

    @property
    def batch_bytes(self) -> int:
        """Memory of the rows that can wait."""
        return sum(array.nbytes for array in self._waiting.values())

    @property
    def is_full(self) -> bool:
        """Whether no more rows can wait in memory."""
        return self._count == self._batch_rows

    def append(self, values: Mapping[str, Any]) -> None:
        """Add one row; a dataset without a value gets its blank."""
        if self.is_full:
            self.write()
        for path, waiting in self._waiting.items():
            waiting[self._count] = values.get(path, self._fields[path].blank)
        self._count += 1

    def extend(self, columns: Mapping[str, NDArray[Any]], count: int) -> None:
        """Add `count` rows, one array a dataset."""
        first = 0
        while first < count:
            if self.is_full:
                self.write()
            fits = min(count - first, self._batch_rows - self._count)
            for path, waiting in self._waiting.items():
                waiting[self._count : self._count + fits] = columns[path][first : first + fits]
            self._count += fits
            first += fits

    def rewrite(self, rows: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Replace values of earlier `rows`, wherever those rows are now.

        Raises
        ------
        IndexError
            A row that has not come yet.
        """
        require_known(rows, self.rows)
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        stored = int(np.searchsorted(rows, self._written))
        for path, values in columns.items():
            sorted_values = values[order]
            self._waiting[path][rows[stored:] - self._written] = sorted_values[stored:]
            for block in runs(rows[:stored]):
                first, last = int(rows[block.start]), int(rows[block.stop - 1])
                self._datasets[path][first : last + 1] = sorted_values[block]
                self._unflushed = True

    def write(self, most: int | None = None) -> None:
        """Write the rows that wait, or the first `most` of them; after an error they wait still."""
        count = self._count if most is None else min(most, self._count)
        if not count:
            return
        end = self._written + count
        spaces: dict[tuple[int, ...], tuple[h5py.h5s.SpaceID, h5py.h5s.SpaceID]] = {}
        for path, dataset in self._datasets.items():
            row_shape = self._fields[path].shape
            extent = (end if end >= self._longest else max(end, dataset.shape[0]), *row_shape)
            dataset.id.set_extent(extent)
            if extent not in spaces:
                spaces[extent] = _spaces(self._written, end, extent)
            memory, file = spaces[extent]
            dataset.id.write(memory, file, self._waiting[path][:count])
        left = self._count - count
        for waiting in self._waiting.values() if left else ():
            waiting[:left] = waiting[count : self._count]
        self._written, self._count = end, left
        self._unflushed = True

    def blocks(self, most: int) -> Iterator[tuple[dict[str, NDArray[Any]], int]]:
        """The rows that are written, `most` at a time, as columns and their length."""
        for first in range(0, self._written, most):
            end = min(first + most, self._written)
            yield {path: dataset[first:end] for path, dataset in self._datasets.items()}, end - first

    def column(self, path: str) -> NDArray[Any]:
        """(rows, ...) of one dataset, the rows that wait included."""
        return np.concatenate([self._datasets[path][: self._written], self._waiting[path][: self._count]])

    def made_in(self, entry: h5py.Group) -> dict[str, h5py.Dataset]:
        """Empty datasets of this table in another file."""
        return {path: _dataset(entry, field) for path, field in self._fields.items()}

    def go_on_in(self, datasets: dict[str, h5py.Dataset]) -> None:
        """Go on in the datasets of another file, from their row 0; rows that wait will stand in them."""
        self._datasets = datasets
        self._written = self._longest = 0
        self._unflushed = True

    @property
    def overhanging(self) -> tuple[str, ...]:
        """Paths of datasets that are longer than the table, as a cut-off batch leaves them."""
        if self._written >= self._longest:
            return ()
        return tuple(path for path, dataset in self._datasets.items() if dataset.shape[0] > self._written)

    def flush(self) -> None:
        """Let HDF5 write what it holds of these datasets, and nothing else of the file."""
        if not self._unflushed:
            return
        for dataset in self._datasets.values():
            dataset.id.flush()
        self._unflushed = False


def _dataset(entry: h5py.Group, field: Field) -> h5py.Dataset:
    dataset = entry.create_dataset(
        field.path,
        shape=(0, *field.shape),
        maxshape=(None, *field.shape),
        chunks=field.chunk,
        dtype=field.dtype,
    )
    for name, value in field.attributes:
        dataset.attrs[name] = value
    return dataset


def _there(entry: h5py.Group, field: Field, rows: int) -> h5py.Dataset:
    dataset = entry[field.path]
    if dataset.dtype != np.dtype(field.dtype) or dataset.shape[1:] != field.shape or dataset.shape[0] < rows:
        raise ValueError(
            f"{field.path} was expected with {rows} rows of {np.dtype(field.dtype)} {field.shape}, "
            f"got {dataset.shape} of {dataset.dtype}"
        )
    return dataset


def _spaces(first: int, end: int, extent: tuple[int, ...]) -> tuple[h5py.h5s.SpaceID, h5py.h5s.SpaceID]:
    """Where a batch stands in memory and in a file, shared by all datasets of one extent."""
    row_shape = extent[1:]
    file = h5py.h5s.create_simple(extent, (h5py.h5s.UNLIMITED, *row_shape))
    file.select_hyperslab((first, *(0 for _ in row_shape)), (end - first, *row_shape))
    return h5py.h5s.create_simple((end - first, *row_shape)), file


def runs(rows: NDArray[np.int64]) -> Iterator[slice]:
    """Stretches of `rows` (ascending) without a gap."""
    if not rows.size:
        return
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    edges = [0, *breaks.tolist(), rows.size]
    for first, last in pairwise(edges):
        yield slice(first, last)


def require_known(rows: NDArray[np.int64], known: int) -> None:
    """Raise IndexError unless all of `rows` are among the first `known`."""
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < known:
        raise IndexError(f"rows from 0 to {known - 1} were expected, got {rows.min()} to {rows.max()}")

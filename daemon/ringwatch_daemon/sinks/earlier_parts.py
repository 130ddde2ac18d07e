"""Puts values that come late into parts of a run that are complete and closed.

HDF5 would mark such a file as open while it writes, and whoever opened the run just then would miss the whole
part. A chunk that is there and not compressed stands at a known place, though, and a value of it is a few bytes:
they are written straight to that place, and nothing else of the file changes.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.sinks.growing_table import runs

LOG = logging.getLogger(__name__)


class EarlierParts:
    """The closed parts of a run; the one that was written last stays open.

    Parameters
    ----------
    path_of
        The file of a part, by its index.
    part_rows
        Rows of each.
    """

    def __init__(self, path_of: Callable[[int], Path], *, part_rows: int) -> None:
        self._path_of = path_of
        self._part_rows = part_rows
        self._open: _ClosedPart | None = None
        self._index = -1
        self._changing = threading.Lock()

    def rewrite(self, rows: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Replace single values of `rows`. A part that is not there any more, or is damaged, is told and left out.

        Raises
        ------
        OSError
            The disk does not take it.
        """
        at = rows // self._part_rows
        for index in np.unique(at).tolist():
            chosen = at == index
            local = rows[chosen] - index * self._part_rows
            try:
                self._part(index).rewrite(local, {path: values[chosen] for path, values in columns.items()})
            except _UnreadableError as error:
                LOG.warning("what came late for %d rows of %s is left out: %s", local.size, self._path_of(index), error)

    def sync(self) -> None:
        """Wait until the disk has what was written; may be called from another thread.

        Raises
        ------
        OSError
            The disk could not take it.
        """
        with self._changing:
            raw = None if self._open is None else os.dup(self._open.raw)
        if raw is not None:
            try:
                os.fsync(raw)
            finally:
                os.close(raw)

    def close(self) -> None:
        """Let go of the part that is open, once the disk has it."""
        self.sync()
        with self._changing:
            if self._open is not None:
                self._open.close()
            self._open, self._index = None, -1

    def _part(self, index: int) -> "_ClosedPart":
        if self._open is None or self._index != index:
            self.close()
            opened = _ClosedPart(self._path_of(index))
            with self._changing:
                self._open, self._index = opened, index
            return opened
        return self._open


class _UnreadableError(Exception):
    """A part is missing or damaged."""


class _ClosedPart:
    """One file, read by HDF5 and written beside it."""

    def __init__(self, path: Path) -> None:
        try:
            self.raw = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _UnreadableError("the file is not there any more") from error
        try:
            self._file = h5py.File(path, "r", locking=False)
        except OSError as error:
            os.close(self.raw)
            raise _UnreadableError(str(error)) from error

    def rewrite(self, rows: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> None:
        order = np.argsort(rows, kind="stable")
        for path, values in columns.items():
            try:
                dataset = self._file["entry"][path]
            except (KeyError, RuntimeError) as error:
                raise _UnreadableError(str(error)) from error
            self._rewrite_column(dataset, rows[order], values[order])

    def close(self) -> None:
        self._file.close()
        os.close(self.raw)

    def _rewrite_column(self, dataset: h5py.Dataset, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        if dataset.ndim != 1 or dataset.chunks is None or dataset.id.get_create_plist().get_nfilters():
            raise _UnreadableError(f"{dataset.name} was expected to be plain rows of single values")
        stored = values.astype(dataset.dtype)
        for block in runs(rows):
            self._write_block(dataset, int(rows[block.start]), stored[block])

    def _write_block(self, dataset: h5py.Dataset, first: int, values: NDArray[Any]) -> None:
        """Write consecutive rows, chunk by chunk."""
        rows_a_chunk = dataset.chunks[0]
        while values.size:
            place = first % rows_a_chunk
            here = values[: rows_a_chunk - place]
            _write_all(self.raw, here.tobytes(), _chunk_at(dataset, first) + place * here.itemsize)
            first, values = first + here.size, values[here.size :]


def _chunk_at(dataset: h5py.Dataset, row: int) -> int:
    """Where the chunk of a row begins in the file, in bytes."""
    try:
        offset: int | None = dataset.id.get_chunk_info_by_coord((row,)).byte_offset
    except RuntimeError as error:
        raise _UnreadableError(str(error)) from error
    if offset is None:
        raise _UnreadableError(f"{dataset.name} has no row {row}")
    return offset


def _write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written

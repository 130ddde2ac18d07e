"""One of several cells of a run, as the report sees it: a run of its own."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.reporting.run_file import EventEntry, IntArray, RunFile, has_frames


class CellFile(RunFile):
    """Reads the frames, samples and events of one cell; rows are counted among its own.

    Parameters
    ----------
    path
        HDF5 file of a run of several cells.
    cell
        Name of the cell.
    """

    def __init__(self, path: Path, cell: str) -> None:
        super().__init__(path)
        self._cell = cell

    @property
    def frames(self) -> int:
        """How many frames show the cell."""
        return int(self._own_frames.size)

    def row(self, path: str, row: int) -> NDArray[np.float64] | None:
        """One row of a (frames, n) dataset."""
        return super().row(path, int(self._own_frames[row])) if row < self.frames else None

    def text(self, path: str) -> str:
        """A single text; what is told of the sample is that of the cell."""
        told = super().text(self._own_fact(path))
        return f"{told}, {self._cell}" if path == "title" else told

    def number(self, path: str) -> float:
        """A single number; what is told of the sample is that of the cell."""
        return super().number(self._own_fact(path))

    def pattern_blocks(self, *, errors: bool = False) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All patterns of the cell a block at a time, as (first row, (rows, bins))."""
        own, done = self._own_frames, 0
        for start, block in super().pattern_blocks(errors=errors):
            here = own[(own >= start) & (own < start + len(block))] - start
            if here.size:
                yield done, block[here]
                done += int(here.size)

    def events(self) -> tuple[EventEntry, ...]:
        """Events of the cell, and those that concern no cell."""
        row_of = {int(row): number for number, row in enumerate(self._own_frames)}
        return tuple(replace(event, row=row_of.get(event.row, -1)) for event in super().events())

    @cached_property
    def _own_frames(self) -> IntArray:
        return self._own("frames", self.stored_frames)

    def _own(self, table: str, rows: int | None = None) -> IntArray:
        names = self._names(table)[:rows]
        # What happens to the detector concerns every cell.
        own = (names == self._cell) | ((names == "") & (table == "events"))
        return np.flatnonzero(own).astype(np.int64)

    def _names(self, table: str) -> NDArray[np.str_]:
        dataset = self._dataset(f"{table}/cell")
        stored = np.zeros(0, dtype="S1") if dataset is None else dataset[()]
        return np.char.decode(stored, "utf-8", "replace")

    def _own_fact(self, path: str) -> str:
        if path == "reduction/input/phases":
            return f"cells/{self._cell}/phases"
        group, _, name = path.partition("/")
        return f"cells/{self._cell}/{name}" if group == "sample" else path

    def _chosen(self, path: str, dataset: h5py.Dataset) -> slice | IntArray:
        if has_frames(path, dataset):
            return self._own_frames
        table = path.rpartition("/")[0]
        return self._own(table) if self.has(f"{table}/cell") else slice(None)


def cells_in(file: RunFile) -> tuple[str, ...]:
    """Names of the cells of a run; none for a run of one."""
    return file.names("cells")

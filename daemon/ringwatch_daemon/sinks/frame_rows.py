"""The frames of a run: one row each, in one file or in parts of equal length."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.sinks.earlier_parts import EarlierParts
from ringwatch_daemon.sinks.growing_table import GrowingTable, require_known
from ringwatch_daemon.sinks.run_parts import MOST_PARTS
from ringwatch_daemon.sinks.sealed_file import SealedFile

Late = tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]


class FrameRows:
    """Rows of frames, by their number in the run.

    Parameters
    ----------
    file
        What the newest rows stand in.
    table
        Their datasets there.
    index
        Which part that is, from 0; also 0 for a run in one file.
    part_rows
        Rows of a part; None where all rows stay in one file.
    earlier
        The parts before.
    """

    def __init__(
        self, file: SealedFile, table: GrowingTable, *, index: int, part_rows: int | None, earlier: EarlierParts
    ) -> None:
        self.file = file
        self.index = index
        self._table = table
        self._part_rows = part_rows
        self._earlier = earlier
        self._stays = part_rows is None or index == MOST_PARTS - 1
        self._late: list[Late] = []

    @property
    def rows(self) -> int:
        """Rows that came so far, written or waiting."""
        return self._first + self._table.rows

    @property
    def is_full(self) -> bool:
        """Whether no more rows can wait in memory."""
        return self._table.is_full

    @property
    def waiting(self) -> int:
        """Rows that wait in memory."""
        return self._table.waiting

    @property
    def batch_bytes(self) -> int:
        """Memory of the rows that can wait."""
        return self._table.batch_bytes

    @property
    def overhanging(self) -> dict[str, int]:
        """Rows of datasets that are longer than their table."""
        return dict.fromkeys(self._table.overhanging, self._table.rows)

    def append(self, values: Mapping[str, Any]) -> None:
        """Add one row."""
        self._table.append(values)

    def rewrite(self, rows: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Replace values of earlier `rows`, in whatever part they stand; those in a closed part at the next write.

        Raises
        ------
        IndexError
            A row that has not come yet.
        """
        require_known(rows, self.rows)
        closed = rows < self._first
        if closed.any():
            self._late.append((rows[closed], {path: values[closed] for path, values in columns.items()}))
        if not closed.all():
            here = {path: values[~closed] for path, values in columns.items()}
            self._table.rewrite(rows[~closed] - self._first, here)

    def write(self) -> None:
        """Write the rows that wait, as far as they belong to this part."""
        while self._late:
            self._earlier.rewrite(*self._late[0])
            del self._late[0]
        self._table.write(self._room)

    def flush(self) -> None:
        """Let HDF5 write what it holds of the newest rows."""
        self._table.flush()

    def made_in(self, file: SealedFile) -> dict[str, h5py.Dataset]:
        """Datasets in another file that are ready for rows."""
        return self._table.made_in(file.entry)

    def go_on_in(self, file: SealedFile, datasets: dict[str, h5py.Dataset]) -> None:
        """Begin the next part; rows that wait go there."""
        self._table.go_on_in(datasets)
        self.file = file
        self.index += 1
        self._stays = self.index == MOST_PARTS - 1

    def stay(self) -> None:
        """Keep all rows in this file, whatever comes."""
        self._stays = True

    def sync(self) -> None:
        """Wait until the disk has what was written."""
        self.file.sync()
        self._earlier.sync()

    def close(self) -> None:
        """Let go of the parts before this one."""
        self._earlier.close()

    @property
    def _first(self) -> int:
        return self.index * (self._part_rows or 0)

    @property
    def _room(self) -> int | None:
        """Rows that this part still takes; None for any number."""
        if self._part_rows is None or self._stays:
            return None
        return max(0, self._part_rows - (self._table.rows - self._table.waiting))

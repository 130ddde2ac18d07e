"""One run on the disk: ``RUN.h5``, and beside it the parts that a long run is made of.

Rows wait in memory and go to the file together, since making some 100 datasets longer costs about
as much for a hundred rows as for one.
"""

import errno
import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from ringwatch_daemon.core.records import (
    CellStateUpdate,
    CyclerClock,
    CyclingSamples,
    Event,
    FrameRecord,
    LedgerCorrection,
    Record,
    RunStart,
    RunStop,
    Status,
)
from ringwatch_daemon.sinks.background_sync import BackgroundSync
from ringwatch_daemon.sinks.earlier_parts import EarlierParts
from ringwatch_daemon.sinks.frame_rows import FrameRows
from ringwatch_daemon.sinks.growing_table import GrowingTable
from ringwatch_daemon.sinks.nexus_layout import add_plots, frame_fields, start_entry
from ringwatch_daemon.sinks.run_book import RunBook
from ringwatch_daemon.sinks.run_parts import (
    add_virtual_tables,
    clear_parts,
    part_of_row,
    part_path,
    part_rows_of,
    parts_folder,
)
from ringwatch_daemon.sinks.run_rows import cell_columns, correction_columns, frame_row
from ringwatch_daemon.sinks.sealed_file import SealedFile

LOG = logging.getLogger(__name__)
BATCH_ROWS = 256
BATCH_BYTES = 8 * 2**20
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class RunFile:
    """Writes the records of a run.

    Parameters
    ----------
    path
        Of ``RUN.h5``.
    start
        What the run began with.
    part_rows
        Frames in one file, before the next part begins; None for one file whatever comes.
    resume
        Go on with what is there; else a file is made, and gets its name once it can be opened.
    sync_s
        Longest time between two requests that the disk have what was written; infinite for none.
    """

    def __init__(self, path: Path, start: RunStart, *, part_rows: int | None, resume: bool, sync_s: float) -> None:
        self.path = path
        self.run_id = start.run_id
        self._start = start
        self._columns = frozenset(column.path for column in start.columns)
        self._changed = False
        self._part_rows = part_rows
        self._main = SealedFile.reopened(path) if resume else SealedFile.made(_being_made(path))
        try:
            self._book, self._frames = self._resumed() if resume else self._begun()
        except BaseException:
            self._main.close() if resume else self._main.abandon()
            raise
        self._synced = BackgroundSync(self._sync, every_s=sync_s)
        try:
            self._show()
        except BaseException:
            self._close()
            raise

    def take(self, record: Record) -> None:
        """Take the next record."""
        self._changed = True
        match record:
            case FrameRecord():
                self._take_frame(record)
            case LedgerCorrection():
                self._frames.rewrite(np.array([record.row]), correction_columns(record))
            case CyclingSamples():
                self._book.take_samples(record)
            case CyclerClock():
                self._book.take_clock(record)
            case CellStateUpdate():
                self._frames.rewrite(record.rows, cell_columns(record.states))
            case Event():
                self._book.take_event(record)
            case Status():
                self._book.take_totals(record.totals, record.flags)
            case RunStop():
                self._book.take_stop(record)

    def write(self, now_ns: int) -> None:
        """Write the rows that wait and show them to readers."""
        if self._changed:
            self._write_frames()
            self._book.write(now_ns)
            self._show()

    def close(self, now_ns: int) -> None:
        """Write everything and close all files."""
        try:
            self.write(now_ns)
        finally:
            self._close()

    @property
    def _is_parted(self) -> bool:
        return self._frames.file is not self._main

    def _close(self) -> None:
        self._synced.close()
        lengths = self._book.overhanging
        with ExitStack() as leaving:
            if self._is_parted:
                leaving.callback(self._main.close, lengths=lengths)
                leaving.callback(self._frames.file.close, lengths=self._frames.overhanging)
            else:
                leaving.callback(self._main.close, lengths=lengths | self._frames.overhanging)
            leaving.callback(self._frames.close)

    def _take_frame(self, record: FrameRecord) -> None:
        if record.row != self._frames.rows:
            raise ValueError(f"row {self._frames.rows} comes next, got row {record.row} (frame {record.unique_id})")
        if self._frames.is_full:
            self._write_frames()
        self._frames.append(frame_row(record, self._columns))

    def _write_frames(self) -> None:
        for file in self._files:
            file.require_in_place()
            file.hold()
        self._frames.write()
        while self._frames.waiting:
            self._next_part()
            self._frames.write()

    def _show(self) -> None:
        # First the superblock that covers what is new, then the new: so there is no moment at which
        # a kill would leave rows beyond the end that the file tells. Dataset by dataset, since a
        # flush of the file would make HDF5 write its own superblock again.
        for file in self._files:
            file.hold()
        self._frames.flush()
        self._book.commit(self._frames.rows)
        self._changed = False
        self._synced.ask()

    @property
    def _files(self) -> tuple[SealedFile, ...]:
        return (self._frames.file, self._main) if self._is_parted else (self._main,)

    def _sync(self) -> None:
        self._frames.sync()
        self._main.sync()

    def _begun(self) -> tuple[RunBook, FrameRows]:
        start_entry(self._main.file, self._start)
        frames = self._frame_rows(self._main, index=0, resumed_rows=None)
        add_plots(self._main.entry, self._start.columns)
        book = RunBook(self._main, several_cells=bool(self._start.cells), resume=False)
        self._main.begin_growing(batch_bytes=frames.batch_bytes)
        self._main.renamed(self.path)
        return book, frames

    def _resumed(self) -> tuple[RunBook, FrameRows]:
        book = RunBook(self._main, several_cells=bool(self._start.cells), resume=True)
        rows = book.committed_frames
        part_rows = part_rows_of(self._main.entry)
        if part_rows is None:
            # A change of part that was cut off before it counted.
            clear_parts(self.path)
            frames = self._frame_rows(self._main, index=0, resumed_rows=rows)
            self._main.begin_growing(batch_bytes=frames.batch_bytes)
            return book, frames
        self._part_rows = part_rows
        index = part_of_row(rows, part_rows=part_rows)
        clear_parts(self.path, after=index)
        path = part_path(self.path, index)
        there = path.exists()
        part = SealedFile.reopened(path) if there else self._part_begun(path)
        try:
            resumed_rows = rows - index * part_rows if there else None
            frames = self._frame_rows(part, index=index, resumed_rows=resumed_rows)
            part.begin_growing(batch_bytes=frames.batch_bytes)
            self._main.begin_growing(batch_bytes=book.batch_bytes)
            part.renamed(path)
        except BaseException:
            part.close() if there else part.abandon()
            raise
        return book, frames

    def _frame_rows(self, file: SealedFile, *, index: int, resumed_rows: int | None) -> FrameRows:
        batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // (8 * len(self._start.norm))))
        fields = frame_fields(self._start)
        table = GrowingTable(file.entry, fields, batch_rows=batch_rows, resumed_rows=resumed_rows)
        earlier = EarlierParts(partial(part_path, self.path), part_rows=self._part_rows or 1)
        return FrameRows(file, table, index=index, part_rows=self._part_rows, earlier=earlier)

    def _next_part(self) -> None:
        """Begin another file for the rows that still wait."""
        if not self._is_parted and not self._become_parts():
            return
        with self._synced.paused():
            old, index = self._frames.file, self._frames.index + 1
            # Before the new part is there: whatever the disk refuses, there is one file at most that does not count.
            old.hold()
            self._frames.flush()
            new = self._part_begun(part_path(self.path, index))
            try:
                datasets = self._frames.made_in(new)
                new.begin_growing(batch_bytes=self._frames.batch_bytes)
                new.renamed(part_path(self.path, index))
            except BaseException:
                new.abandon()
                raise
            self._frames.go_on_in(new, datasets)
            old.close()

    def _become_parts(self) -> bool:
        """Make the file of the run its first part, and a new one that reads as one; False where that cannot be."""
        self._main.hold()
        self._frames.flush()
        reading_as_one = SealedFile.made(_being_made(self.path))
        try:
            book = self._copied_to(reading_as_one)
            if not self._first_part_named():
                reading_as_one.abandon()
                return False
            reading_as_one.renamed(self.path)
        except BaseException:
            reading_as_one.abandon()
            raise
        self._book.leave(f"goes on in {parts_folder(self.path).name}; {self.path.name} reads as one")
        with self._synced.paused():
            self._main.path = part_path(self.path, 0)
            self._main, self._book = reading_as_one, book
        return True

    def _copied_to(self, file: SealedFile) -> RunBook:
        start_entry(file.file, self._start)
        assert self._part_rows is not None
        add_virtual_tables(file.entry, frame_fields(self._start), output=self.path, part_rows=self._part_rows)
        add_plots(file.entry, self._start.columns)
        book = self._book.copied_to(file)
        file.begin_growing(batch_bytes=book.batch_bytes)
        book.flush()
        return book

    def _first_part_named(self) -> bool:
        """Give the file of the run its second name; whoever looks finds it under both until the new one is there."""
        first = part_path(self.path, 0)
        first.parent.mkdir(exist_ok=True)
        first.unlink(missing_ok=True)
        try:
            first.hardlink_to(self.path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            LOG.warning("the run stays in one file, for %s takes no hard links: %s", first.parent, error)
            first.parent.rmdir()
            self._frames.stay()
            return False
        return True

    def _part_begun(self, path: Path) -> SealedFile:
        """A new file with the facts of the run; it has no rows yet."""
        path.parent.mkdir(exist_ok=True)
        file = SealedFile.made(_being_made(path))
        try:
            start_entry(file.file, self._start)
        except BaseException:
            file.abandon()
            raise
        return file


def _being_made(path: Path) -> Path:
    """A file gets its name once it can be opened: a kill before that leaves nothing half made there."""
    return path.with_name(f".{path.name}.making")

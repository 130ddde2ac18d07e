"""The HDF5 file of a run: NeXus, readable by everybody while it grows and after any end.

Rows wait in memory and go to the file together, since making some 100 datasets longer costs about
as much for a hundred rows as for one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ringwatch_daemon.core.clock import Clock, SystemClock
from ringwatch_daemon.core.columns import STATE_WIDTH, values_from_tracked
from ringwatch_daemon.core.errors import SinkError, StorageError
from ringwatch_daemon.core.messages import float32_pattern
from ringwatch_daemon.core.records import (
    CellStateUpdate,
    CyclingSamples,
    Event,
    FrameRecord,
    LedgerCorrection,
    Record,
    RunStart,
    RunStop,
    Status,
    Totals,
)
from ringwatch_daemon.sinks.background_sync import BackgroundSync
from ringwatch_daemon.sinks.growing_table import GrowingTable
from ringwatch_daemon.sinks.nexus_layout import (
    COMMITTED,
    TOTALS,
    add_plots,
    event_fields,
    fixed_text,
    frame_fields,
    iso_from_ns,
    sample_fields,
    start_entry,
)
from ringwatch_daemon.sinks.swmr_seal import RESERVE_BYTES, SealError, SwmrSeal, mend
from ringwatch_pipelines.cell.cycling import CellState, CyclerSamples

SYNC_S = 5.0
BATCH_ROWS = 256
BATCH_BYTES = 8 * 2**20
SAMPLES_WAITING = 8192
EVENTS_WAITING = 64
CHUNK_CACHE_BYTES = 32 * 2**10
"""Of each dataset. Chunks are not compressed, so HDF5 writes into them directly and needs no cache."""

_TEXT_WIDTH = 512


class NexusFile:
    """A sink that writes a run to one file.

    Parameters
    ----------
    directory
        Where a file named after the run is made; the directory itself is made where it is missing.
    path
        The file to make, instead.
    overwrite
        Replace a file that is there; refused otherwise.
    resume
        Go on with the file that is there, of a run that was cut off.
    sync_s
        Longest time between two requests that the disk have what was written; infinite for none.
    interval_s
        `flush` writes when this much time has passed since the last write. By default it writes
        every time, so that what is published after a flush is in the file.

    Raises
    ------
    SinkError
        Neither a directory nor a path is given.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        path: Path | None = None,
        overwrite: bool = False,
        resume: bool = False,
        sync_s: float = SYNC_S,
        interval_s: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        if directory is None and path is None:
            raise SinkError("a directory or a path for the file of the run was expected, got neither")
        self._directory = directory
        self._path = path
        self._overwrite = overwrite
        self._resume = resume
        self._sync_s = sync_s
        self._interval_s = interval_s
        self._clock = clock or SystemClock()
        self._run: _RunFile | None = None
        self._written_s = -float("inf")

    @property
    def path(self) -> Path | None:
        """The file of the run; None before the start of a run that gives the file its name."""
        return self._path

    def accept(self, record: Record) -> None:
        """Take the next record; the start of a run makes the file.

        Raises
        ------
        SinkError
            The file cannot be made or written, or the record does not follow those before.
        """
        if isinstance(record, RunStart):
            self._start(record)
            return
        if self._run is None:
            raise SinkError(f"the file of a run expected its start first, got {type(record).__name__}")
        with _told(self._run.path, "written"):
            self._run.take(record)

    def flush(self) -> None:
        """Write what was accepted and show it to readers, unless that was done a moment ago.

        Raises
        ------
        StorageError
            The file cannot be written; what waits is tried again at the next flush.
        """
        now_s = self._clock.monotonic_s()
        if self._run is None or now_s - self._written_s < self._interval_s:
            return
        self._written_s = now_s
        with _told(self._run.path, "written"):
            self._run.write(self._clock.utc_ns())

    def close(self) -> None:
        """Write everything and close the file.

        Raises
        ------
        SinkError
            The last rows cannot be written; the file still holds all that were.
        """
        run, self._run = self._run, None
        if run is not None:
            with _told(run.path, "closed"):
                run.close(self._clock.utc_ns())

    def _start(self, start: RunStart) -> None:
        if self._run is not None:
            raise SinkError(f"{self._run.path} holds run {self._run.run_id}, got another start: {start.run_id}")
        path = self._path or (self._directory or Path()) / f"{start.run_id}.h5"
        if path.exists() and not self._overwrite and not self._resume:
            raise SinkError(f"{path} is there already, and a run is not overwritten: name another file or remove it")
        with _told(path, "made"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._run = self._resumed(path, start) if self._resume else self._begun(path, start)
        self._path = path

    def _resumed(self, path: Path, start: RunStart) -> "_RunFile":
        opened = _reopened(path)
        try:
            return _RunFile(path, opened, start, resume=True, sync_s=self._sync_s)
        except BaseException:
            opened.close()
            raise

    def _begun(self, path: Path, start: RunStart) -> "_RunFile":
        # It gets its name once it can be opened: a kill before that leaves nothing half made there.
        being_made = path.with_name(f".{path.name}.making")
        opened = _made(being_made)
        try:
            run = _RunFile(being_made, opened, start, resume=False, sync_s=self._sync_s)
            being_made.replace(path)
        except BaseException:
            opened.close()
            being_made.unlink(missing_ok=True)
            raise
        run.path = path
        return run


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{path} cannot be {what}: {_first_line(error)}") from error
    except (SealError, ValueError, IndexError) as error:
        raise SinkError(f"{path} cannot be {what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _made(path: Path) -> h5py.File:
    # Locks would keep readers out, on some network file systems the writer too; one writer is
    # made sure of by making the file anew.
    return h5py.File(path, "w", libver="latest", locking=False, rdcc_nbytes=CHUNK_CACHE_BYTES)


def _reopened(path: Path) -> h5py.File:
    mend(path)
    file = h5py.File(path, "r+", libver="latest", locking=False, rdcc_nbytes=CHUNK_CACHE_BYTES)
    # HDF5 has marked it as open again; readers wait for nothing that is about to change.
    mend(path)
    return file


def _cut_overhang(path: Path, lengths: dict[str, int]) -> None:
    """Cut what a batch that was cut off has left in some of the datasets."""
    if lengths:
        with h5py.File(path, "r+", libver="latest", locking=False) as file:
            for name, rows in lengths.items():
                file["entry"][name].resize(rows, axis=0)


class _RunFile:
    """One open file: the tables of a run and where records go in them."""

    def __init__(self, path: Path, file: h5py.File, start: RunStart, *, resume: bool, sync_s: float) -> None:
        self.path = path
        self.run_id = start.run_id
        self._columns = frozenset(column.path for column in start.columns)
        self._stopped = False
        self._changed = False
        self._file = file
        self._entry = file["entry"] if resume else start_entry(file, start)
        self._ledger = self._entry["ledger"]
        committed = [int(self._ledger[name][()]) if resume else None for name in COMMITTED]
        batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // (8 * len(start.norm))))
        self._frames, self._samples, self._events = (
            GrowingTable(self._entry, fields, batch_rows=rows, resumed_rows=resumed_rows)
            for fields, rows, resumed_rows in zip(
                (frame_fields(start), sample_fields(), event_fields()),
                (batch_rows, SAMPLES_WAITING, EVENTS_WAITING),
                committed,
                strict=True,
            )
        )
        if not resume:
            add_plots(self._entry, start.columns)
        self._tables = (self._samples, self._events, self._frames)
        self._end_time = self._entry["end_time"]
        self._single = (self._end_time, *self._ledger.values())
        file.swmr_mode = True
        # At once: until then a file that others read already counts as one that is open for writing.
        self._seal = SwmrSeal(path, reserve_bytes=max(RESERVE_BYTES, 4 * self._frames.batch_bytes))
        self._seal.hold(file.id.get_filesize())
        self._sync = BackgroundSync(self._seal.sync, every_s=sync_s)
        try:
            self._show()
        except BaseException:
            self._sync.close()
            self._seal.close()
            raise

    def take(self, record: Record) -> None:
        self._changed = True
        match record:
            case FrameRecord():
                self._take_frame(record)
            case LedgerCorrection():
                columns = {"frames/state": _states(record.state), "frames/reason": _states(record.reason)}
                self._frames.rewrite(np.array([record.row]), columns)
            case CyclingSamples(samples):
                columns = {f"cycling/{each.name}": getattr(samples, each.name) for each in fields(CyclerSamples)}
                self._samples.extend(columns, samples.timestamp_ns.size)
            case CellStateUpdate():
                self._frames.rewrite(record.rows, _cell_columns(record.states))
            case Event():
                self._events.append(_event_row(record))
            case Status():
                self._write_totals(record.totals, record.flags)
            case RunStop():
                self._write_stop(record)

    def write(self, now_ns: int) -> None:
        """Write the rows that wait and show them to readers."""
        if not self._changed:
            return
        self._seal.require_in_place(self.path)
        self._seal.hold(self._file.id.get_filesize())
        for table in self._tables:
            table.write()
        if not self._stopped:
            self._end_time[()] = iso_from_ns(now_ns).encode()
        self._show()

    def close(self, now_ns: int) -> None:
        try:
            self.write(now_ns)
        finally:
            self._sync.close()
            overhang = {path: table.rows for table in self._tables for path in table.overhanging}
            try:
                self._file.close()
                self._seal.cut()
                _cut_overhang(self.path, overhang)
                self._seal.sync()
            finally:
                self._seal.close()

    def _show(self) -> None:
        # First the superblock that covers what is new, then the new: so there is no moment at which
        # a kill would leave rows beyond the end that the file tells. Dataset by dataset, since a
        # flush of the file would make HDF5 write its own superblock again.
        self._seal.hold(self._file.id.get_filesize())
        for table in self._tables:
            table.flush()
        for name, table in zip(COMMITTED, (self._frames, self._samples, self._events), strict=True):
            self._ledger[name][()] = table.rows
        for dataset in self._single:
            dataset.id.flush()
        self._changed = False
        self._sync.ask()

    def _take_frame(self, record: FrameRecord) -> None:
        if record.row != self._frames.rows:
            raise ValueError(f"row {self._frames.rows} comes next, got row {record.row} (frame {record.unique_id})")
        self._frames.append(_frame_row(record, self._columns))

    def _write_totals(self, totals: Totals, flags: tuple[str, ...]) -> None:
        for name in TOTALS:
            self._ledger[name][()] = getattr(totals, name)
        self._ledger["reasons"][()] = _text(", ".join(f"{name} {count}" for name, count in totals.reasons))
        self._ledger["flags"][()] = _text(", ".join(flags))

    def _write_stop(self, record: RunStop) -> None:
        self._stopped = True
        self._write_totals(record.totals, record.flags)
        self._ledger["stopped"][()] = _text(record.why)
        self._end_time[()] = iso_from_ns(record.stopped_ns).encode()


def _frame_row(record: FrameRecord, columns: frozenset[str]) -> dict[str, Any]:
    result = record.result
    row: dict[str, Any] = {
        "frames/unique_id": record.unique_id,
        "frames/timestamp_ns": record.timestamp_ns,
        "frames/received_ns": record.received_ns,
        "frames/exposure_s": record.exposure_s,
        "frames/monitor": record.monitor,
        "frames/state": _state(record.state),
        "frames/reason": _state(record.reason),
        "frames/dark_index": -1 if result is None else result.dark_index,
    }
    row |= {f"cycling/at_frame/{name}": value for name, value in _cell_values(record.cell)}
    if result is not None and result.pattern is not None:
        row["azint1d/I"], row["azint1d/I_errors"] = float32_pattern(result.pattern)
    if result is not None and result.tracked is not None:
        for path, value in values_from_tracked(result.tracked).items():
            if path in columns:
                row[f"tracking/{path}"] = _state(value) if isinstance(value, str) else value
    return row


def _event_row(record: Event) -> dict[str, Any]:
    return {
        "events/timestamp_ns": record.timestamp_ns,
        "events/frame": record.row,
        "events/kind": _state(record.kind),
        "events/text": _text(record.text),
        "events/sigma_h": record.sigma_h,
    }


def _cell_values(state: CellState) -> Iterator[tuple[str, Any]]:
    for entry in fields(CellState):
        value = getattr(state, entry.name)
        yield entry.name, _state(value) if isinstance(value, str) else value


def _cell_columns(states: tuple[CellState, ...]) -> dict[str, Any]:
    rows = [dict(_cell_values(state)) for state in states]
    return {f"cycling/at_frame/{each.name}": np.array([row[each.name] for row in rows]) for each in fields(CellState)}


def _states(text: str) -> np.ndarray[Any, np.dtype[np.bytes_]]:
    return np.array([_state(text)])


def _state(text: str) -> bytes:
    return fixed_text(str(text), STATE_WIDTH)


def _text(text: str) -> bytes:
    return fixed_text(text, _TEXT_WIDTH)

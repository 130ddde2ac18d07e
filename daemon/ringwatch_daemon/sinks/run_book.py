"""What a run has once, in however many parts its frames stand: facts, ledger, events and the cycler's series."""

from collections.abc import Iterator

import numpy as np

from ringwatch_daemon.core.records import CyclerClock, CyclingSamples, Event, RunStop, Totals
from ringwatch_daemon.sinks.growing_table import GrowingTable
from ringwatch_daemon.sinks.nexus_layout import (
    COMMITTED,
    TOTALS,
    clock_fields,
    event_fields,
    iso_from_ns,
    sample_fields,
)
from ringwatch_daemon.sinks.run_rows import cell_value, clock_row, event_row, sample_columns, text_value
from ringwatch_daemon.sinks.sealed_file import SealedFile

SAMPLES_WAITING = 8192
EVENTS_WAITING = 64
_ROWS_COPIED = 65_536


class RunBook:
    """Writes the entry of ``RUN.h5``, apart from the frames.

    Parameters
    ----------
    file
        With all that does not grow.
    several_cells
        Whether samples and events name their cell.
    resume
        Go on with the tables that are there.
    """

    def __init__(self, file: SealedFile, *, several_cells: bool, resume: bool) -> None:
        self._file = file
        self._several_cells = several_cells
        entry = file.entry
        self._ledger = entry["ledger"]
        samples, events, clocks = (int(self._ledger[name][()]) if resume else None for name in COMMITTED[1:])
        self._samples = GrowingTable(
            entry, sample_fields(several_cells=several_cells), batch_rows=SAMPLES_WAITING, resumed_rows=samples
        )
        self._events = GrowingTable(
            entry, event_fields(several_cells=several_cells), batch_rows=EVENTS_WAITING, resumed_rows=events
        )
        self._clocks = GrowingTable(
            entry, clock_fields(several_cells=several_cells), batch_rows=EVENTS_WAITING, resumed_rows=clocks
        )
        self._end_time = entry["end_time"]
        self._stopped = False
        self._single = (self._end_time, *self._ledger.values())

    @property
    def committed_frames(self) -> int:
        """How many frames are whole in every dataset."""
        return int(self._ledger["rows"][()])

    @property
    def batch_bytes(self) -> int:
        """Memory of the rows that can wait."""
        return sum(table.batch_bytes for table in self._tables)

    @property
    def overhanging(self) -> dict[str, int]:
        """Rows of datasets that are longer than their table."""
        return {path: table.rows for table in self._tables for path in table.overhanging}

    def take_samples(self, record: CyclingSamples) -> None:
        """Add to the cycler's series."""
        columns, count = sample_columns(record), record.samples.timestamp_ns.size
        # A cycler's file may bring days at once: more than the end of the file is held ahead.
        for first in range(0, count, SAMPLES_WAITING):
            self._file.hold()
            end = min(first + SAMPLES_WAITING, count)
            self._samples.extend({path: values[first:end] for path, values in columns.items()}, end - first)

    def take_clock(self, record: CyclerClock) -> None:
        """Add a clock that was measured; where it is applied, the samples that stand there move to it."""
        self._clocks.append(clock_row(record))
        if record.applied:
            own_ns = self._samples.column("cycling/cycler_timestamp_ns")
            rows = np.arange(own_ns.size)
            if self._several_cells:
                rows = rows[self._samples.column("cycling/cell") == cell_value(record.cell_name)]
            stamps = record.estimate.relation.detector_from_cycler_ns(own_ns[rows])
            self._samples.rewrite(rows, {"cycling/timestamp_ns": stamps})

    def take_event(self, record: Event) -> None:
        """Add an event."""
        self._events.append(event_row(record))

    def take_totals(self, totals: Totals, flags: tuple[str, ...]) -> None:
        """Write the ledger's totals."""
        for name in TOTALS:
            self._ledger[name][()] = getattr(totals, name)
        self._ledger["reasons"][()] = text_value(", ".join(f"{name} {count}" for name, count in totals.reasons))
        self._ledger["flags"][()] = text_value(", ".join(flags))

    def take_stop(self, record: RunStop) -> None:
        """Write how the run ended."""
        self._stopped = True
        self.take_totals(record.totals, record.flags)
        self._ledger["stopped"][()] = text_value(record.why)
        self._end_time[()] = iso_from_ns(record.stopped_ns).encode()

    def write(self, now_ns: int) -> None:
        """Write the rows that wait."""
        for table in self._tables:
            table.write()
        if not self._stopped:
            self._end_time[()] = iso_from_ns(now_ns).encode()

    def commit(self, frames: int) -> None:
        """Show everything to readers, and that `frames` rows of frames are whole."""
        for table in self._tables:
            table.flush()
        lengths = (frames, *(table.rows for table in self._tables))
        for name, rows in zip(COMMITTED, lengths, strict=True):
            self._ledger[name][()] = rows
        self.flush()

    def flush(self) -> None:
        """Show everything to readers, and nothing more of it as whole than before."""
        for table in self._tables:
            table.flush()
        for dataset in self._single:
            dataset.id.flush()

    def copied_to(self, file: SealedFile) -> "RunBook":
        """The same book in another file: all rows, and the ledger as it stands."""
        for table in self._tables:
            table.write()
        other = RunBook(file, several_cells=self._several_cells, resume=False)
        for mine, theirs in zip(self._tables, other._tables, strict=True):
            for columns, count in mine.blocks(_ROWS_COPIED):
                theirs.extend(columns, count)
            theirs.write()
        for name, value in self._single_values():
            file.entry[name][()] = value
        other._stopped = self._stopped
        return other

    def leave(self, where: str) -> None:
        """Say in a file that is one part of the run from here on where the run goes on."""
        self._ledger["stopped"][()] = text_value(where)
        self._ledger["stopped"].id.flush()

    @property
    def _tables(self) -> tuple[GrowingTable, ...]:
        return self._samples, self._events, self._clocks

    def _single_values(self) -> Iterator[tuple[str, np.generic]]:
        yield "end_time", self._end_time[()]
        for name, dataset in self._ledger.items():
            yield f"ledger/{name}", dataset[()]

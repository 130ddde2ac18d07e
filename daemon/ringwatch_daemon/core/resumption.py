"""What a daemon that was cut off leaves to the next one, which goes on with its run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.ledger import EnteredRow
from ringwatch_daemon.core.records import Checkpoint, CyclerClock, CyclingSamples, Totals
from ringwatch_pipelines.cell.clock_breathing import Track
from ringwatch_pipelines.cell.cycling import Coupling, CyclerSamples, no_samples


@dataclass(frozen=True, slots=True)
class WaitingFrame:
    """A row without the state of its cell."""

    row: int
    timestamp_ns: int
    reason: Coupling
    cell_name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FramesOfCell:
    """Rows of one cell, and their UTC at mid-exposure, (frames,) each; the name is empty in a run of one.

    Parameters
    ----------
    tracks
        Lattice parameters of the phases that are fitted freely, from which the clock is measured.
    """

    cell_name: str
    rows: NDArray[np.int64]
    timestamp_ns: NDArray[np.int64]
    tracks: tuple[Track, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Resumption:
    """The run as its file has it.

    Parameters
    ----------
    started_ns
        UTC, nanoseconds since 1970: the start of the run.
    last_write_ns
        When the earlier daemon was last seen at work.
    totals
        Of all rows.
    newest
        The newest rows, in their order.
    newest_received
        (unique id, time of receipt) of the newest rows, which tell a frame that is in the file already.
    waiting
        Rows that the cycler's data may still fill.
    samples
        The series of each cell's cycler so far, in the order in which it came.
    event_kinds
        (cell, kind) of the events so far; the cell is empty where an event concerns none.
    checkpoint
        What stood after the last row; None where it could not be read.
    clocks
        The newest measured clock of each cycler.
    frames
        The frames of each cell that have a time.
    """

    run_id: str
    started_ns: int
    last_write_ns: int
    totals: Totals
    newest: tuple[EnteredRow, ...]
    newest_received: frozenset[tuple[int, int]]
    waiting: tuple[WaitingFrame, ...]
    samples: tuple[CyclingSamples, ...]
    event_kinds: frozenset[tuple[str, str]]
    checkpoint: Checkpoint | None
    clocks: tuple[CyclerClock, ...] = ()
    frames: tuple[FramesOfCell, ...] = ()

    def samples_of(self, cell_name: str) -> CyclerSamples:
        """The series of one cell's cycler so far."""
        return next((each.samples for each in self.samples if each.cell_name == cell_name), no_samples())

"""The records of a run: what the stages hand to the sinks, in order.

One run is ``RunStart``, then any number of ``FrameRecord``, ``LedgerCorrection``,
``CyclingSamples``, ``CellStateUpdate``, ``Event`` and ``Status``, then ``RunStop``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.columns import Column, FixedTable
from ringwatch_pipelines.cell.clock import ClockEstimate, ClockRelation
from ringwatch_pipelines.cell.cycling import CellState, CyclerSamples
from ringwatch_pipelines.patterns import FloatArray, RadialAxis
from ringwatch_pipelines.results import FrameResult

if TYPE_CHECKING:
    # A subscriber imports the records for their names; the analysis behind this one is heavy.
    from ringwatch_pipelines.analysis_memory import AnalyserMemory
    from ringwatch_pipelines.several_cells import CellsMemory

SCHEMA = 1
"""Version of the file and stream contracts."""


class FrameState(StrEnum):
    """Where a frame ended. announced = processed + rejected + lost."""

    PROCESSED = "PROCESSED"
    REJECTED = "REJECTED"
    LOST = "LOST"


class Reason(StrEnum):
    """Why a frame was lost or rejected; `results.Refusal` adds those of the analysis."""

    NONE = ""
    # lost: the image never came into ringwatch's hands
    GAP_IN_ID = "GAP_IN_ID"
    DISCONNECTED = "DISCONNECTED"
    IOC_RESTARTED = "IOC_RESTARTED"
    DAEMON_DOWN = "DAEMON_DOWN"
    QUEUE_FULL = "QUEUE_FULL"
    MISPAIRED = "MISPAIRED"
    # rejected: it came, and was not taken
    DUPLICATE = "DUPLICATE"
    LATE = "LATE"
    WRONG_SHAPE = "WRONG_SHAPE"
    WRONG_TYPE = "WRONG_TYPE"
    UNREADABLE = "UNREADABLE"
    OFFSET_ACQUISITION = "OFFSET_ACQUISITION"
    ANALYSIS_FAILED = "ANALYSIS_FAILED"
    # processed, with something to know
    DARK = "DARK"
    FUTURE_TIMESTAMP = "FUTURE_TIMESTAMP"
    BACKWARD_TIMESTAMP = "BACKWARD_TIMESTAMP"
    NO_TIMESTAMP = "NO_TIMESTAMP"


@dataclass(frozen=True, slots=True, eq=False)
class Provenance:
    """One fact that decides the numbers: a path below ``/entry``, a value, a unit."""

    path: str
    value: str | float | int | bool | NDArray[np.generic]
    unit: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RunStart:
    """What is known when a run begins.

    Parameters
    ----------
    run_id
        Unique name of the run, also the stem of its file.
    started_ns
        UTC, nanoseconds since 1970.
    axis
        Bins of every pattern of the run.
    norm
        (bins,) normalisation of the operator at monitor 1.
    columns
        The scalar and per-peak columns under ``/entry/tracking``, in the file's order.
    provenance
        Facts for ``/entry/sample``, ``/entry/instrument`` and ``/entry/reduction``.
    fixed_tables
        What stands under ``/entry/tracking`` and does not change during the run.
    cells
        Names of the cells that take turns in the beam; empty for a run of one.
    measured_at
        (bins,) when within a scan each bin is measured, 0 at its start and 1 at its end; None for frames.
    """

    run_id: str
    started_ns: int
    axis: RadialAxis
    norm: FloatArray
    columns: tuple[Column, ...]
    provenance: tuple[Provenance, ...] = ()
    fixed_tables: tuple[FixedTable, ...] = ()
    cells: tuple[str, ...] = ()
    measured_at: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What the frames up to a row leave to the next one, for a run that may be cut off and resumed.

    Parameters
    ----------
    flags
        Standing warnings about the run.
    """

    memory: "AnalyserMemory | CellsMemory"
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FrameRecord:
    """A frame's row: the ledger's entry, the result if there is one, the cell's state.

    Parameters
    ----------
    row
        Index into every (frames, ...) dataset of the run; consecutive from 0.
    reason
        Empty for a frame that simply was processed.
    text
        One sentence to the reason.
    checkpoint
        What stands after this row; None where the run is not to be resumed, or the row changed nothing.
    cell_name
        Which of the run's cells was in the beam; empty in a run of one, and where nobody knows.
    """

    row: int
    unique_id: int
    timestamp_ns: int
    received_ns: int
    exposure_s: float
    monitor: float
    state: FrameState
    reason: str
    text: str
    result: FrameResult | None
    cell: CellState
    checkpoint: Checkpoint | None = None
    cell_name: str = ""


@dataclass(frozen=True, slots=True)
class LedgerCorrection:
    """A row that was given up as lost has turned up after all."""

    row: int
    state: FrameState
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class CyclingSamples:
    """New samples of the cycler's own series."""

    samples: CyclerSamples
    cell_name: str = ""
    """Of the cell that the cycler charges; empty in a run of one."""


@dataclass(frozen=True, slots=True)
class CyclerClock:
    """The clock of a cycler, measured against the detector's.

    Parameters
    ----------
    declared
        As the configuration has it.
    applied
        Whether the measured relation replaces the declared one from here on, in samples that were told before too.
    cell_name
        Whose cycler; empty in a run of one cell.
    """

    estimate: ClockEstimate
    declared: ClockRelation
    applied: bool
    cell_name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CellStateUpdate:
    """States of the cell at earlier frames, filled in when the cycler's data arrived.

    Parameters
    ----------
    rows
        (updates,) rows of the frames.
    states
        One for each row.
    cell_name
        Of the cell; empty in a run of one.
    """

    rows: NDArray[np.int64]
    states: tuple[CellState, ...]
    cell_name: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that an operator should see.

    Parameters
    ----------
    row
        Row of the frame it belongs to, -1 for none.
    kind
        A short name: ``STALL``, ``GAP``, ``DISCONNECTED``, ``ONSET_LIOH``, ...
    sigma_h
        Uncertainty of the time in hours, NaN where it has none.
    cell_name
        Which of the run's cells it happened to; empty in a run of one, and where it concerns none of them.
    """

    timestamp_ns: int
    row: int
    kind: str
    text: str
    sigma_h: float = float("nan")
    cell_name: str = ""


@dataclass(frozen=True, slots=True)
class QueueLevel:
    """How full a channel is and has been."""

    name: str
    length: int
    high_water: int
    capacity: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The ledger's totals: announced = processed + rejected + lost."""

    announced: int = 0
    processed: int = 0
    rejected: int = 0
    lost: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """Health of the daemon at one moment."""

    timestamp_ns: int
    source_state: str
    source_text: str
    totals: Totals
    queues: tuple[QueueLevel, ...] = ()
    latency_s: float = float("nan")
    """From a frame's receipt to its record, newest frame."""
    flags: tuple[str, ...] = ()
    """Standing warnings about the run, such as a failed ring self-test."""


@dataclass(frozen=True, slots=True)
class RunStop:
    """How a run ended."""

    stopped_ns: int
    why: str
    totals: Totals
    flags: tuple[str, ...] = field(default=())


Record = (
    RunStart
    | FrameRecord
    | LedgerCorrection
    | CyclingSamples
    | CyclerClock
    | CellStateUpdate
    | Event
    | Status
    | RunStop
)

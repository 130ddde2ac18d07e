"""Which process variables tell of a run: names, units, values and alarms. Nothing here speaks EPICS."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.columns import Column, values_from_tracked
from ringwatch_daemon.core.records import Event, FrameRecord, RunStart, RunStop, Status
from ringwatch_pipelines.patterns import Pattern
from ringwatch_pipelines.results import FitState, FrameResult

PvValue = float | int | str | NDArray[np.generic]

_SUFFIXES = {"_errors": ":Sigma", "_limit": ":Limit", "_state": ":State"}
_CELL_PVS = (
    ("voltage_V", "Cell:Voltage", "V", "voltage of the cell"),
    ("current_A", "Cell:Current", "A", "current through the cell"),
    ("current_density_mA_cm2", "Cell:CurrentDensity", "mA/cm2", "current density"),
    ("areal_charge_mAh_cm2", "Cell:ArealCharge", "mAh/cm2", "charge of the half-cycle"),
)
_NO_VALUE_YET = "no value yet"


class Severity(IntEnum):
    """Of an alarm, as EPICS counts."""

    NONE = 0
    MINOR = 1
    MAJOR = 2
    INVALID = 3


class PvKind(StrEnum):
    """What a process variable holds, by p4p's code of its type."""

    NUMBER = "d"
    COUNT = "l"
    TEXT = "s"
    CURVE = "ad"


@dataclass(frozen=True, slots=True)
class PvSpec:
    """One process variable, below the prefix."""

    name: str
    kind: PvKind
    unit: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PvUpdate:
    """A value for it.

    Parameters
    ----------
    timestamp_ns
        UTC, nanoseconds since 1970.
    message
        What the alarm is about; empty where there is none.
    """

    spec: PvSpec
    value: PvValue
    timestamp_ns: int
    severity: Severity = Severity.NONE
    message: str = ""


def pv_name(path: str) -> str:
    """The name of a track, as ``Li:Ratio:Sigma`` of ``li/ratio_errors``."""
    suffix = next((end for end in _SUFFIXES if path.endswith(end)), "")
    parts = path.removesuffix(suffix).split("/")
    return ":".join(_in_capitals(part) for part in parts) + _SUFFIXES.get(suffix, "")


def updates_of_start(start: RunStart) -> Iterator[PvUpdate]:
    """What is known when a run begins; every track of it is there from now on, still without a value."""
    stamp = start.started_ns
    yield _text("Run:Id", start.run_id, stamp, "name of the run")
    yield _text("Run:State", "RUNNING", stamp, "whether the run goes on")
    for cell in start.cells or ("",):
        yield PvUpdate(_curve_spec(cell, "TwoTheta", "degree"), start.axis.two_theta_deg, stamp)
        for column in start.columns:
            spec = _column_spec(cell, column)
            yield PvUpdate(spec, _nothing(spec.kind), stamp, Severity.INVALID, _NO_VALUE_YET)


def updates_of_stop(stop: RunStop) -> Iterator[PvUpdate]:
    """The end of a run."""
    yield _text("Run:State", "STOPPED", stop.stopped_ns, "whether the run goes on")


def updates_of_frame(record: FrameRecord) -> Iterator[PvUpdate]:
    """The newest row of the ledger, and the cell at it."""
    stamp, where = record.timestamp_ns or record.received_ns, _below(record.cell_name)
    severity = Severity.NONE if record.state == "PROCESSED" else Severity.MINOR
    yield _count("Frame:Id", record.unique_id, stamp, "the detector's counter")
    yield _count("Frame:Row", record.row, stamp, "row in the file")
    state, reason = (("Frame:State", record.state.value), ("Frame:Reason", str(record.reason)))
    for name, text in (state, reason):
        yield PvUpdate(PvSpec(name, PvKind.TEXT, "", "the newest frame's"), text, stamp, severity, record.text)
    for field, name, unit, description in _CELL_PVS:
        value = getattr(record.cell, field)
        spec = PvSpec(where + name, PvKind.NUMBER, unit, description)
        yield PvUpdate(spec, value, stamp, *_alarm_of_number(value, record.cell.state))
    yield _count(f"{where}Cell:HalfCycle", record.cell.half_cycle, stamp, "stretch of one direction of the current")
    yield _text(f"{where}Cell:State", str(record.cell.state), stamp, "whether the cell's state is known")


def has_fit_of_its_own(result: FrameResult) -> bool:
    """Whether the tracks are this frame's, and not still to come with a later one."""
    return result.tracked is not None and result.tracked.fit_state not in {FitState.SUMMED, FitState.NOT_FITTED}


def updates_of_tracks(record: FrameRecord, result: FrameResult, columns: tuple[Column, ...]) -> Iterator[PvUpdate]:
    """What the fit of a frame found; nothing where another frame's fit stands for it."""
    tracked = result.tracked
    if tracked is None or not has_fit_of_its_own(result):
        return
    values = values_from_tracked(tracked)
    for column in columns:
        value = values.get(column.path)
        if value is None:
            continue
        spec = _column_spec(record.cell_name, column)
        severity, message = _alarm_of_fit(tracked.fit_state)
        if isinstance(value, float) and not isfinite(value):
            severity, message = Severity.MAJOR, f"no value: {tracked.fit_state.value}"
        yield PvUpdate(spec, value, record.timestamp_ns, severity, message)


def updates_of_pattern(record: FrameRecord, pattern: Pattern) -> Iterator[PvUpdate]:
    """The newest pattern and its fit, as curves over ``Pattern:TwoTheta``; of a fit without values they are NaN."""
    curves = [("Intensity", pattern.intensity), ("Sigma", pattern.sigma)]
    tracked = None if record.result is None else record.result.tracked
    fitted = None if tracked is None else tracked.curves
    nothing = np.full(pattern.intensity.size, np.nan)
    curves.append(("Fitted", nothing if fitted is None else fitted.model))
    curves.append(("Background", nothing if fitted is None else fitted.background))
    for name, values in curves:
        yield PvUpdate(_curve_spec(record.cell_name, name, "intensity"), values, record.timestamp_ns)


def updates_of_status(status: Status) -> Iterator[PvUpdate]:
    """Health of the daemon."""
    stamp, totals = status.timestamp_ns, status.totals
    connected = status.source_state == "CONNECTED"
    severity = Severity.NONE if connected else Severity.MAJOR
    spec = PvSpec("Source:State", PvKind.TEXT, "", "connection to the detector")
    yield PvUpdate(spec, status.source_state, stamp, severity, status.source_text)
    yield _text("Source:Text", status.source_text, stamp, "the same in words")
    for name in ("announced", "processed", "rejected"):
        yield _count(f"Frames:{_in_capitals(name)}", getattr(totals, name), stamp, f"frames {name} in this run")
    lost = PvSpec("Frames:Lost", PvKind.COUNT, "", "frames lost in this run")
    yield PvUpdate(lost, totals.lost, stamp, Severity.MINOR if totals.lost else Severity.NONE, "frames were lost")
    yield PvUpdate(PvSpec("Frames:Latency", PvKind.NUMBER, "s", "from receipt to result"), status.latency_s, stamp)
    for level in status.queues:
        where = f"Queue:{_in_capitals(level.name)}"
        yield _count(f"{where}:Length", level.length, stamp, f"what waits in {level.name}")
        yield _count(f"{where}:HighWater", level.high_water, stamp, "the most that has waited")
        yield _count(f"{where}:Dropped", level.dropped, stamp, "what found no room")
    flags = PvSpec("Run:Flags", PvKind.TEXT, "", "standing warnings about the run")
    text = "; ".join(status.flags)
    yield PvUpdate(flags, text, stamp, Severity.MAJOR if status.flags else Severity.NONE, text)


def updates_of_event(event: Event) -> Iterator[PvUpdate]:
    """The newest event."""
    where = _below(event.cell_name)
    yield _text(f"{where}Event:Kind", event.kind, event.timestamp_ns, "of the newest event")
    yield _text(f"{where}Event:Text", event.text, event.timestamp_ns, "of the newest event")


def _below(cell: str) -> str:
    return f"{cell}:" if cell else ""


def _in_capitals(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _column_spec(cell: str, column: Column) -> PvSpec:
    number = PvKind.CURVE if column.peaks else PvKind.NUMBER
    kind = PvKind.TEXT if column.kind == "state" else number
    return PvSpec(_below(cell) + pv_name(column.path), kind, column.unit, column.long_name)


def _curve_spec(cell: str, name: str, unit: str) -> PvSpec:
    return PvSpec(f"{_below(cell)}Pattern:{name}", PvKind.CURVE, unit, "of the newest pattern")


def _text(name: str, text: str, stamp: int, description: str) -> PvUpdate:
    return PvUpdate(PvSpec(name, PvKind.TEXT, "", description), text, stamp)


def _count(name: str, count: int, stamp: int, description: str) -> PvUpdate:
    return PvUpdate(PvSpec(name, PvKind.COUNT, "", description), count, stamp)


def _nothing(kind: PvKind) -> PvValue:
    match kind:
        case PvKind.TEXT:
            return ""
        case PvKind.COUNT:
            return 0
        case PvKind.NUMBER:
            return float("nan")
        case PvKind.CURVE:
            return np.zeros(0)


def _alarm_of_number(value: float, why: object) -> tuple[Severity, str]:
    return (Severity.NONE, "") if isfinite(value) else (Severity.MAJOR, f"no value: {why}")


def _alarm_of_fit(state: FitState) -> tuple[Severity, str]:
    match state:
        case FitState.CONVERGED:
            return Severity.NONE, ""
        case FitState.MISFIT:
            return Severity.MINOR, "MISFIT: sigmas are too small"
        case _:
            return Severity.MAJOR, f"no value: {state.value}"

"""From the records of a run to the messages of the stream."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.columns import Column, Value, values_from_tracked
from ringwatch_daemon.core.records import (
    CellStateUpdate,
    CyclerClock,
    CyclingSamples,
    Event,
    FrameRecord,
    LedgerCorrection,
    QueueLevel,
    Record,
    RunStart,
    RunStop,
    Status,
    Totals,
)
from ringwatch_daemon.core.wire import DTYPES, StreamMessage, finite_or_none
from ringwatch_pipelines.cell.cycling import CellState, CyclerSamples
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import Pattern

SAMPLES_A_MESSAGE = 100_000
STATES_A_MESSAGE = 5_000
"""A cycler's file that arrives as a whole goes out in several messages, each far below the bounds of the wire."""

Arrays = tuple[tuple[str, NDArray[Any]], ...]


class _Body(NamedTuple):
    """A message without its place in the stream."""

    topic: str
    kind: str
    frame: int
    timestamp_ns: int
    data: dict[str, Any]
    arrays: Arrays = ()


def messages_from_record(record: Record, *, start: RunStart, first_seq: int, now_ns: int) -> tuple[StreamMessage, ...]:
    """The messages that tell of `record`: one, two for a frame with a pattern, several for many samples.

    Parameters
    ----------
    start
        The start of the run, which names the run and its columns.
    first_seq
        Number of the first of the messages.
    now_ns
        UTC, nanoseconds since 1970: the time of messages whose record has none of its own.
    """
    return tuple(
        StreamMessage(
            topic=body.topic,
            run=start.run_id,
            seq=seq,
            kind=body.kind,
            frame=body.frame,
            timestamp_ns=body.timestamp_ns,
            data=body.data,
            arrays=body.arrays,
        )
        for seq, body in enumerate(_bodies(record, start.columns, now_ns), start=first_seq)
    )


def float32_pattern(pattern: Pattern) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Intensity and sigma as the file and the stream hold them, (bins,) each."""
    return pattern.intensity.astype(np.float32), pattern.sigma.astype(np.float32)


def clock_values(record: CyclerClock) -> dict[str, float | int | str]:
    """A measured clock as the file and the stream hold it; what was declared stands there for the same reference."""
    estimate = record.estimate
    relation = estimate.relation
    declared = record.declared.at(relation.reference_ns)
    return {
        "reference_ns": relation.reference_ns,
        "offset_s": relation.offset_s,
        "offset_s_errors": estimate.offset_sigma_s,
        "drift_ppm": relation.drift_ppm,
        "drift_ppm_errors": estimate.drift_sigma_ppm,
        "declared_offset_s": declared.offset_s,
        "declared_drift_ppm": declared.drift_ppm,
        "method": estimate.method.value,
        "support": estimate.support,
        "applied": int(record.applied),
    }


def _bodies(record: Record, columns: tuple[Column, ...], now_ns: int) -> Iterator[_Body]:
    match record:
        case RunStart():
            yield _run_start(record)
        case FrameRecord():
            if record.result is not None and record.result.pattern is not None:
                yield _pattern(record, record.result.pattern)
            yield _tracking(record, columns)
        case LedgerCorrection():
            data = {"state": record.state.value, "reason": str(record.reason)}
            yield _Body("frame.tracking", "ledger.correction", record.row, now_ns, data)
        case CyclingSamples():
            yield from _samples(record, now_ns)
        case CyclerClock():
            yield _Body("cycling", "cycling.clock", -1, now_ns, clock_values(record) | _cell_name(record))
        case CellStateUpdate():
            yield from _at_frame(record, now_ns)
        case Event():
            yield _Body("event", "event", record.row, record.timestamp_ns, _event(record))
        case Status():
            yield _Body("status", "status", -1, record.timestamp_ns, _status(record))
        case RunStop():
            yield _Body("run.stop", "run.stop", -1, record.stopped_ns, _run_stop(record))


def _run_start(record: RunStart) -> _Body:
    facts: dict[str, Any] = {}
    arrays: list[tuple[str, NDArray[Any]]] = [
        ("two_theta_deg", record.axis.two_theta_deg),
        ("two_theta_edges_deg", record.axis.edges_two_theta_deg),
        ("norm", record.norm),
    ]
    if record.measured_at is not None:
        arrays.append(("measured_at", record.measured_at))
    for fact in record.provenance:
        if isinstance(fact.value, np.ndarray) and fact.value.dtype.newbyteorder("<").str in DTYPES:
            arrays.append((f"provenance/{fact.path}", fact.value))
        else:
            facts[fact.path] = _plain(fact.value)
    arrays.extend((f"tracking/{table.path}", table.values) for table in record.fixed_tables)
    data = {
        "run_id": record.run_id,
        "started_ns": record.started_ns,
        "columns": [_column(column) for column in record.columns],
        **({"cells": list(record.cells)} if record.cells else {}),
        "provenance": facts,
        "provenance_units": {fact.path: fact.unit for fact in record.provenance if fact.unit},
    }
    return _Body("run.start", "run.start", -1, record.started_ns, data, tuple(arrays))


def _column(column: Column) -> dict[str, Any]:
    return {
        "path": column.path,
        "unit": column.unit,
        "long_name": column.long_name,
        "kind": column.kind,
        "peaks": column.peaks,
    }


def _pattern(record: FrameRecord, pattern: Pattern) -> _Body:
    intensity, errors = float32_pattern(pattern)
    data = {"unique_id": record.unique_id, "state": record.state.value, "reason": str(record.reason)}
    data |= _cell_name(record)
    arrays = (("I", read_only(intensity)), ("I_errors", read_only(errors)), *_curves(record))
    return _Body("frame.pattern", "frame.pattern", record.row, record.timestamp_ns, data, arrays)


def _curves(record: FrameRecord) -> Arrays:
    """The fit over the same bins, where there is one with values."""
    tracked = None if record.result is None else record.result.tracked
    if tracked is None or tracked.curves is None:
        return ()
    curves = (("fitted", tracked.curves.model), ("background", tracked.curves.background))
    return tuple((name, read_only(values.astype(np.float32))) for name, values in curves)


def _tracking(record: FrameRecord, columns: tuple[Column, ...]) -> _Body:
    result = record.result
    tracked = None if result is None else result.tracked
    values: dict[str, Value] = {} if tracked is None else values_from_tracked(tracked)
    data = {
        "unique_id": record.unique_id,
        "received_ns": record.received_ns,
        "exposure_s": finite_or_none(record.exposure_s),
        "monitor": finite_or_none(record.monitor),
        "state": record.state.value,
        "reason": str(record.reason),
        "text": record.text,
        "dark_index": -1 if result is None else result.dark_index,
        "values": {column.path: _plain(values.get(column.path)) for column in columns if not column.peaks},
        "cell": _cell(record.cell),
        **_cell_name(record),
    }
    arrays = tuple(
        (column.path, np.asarray(values[column.path], dtype=np.float64))
        for column in columns
        if column.peaks and column.path in values
    )
    return _Body("frame.tracking", "frame.tracking", record.row, record.timestamp_ns, data, arrays)


def _cell(state: CellState) -> dict[str, Any]:
    return {entry.name: _plain(getattr(state, entry.name)) for entry in fields(CellState)}


def _samples(record: CyclingSamples, now_ns: int) -> Iterator[_Body]:
    samples = record.samples
    for block in _blocks(samples.timestamp_ns.size, SAMPLES_A_MESSAGE):
        arrays = tuple((entry.name, getattr(samples, entry.name)[block]) for entry in fields(CyclerSamples))
        stamps = samples.timestamp_ns[block]
        yield _Body("cycling", "cycling.samples", -1, _time_of(stamps, now_ns), _cell_name(record), arrays)


def _time_of(stamps: NDArray[np.int64], now_ns: int) -> int:
    return int(stamps[-1]) if stamps.size else now_ns


def _at_frame(record: CellStateUpdate, now_ns: int) -> Iterator[_Body]:
    for block in _blocks(len(record.states), STATES_A_MESSAGE):
        data = {"states": [_cell(state) for state in record.states[block]], **_cell_name(record)}
        yield _Body("cycling", "cycling.at_frame", -1, now_ns, data, (("rows", record.rows[block]),))


def _blocks(count: int, size: int) -> Iterator[slice]:
    for first in range(0, max(count, 1), size):
        yield slice(first, min(first + size, count))


def _event(record: Event) -> dict[str, Any]:
    told = {"kind": record.kind, "text": record.text, "sigma_h": finite_or_none(record.sigma_h)}
    return told | _cell_name(record)


def _cell_name(record: FrameRecord | CyclingSamples | CyclerClock | CellStateUpdate | Event) -> dict[str, str]:
    """Which of several cells it concerns; nothing in a run of one."""
    return {"cell_name": record.cell_name} if record.cell_name else {}


def _run_stop(record: RunStop) -> dict[str, Any]:
    return {"why": record.why, "totals": _totals(record.totals), "flags": list(record.flags)}


def _status(record: Status) -> dict[str, Any]:
    return {
        "source_state": record.source_state,
        "source_text": record.source_text,
        "totals": _totals(record.totals),
        "queues": [_queue(level) for level in record.queues],
        "latency_s": finite_or_none(record.latency_s),
        "flags": list(record.flags),
    }


def _queue(level: QueueLevel) -> dict[str, Any]:
    return {
        "name": level.name,
        "length": level.length,
        "high_water": level.high_water,
        "capacity": level.capacity,
        "dropped": level.dropped,
    }


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "announced": totals.announced,
        "processed": totals.processed,
        "rejected": totals.rejected,
        "lost": totals.lost,
        "reasons": dict(totals.reasons),
    }


def _plain(value: object) -> Any:
    """A value as JSON has it: null for a number that is not finite, text for everything unknown."""
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int() | np.integer():
            return int(value)
        case float() | np.floating():
            return finite_or_none(float(value))
        case np.bool_():
            return bool(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case np.ndarray():
            return [_plain(item) for item in value.ravel().tolist()]
        case _:
            return str(value)

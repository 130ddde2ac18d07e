"""Records as rows of the file: values by the path of their dataset below the entry."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from ringwatch_daemon.core.columns import STATE_WIDTH, values_from_tracked
from ringwatch_daemon.core.messages import clock_values, float32_pattern
from ringwatch_daemon.core.records import CyclerClock, CyclingSamples, Event, FrameRecord, LedgerCorrection
from ringwatch_daemon.sinks.nexus_layout import TEXT_WIDTH, fixed_text
from ringwatch_pipelines.cell.cycling import CellState, CyclerSamples

Columns = dict[str, Any]
"""A value, or an array of one value a row, for each dataset."""


def frame_row(record: FrameRecord, columns: frozenset[str]) -> Columns:
    """The row of a frame.

    Parameters
    ----------
    columns
        Paths below ``tracking`` that the file has.
    """
    result = record.result
    row: Columns = {
        "frames/unique_id": record.unique_id,
        "frames/timestamp_ns": record.timestamp_ns,
        "frames/received_ns": record.received_ns,
        "frames/exposure_s": record.exposure_s,
        "frames/monitor": record.monitor,
        "frames/state": _state(record.state),
        "frames/reason": _state(record.reason),
        "frames/dark_index": -1 if result is None else result.dark_index,
        "frames/cell": _state(record.cell_name),
    }
    row |= {f"cycling/at_frame/{name}": value for name, value in _cell_values(record.cell)}
    if result is not None and result.pattern is not None:
        row["azint1d/I"], row["azint1d/I_errors"] = float32_pattern(result.pattern)
    if result is not None and result.tracked is not None:
        for path, value in values_from_tracked(result.tracked).items():
            if path in columns:
                row[f"tracking/{path}"] = _state(value) if isinstance(value, str) else value
    return row


def event_row(record: Event) -> Columns:
    """The row of an event."""
    return {
        "events/timestamp_ns": record.timestamp_ns,
        "events/frame": record.row,
        "events/kind": _state(record.kind),
        "events/text": text_value(record.text),
        "events/sigma_h": record.sigma_h,
        "events/cell": _state(record.cell_name),
    }


def sample_columns(record: CyclingSamples) -> Columns:
    """Columns of a stretch of a cycler's series."""
    samples = record.samples
    columns: Columns = {f"cycling/{each.name}": getattr(samples, each.name) for each in fields(CyclerSamples)}
    columns["cycling/cell"] = np.full(samples.timestamp_ns.size, cell_value(record.cell_name))
    return columns


def cell_value(cell_name: str) -> bytes:
    """The name of a cell of the file's width."""
    return _state(cell_name)


def clock_row(record: CyclerClock) -> Columns:
    """The row of a clock that was measured."""
    values = clock_values(record) | {"cell": record.cell_name}
    return {
        f"cycling/clock/{name}": _state(value) if isinstance(value, str) else value for name, value in values.items()
    }


def cell_columns(states: tuple[CellState, ...]) -> Columns:
    """Columns of states of the cell, one a row."""
    rows = [dict(_cell_values(state)) for state in states]
    return {f"cycling/at_frame/{each.name}": np.array([row[each.name] for row in rows]) for each in fields(CellState)}


def correction_columns(record: LedgerCorrection) -> Columns:
    """Columns of the one row that a correction changes."""
    return {
        "frames/state": np.array([_state(record.state)]),
        "frames/reason": np.array([_state(record.reason)]),
    }


def text_value(text: str) -> bytes:
    """A text of the file's width."""
    return fixed_text(text, TEXT_WIDTH)


def _cell_values(state: CellState) -> Iterator[tuple[str, Any]]:
    for entry in fields(CellState):
        value = getattr(state, entry.name)
        yield entry.name, _state(value) if isinstance(value, str) else value


def _state(text: str) -> bytes:
    return fixed_text(str(text), STATE_WIDTH)

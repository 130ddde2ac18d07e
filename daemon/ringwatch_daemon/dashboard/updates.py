"""From one view of a run to the next: pure functions of a message."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ringwatch_daemon.client import GAP
from ringwatch_daemon.core.records import Event, FrameState, QueueLevel, Totals
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.dashboard.contents import integer, mapping, mappings, number, text, texts
from ringwatch_daemon.dashboard.quantities import quantities_from_columns
from ringwatch_daemon.dashboard.run_view import CellEntry, FitEntry, FrameEntry, RunView
from ringwatch_daemon.dashboard.series import Series

EVENTS_KEPT = 12
ARRIVALS_KEPT = 30
MOST_CELLS, MOST_VALUES = 32, 10_000

_STATES_WITHOUT_A_FIT = {"", "SUMMED", "NOT_FITTED"}
_STATES_WITH_VALUES = {"CONVERGED", "MISFIT"}


def updated(view: RunView, message: StreamMessage, *, now_s: float) -> RunView:
    """The view after one more message.

    Parameters
    ----------
    message
        Of any topic; all topics of the stream are expected, since a number that does not come is a hole.
    now_s
        The watcher's monotonic clock.
    """
    view = _counted(view, message)
    match message.kind:
        case "run.start":
            return _started(view, message)
        case "frame.tracking":
            return _with_frame(view, message, now_s)
        case "ledger.correction":
            return _corrected(view, message)
        case "cycling.at_frame":
            return _with_late_cells(view, message)
        case "event":
            return _with_event(view, message)
        case "status":
            return _with_status(view, message)
        case "run.stop":
            return replace(
                view,
                totals=_totals(message.data.get("totals")),
                flags=texts(message.data.get("flags")),
                stopped=text(message.data.get("why")) or "no reason told",
            )
    return view


def _counted(view: RunView, message: StreamMessage) -> RunView:
    """Follow the numbers; another run's message begins a new view."""
    if message.run != view.run:
        view = RunView(run=text(message.run))
    first, last = message.seq, message.seq
    if message.kind == GAP:
        last = max(integer(message.data.get("last_seq"), otherwise=first), first)
        first = last + 1
    hole = first - view.next_seq
    if hole <= 0:
        return replace(view, next_seq=max(view.next_seq, last + 1))
    return replace(view, next_seq=last + 1, missed=view.missed + hole, holes=view.holes + 1)


def _started(view: RunView, message: StreamMessage) -> RunView:
    names = texts(message.data.get("cells"))[:MOST_CELLS] or ("",)
    columns = [(of_cell(name, path), unit, what) for name in names for path, unit, what in columns_told(message)]
    return replace(view, started_ns=message.timestamp_ns, quantities=quantities_from_columns(columns))


def columns_told(start: StreamMessage) -> list[tuple[str, str, str]]:
    """Path, unit and long name of each column, from the start of a run."""
    return [
        (text(item.get("path")), text(item.get("unit")), text(item.get("long_name")))
        for item in mappings(start.data.get("columns"))
    ]


def of_cell(name: str, path: str) -> str:
    """A path as the view tells it apart from that of other cells."""
    return f"{name}:{path}" if name else path


def _with_frame(view: RunView, message: StreamMessage, now_s: float) -> RunView:
    data = message.data
    entry = FrameEntry(message.frame, integer(data.get("unique_id"), otherwise=-1), text(data.get("state")))
    totals = _settled(view.totals, state=entry.state, reason=text(data.get("reason")), row=entry.row)
    view = replace(view, frame=entry, totals=totals, frame_heard_s=now_s)
    if entry.state == FrameState.LOST:  # nobody knows when it was taken
        return view
    cell = mapping(data.get("cell"))
    view = replace(_with_times(view, message), cell_reason=text(cell.get("state")))
    return _with_fit(_with_cell(view, entry.row, cell, text(data.get("cell_name"))), message)


def _with_times(view: RunView, message: StreamMessage) -> RunView:
    received_ns = integer(message.data.get("received_ns"))
    first_ns = message.timestamp_ns if view.first_timestamp_ns is None else view.first_timestamp_ns
    return replace(
        view,
        first_timestamp_ns=first_ns,
        timestamp_ns=message.timestamp_ns,
        arrivals_ns=(*view.arrivals_ns, received_ns)[-ARRIVALS_KEPT:] if received_ns > 0 else view.arrivals_ns,
    )


def _with_fit(view: RunView, message: StreamMessage) -> RunView:
    values = mapping(message.data.get("values"))
    state = text(values.get("fit_state"))
    if state in _STATES_WITHOUT_A_FIT:
        return view
    name, chi_square = text(message.data.get("cell_name")), number(values.get("chi_square"))
    values = {of_cell(name, path): value for path, value in values.items()}
    quantities = view.quantities or quantities_from_columns((path, "", "") for path in values)
    # Of several cells, those that are not in the beam keep what was found of them last.
    others = view.fit.values if name and view.fit is not None and len(view.fit.values) < MOST_VALUES else {}
    fit = FitEntry(message.frame, state, chi_square, MappingProxyType({**others, **values}))
    view = replace(view, quantities=quantities, fit=fit)
    if state not in _STATES_WITH_VALUES:
        return view
    curves = {
        quantity.path: view.curves.get(quantity.path, Series()).with_value(number(values.get(quantity.path)))
        for quantity in quantities
        if quantity.path in values
    }
    return replace(view, curves=MappingProxyType({**view.curves, **curves}))


def _with_cell(view: RunView, row: int, cell: dict[str, Any], name: str) -> RunView:
    if text(cell.get("state")) != "KNOWN" or (view.cell is not None and row <= view.cell.row):
        return view
    entry = CellEntry(
        row,
        number(cell.get("voltage_V")),
        number(cell.get("current_A")),
        number(cell.get("current_density_mA_cm2")),
        integer(cell.get("cycle"), otherwise=-1),
        integer(cell.get("half_cycle"), otherwise=-1),
        name,
    )
    # The voltages of several cells make no curve.
    voltage = view.voltage if name else view.voltage.with_value(entry.voltage_V)
    return replace(view, cell=entry, voltage=voltage)


def _with_late_cells(view: RunView, message: StreamMessage) -> RunView:
    rows = dict(message.arrays).get("rows")
    if rows is None or rows.ndim != 1:
        return view
    for row, cell in zip(rows.tolist(), mappings(message.data.get("states")), strict=False):
        view = _with_cell(view, integer(row, otherwise=-1), cell, text(message.data.get("cell_name")))
        if view.frame is not None and row == view.frame.row:
            view = replace(view, cell_reason=text(cell.get("state")))
    return view


def _corrected(view: RunView, message: StreamMessage) -> RunView:
    """A row that was lost has turned up; which reason it had been lost for comes with the next status."""
    state = text(message.data.get("state"))
    freed = replace(view.totals, lost=max(view.totals.lost - 1, 0))
    return replace(
        view, totals=_settled(freed, state=state, reason=text(message.data.get("reason")), row=message.frame)
    )


def _with_event(view: RunView, message: StreamMessage) -> RunView:
    data = message.data
    event = Event(
        message.timestamp_ns, message.frame, text(data.get("kind")), text(data.get("text")), number(data.get("sigma_h"))
    )
    return replace(view, events=(*view.events, event)[-EVENTS_KEPT:], events_seen=view.events_seen + 1)


def _with_status(view: RunView, message: StreamMessage) -> RunView:
    data = message.data
    return replace(
        view,
        source_state=text(data.get("source_state")),
        source_text=text(data.get("source_text")),
        totals=_totals(data.get("totals")),
        queues=tuple(_queue(item) for item in mappings(data.get("queues"))),
        latency_s=number(data.get("latency_s")),
        flags=texts(data.get("flags")),
    )


def _settled(totals: Totals, *, state: str, reason: str, row: int) -> Totals:
    """Totals with one more row; the next status brings the ledger's own."""
    reasons = dict(totals.reasons)
    if reason:
        reasons[reason] = reasons.get(reason, 0) + 1
    return Totals(
        announced=max(totals.announced, row + 1),
        processed=totals.processed + (state == FrameState.PROCESSED),
        rejected=totals.rejected + (state == FrameState.REJECTED),
        lost=totals.lost + (state == FrameState.LOST),
        reasons=tuple(sorted(reasons.items())),
    )


def _totals(value: object) -> Totals:
    data = mapping(value)
    reasons = mapping(data.get("reasons"))
    return Totals(
        announced=integer(data.get("announced")),
        processed=integer(data.get("processed")),
        rejected=integer(data.get("rejected")),
        lost=integer(data.get("lost")),
        reasons=tuple((text(name), integer(count)) for name, count in reasons.items()),
    )


def _queue(data: dict[str, Any]) -> QueueLevel:
    return QueueLevel(
        name=text(data.get("name")),
        length=integer(data.get("length")),
        high_water=integer(data.get("high_water")),
        capacity=integer(data.get("capacity")),
        dropped=integer(data.get("dropped")),
    )

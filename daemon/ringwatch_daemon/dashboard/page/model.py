"""What the page shows of a run, from the messages of the stream; bounded however long and wide the run is."""

import json
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.dashboard import words
from ringwatch_daemon.dashboard.contents import mapping, number, text, texts
from ringwatch_daemon.dashboard.page.curve import Curve
from ringwatch_daemon.dashboard.page.pattern import ShownPattern
from ringwatch_daemon.dashboard.quantities import Quantity, quantities_from_columns
from ringwatch_daemon.dashboard.run_view import FitEntry, RunView
from ringwatch_daemon.dashboard.updates import columns_told, updated

MOST_CELLS, MOST_QUANTITIES, MOST_EVENTS = 32, 48, 60
SAMPLES_LOOKED_AT = 2000
"""Of the cycler's samples that come in one message; a curve of some hundred points needs no more."""
_STATES_WITH_VALUES = {"CONVERGED", "MISFIT"}
_S_PER_H = 3600.0


@dataclass(slots=True)
class _CellCurves:
    """What is followed of one cell."""

    tracks: dict[str, Curve] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    voltage: Curve = field(default_factory=Curve)
    current: Curve = field(default_factory=Curve)


class PageModel:
    """Takes the messages in one thread and gives the state of the page to any number of others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._encoded = (-math.inf, b"")
        self._view = RunView()
        self._cells: dict[str, _CellCurves] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self._pattern = ShownPattern()
        self._quantities: tuple[Quantity, ...] = ()
        self._zero_ns = 0

    def take(self, message: StreamMessage) -> None:
        """Take one more message, of any topic."""
        with self._changed:
            if message.run != self._view.run:
                self._forget(message.run)
            self._view = updated(self._view, message, now_s=time.monotonic())
            self._follow(message)
            self._version += 1
            self._changed.notify_all()

    def wait_for_news(self, seen: int, timeout_s: float) -> int:
        """Wait until there is something after version `seen`, or the time is over; the version that is now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > seen, timeout_s)
            return self._version

    def encoded(self, *, max_age_s: float = 0.0) -> bytes:
        """The state as JSON; one that is no older than `max_age_s` may have been made for somebody else."""
        with self._changed:
            made_s, data = self._encoded
            if time.monotonic() - made_s >= max_age_s:
                data = json.dumps(self._state(), allow_nan=False, separators=(",", ":")).encode()
                self._encoded = time.monotonic(), data
            return data

    def _forget(self, run: str) -> None:
        self._view = RunView(run=text(run))
        self._cells.clear()
        self._events.clear()
        self._pattern = ShownPattern()
        self._quantities = ()
        self._zero_ns = 0

    def _follow(self, message: StreamMessage) -> None:
        match message.kind:
            case "run.start":
                self._pattern.begin(message)
                self._quantities = quantities_from_columns(columns_told(message))
                for name in texts(message.data.get("cells"))[:MOST_CELLS]:
                    self._cell(name)
            case "frame.pattern":
                self._pattern.take(message)
            case "frame.tracking":
                self._take_tracking(message)
            case "cycling.samples":
                self._take_samples(message)
            case "event":
                self._take_event(message)

    def _cell(self, name: str) -> _CellCurves | None:
        if name not in self._cells and len(self._cells) >= MOST_CELLS:
            return None
        return self._cells.setdefault(name, _CellCurves())

    def _begin_time(self, timestamp_ns: int) -> None:
        """The time axis begins with what comes first, a frame or a sample of a cycler."""
        if not self._zero_ns and timestamp_ns > 0:
            self._zero_ns = timestamp_ns

    def _hours(self, timestamp_ns: float) -> float:
        return (timestamp_ns - self._zero_ns) / NS_PER_S / _S_PER_H if self._zero_ns else math.nan

    def _take_tracking(self, message: StreamMessage) -> None:
        values = mapping(message.data.get("values"))
        cell = self._cell(text(message.data.get("cell_name")))
        if cell is None or text(values.get("fit_state")) not in _STATES_WITH_VALUES:
            return
        self._begin_time(message.timestamp_ns)
        time_h = self._hours(message.timestamp_ns)
        self._quantities = self._quantities or quantities_from_columns((path, "", "") for path in values)
        fit = FitEntry(message.frame, text(values.get("fit_state")), number(values.get("chi_square")), values)
        for quantity in self._quantities[:MOST_QUANTITIES]:
            cell.tracks.setdefault(quantity.path, Curve()).add(time_h, *fit.estimate(quantity.path))
            cell.newest[quantity.path] = f"{words.estimate(fit, quantity)}  {words.state(fit, quantity)}".rstrip()

    def _take_samples(self, message: StreamMessage) -> None:
        cell = self._cell(text(message.data.get("cell_name")))
        arrays = dict(message.arrays)
        columns = [arrays.get(name) for name in ("timestamp_ns", "voltage_V", "current_A")]
        if cell is None or any(column is None or column.ndim != 1 for column in columns):
            return
        stamps, voltage_V, current_A = (np.asarray(column, dtype=np.float64) for column in columns)
        size = min(stamps.size, voltage_V.size, current_A.size)
        if size:
            self._begin_time(int(stamps[0]))
        for at in range(0, size, max(1, size // SAMPLES_LOOKED_AT)):
            time_h = self._hours(float(stamps[at]))
            cell.voltage.add(time_h, float(voltage_V[at]))
            cell.current.add(time_h, 1e3 * float(current_A[at]))

    def _take_event(self, message: StreamMessage) -> None:
        data = message.data
        self._events.append(
            {
                "time_h": _finite(self._hours(message.timestamp_ns)),
                "at": words.utc(message.timestamp_ns),
                "kind": text(data.get("kind")),
                "text": text(data.get("text")),
                "sigma_h": _finite(number(data.get("sigma_h"))),
                "cell": text(data.get("cell_name")),
            }
        )

    def _state(self) -> dict[str, Any]:
        view = self._view
        return {
            "version": self._version,
            "run": view.run,
            "started": "" if view.started_ns is None else words.utc(view.started_ns),
            "zero": words.utc(self._zero_ns) if self._zero_ns else "",
            "newest_frame": words.utc(view.timestamp_ns),
            "elapsed_h": _finite(view.elapsed_h),
            "frames_per_s": _finite(view.frames_per_s),
            "silence": words.silence(view, time.monotonic()),
            "stopped": view.stopped,
            "source": {"state": view.source_state, "text": view.source_text},
            "totals": {name: getattr(view.totals, name) for name in ("announced", "processed", "rejected", "lost")},
            "reasons": words.reasons(view.totals),
            "queues": [
                {"name": level.name, "length": level.length, "most": level.high_water, "capacity": level.capacity}
                for level in view.queues
            ],
            "latency_s": _finite(view.latency_s),
            "flags": list(view.flags),
            "missed": words.hole(view),
            "fit": None if view.fit is None else {"state": view.fit.state, "chi_square": _finite(view.fit.chi_square)},
            "quantities": [
                {"path": each.path, "phase": each.phase, "label": each.label, "unit": each.unit}
                for each in self._quantities[:MOST_QUANTITIES]
            ],
            "cells": [self._cell_state(name, cell) for name, cell in self._cells.items()],
            "events": list(self._events),
            "pattern": self._pattern.state(),
        }

    def _cell_state(self, name: str, cell: _CellCurves) -> dict[str, Any]:
        return {
            "name": name,
            "tracks": {path: _curve_state(curve) for path, curve in cell.tracks.items()},
            "newest": cell.newest,
            "voltage": _curve_state(cell.voltage),
            "current": _curve_state(cell.current),
        }


def _curve_state(curve: Curve) -> dict[str, list[float | None]]:
    return {name: list(_shortened(column)) for name, column in zip("tvs", curve.points(), strict=True)}


def _shortened(column: list[float]) -> Iterator[float | None]:
    return (_finite(value) for value in column)


def _finite(value: float) -> float | None:
    """Nine digits are more than a screen shows."""
    return float(f"{value:.9g}") if math.isfinite(value) else None

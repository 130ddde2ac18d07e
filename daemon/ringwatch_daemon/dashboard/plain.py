"""The view as plain lines, for a log file or a pipe."""

import math
from collections.abc import Iterator

from ringwatch_daemon.dashboard import words
from ringwatch_daemon.dashboard.quantities import Family, Quantity
from ringwatch_daemon.dashboard.run_view import FitEntry, RunView
from ringwatch_daemon.dashboard.uncertainty import value_with_uncertainty

FRAME_EVERY_S = 5.0
SILENCE_EVERY_S = 60.0


class PlainLog:
    """Remembers what it has said, and says what is new.

    Parameters
    ----------
    frame_every_s
        Shortest time between two lines about frames.
    silence_every_s
        Shortest time between two lines about no frames.
    """

    def __init__(self, *, frame_every_s: float = FRAME_EVERY_S, silence_every_s: float = SILENCE_EVERY_S) -> None:
        self._frame_every_s = frame_every_s
        self._silence_every_s = silence_every_s
        self._said = RunView()
        self._row_said = -1
        self._frame_said_s = -math.inf
        self._silence_said_s = -math.inf

    def lines(self, view: RunView, *, now_s: float, last: bool = False) -> list[str]:
        """What is new in `view`, at most one line about frames; the `last` time without waiting for its hour."""
        if last:
            self._frame_said_s = -math.inf
        lines = list(self._news(view, now_s))
        self._said = view
        return lines

    def _news(self, view: RunView, now_s: float) -> Iterator[str]:
        if view.run != self._said.run:
            self._said, self._row_said, self._frame_said_s = RunView(run=view.run), -1, -math.inf
            yield f"run {view.run} since {words.utc(view.started_ns)}"
        unseen = view.events_seen - self._said.events_seen
        if unseen > len(view.events):
            yield f"{unseen - len(view.events)} events went by too fast to be told"
        for event in view.events[-unseen:] if unseen > 0 else ():
            yield f"event {words.utc(event.timestamp_ns)}  {event.kind}: {event.text}"
        yield from (f"flag {flag}" for flag in view.flags if flag not in self._said.flags)
        if view.missed > self._said.missed:
            yield words.hole(view)
        yield from self._frame(view, now_s)
        yield from self._silence(view, now_s)
        if view.stopped is not None and self._said.stopped is None:
            yield f"run ended: {view.stopped}"

    def _frame(self, view: RunView, now_s: float) -> Iterator[str]:
        """A line when there is a new frame and it is time, and in any case for the last one of a run."""
        due = view.stopped is not None or now_s - self._frame_said_s >= self._frame_every_s
        if view.frame is not None and due and view.frame.row != self._row_said:
            self._frame_said_s, self._row_said = now_s, view.frame.row
            yield frame_line(view)

    def _silence(self, view: RunView, now_s: float) -> Iterator[str]:
        silence = words.silence(view, now_s)
        if silence and now_s - max(self._silence_said_s, view.frame_heard_s or 0.0) >= self._silence_every_s:
            self._silence_said_s = now_s
            yield silence


def frame_line(view: RunView) -> str:
    """One line about the newest frame, as in ``frame 123  ratio 5.43(12)  a 8.25702(3) A  3.412 V  lost 0``."""
    parts = [f"frame {view.frame.row}"] if view.frame is not None else ["no frame"]
    parts.extend(_fit_words(view.fit, view.quantities) if view.fit is not None else ())
    if view.cell is not None and math.isfinite(view.cell.voltage_V):
        parts.append(f"{view.cell.voltage_V:.3f} V")
    parts.append(f"lost {view.totals.lost}")
    if view.totals.rejected:
        parts.append(f"rejected {view.totals.rejected}")
    return "  ".join(parts)


def _fit_words(fit: FitEntry, quantities: tuple[Quantity, ...]) -> Iterator[str]:
    shown = [quantity for quantity in quantities if _in_a_line(quantity)]
    labels = [quantity.label for quantity in shown]
    for quantity in shown:
        name = quantity.label if labels.count(quantity.label) == 1 else f"{quantity.phase} {quantity.label}"
        unit = {"Å": " A", "°": " deg"}.get(quantity.unit, "")
        yield f"{name} {value_with_uncertainty(*fit.estimate(quantity.path))}{unit}"


def _in_a_line(quantity: Quantity) -> bool:
    return quantity.family is Family.RATIO or (quantity.family is Family.LATTICE and quantity.of_free_phase)

"""How a view of a run looks on a terminal of any width."""

import math

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ringwatch_daemon.core.records import Event, QueueLevel
from ringwatch_daemon.dashboard import words
from ringwatch_daemon.dashboard.quantities import Quantity
from ringwatch_daemon.dashboard.run_view import FitEntry, RunView
from ringwatch_daemon.dashboard.series import Series, sparkline

WIDE = 100
"""Columns from which there is room for the range of each curve."""

_LOUD = "bold white on red"
_WARNING = "bold yellow"
_QUIET = "dim"
_MOST_EVENTS = 8
_LINES_BESIDES = 12
"""Lines of the view that are there in every run; what is left of the terminal's height shows events."""


def view_panel(
    view: RunView, *, width: int, height: int, now_s: float, expected_frames: int | None = None
) -> RenderableType:
    """The whole view.

    Parameters
    ----------
    width, height
        Of the terminal, in characters.
    now_s
        The watcher's monotonic clock, to tell silence.
    expected_frames
        Length of the run where it is known beforehand.
    """
    warnings = [Text(f" {warning} ", style=_LOUD) for warning in _warnings(view)]
    taken = _LINES_BESIDES + len(view.quantities) + sum(math.ceil(line.cell_len / (width - 4)) for line in warnings)
    events = max(1, min(_MOST_EVENTS, height - taken))
    parts: list[RenderableType | None] = [
        *_times(view, width, now_s),
        _progress(view, expected_frames),
        _ledger(view),
        *warnings,
        _fit_line(view),
        _quantities(view, width) if view.quantities else None,
        _cell(view, width),
        _health(view),
        *_events(view.events[-events:]),
    ]
    title = Text.assemble(("ringwatch", "bold cyan"), " · ", (view.run or "waiting for a run", "bold"))
    return Panel(
        Group(*(part for part in parts if part is not None)),
        title=title,
        title_align="left",
        subtitle=_connection(view, width),
        subtitle_align="right",
        box=ROUNDED,
        width=width,
        padding=(0, 1),
    )


def _connection(view: RunView, width: int) -> Text:
    if view.stopped is not None:
        text = Text(f"run ended: {view.stopped}", style="bold")
    else:
        style = "bold green" if view.source_state == "CONNECTED" else _WARNING
        text = Text.assemble((view.source_state.lower() or "no status yet", style), f" {view.source_text}".rstrip())
    text.truncate(width - 8, overflow="ellipsis")
    return text


def _times(view: RunView, width: int, now_s: float) -> list[Text]:
    """One line, or two where one is too short for it."""
    started = "waiting for the first message"
    if view.run:
        started = "its start was not heard" if view.started_ns is None else f"since {words.utc(view.started_ns)}"
    lines = [Text(started, style=_QUIET)]
    if view.timestamp_ns is not None:
        lines.append(Text(f"newest frame {words.utc(view.timestamp_ns)} · {view.elapsed_h:.2f} h"))
    silence = words.silence(view, now_s)
    if silence:
        lines[-1].append(" · ").append(silence, style=_WARNING)
    return [Text(" · ").join(lines)] if width >= WIDE else lines


def _progress(view: RunView, expected_frames: int | None) -> RenderableType:
    totals = view.totals
    done = totals.processed + totals.rejected + totals.lost
    words_of_it = Text.assemble((f"{totals.processed}", "bold"), f" of {totals.announced} frames processed")
    if math.isfinite(view.frames_per_s):
        words_of_it.append(f" · {words.rate(view.frames_per_s)}")
    if not expected_frames:
        return words_of_it
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(total=expected_frames, completed=min(done, expected_frames))
    line.add_row(words_of_it, bar, f"{min(100 * done / expected_frames, 100):.0f} % of {expected_frames}")
    return line


def _ledger(view: RunView) -> Text:
    totals = view.totals
    text = Text()
    for name, count in (("lost", totals.lost), ("rejected", totals.rejected)):
        text.append(f" {name} {count} " if count else f"{name} 0", style=_LOUD if count else "green")
        text.append("  ")
    text.append(words.reasons(totals), style=_WARNING if totals.lost or totals.rejected else _QUIET)
    return text


def _warnings(view: RunView) -> list[str]:
    hole = words.hole(view)
    return [*([hole] if hole else []), *view.flags]


def _fit_line(view: RunView) -> Text:
    if view.fit is None:
        return Text("no fit yet", style=_QUIET)
    fit = view.fit
    good = fit.state == "CONVERGED"
    text = Text.assemble("fit of frame ", str(fit.row), " ", (fit.state.lower(), "green" if good else _LOUD))
    if math.isfinite(fit.chi_square):
        text.append(f" · chi-square {fit.chi_square:.3g}")
    return text


class _Curve:
    """A sparkline as wide as the place it gets."""

    def __init__(self, values: tuple[float, ...]) -> None:
        self._values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(sparkline(self._values, options.max_width), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(8, options.max_width), max(8, options.max_width))


def _quantities(view: RunView, width: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), expand=True, show_edge=False)
    table.add_column("phase", no_wrap=True, style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("newest", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("over the run", ratio=1, style="cyan")
    if width >= WIDE:
        table.add_column("lowest to highest", no_wrap=True, style=_QUIET)
    previous = ""
    for quantity in view.quantities:
        row = _quantity_row(view, quantity, wide=width >= WIDE)
        table.add_row(quantity.phase if quantity.phase != previous else "", *row)
        previous = quantity.phase
    return table


def _quantity_row(view: RunView, quantity: Quantity, *, wide: bool) -> list[RenderableType]:
    curve = view.curves.get(quantity.path, Series()).curve()
    value = words.estimate(view.fit, quantity) if view.fit else words.NEVER
    cells: list[RenderableType] = [quantity.label, value, _state(view.fit, quantity, wide=wide), _Curve(curve)]
    return [*cells, _range(curve)] if wide else cells


def _state(fit: FitEntry | None, quantity: Quantity, *, wide: bool) -> Text:
    told = words.state(fit, quantity, with_limit=wide) if fit else ""
    return Text(told, style="green" if told.startswith("present") else "yellow")


def _range(curve: tuple[float, ...]) -> str:
    finite = [value for value in curve if math.isfinite(value)]
    return f"{min(finite):.6g} to {max(finite):.6g}" if finite else ""


def _cell(view: RunView, width: int) -> Text:
    reason = view.cell_reason.lower().replace("_", " ")
    text = Text("cell  ", style="bold")
    if view.cell is None:
        return text.append(reason or "nothing known yet", style=_QUIET)
    text.append(words.cell(view.cell), style="not bold")
    if view.cell_reason != "KNOWN":
        text.append(f" at frame {view.cell.row} (newest: {reason})", style="yellow not bold")
    curve = sparkline(view.voltage.curve(), max(width - 4 - text.cell_len - 4, 8))
    return text.append(f"  {curve}", style="cyan not bold")


def _health(view: RunView) -> Text:
    text = Text("queues  ", style="bold")
    for level in view.queues:
        text.append(_queue(level), style=f"{_WARNING if level.dropped else ''} not bold")
        text.append("  ")
    if not view.queues:
        text.append("no status yet  ", style=f"{_QUIET} not bold")
    if math.isfinite(view.latency_s):
        text.append(f"latency {_latency(view.latency_s)}", style="not bold")
    return text


def _queue(level: QueueLevel) -> str:
    dropped = f", {level.dropped} dropped" if level.dropped else ""
    return f"{level.name} {level.length} (most {level.high_water} of {level.capacity}{dropped})"


def _latency(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if abs(seconds) < 1 else f"{seconds:.1f} s"


def _events(events: tuple[Event, ...]) -> list[Text]:
    """One line each; a text that is too long for it is cut, never its time or kind."""
    longest = max((len(event.kind) for event in events), default=0)
    lines = []
    for event in events:
        sigma = f" (± {event.sigma_h:.2g} h)" if math.isfinite(event.sigma_h) else ""
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{words.utc(event.timestamp_ns)[11:19] or words.NEVER}  ", style=_QUIET)
        line.append(f"{event.kind:{longest}}  ", style="bold")
        lines.append(line.append(event.text + sigma))
    return lines

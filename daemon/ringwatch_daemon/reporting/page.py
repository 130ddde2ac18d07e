"""One page that holds the whole report and needs nothing beside it."""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np

from ringwatch_daemon.reporting.frames import frame_totals
from ringwatch_daemon.reporting.parameter_table import Cell, ParameterTable
from ringwatch_daemon.reporting.run_file import NS_PER_H, EventEntry
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import ReportFigure
from ringwatch_pipelines.cell.activity import Activity

EVENTS_SHOWN = 400
UNKNOWN = "unknown"
_CHANGES = frozenset(activity.value for activity in Activity) - {Activity.OPEN_CIRCUIT.value}
"""Of the current: there may be hundreds, and what matters should not be looked for among them."""

_CSS = """
:root { color-scheme: light; --line: #d5d8dc; --quiet: #59616b; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; color: #16191d; background: #fff; }
body { font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: .5rem 0; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
nav { font-size: .9rem; } nav a { margin-right: .8rem; display: inline-block; } a { color: #0b5a97; }
figure { margin: .5rem 0 1rem; } img { width: 100%; min-width: 38rem; height: auto; display: block; }
summary { cursor: pointer; margin: 1rem 0 .4rem; } @media print { summary { display: none; } }
figcaption, .quiet { color: var(--quiet); font-size: .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; } dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; } .note { border-left: 3px solid #d55e00; padding: .1rem .8rem; }
@media (max-width: 34rem) {
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; } body { padding: .6rem; }
}
@media print { nav { display: none; } figure { break-inside: avoid; } }
"""


def page_from_report(
    run: RunSeries,
    figures: Sequence[ReportFigure],
    table: ParameterTable | None,
    notes: Sequence[str],
    *,
    directory: Path,
) -> str:
    """The page as HTML, with every figure inside.

    Parameters
    ----------
    directory
        Where the figures have been written.
    notes
        What the run does not have, one sentence each.
    """
    title = run.file.text("title") or run.file.path.stem
    parts = [
        f"<h1>{escape(title)}</h1>",
        *_facts(run),
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        _contents(figures, table),
        *_parameters(table),
        *(_section(figure, directory) for figure in figures),
        *_events(run),
    ]
    return _html(title, parts)


def page_of_cells(title: str, cells: Sequence[str], *, page_name: str) -> str:
    """The page that leads to the reports of several cells."""
    links = [f'<li><a href="{escape(cell)}/{escape(page_name)}">{escape(cell)}</a></li>' for cell in cells]
    return _html(title, [f"<h1>{escape(title)}</h1>", "<p>The cells of this run:</p><ul>", *links, "</ul>"])


def _html(title: str, parts: Sequence[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _facts(run: RunSeries) -> Iterator[str]:
    file = run.file
    totals = frame_totals(run)
    counts = {state: sum(count for one, _, count in totals if one == state) for state, _, _ in totals}
    facts = [
        ("sample", ", ".join(text for text in (file.text("sample/name"), file.text("sample/description")) if text)),
        (
            "beamline",
            ", ".join(
                text
                for text in (file.text("instrument/name"), file.text("instrument/source/name"))
                if text and text != UNKNOWN
            ),
        ),
        ("zero of the time axis", _utc(run.zero_ns)),
        ("length", f"{run.span_h[1] - run.span_h[0]:.4g} h" if run.zero_ns else ""),
        ("frames", ", ".join(f"{count} {state.lower()}" for state, count in counts.items()) or "none"),
        ("fits that converged", str(run.fitted_rows.size)),
        ("end", file.text("ledger/stopped") or "none is told: the run still goes on, or was cut off"),
        ("flags", file.text("ledger/flags")),
        ("onsets", "; ".join(one.event.text for one in run.onsets)),
        ("short circuits", "; ".join(_dated(run, event) for event in _of_kind(run, "SHORT_CIRCUIT"))),
        ("cycler's clock", next((event.text for event in reversed(_of_kind(run, "CLOCK"))), "")),
        ("analysed by", f"{file.text('reduction/program')} {file.text('reduction/version')}".strip()),
        ("file", str(file.path.name)),
    ]
    yield "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts if v) + "</dl>"


def _utc(zero_ns: int) -> str:
    return f"{np.datetime64(zero_ns // 10**6, 'ms')} UTC, the first pattern" if zero_ns else ""


def _contents(figures: Sequence[ReportFigure], table: ParameterTable | None) -> str:
    links = [("parameters", "Parameters")] if table is not None else []
    links += [(figure.name, figure.title) for figure in figures]
    return (
        "<nav>"
        + "".join(f'<a href="#{escape(to)}">{escape(text)}</a>' for to, text in (*links, ("list", "List of events")))
        + "</nav>"
    )


def _section(figure: ReportFigure, directory: Path) -> str:
    data = base64.b64encode((directory / f"{figure.name}.svg").read_bytes()).decode()
    tables = ", ".join(f'<a href="{escape(table.name)}.csv">{escape(table.name)}.csv</a>' for table in figure.numbers)
    forms = [form for form in ("svg", "png", "pdf") if (directory / f"{figure.name}.{form}").exists()]
    files = ", ".join(f'<a href="{escape(figure.name)}.{form}">{form}</a>' for form in forms)
    return (
        f'<h2 id="{escape(figure.name)}">{escape(figure.title)}</h2><figure>'
        f'<div class="wide"><img alt="{escape(figure.title)}" src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption>{escape(figure.caption)} Files: {files}; numbers: {tables}</figcaption></figure>"
    )


def _parameters(table: ParameterTable | None) -> Iterator[str]:
    if table is None:
        return
    heads = "".join(_heading(asked, time_h) for asked, time_h in zip(table.asked, table.times_h, strict=True))
    rows = "".join(
        f"<tr><td>{escape(phase)}</td><td>{escape(f'{name} ({unit})' if unit else name)}</td>"
        f"{''.join(_entry(cell) for cell in row)}</tr>"
        for (phase, name, unit), row in zip(table.labels, table.cells, strict=True)
    )
    yield (
        '<h2 id="parameters">Parameters</h2><div class="wide"><table><thead><tr><th>phase</th><th>parameter</th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="quiet">Each value is that of the nearest fitted frame, with one standard deviation of its last '
        "digits in parentheses and the change since the start below. Numbers: "
        '<a href="parameters.csv">parameters.csv</a></p>'
    )


def _heading(asked: str, time_h: float) -> str:
    there = f"{time_h:.2f} h" if np.isfinite(time_h) else "not in the run"
    return f'<th class="number">{escape(asked)}<br><span class="quiet">{there}</span></th>'


def _entry(cell: Cell) -> str:
    return f'<td class="number">{escape(cell.text)}<br><span class="quiet">{escape(cell.change)}</span></td>'


def _events(run: RunSeries) -> Iterator[str]:
    events = sorted(run.file.events(), key=lambda event: event.timestamp_ns)
    yield '<h2 id="list">List of events</h2>'
    if not events:
        yield "<p>The run has no events.</p>"
        return
    changes = [event for event in events if event.kind in _CHANGES]
    others = [event for event in events if event.kind not in _CHANGES]
    if others:
        yield _table_of(run, others)
    if changes:
        yield f"<details{'' if others else ' open'}><summary>{len(changes)} changes of the current</summary>"
        yield f"{_table_of(run, changes)}</details>"
    left_out = sum(max(len(shown) - EVENTS_SHOWN, 0) for shown in (others, changes))
    more = f" {left_out} more stand there." if left_out else ""
    yield f'<p class="quiet">All of them: <a href="events.csv">events.csv</a>.{more}</p>'


def _table_of(run: RunSeries, events: Sequence[EventEntry]) -> str:
    rows = "".join(
        f'<tr><td class="number">{_hours(run, event):.3f}</td>'
        f'<td class="number">{f"{event.sigma_h:.2g}" if np.isfinite(event.sigma_h) else ""}</td>'
        f"<td>{escape(event.kind)}</td><td>{escape(event.text)}</td></tr>"
        for event in events[:EVENTS_SHOWN]
    )
    return (
        '<div class="wide"><table><thead><tr><th class="number">time (h)</th><th class="number">sigma (h)</th>'
        f"<th>kind</th><th>what</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _of_kind(run: RunSeries, begins: str) -> list[EventEntry]:
    return [event for event in run.file.events() if event.kind.startswith(begins)]


def _hours(run: RunSeries, event: EventEntry) -> float:
    return (event.timestamp_ns - run.zero_ns) / NS_PER_H


def _dated(run: RunSeries, event: EventEntry) -> str:
    spread = f" ± {event.sigma_h:.2g}" if np.isfinite(event.sigma_h) else ""
    return f"{_hours(run, event):.2f}{spread} h: {event.text}"


def write_page(path: Path, page: str) -> Path:
    """Write the page."""
    path.write_text(page, encoding="utf-8")
    return path

"""How figures look: sizes for a journal, colours that survive colour blindness and grey print."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from ringwatch_daemon.reporting.cell_series import CellSeries
from ringwatch_daemon.reporting.marks import Marks
from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.run_file import BoolArray
from ringwatch_pipelines.patterns import FloatArray

WIDTH_MM = 180.0
"""Two columns of most journals."""

PIXELS_AN_INCH = 200
_MOST_MARKS_APART = 120
_MARKS_ON_A_LINE = 10
_ROOM = 1.5
"""Of what is missing: panels that are moved in become narrower too."""
GREY = "0.45"
MAP = "cividis"
"""Lightness grows evenly, so that it can be read in grey and by everybody."""

_STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "font.family": "DejaVu Sans",
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "axes.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "axes.formatter.use_mathtext": True,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.6,
    "axes.grid": False,
    "svg.hashsalt": "ringwatch",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, marker and line of one series: each alone tells it from the others."""

    colour: str
    marker: str
    line: Any


LOOKS = (
    Look("#0072B2", "o", "-"),
    Look("#D55E00", "s", "--"),
    Look("#009E73", "^", "-."),
    Look("#CC79A7", "D", ":"),
    Look("#000000", "v", (0, (5, 1, 1, 1, 1, 1))),
    Look("#E69F00", "P", (0, (3, 1, 1, 1))),
    Look("#56B4E9", "X", (0, (1, 1))),
)
"""Okabe and Ito (2008), without the yellow that nobody sees on paper."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportFigure:
    """A figure with its caption and numbers.

    Parameters
    ----------
    name
        Stem of its files.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: tuple[NumberTable, ...] = ()

    def write(self, directory: Path, formats: Sequence[str]) -> tuple[Path, ...]:
        """Write the figure in every format and its numbers as CSV."""
        paths = [directory / f"{self.name}.{name}" for name in dict.fromkeys(formats)]
        # The layout is found once, not once a format.
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        _make_room(self.figure)
        for path in paths:
            # Without a date the same run gives the same bytes.
            stamp = {"CreationDate": None} if path.suffix == ".pdf" else {"Date": None} if path.suffix == ".svg" else {}
            self.figure.savefig(path, dpi=PIXELS_AN_INCH, metadata=stamp)
        return (*paths, *(table.write(directory) for table in self.numbers))


def _make_room(figure: Figure) -> None:
    """Move the panels in where labels reach over an edge: aligned labels may need more room than the layout knows."""
    needed, width = figure.get_tightbbox(), float(figure.bbox_inches.width)
    left, right = (_ROOM * max(0.0, over) / width for over in (-needed.x0, needed.x1 - width))
    if left + right > 0.0:
        share = 1.0 - left - right
        # All of them are asked before one is moved: a twin goes along with its own.
        for axes, box in [(axes, axes.get_position()) for axes in figure.axes]:
            axes.set_position((left + share * box.x0, box.y0, share * box.width, box.height))


def style() -> AbstractContextManager[None]:
    """The style, for as long as figures are made and written."""
    return mpl.rc_context(_STYLE)


def new_figure(*, height_mm: float, width_mm: float = WIDTH_MM) -> Figure:
    """An empty figure that makes room for its labels."""
    return Figure(figsize=(width_mm / 25.4, height_mm / 25.4), layout="constrained", dpi=PIXELS_AN_INCH)


def stacked(panels: int, *, cell: bool, panel_mm: float = 42.0) -> tuple[Figure, list[Axes], Axes | None]:
    """Panels above each other on one time axis, with a low one for the cell at the foot where there is one."""
    ratios = [1.0] * panels + [0.62] * cell
    figure = new_figure(height_mm=panel_mm * sum(ratios) + 12)
    axes = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)[:, 0].tolist()
    return figure, axes[:panels], axes[panels] if cell else None


_LIMIT = Outline(
    [(-0.3, 0.0), (0.3, 0.0), (0.0, 0.0), (0.0, -1.0), (-0.25, -0.7), (0.0, -1.0), (0.25, -0.7)],
    [Outline.MOVETO, Outline.LINETO, Outline.MOVETO, Outline.LINETO, Outline.MOVETO, Outline.LINETO, Outline.LINETO],
)
"""An arrow that points down from the limit."""


def draw_marks(
    axes: Axes,
    x: FloatArray,
    marks: Marks,
    look: Look,
    label: str,
    *,
    limits: bool = False,
    hollow: BoolArray | None = None,
    among: int | None = None,
) -> None:
    """Marks with error bars; with `limits` what is not seen becomes an arrow down from its upper limit.

    Where many marks of several series would run into each other, `among`, the place of this one among them, makes it
    a line of its own dashes with a few marks that stand beside those of the others.
    """
    if among is not None and x.size > _MOST_MARKS_APART:
        _draw_line(axes, x, marks, look=look, label=label, among=among)
        return
    shown = np.isfinite(marks.value) & np.isfinite(x)
    absent = shown & ~marks.seen if limits else np.zeros(x.shape, dtype=bool)
    shown &= ~absent
    size = 3.6 if x.size <= _MOST_MARKS_APART else 2.4
    name: str | None = label
    open_ones = np.zeros(x.shape, dtype=bool) if hollow is None else hollow
    for chosen, face in ((shown & ~open_ones, look.colour), (shown & open_ones, "white")):
        axes.errorbar(
            x[chosen], marks.value[chosen], marks.sigma[chosen],
            fmt=look.marker, color=look.colour, markerfacecolor=face, markersize=size, markeredgewidth=0.7,
            elinewidth=0.7, linestyle="none", label=name if chosen.any() else None,
        )  # fmt: skip
        name = None if chosen.any() else name
    if absent.any():
        axes.plot(
            x[absent], marks.limit[absent], marker=_LIMIT, color=look.colour, markersize=2.6 * size,
            markeredgewidth=0.8, linestyle="none", label=_once(axes, "95 % upper limit"),
        )  # fmt: skip


def _draw_line(axes: Axes, x: FloatArray, marks: Marks, *, look: Look, label: str, among: int) -> None:
    every = max(1, x.size // _MARKS_ON_A_LINE)
    axes.fill_between(
        x, marks.value - marks.sigma, marks.value + marks.sigma, color=look.colour, alpha=0.25, linewidth=0
    )
    axes.plot(
        x, marks.value, marker=look.marker, color=look.colour, linestyle=look.line, linewidth=0.9, markersize=4.2,
        markeredgewidth=0.5, markeredgecolor="white", markevery=(among * every // 5 % every, every), label=label,
    )  # fmt: skip


def _once(axes: Axes, label: str) -> str:
    return "" if label in axes.get_legend_handles_labels()[1] else label


def draw_cell(axes: Axes, cell: CellSeries, span_h: tuple[float, float]) -> None:
    """Voltage on the left axis, current on the right one, over the time that is shown."""
    voltage, current = LOOKS[4], LOOKS[1]
    cell = cell.within(span_h)
    shown = cell.drawn(cell.voltage_V)
    axes.plot(cell.time_h[shown], cell.voltage_V[shown], color=voltage.colour, linewidth=0.8)
    axes.set_ylabel("voltage\n(V)")
    right = axes.twinx()
    shown = cell.drawn(cell.current_A)
    right.plot(
        cell.time_h[shown], 1e3 * cell.current_A[shown], color=current.colour, linewidth=0.8, linestyle="--",
        drawstyle="steps-post",
    )  # fmt: skip
    right.set_ylabel("current\n(mA, dashed)", color=current.colour)
    right.tick_params(axis="y", colors=current.colour)


def finish_time_axis(axes: Axes, span_h: tuple[float, float]) -> None:
    """Label the lowest panel; the cycler's series may be longer than the run."""
    figure = axes.get_figure(root=False)
    if figure is not None:
        figure.align_ylabels()
    width = span_h[1] - span_h[0]
    margin = 0.02 * width if width else 0.5
    axes.set_xlim(span_h[0] - margin, span_h[1] + margin)
    axes.set_xlabel("time since the first pattern (h)")


UNITS = {"angstrom": "Å", "degree": "°", "intensity degree": "arb. units × °", "intensity": "arb. units"}


def with_unit(text: str, unit: str) -> str:
    """A label with its unit in parentheses, below it so that a low panel has room for both."""
    return f"{text}\n({UNITS.get(unit, unit)})" if unit else text


def from_zero(axes: Axes, values: FloatArray) -> None:
    """Let the axis begin at zero, with room above the highest value."""
    known = values[np.isfinite(values)]
    axes.set_ylim(0.0, 1.15 * float(known.max()) if known.size and known.max() > 0 else 1.0)

"""Writes every part of a report and says how far it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from ringwatch_daemon.reporting.events import events_table
from ringwatch_daemon.reporting.making import makers_from_patterns, missing_from_run
from ringwatch_daemon.reporting.page import page_from_report, write_page
from ringwatch_daemon.reporting.parameter_table import parameter_table
from ringwatch_daemon.reporting.patterns import pattern_map
from ringwatch_daemon.reporting.run_file import RunFile
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import ReportFigure, style


@dataclass(frozen=True, slots=True)
class Written:
    """What a report came to."""

    figures: int
    files: int
    notes: tuple[str, ...]


def write_report(
    file: RunFile, directory: Path, *, at_h: Sequence[float], formats: Sequence[str], page_name: str, bar: Progress
) -> Written:
    """Write figures, numbers and the page into `directory`.

    Parameters
    ----------
    formats
        Of each figure, ``svg`` among them.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    run = RunSeries(file)
    reading = bar.add_task("reading patterns", total=2 * file.frames)
    patterns = pattern_map(run, told=lambda rows: bar.advance(reading, rows))
    makers = makers_from_patterns(patterns)
    drawing = bar.add_task("drawing", total=len(makers) + 1)
    figures: list[ReportFigure] = []
    paths: list[Path] = []
    with style():
        for make in makers:
            for figure in make(run):
                paths.extend(figure.write(directory, formats))
                figures.append(figure)
            bar.advance(drawing)
        table = parameter_table(run, at_h=at_h)
        if table is not None:
            paths.append(table.numbers().write(directory))
        if not any(figure.name == "events" for figure in figures):
            paths.append(events_table(run).write(directory))
        notes = missing_from_run(run, patterns)
        paths.append(
            write_page(directory / page_name, page_from_report(run, figures, table, notes, directory=directory))
        )
        bar.advance(drawing)
    return Written(len(figures), len(paths), notes)

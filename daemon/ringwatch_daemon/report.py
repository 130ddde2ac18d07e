"""Figures, tables and one page from the file of a run."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ringwatch_daemon.core.errors import InputFileError, ReportError
from ringwatch_daemon.reporting.cell_file import CellFile, cells_in
from ringwatch_daemon.reporting.run_file import RunFile

if TYPE_CHECKING:
    from ringwatch_daemon.reporting.writing import Written

PAGE = "report.html"
FORMATS = ("svg", "png", "pdf")


def report(
    path: Path, directory: Path, *, at_h: Sequence[float], formats: Sequence[str] = FORMATS, console: Console
) -> None:
    """Write the report of a run into a folder; of several cells, one each into a folder with the cell's name.

    Parameters
    ----------
    path
        File of the run; it may still grow, or have been cut off.
    directory
        Made where it is missing; files of an earlier report are replaced.
    at_h
        Hours since the first pattern at which parameters are listed, besides the start and the end.
    formats
        Of each figure; the page needs ``svg``, which is always written.

    Raises
    ------
    RingwatchError
        The file is no run, the folder cannot be written, or matplotlib is missing.
    """
    try:
        from ringwatch_daemon.reporting.page import page_of_cells, write_page  # noqa: PLC0415 - needs matplotlib
        from ringwatch_daemon.reporting.writing import write_report  # noqa: PLC0415 - an extra that may be missing
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise ReportError("figures need matplotlib: pip install 'ringwatch[figures]'") from error
    with RunFile(path) as file:
        cells = cells_in(file)
    with ExitStack() as open_files:
        bar = open_files.enter_context(_progress(console))
        parts = [(directory, open_files.enter_context(RunFile(path)))] if not cells else []
        parts += [(directory / cell, open_files.enter_context(CellFile(path, cell))) for cell in cells]
        try:
            for folder, file in parts:
                folder.mkdir(parents=True, exist_ok=True)
                written = write_report(file, folder, at_h=at_h, formats=("svg", *formats), page_name=PAGE, bar=bar)
                _say(console, written, folder)
            if cells:
                write_page(directory / PAGE, page_of_cells(path.stem, cells, page_name=PAGE))
        except OSError as error:
            raise InputFileError(f"{directory} cannot take the report: {error}") from error


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), console=console
    )


def _say(console: Console, written: "Written", folder: Path) -> None:
    for note in written.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{written.figures} figures, {written.files} files: {folder / PAGE}", highlight=False, soft_wrap=True)

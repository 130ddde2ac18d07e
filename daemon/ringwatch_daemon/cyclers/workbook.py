"""Excel workbooks with cyclers' tables: the sheets that one of the text families has."""

from dataclasses import fields
from datetime import date, datetime, time, timedelta
from io import BytesIO
from itertools import pairwise

import numpy as np

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.csv_file import HEAD_LINES
from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.optional import library, reading_a_whole
from ringwatch_daemon.cyclers.table import Table
from ringwatch_daemon.cyclers.text_export import layout_from_lines
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import read_only

_Cell = str | float | int | bool | datetime | date | time | timedelta


def samples_from_workbook(content: bytes, declared: Declarations) -> CyclerSamples:
    """All samples of a workbook; long tests go over several of its sheets.

    Raises
    ------
    CyclerError
        It is damaged, no sheet of it is a cycler's table, a row of one is not data, or its sheets are of two cells.
    """
    calamine = library("python_calamine", reads="Excel files")
    with reading_a_whole("Excel file"):
        book = calamine.CalamineWorkbook.from_filelike(BytesIO(content))
        sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    found: dict[str, CyclerSamples] = {}
    said: list[str] = []
    for name, rows in sheets.items():
        lines = ["\t".join(_text(cell) for cell in row) for row in rows]
        # Summaries by cycle and by step have the columns of a table and are none.
        if not lines or "statistic" in name.lower():
            continue
        try:
            layout = layout_from_lines(lines[:HEAD_LINES], declared)
        except CyclerError as error:
            said.append(f"sheet {name!r}: {error}")
            continue
        table = Table(lines[layout.header_line - 1], layout, clock_offset_ns=declared.clock_offset_ns)
        read = table.read(lines[layout.header_line :], layout.header_line + 1)
        if read.bad:
            raise CyclerError(f"sheet {name!r} row {read.bad[0].number}: {read.bad[0].why}")
        if read.samples.timestamp_ns.size:
            found[name] = read.samples
    if not found:
        raise CyclerError(f"expected a cycler's table in one of the sheets; {said[0] if said else 'all are empty'}")
    return _joined(found)


def _joined(sheets: dict[str, CyclerSamples]) -> CyclerSamples:
    """One series of sheets that follow each other, in whatever order they stand."""
    names = sorted(sheets, key=lambda name: int(sheets[name].timestamp_ns.min()))
    for before, after in pairwise(names):
        if sheets[after].timestamp_ns.min() < sheets[before].timestamp_ns.max():
            raise CyclerError(
                f"expected sheets that follow each other in time, got rows of one time in {before!r} and {after!r}, "
                "as of two channels"
            )
    parts = [sheets[name] for name in names]
    return CyclerSamples(
        **{
            field.name: read_only(np.concatenate([getattr(part, field.name) for part in parts]))
            for field in fields(CyclerSamples)
        }
    )


def _text(cell: _Cell) -> str:
    """As a text export would have it."""
    match cell:
        case datetime() | date() | time():
            return cell.isoformat(sep=" ") if isinstance(cell, datetime) else cell.isoformat()
        case timedelta():
            hours, rest_s = divmod(cell.total_seconds(), 3600.0)
            minutes, seconds = divmod(rest_s, 60.0)
            return f"{int(hours)}:{int(minutes):02d}:{seconds:09.6f}"
        case bool() | str():
            return " ".join(str(cell).split())
        case float() if cell.is_integer() and abs(cell) < 2**53:
            return str(int(cell))
        case _:
            return repr(cell)

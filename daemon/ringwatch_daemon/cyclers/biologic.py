"""BioLogic: EC-Lab and BT-Lab, binary ``.mpr`` and text ``.mpt``."""

import re
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn
from ringwatch_daemon.cyclers.optional import library, reading_a_whole
from ringwatch_daemon.cyclers.sample_columns import samples_from_columns
from ringwatch_daemon.cyclers.stamps import stamps_from_seconds, start_ns_from_text
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.patterns import FloatArray

MPR_MAGIC = b"BIO-LOGIC MODULAR FILE"
MPT_FIRST_LINES = ("EC-Lab ASCII FILE", "BT-Lab ASCII FILE")

_VOLTAGES = ("Ecell/V", "<Ecell>/V", "Ewe/V", "<Ewe>/V")
_CURRENTS = ("I/mA", "<I>/mA")
_CHARGE_STEPS = ("dq/mA.h", "dQ/mA.h")
_CONTROLS = ("control/mA", "control/V/mA")
_MODE_BITS, _GALVANOSTATIC, _REST = 3, 1, 3
_HEADER_LINES = re.compile(r"Nb header lines\s*:\s*(\d+)\s*")
_STARTED = re.compile(r"Acquisition started on\s*:\s*(\d+)[/.](\d+)[/.](\d{4}) (\d+:\d+:\d+(?:[.,]\d+)?)")


def samples_from_mpr(content: bytes, declared: Declarations) -> CyclerSamples:
    """All samples of an ``.mpr`` file.

    Raises
    ------
    CyclerError
        It is truncated or damaged, or its zone is not declared.
    """
    galvani = library("galvani", reads="BioLogic .mpr files")
    with reading_a_whole(".mpr file"):
        file = galvani.MPRfile(BytesIO(content))
    rows, started = file.data, getattr(file, "timestamp", None)
    if started is None:
        raise CyclerError("expected the start of the acquisition in the log of an .mpr file, got a file without a log")
    if "time/s" not in rows.dtype.names:
        raise CyclerError(f"expected the column time/s in an .mpr file, got {', '.join(rows.dtype.names)}")
    start_ns = start_ns_from_text(started.isoformat(), zone=_required(declared.zone))
    stamps = stamps_from_seconds(np.asarray(rows["time/s"], dtype=np.float64), start_ns=start_ns)
    if stamps.bad:
        raise CyclerError(f"expected times in an .mpr file, got {rows['time/s'][stamps.bad[0]]} s after its start")
    return samples_from_columns(
        cycler_timestamp_ns=stamps.cycler_timestamp_ns,
        clock_offset_ns=declared.clock_offset_ns,
        voltage_V=_column(rows, _VOLTAGES),
        current_A=1e-3 * _current_mA(rows),
        charge_C=3.6 * _column(rows, ("(Q-Qo)/mA.h",)),
        cycle=None,
        step=rows["Ns"] if "Ns" in rows.dtype.names else None,
    )


def _required(zone: str | None) -> str:
    if zone is None:
        raise CyclerError("BioLogic files tell their start without a time zone: declare `zone`")
    return zone


def _column(rows: Any, names: Sequence[str]) -> FloatArray:
    """The first of the columns that is there, NaN where none is."""
    for name in names:
        if name in rows.dtype.names:
            return np.asarray(rows[name], dtype=np.float64)
    return np.full(rows.size, np.nan)


def _current_mA(rows: Any) -> FloatArray:
    """The measured current; where a technique does not store it, charge over time, as EC-Lab's own export has it."""
    measured = _column(rows, _CURRENTS)
    if not np.isnan(measured).all() or not rows.size:
        return measured
    elapsed_s = np.diff(rows["time/s"], prepend=np.nan)
    mean = np.full(rows.size, np.nan)
    np.divide(3600.0 * _column(rows, _CHARGE_STEPS), elapsed_s, out=mean, where=elapsed_s > 0)
    # Nothing lies before the first row: its current is the one that was set.
    mode = int(rows["flags"][0]) & _MODE_BITS if "flags" in rows.dtype.names else 0
    if mode == _GALVANOSTATIC:
        mean[0] = _column(rows, _CONTROLS)[0]
    elif mode == _REST:
        mean[0] = 0.0
    return mean


def layout(lines: Sequence[str], declared: Declarations) -> TableLayout | None:
    """What the columns of an ``.mpt`` file mean, None where it is another format.

    Raises
    ------
    CyclerError
        It is an ``.mpt`` file, but its header is not whole.
    """
    if not lines or lines[0].strip() not in MPT_FIRST_LINES:
        return None
    counted = _HEADER_LINES.fullmatch(lines[1]) if len(lines) > 1 else None
    if counted is None:
        raise CyclerError("expected the number of header lines in the second line of an .mpt file")
    header_line = int(counted[1])
    if not 3 <= header_line <= len(lines):
        raise CyclerError(f"expected {header_line} header lines in an .mpt file, got {len(lines)} lines")
    names = [name.strip() for name in lines[header_line - 1].split("\t")]
    return TableLayout(
        time=_time_column(names, lines, header_line, declared),
        voltage=_value(names, _VOLTAGES, "V"),
        current=_value(names, _CURRENTS, "mA"),
        charge=_value(names, ("(Q-Qo)/mA.h",), "mAh"),
        step="Ns" if "Ns" in names else None,
        cycle="cycle number" if "cycle number" in names else None,
        separator="\t",
        header_line=header_line,
    )


def _value(names: Sequence[str], wanted: Sequence[str], unit: str) -> ValueColumn | None:
    name = next((name for name in wanted if name in names), None)
    return None if name is None else ValueColumn(name, unit)


def _time_column(names: Sequence[str], lines: Sequence[str], header_line: int, declared: Declarations) -> TimeColumn:
    if "time/s" not in names:
        raise CyclerError(f"expected the column time/s in an .mpt file, got {', '.join(names)[:400]}")
    zone = _required(declared.zone)
    index = names.index("time/s")
    rows = [line.split("\t") for line in lines[header_line : header_line + 1]]
    written = rows[0][index] if rows and len(rows[0]) > index else ""
    if ":" in written:
        # Exported with absolute times, which EC-Lab writes month first.
        fraction = next((mark for mark in ".," if mark in written), "")
        pattern = f"%m/%d/%Y %H:%M:%S{fraction}%f" if fraction else "%m/%d/%Y %H:%M:%S"
        return TimeColumn("time/s", "stamp", pattern=pattern, zone=zone)
    return TimeColumn("time/s", "elapsed", "s", zone=zone, start=_start_of(lines[:header_line]) or declared.start)


def _start_of(header: Sequence[str]) -> str | None:
    """ISO stamp of the start, which EC-Lab writes month first in every language."""
    for line in header:
        if found := _STARTED.match(line):
            month, day, year, time = found.groups()
            text = f"{year}-{month}-{day} {time.replace(',', '.')}"
            try:
                pattern = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
                return datetime.strptime(text, pattern).isoformat()
            except ValueError as error:
                raise CyclerError(f"expected a start written month first, got {line!r}") from error
    return None

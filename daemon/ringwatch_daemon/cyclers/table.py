"""Rows of a cycler's text table as samples."""

import csv
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.layout import Quantity, TableLayout, ValueColumn, si_from_unit
from ringwatch_daemon.cyclers.sample_columns import MOST_A, MOST_V
from ringwatch_daemon.cyclers.set_back import SetBack, set_back_in
from ringwatch_daemon.cyclers.stamps import StampReader, stamp_reader
from ringwatch_daemon.cyclers.table_numbers import DecimalMark, decimal_from_fields, numbers_from_fields
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray

SEPARATORS = ("\t", ";", ",", "|")
_LARGEST_COUNT = 2**31 - 1

_QUANTITIES: tuple[Quantity, ...] = ("voltage", "current", "charge")
_MOST: dict[Quantity, tuple[float, str]] = {
    "voltage": (MOST_V, "V"),
    "current": (MOST_A, "A"),
    "charge": (float("inf"), "C"),
}


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not data, and why."""

    number: int
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """What a block of lines holds.

    Parameters
    ----------
    set_back
        Where the stamps go back, its place counted in lines from the first of the block.
    """

    samples: CyclerSamples
    bad: tuple[BadLine, ...]
    set_back: SetBack | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    fields: list[str]


class Table:
    """Reads the rows below one header.

    Parameters
    ----------
    header
        The line with the names of the columns.
    layout
        What they mean.
    clock_offset_ns
        Added to the cycler's stamps to give the detector's clock.

    Raises
    ------
    CyclerError
        A declared column is not there, or a declaration makes no sense.
    """

    def __init__(self, header: str, layout: TableLayout, *, clock_offset_ns: int) -> None:
        self._header = header
        self._layout = layout
        self._clock_offset_ns = clock_offset_ns
        self._separator = layout.separator or separator_from_header(header, layout.names)
        found = [plain_name(name) for name in fields_from_line(header, self._separator)]
        if not found[-1]:
            # A separator at the end of the header, which the rows may or may not repeat.
            found.pop()
        self._width = len(found)
        self._index = {name: _only_index(found, name) for name in layout.names}
        self._decimal: DecimalMark | None = layout.decimal
        self._stamps = stamp_reader(layout.time)
        self._factors = _factors(layout)
        self._newest_ns = 0

    def read(self, lines: Sequence[str], first_number: int) -> TableRows:
        """Read lines of text; blank lines and repeated headers are no rows.

        Raises
        ------
        CyclerError
            No row can be understood as long as the declaration stays as it is.
        """
        bad: list[BadLine] = []
        rows = self._rows(lines, first_number, bad)
        columns = {name: [row.fields[at] for row in rows] for name, at in self._index.items()}
        block = _Block([row.number for row in rows], columns, self._decimal_of(columns), bad)
        stamps = block.stamps(self._layout.time.name, self._stamps)
        voltage_V, current_A, charge_C = (self._value(block, quantity) for quantity in _QUANTITIES)
        cycle, step = block.counts(self._layout.cycle), block.counts(self._layout.step)
        if (state := self._layout.state) is not None:
            found = [state.discharge.fullmatch(text.strip()) is not None for text in columns[state.name]]
            discharged = np.array(found, dtype=np.bool_)
            current_A = np.where(discharged, -np.abs(current_A), current_A)
        good = block.good
        samples = CyclerSamples(
            timestamp_ns=read_only((stamps + self._clock_offset_ns)[good]),
            cycler_timestamp_ns=read_only(stamps[good]),
            voltage_V=read_only(voltage_V[good]),
            current_A=read_only(current_A[good]),
            cycle=read_only(cycle[good]),
            step=read_only(step[good]),
            charge_C=read_only(charge_C[good]),
        )
        set_back = self._set_back(stamps[good])
        if set_back is not None:
            set_back = replace(set_back, place=rows[int(np.flatnonzero(good)[set_back.place])].number - first_number)
        return TableRows(samples, tuple(sorted(bad, key=lambda line: line.number)), set_back)

    def _set_back(self, stamps_ns: NDArray[np.int64]) -> SetBack | None:
        found = set_back_in(stamps_ns, latest_ns=self._newest_ns)
        if stamps_ns.size:
            self._newest_ns = int(stamps_ns[-1])
        return found

    def _value(self, block: "_Block", quantity: Quantity) -> FloatArray:
        column: ValueColumn | None = getattr(self._layout, quantity)
        if column is None:
            return np.full(block.good.size, np.nan)
        return block.quantities(column.name, self._factors[quantity], quantity)

    def _rows(self, lines: Sequence[str], first_number: int, bad: list[BadLine]) -> list[_Row]:
        rows = []
        for number, line in enumerate(lines, start=first_number):
            if not line.strip() or line == self._header:
                continue
            fields = fields_from_line(line, self._separator)
            if len(fields) == self._width + 1 and not fields[-1].strip():
                fields.pop()
            if len(fields) == self._width:
                rows.append(_Row(number, fields))
            else:
                bad.append(BadLine(number, self._wrong_width(fields)))
        return rows

    def _wrong_width(self, fields: list[str]) -> str:
        hint = ", as decimal commas between commas would give" if self._separator == "," else ""
        return f"expected {self._width} fields as in the header, got {len(fields)}{hint}"

    def _decimal_of(self, columns: dict[str, list[str]]) -> DecimalMark:
        if self._decimal is None:
            numeric = [name for name in columns if not self._is_text(name)]
            fields = [field for name in numeric for field in columns[name]]
            self._decimal = decimal_from_fields(fields, separator=self._separator)
        return self._decimal or "."

    def _is_text(self, name: str) -> bool:
        time, state = self._layout.time, self._layout.state
        return (name == time.name and time.kind in {"stamp", "duration"}) or (state is not None and name == state.name)


class _Block:
    """The columns of a block of rows, and which of its rows are data."""

    def __init__(
        self, line_numbers: list[int], columns: dict[str, list[str]], decimal: DecimalMark, bad: list[BadLine]
    ) -> None:
        self._line_numbers = line_numbers
        self._columns = columns
        self._decimal = decimal
        self._bad = bad
        self.good = np.ones(len(line_numbers), dtype=np.bool_)

    def stamps(self, name: str, reader: StampReader) -> NDArray[np.int64]:
        read = reader.read(self._columns[name], decimal=self._decimal)
        self._reject(read.bad, "a time", name)
        return read.cycler_timestamp_ns

    def numbers(self, name: str) -> FloatArray:
        read = numbers_from_fields(self._columns[name], decimal=self._decimal)
        self._reject(read.bad, "a number", name)
        return read.values

    def quantities(self, name: str, factor: float, quantity: Quantity) -> FloatArray:
        """Numbers in SI units, of which none is beyond what a cycler can do."""
        values = self.numbers(name) * factor
        most, unit = _MOST[quantity]
        self._reject(np.flatnonzero(np.abs(values) > most).tolist(), f"at most {most:g} {unit}", name)
        return values

    def counts(self, name: str | None) -> NDArray[np.int64]:
        """-1 where nothing is told."""
        if name is None:
            return np.full(self.good.size, -1, dtype=np.int64)
        values = self.numbers(name)
        told = np.where(np.isnan(values), -1.0, values)
        whole = (told == np.round(told)) & (np.abs(told) <= _LARGEST_COUNT)
        self._reject(np.flatnonzero(~whole).tolist(), "a whole number", name)
        return np.where(whole, told, -1.0).astype(np.int64)

    def _reject(self, indices: Sequence[int], expected: str, name: str) -> None:
        """Each line is told once, for the first thing that is wrong with it."""
        for index in indices:
            if self.good[index]:
                self.good[index] = False
                why = f"expected {expected} in column {name!r}, got {self._columns[name][index]!r}"
                self._bad.append(BadLine(self._line_numbers[index], why))


def separator_from_header(header: str, names: Sequence[str]) -> str:
    """The separator that cuts the header into the declared names.

    Raises
    ------
    CyclerError
        None does: the message names what was expected and what is there.
    """
    wanted = {plain_name(name) for name in names}
    for separator in SEPARATORS:
        if wanted <= {plain_name(name) for name in fields_from_line(header, separator)}:
            return separator
    likely = max(SEPARATORS, key=header.count)
    found = ", ".join(repr(plain_name(name)) for name in fields_from_line(header, likely))
    raise CyclerError(f"expected the columns {', '.join(map(repr, names))}, found {found[:400]}")


def fields_from_line(line: str, separator: str) -> list[str]:
    """Cut a line at the separators that do not stand in quotes."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        # Not a row of any table; as one field it is told as a line of the wrong width.
        return [line]


def _factors(layout: TableLayout) -> dict[Quantity, float]:
    declared = ((quantity, getattr(layout, quantity)) for quantity in _QUANTITIES)
    return {
        quantity: si_from_unit(quantity=quantity, unit=column.unit)
        for quantity, column in declared
        if column is not None
    }


def _only_index(found: list[str], name: str) -> int:
    places = [index for index, other in enumerate(found) if other == plain_name(name)]
    if len(places) != 1:
        raise CyclerError(
            f"expected one column {name!r}, found {len(places)} among {', '.join(map(repr, found))[:400]}"
        )
    return places[0]


def plain_name(name: str) -> str:
    """One spelling for names that look the same, as the two signs for micro."""
    return unicodedata.normalize("NFKC", name).strip()

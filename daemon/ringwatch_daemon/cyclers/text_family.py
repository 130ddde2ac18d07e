"""A family of text exports: which columns it writes, and how it is told from the others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import StateColumn, TableLayout, TimeColumn, ValueColumn
from ringwatch_daemon.cyclers.table import SEPARATORS, fields_from_line, plain_name
from ringwatch_daemon.cyclers.written_dates import pattern_of_stamps

Names = re.Pattern[str]
_HEADER_WITHIN = 200
_EPOCH_S = re.compile(r"\d{9,10}(\.\d*)?", re.ASCII)


def names(pattern: str) -> Names:
    """Column names in any case; a group ``unit`` is the unit of the column."""
    return re.compile(pattern, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TimeNames:
    """A column that may hold the time."""

    names: Names
    kind: Literal["stamp", "epoch", "elapsed", "duration"]
    unit: str = "s"


@dataclass(frozen=True, slots=True)
class StateNames:
    """A column that tells the direction of the current, and what stands there in discharge."""

    names: Names
    discharge: Names


@dataclass(frozen=True, slots=True)
class TextFamily:
    """The columns of a family of exports.

    Parameters
    ----------
    marks
        Columns which only this family has together.
    times
        The first of them that is there is taken: stamps before a count that needs a declared start.
    voltage, current
        With a group ``unit``, or in `voltage_unit` and `current_unit`.
    """

    name: str
    marks: tuple[Names, ...]
    times: tuple[TimeNames, ...]
    voltage: Names
    current: Names
    cycle: Names
    step: Names
    voltage_unit: str = "V"
    current_unit: str = "A"
    state: StateNames | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The line with the names of the columns."""

    line_number: int
    names: tuple[str, ...]
    separator: str

    def first(self, wanted: Names) -> str | None:
        """The first column whose whole name is one of `wanted`."""
        return next((name for name in self.names if wanted.fullmatch(name)), None)

    def column(self, name: str, lines: Sequence[str]) -> list[str]:
        """What stands in a column below the header, as far as lines are there."""
        index = self.names.index(name)
        rows = (fields_from_line(line, self.separator) for line in lines[self.line_number :])
        return [fields[index] for fields in rows if len(fields) > index]


def header_of(family: TextFamily, lines: Sequence[str]) -> Header | None:
    """The header of a file of this family, None where it is of another."""
    for number, line in enumerate(lines[:_HEADER_WITHIN], start=1):
        for separator in SEPARATORS:
            found = tuple(plain_name(name) for name in fields_from_line(line, separator))
            if all(any(mark.fullmatch(name) for name in found) for mark in family.marks):
                return Header(number, found, separator)
    return None


def layout_from_family(
    family: TextFamily,
    lines: Sequence[str],
    declared: Declarations,
    *,
    known_day: tuple[int, int] | None = None,
) -> TableLayout | None:
    """What the columns of a file mean, None where it is of another family.

    Parameters
    ----------
    lines
        The first lines of the file.
    known_day
        (month, day) of the first row, where the file tells it without doubt.

    Raises
    ------
    CyclerError
        It is of this family, but its time cannot be understood without a declaration.
    """
    header = header_of(family, lines)
    if header is None:
        return None
    state = family.state and header.first(family.state.names)
    return TableLayout(
        time=_time(family, header, lines, declared, known_day),
        voltage=_value(header, family.voltage, family.voltage_unit),
        current=_value(header, family.current, family.current_unit),
        cycle=header.first(family.cycle),
        step=header.first(family.step),
        state=StateColumn(state, family.state.discharge) if family.state and state else None,
        separator=header.separator,
        header_line=header.line_number,
    )


def _value(header: Header, wanted: Names, unit: str) -> ValueColumn | None:
    name = header.first(wanted)
    if name is None:
        return None
    found = wanted.fullmatch(name)
    told = found.groupdict().get("unit") if found else None
    return ValueColumn(name, _unit(told) if told else unit)


def _unit(told: str) -> str:
    """``ma`` as ``mA``: only the base unit is written large."""
    return told[:-1] + told[-1].upper()


def _time(
    family: TextFamily,
    header: Header,
    lines: Sequence[str],
    declared: Declarations,
    known_day: tuple[int, int] | None,
) -> TimeColumn:
    for choice in family.times:
        name = header.first(choice.names)
        if name is None:
            continue
        if choice.kind == "stamp":
            return _stamps(name, header.column(name, lines), declared, known_day)
        if choice.kind == "epoch":
            return TimeColumn(name, "epoch", choice.unit)
        if declared.start is None:
            raise CyclerError(f"an export of {family.name} that only counts from its start needs a declared `start`")
        return TimeColumn(name, choice.kind, choice.unit, zone=declared.zone, start=declared.start)
    raise CyclerError(f"expected a column with the time in this export of {family.name}, found {header.names}")


def _stamps(name: str, written: list[str], declared: Declarations, known_day: tuple[int, int] | None) -> TimeColumn:
    if written and all(_EPOCH_S.fullmatch(text.strip()) for text in written):
        return TimeColumn(name, "epoch", "s")
    pattern = declared.pattern or pattern_of_stamps(written, known_day=known_day)
    return TimeColumn(name, "stamp", pattern=pattern, zone=declared.zone)

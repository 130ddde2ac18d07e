"""How a cycler's table is laid out: declared by the user, never guessed where a guess could be wrong."""

import re
from dataclasses import dataclass, fields
from typing import Literal

from ringwatch_daemon.core.errors import CyclerError

Quantity = Literal["voltage", "current", "charge"]

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "\u00b5": 1e-6, "\u03bc": 1e-6, "n": 1e-9, "k": 1e3}
_BASES = {"V": 1.0, "A": 1.0, "C": 1.0, "Ah": 3600.0}
_TIME_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DIMENSIONS: dict[Quantity, tuple[str, ...]] = {"voltage": ("V",), "current": ("A",), "charge": ("C", "Ah")}


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A column with a measured value.

    Parameters
    ----------
    name
        As in the header.
    unit
        Volt, ampere, coulomb or ampere-hour with a prefix, as in ``mV``, ``uA``, ``mAh``.
    """

    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """The column with the time of each sample.

    Parameters
    ----------
    name
        As in the header.
    kind
        ``stamp`` (date and time), ``epoch`` (since 1970, UTC), ``elapsed`` (since `start`) or ``duration``
        (likewise, as in ``1d 02:03:04.5``).
    unit
        Of ``epoch`` and ``elapsed``.
    pattern
        `strptime` pattern of a stamp that is not ISO 8601, as in ``%d.%m.%Y %H:%M:%S``.
    zone
        IANA name, ``UTC`` or an offset such as ``+01:00``. Required where stamps carry none.
    start
        ISO stamp at which ``elapsed`` or ``duration`` is 0.
    """

    name: str
    kind: Literal["stamp", "epoch", "elapsed", "duration"] = "stamp"
    unit: str = "s"
    pattern: str | None = None
    zone: str | None = None
    start: str | None = None


@dataclass(frozen=True, slots=True)
class StateColumn:
    """The column that tells charge from discharge where currents carry no sign.

    Parameters
    ----------
    name
        As in the header.
    discharge
        Pattern of the whole of what stands there while the cell is discharged: the current is negative then.
    """

    name: str
    discharge: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Which columns of a table mean what.

    Parameters
    ----------
    time, voltage, current
        The columns.
    charge
        Signed charge passed since the first row. Leave a charge out that starts again at each step:
        then the current is integrated.
    cycle, step
        Names of the columns that count cycles and steps.
    state
        Where the direction of the current stands, if not in its sign.
    separator, decimal
        Detected where None; where both could be misread, an error asks for them.
    header_line
        Number of the line with the names of the columns, from 1.
    """

    time: TimeColumn
    voltage: ValueColumn | None = None
    current: ValueColumn | None = None
    charge: ValueColumn | None = None
    cycle: str | None = None
    step: str | None = None
    state: StateColumn | None = None
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    header_line: int = 1

    def __post_init__(self) -> None:
        if self.separator is not None and self.separator == self.decimal:
            raise CyclerError(f"separator and decimal mark of a table must differ, both are {self.decimal!r}")
        if self.separator is not None and len(self.separator) != 1:
            raise CyclerError(f"expected one character as the separator of a table, got {self.separator!r}")
        if self.header_line < 1:
            raise CyclerError(f"lines of a table are counted from 1, got {self.header_line} as its header's")
        if self.voltage is None and self.current is None:
            raise CyclerError("a cycler's table needs a voltage or a current column, neither is declared")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all declared columns."""
        declared = (getattr(self, field.name) for field in fields(self)[:7])
        return tuple(column if isinstance(column, str) else column.name for column in declared if column is not None)


def si_from_unit(*, quantity: Quantity, unit: str) -> float:
    """The factor from `unit` to volt, ampere or coulomb.

    Raises
    ------
    CyclerError
        The unit is not one of this quantity.
    """
    for base in _DIMENSIONS[quantity]:
        prefix = unit.strip().removesuffix(base)
        if prefix != unit.strip() and prefix in _PREFIXES:
            return _PREFIXES[prefix] * _BASES[base]
    expected = " or ".join(_DIMENSIONS[quantity])
    raise CyclerError(f"expected {expected} with a prefix such as m or u as the unit of the {quantity}, got {unit!r}")


def seconds_from_unit(unit: str) -> float:
    """The factor from a unit of time to seconds.

    Raises
    ------
    CyclerError
        It is not a unit of time.
    """
    if unit not in _TIME_UNITS:
        raise CyclerError(f"expected one of {', '.join(_TIME_UNITS)} as the unit of the time column, got {unit!r}")
    return _TIME_UNITS[unit]

"""How a cycler writes a row: its columns, their units, and the many ways to write a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from ringwatch_simulators.cell_current import CyclingState
from ringwatch_simulators.errors import ScenarioError

NS_PER_S = 1_000_000_000
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e-3, "u": 1e-6, "\u00b5": 1e-6, "\u03bc": 1e-6, "n": 1e-9}
_BASES = {"voltage": {"V": 1.0}, "current": {"A": 1.0}, "charge": {"C": 1.0, "Ah": 3600.0}, "capacity": {"Ah": 3600.0}}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_S_PER_H = 3600.0


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Parameters
    ----------
    name
        In the header.
    what
        ``time``, ``test_time`` (seconds since the cycler was switched on), ``voltage``, ``current``, ``charge`` (net,
        since the start), ``capacity`` (of the half-cycle), ``cycle`` or ``step``.
    unit
        Of a measured value, with a prefix.
    digits
        After the decimal mark.
    """

    name: str
    what: str
    unit: str = ""
    digits: int = 6


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How the time is written.

    Parameters
    ----------
    kind
        ``stamp``, ``epoch``, ``elapsed`` or ``duration``, as in ``12:34:56.789``.
    pattern
        Of strftime; ISO 8601 where there is none.
    zone
        Name of the zone whose local time is written.
    naive
        Leave the zone away, as most cyclers do.
    start
        ISO time at which what elapses is zero.
    """

    kind: str = "stamp"
    unit: str = "s"
    pattern: str | None = None
    zone: str = "UTC"
    naive: bool = False
    start: str | None = None

    def text(self, own_ns: int, decimal: str = ".") -> str:
        """A time of the cycler's own clock, UTC nanoseconds since 1970."""
        if self.kind == "epoch":
            return f"{own_ns / NS_PER_S / self._unit_s:.6f}".replace(".", decimal)
        if self.kind == "elapsed":
            return f"{self._elapsed_s(own_ns) / self._unit_s:.6f}".replace(".", decimal)
        if self.kind == "duration":
            return _duration(self._elapsed_s(own_ns))
        local = datetime.fromtimestamp(own_ns / NS_PER_S, tz=zone_from_name(self.zone))
        if self.pattern is not None:
            return local.strftime(self.pattern)
        if self.naive:
            return local.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
        return local.isoformat(timespec="milliseconds")

    @property
    def _unit_s(self) -> float:
        if self.unit not in _SECONDS:
            raise ScenarioError(f"expected a unit of time of {', '.join(_SECONDS)}, got {self.unit!r}")
        return _SECONDS[self.unit]

    def _elapsed_s(self, own_ns: int) -> float:
        begun = datetime.fromisoformat(self.start or "1970-01-01T00:00:00+00:00")
        begun = begun if begun.tzinfo is not None else begun.replace(tzinfo=zone_from_name(self.zone))
        return own_ns / NS_PER_S - begun.timestamp()


@dataclass(frozen=True, slots=True)
class CyclerTable:
    """A table as a cycler writes it.

    Parameters
    ----------
    lines_before
        Lines of other text before the header.
    """

    columns: tuple[Column, ...] = (
        Column("time", "time"),
        Column("voltage_V", "voltage", "V"),
        Column("current_A", "current", "A", 9),
        Column("cycle", "cycle"),
        Column("step", "step"),
        Column("capacity_mAh", "capacity", "mAh"),
    )
    separator: str = ","
    decimal: str = "."
    lines_before: int = 0

    @property
    def head(self) -> str:
        """What the file begins with, the header included."""
        remarks = "".join(f"simulated cycler, line {number + 1}\n" for number in range(self.lines_before))
        return remarks + self.separator.join(column.name for column in self.columns) + "\n"

    def row(self, time: str, state: CyclingState, *, voltage_V: float, test_time_s: float) -> str:
        """One line."""
        values = {
            "voltage": voltage_V,
            "current": state.current_A,
            "capacity": state.capacity_mAh * 1e-3 * _S_PER_H,
            "charge": state.charge_C,
        }
        fields = (self._field(column, time, state, values, test_time_s) for column in self.columns)
        return self.separator.join(fields) + "\n"

    def _field(
        self, column: Column, time: str, state: CyclingState, values: Mapping[str, float], test_time_s: float
    ) -> str:
        match column.what:
            case "time":
                return time
            case "test_time":
                return f"{test_time_s:.3f}".replace(".", self.decimal)
            case "cycle":
                return str(max(0, state.half_cycle) // 2 + 1)
            case "step":
                return str(state.step)
            case _:
                value = values[column.what] / factor_from_unit(column.what, column.unit)
                return f"{value:.{column.digits}f}".replace(".", self.decimal)


def factor_from_unit(what: str, unit: str) -> float:
    """From a unit with a prefix to volt, ampere or coulomb.

    Raises
    ------
    ScenarioError
        It is none of that quantity.
    """
    for base, factor in _BASES[what].items():
        prefix = unit.strip().removesuffix(base)
        if prefix != unit.strip() and prefix in _PREFIXES:
            return _PREFIXES[prefix] * factor
    raise ScenarioError(f"expected a unit of the {what}, as {' or '.join(_BASES[what])} with a prefix, got {unit!r}")


def zone_from_name(name: str) -> tzinfo:
    """A zone by its IANA name, or by its offset as in ``+01:00``."""
    if name == "UTC":
        return UTC
    if name[:1] in {"+", "-"}:
        return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo or UTC
    return ZoneInfo(name)


def _duration(seconds: float) -> str:
    whole, fraction = divmod(max(0.0, seconds), 1.0)
    minutes, second = divmod(int(whole), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}.{int(fraction * 1e3):03d}"

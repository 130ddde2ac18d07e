"""The cycler's own time as UTC nanoseconds.

A naive stamp needs a declared zone: taken as local by one program and as UTC by another,
it is off by hours. In the hour that a clock repeats in autumn, time must not go back; a file that begins
in that hour is taken to begin in its first pass.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.layout import TimeColumn, seconds_from_unit
from ringwatch_daemon.cyclers.table_numbers import DecimalMark, numbers_from_fields
from ringwatch_pipelines.patterns import FloatArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_QUARTER_NS = 900 * 1_000_000_000
_DURATION = re.compile(r"(?:(\d+)\s*d(?:ays?)?\s+)?(\d+):(\d{1,2}):(\d{1,2}\.?\d*)", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_EARLIEST_NS = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
_LATEST_NS = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """A column of times.

    Parameters
    ----------
    cycler_timestamp_ns
        (rows,) UTC on the cycler's clock; 0 where bad.
    bad
        Indices of the fields that are no times.
    """

    cycler_timestamp_ns: NDArray[np.int64]
    bad: tuple[int, ...]


class StampReader(Protocol):
    """Reads the fields of a time column, in the order of the file."""

    def read(self, fields: Sequence[str], *, decimal: DecimalMark) -> Stamps:
        """Turn fields into times."""
        ...


def stamp_reader(column: TimeColumn) -> StampReader:
    """The reader for a declared time column.

    Raises
    ------
    CyclerError
        The declaration is not complete, or names an unknown zone or unit.
    """
    if column.kind == "stamp":
        return _WrittenStamps(column)
    if column.kind == "duration":
        return _WrittenDurations(_declared_start_ns(column))
    factor = seconds_from_unit(column.unit)
    return _CountedTime(0 if column.kind == "epoch" else _declared_start_ns(column), factor)


def zone_from_name(name: str) -> tzinfo:
    """A time zone from an IANA name or an offset such as ``+01:00``.

    Raises
    ------
    CyclerError
        There is no such zone.
    """
    if offset := _OFFSET.fullmatch(name):
        sign = -1 if offset[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(offset[2]), minutes=int(offset[3])))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CyclerError(f"expected a time zone such as Europe/Berlin, UTC or +01:00, got {name!r}") from error


class _WrittenStamps:
    """Date and time as text."""

    def __init__(self, column: TimeColumn) -> None:
        self._column = column
        self._zone = None if column.zone is None else zone_from_name(column.zone)
        self._latest_ns = _EARLIEST_NS

    def read(self, fields: Sequence[str], *, decimal: DecimalMark) -> Stamps:  # noqa: ARG002 - the same for every reader
        stamps = np.zeros(len(fields), dtype=np.int64)
        bad = []
        for index, field in enumerate(fields):
            stamp_ns = self._stamp_ns(field.strip())
            if stamp_ns is None:
                bad.append(index)
            else:
                stamps[index] = stamp_ns
                self._latest_ns = max(self._latest_ns, stamp_ns)
        return Stamps(stamps, tuple(bad))

    def _stamp_ns(self, text: str) -> int | None:
        try:
            pattern = self._column.pattern
            moment = datetime.fromisoformat(text) if pattern is None else datetime.strptime(text, pattern)
        except ValueError:
            return None
        if moment.tzinfo is None:
            return self._placed_ns(moment, text)
        return _plausible(_ns_from_moment(moment))

    def _placed_ns(self, moment: datetime, text: str) -> int | None:
        if self._zone is None:
            raise CyclerError(
                f"column {self._column.name!r} has stamps without a time zone, such as {text!r}: declare `zone`"
            )
        first, second = (moment.replace(tzinfo=self._zone, fold=fold) for fold in (0, 1))
        first_ns, second_ns = _ns_from_moment(first), _ns_from_moment(second)
        if first_ns > second_ns:
            # The hour that the clock skips in spring: no clock of this zone ever showed it.
            return None
        went_back = first_ns < self._latest_ns <= second_ns
        return _plausible(second_ns if went_back else first_ns)


class _CountedTime:
    """Seconds, hours or such since a start."""

    def __init__(self, start_ns: int, unit_s: float) -> None:
        self._start_ns = start_ns
        self._unit_s = unit_s

    def read(self, fields: Sequence[str], *, decimal: DecimalMark) -> Stamps:
        seconds = numbers_from_fields(fields, decimal=decimal).values * self._unit_s
        return stamps_from_seconds(seconds, start_ns=self._start_ns)


class _WrittenDurations:
    """Time since a start as ``1d 02:03:04.5``, the days where there are any."""

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns

    def read(self, fields: Sequence[str], *, decimal: DecimalMark) -> Stamps:
        seconds = np.array([_seconds_from_duration(field.strip().replace(decimal, ".")) for field in fields])
        return stamps_from_seconds(seconds.astype(np.float64), start_ns=self._start_ns)


def _seconds_from_duration(text: str) -> float:
    """NaN where it is none."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return float("nan")
    days, hours, minutes, seconds = found.groups()
    return 86400.0 * int(days or 0) + 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)


def stamps_from_seconds(seconds: FloatArray, *, start_ns: int) -> Stamps:
    """Stamps of (rows,) seconds since `start_ns`; bad where they are NaN or lie outside of 1990 to 2200."""
    earliest_s, latest_s = ((limit - start_ns) / 1e9 for limit in (_EARLIEST_NS, _LATEST_NS))
    good = (seconds > earliest_s) & (seconds < latest_s)
    # Whole seconds apart from their fraction: a float of nanoseconds since 1970 is good to 256 only.
    whole = np.floor(np.where(good, seconds, 0.0))
    fraction_ns = np.round((np.where(good, seconds, 0.0) - whole) * 1e9).astype(np.int64)
    stamps = start_ns + whole.astype(np.int64) * 1_000_000_000 + fraction_ns
    return Stamps(np.where(good, stamps, 0), tuple(np.flatnonzero(~good).tolist()))


def utc_ns_from_wall_clock(wall_ns: NDArray[np.int64], *, zone: str) -> NDArray[np.int64]:
    """UTC from what a clock on the wall of a zone showed, in the order of time.

    Parameters
    ----------
    wall_ns
        (rows,) nanoseconds since 1970-01-01 00:00 on that clock.

    Raises
    ------
    CyclerError
        There is no such zone, no clock of it ever showed such a time, or it lies outside of 1990 to 2200.
    """
    place = zone_from_name(zone)
    if wall_ns.size and not _EARLIEST_NS < wall_ns.min() <= wall_ns.max() < _LATEST_NS:
        raise CyclerError("expected stamps from 1990 to 2200, got others: the file is damaged or its clock was not set")
    # No zone changes its clocks but at a quarter of an hour.
    quarters, rows = np.unique(wall_ns // _QUARTER_NS, return_inverse=True)
    offsets = np.array([_offsets_ns(int(quarter), place) for quarter in quarters], dtype=np.int64).reshape(-1, 2)
    first_ns: NDArray[np.int64] = wall_ns - offsets[rows, 0]
    second_ns = wall_ns - offsets[rows, 1]
    skipped = np.flatnonzero(first_ns > second_ns)
    if skipped.size:
        shown = _EPOCH + timedelta(microseconds=int(wall_ns[skipped[0]]) // 1000)
        raise CyclerError(f"no clock in {zone} ever showed {shown:%Y-%m-%d %H:%M:%S}: declare the cycler's zone")
    # In the hour that is repeated in autumn, time must not go back.
    for row in np.flatnonzero(first_ns != second_ns):
        before_ns = first_ns[row - 1] if row else _EARLIEST_NS
        if first_ns[row] < before_ns <= second_ns[row]:
            first_ns[row] = second_ns[row]
    return first_ns


def _offsets_ns(quarter: int, zone: tzinfo) -> tuple[int, int]:
    shown = (_EPOCH + timedelta(minutes=15 * quarter)).replace(tzinfo=zone)
    first, second = (shown.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return first // _MICROSECOND * 1000, second // _MICROSECOND * 1000


def start_ns_from_text(text: str, *, zone: str | None) -> int:
    """UTC of an ISO 8601 stamp.

    Parameters
    ----------
    zone
        Of a stamp that carries none.

    Raises
    ------
    CyclerError
        It is no stamp, or its zone is not known.
    """
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise CyclerError(f"expected an ISO 8601 stamp as `start`, got {text!r}") from error
    if start.tzinfo is None:
        if zone is None:
            raise CyclerError(f"`start` {text!r} has no time zone: add one or declare `zone`")
        start = start.replace(tzinfo=zone_from_name(zone))
    return _ns_from_moment(start)


def _declared_start_ns(column: TimeColumn) -> int:
    if column.start is None:
        raise CyclerError(f"elapsed time in column {column.name!r} needs a declared `start`")
    return start_ns_from_text(column.start, zone=column.zone)


def _ns_from_moment(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _plausible(stamp_ns: int) -> int | None:
    return stamp_ns if _EARLIEST_NS < stamp_ns < _LATEST_NS else None

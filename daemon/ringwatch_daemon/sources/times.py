"""When a frame was taken: stamps of many spellings to UTC nanoseconds at mid-exposure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.errors import SettingsError

EPICS_EPOCH_S = 631_152_000
"""1990-01-01 in seconds since 1970; EPICS counts from there."""

EARLIEST_NS = (EPICS_EPOCH_S + 86_400) * NS_PER_S
"""A stamp before this was never set: both epochs, with a day for time zones."""

LATEST_NS = 4_102_444_800 * NS_PER_S
"""The year 2100: a number beyond it is no time."""

Scalar = str | float | int


class StampMarks(StrEnum):
    """The moment of the exposure that a detector's stamp marks."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time found in a header, or why there is none.

    Parameters
    ----------
    utc_ns
        UTC, nanoseconds since 1970; None where no usable time was found.
    problem
        One clause that says what is wrong with the time that stood there, or empty.
    """

    utc_ns: int | None
    problem: str = ""


def mid_exposure_ns(*, stamp_ns: int, exposure_s: float, marks: StampMarks) -> int:
    """The middle of the exposure; the stamp itself where the exposure is unknown (NaN)."""
    if marks == StampMarks.MIDDLE or not math.isfinite(exposure_s):
        return stamp_ns
    half_ns = round(exposure_s * NS_PER_S / 2)
    return stamp_ns + half_ns if marks == StampMarks.START else stamp_ns - half_ns


def is_set(stamp_ns: int) -> bool:
    """Whether a stamp is a time at all: neither zero, nor the EPICS epoch, nor beyond 2100."""
    return EARLIEST_NS <= stamp_ns <= LATEST_NS


def zone_from_name(name: str) -> tzinfo | None:
    """The time zone of an IANA name; an empty name is None.

    Raises
    ------
    SettingsError
        There is no zone of that name.
    """
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(f"expected an IANA time zone such as America/Chicago or UTC, got {name!r}") from error


def stamp_from_header(header: Mapping[str, Scalar], *, keys: tuple[str, ...], zone: tzinfo | None) -> Stamp:
    """The acquisition time: that of areaDetector if present, otherwise the first of `keys` that is a time.

    Parameters
    ----------
    header
        Metadata with lower-case keys.
    keys
        Keys to look under, in this order.
    zone
        What a time without a zone is read in; None refuses such times.
    """
    epics = _epics_stamp(header)
    if epics is not None:
        return Stamp(epics)
    problem = ""
    for key in keys:
        if key.lower() in header:
            stamp = utc_ns_from_scalar(header[key.lower()], zone=zone)
            if stamp.utc_ns is not None:
                return stamp
            problem = problem or (f"{key} {stamp.problem}" if stamp.problem else "")
    return Stamp(None, problem)


def _epics_stamp(header: Mapping[str, Scalar]) -> int | None:
    """AreaDetector's ``epicsTS``, else its driver's ``timeStamp``; both count from 1990."""
    for seconds_key, nanoseconds_key in (("epicstssec", "epicstsnsec"), ("ndarrayepicstssec", "ndarrayepicstsnsec")):
        seconds, nanoseconds = header.get(seconds_key), header.get(nanoseconds_key, 0)
        if isinstance(seconds, int | float) and isinstance(nanoseconds, int | float):
            stamp_ns = (int(seconds) + EPICS_EPOCH_S) * NS_PER_S + int(nanoseconds)
            if is_set(stamp_ns):
                return stamp_ns
    for key in ("ndtimestamp", "ndarraytimestamp"):
        value = header.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            stamp_ns = _ns_from_float(value, NS_PER_S) + EPICS_EPOCH_S * NS_PER_S
            if value > 0 and is_set(stamp_ns):
                return stamp_ns
    return None


def utc_ns_from_scalar(value: Scalar, *, zone: tzinfo | None) -> Stamp:
    """A number since 1970 (s, ms, us or ns, told apart by its size) or a date in one of the usual spellings."""
    if not isinstance(value, str):
        return Stamp(_utc_ns_from_number(value))
    try:
        number = float(value) if "." in value else int(value)
    except ValueError:
        return _stamp_from_text(value.strip(), zone)
    return Stamp(_utc_ns_from_number(number))


def _utc_ns_from_number(value: float) -> int | None:
    if not math.isfinite(value):
        return None
    for unit_ns in (NS_PER_S, 1_000_000, 1_000, 1):
        stamp_ns = value * unit_ns if isinstance(value, int) else _ns_from_float(value, unit_ns)
        if is_set(stamp_ns):
            return stamp_ns
    return None


def _ns_from_float(value: float, unit_ns: int) -> int:
    whole = math.floor(value)
    return whole * unit_ns + round((value - whole) * unit_ns)


_SPELLINGS = (
    "%Y:%m:%d %H:%M:%S",  # TIFF
    "%Y:%m:%d %H:%M:%S.%f",
    "%a %b %d %H:%M:%S %Y",  # ctime, many EDF and ADSC headers
    "%Y.%m.%d : %H:%M:%S.%f",  # QXRD
    "%Y/%b/%d %H:%M:%S.%f",  # early Pilatus
    "%Y-%b-%d %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    "%d-%b-%Y-%H:%M:%S",
    "%B %d, %Y %H:%M:%S",
)


def _stamp_from_text(text: str, zone: tzinfo | None) -> Stamp:
    moment = _datetime_from_text(text)
    if moment is None:
        return Stamp(None)
    if moment.tzinfo is None:
        if zone is None:
            return Stamp(None, f"holds {text!r} without a time zone and none is configured")
        moment = moment.replace(tzinfo=zone)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    stamp_ns = (delta.days * 86_400 + delta.seconds) * NS_PER_S + delta.microseconds * 1_000
    return Stamp(stamp_ns) if is_set(stamp_ns) else Stamp(None)


def _datetime_from_text(text: str) -> datetime | None:
    if not re.search(r"\d.*:\d", text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for spelling in _SPELLINGS:
        try:
            return datetime.strptime(text, spelling)
        except ValueError:
            continue
    return None

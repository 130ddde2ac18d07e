"""How dates are written in a file, told from the dates themselves and never guessed."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from ringwatch_daemon.core.errors import CyclerError

_STAMP = re.compile(
    r"(?P<one>\d{1,4})(?P<mark>[./-])(?P<two>\d{1,2})(?P=mark)(?P<three>\d{1,4})(?P<gap>[ T]+)"
    r"\d{1,2}:\d{2}(?P<seconds>:\d{2})?(?P<fraction>\.\d+)?(?P<half> ?[AP]M)?",
    re.ASCII,
)
_DAY_MONTH_YEAR = re.compile(r"\b(\d{1,2}) ([A-Z][a-z]+) (\d{4})\b")


def pattern_of_stamps(texts: Iterable[str], *, known_day: tuple[int, int] | None = None) -> str | None:
    """The `strptime` pattern of stamps as they stand in a file; None where they are ISO 8601.

    Parameters
    ----------
    known_day
        (month, day) of the first stamp, where the file tells it elsewhere without doubt.

    Raises
    ------
    CyclerError
        They are no stamps, or month and day cannot be told apart.
    """
    written = [text.strip() for text in texts if text.strip()]
    if not written:
        raise CyclerError("expected stamps below the header of the table, got no row yet")
    if all(_is_iso(text) for text in written):
        return None
    found = [_STAMP.fullmatch(text) for text in written]
    first = found[0]
    if first is None or any(other is None for other in found):
        odd = next(text for text, match in zip(written, found, strict=True) if match is None)
        raise CyclerError(f"expected dates and times, got {odd!r}: declare their `pattern`")
    matches = [match for match in found if match is not None]
    mark = first["mark"]
    return mark.join(_order_of_date(matches, known_day)) + first["gap"] + _time_of_day(matches)


def _is_iso(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _order_of_date(matches: Sequence[re.Match[str]], known_day: tuple[int, int] | None) -> tuple[str, str, str]:
    first = matches[0]
    if len(first["one"]) == 4:
        return "%Y", "%m", "%d"
    ones, twos = ({int(match[name]) for match in matches} for name in ("one", "two"))
    month_first = max(twos) > 12 or known_day == (int(first["one"]), int(first["two"]))
    day_first = max(ones) > 12 or known_day == (int(first["two"]), int(first["one"]))
    same = ones == twos and len(ones) == 1
    if month_first == day_first and not same:
        raise CyclerError(f"the date in {first[0]!r} can be read in two ways: declare its `pattern`")
    return ("%m", "%d", "%Y") if month_first else ("%d", "%m", "%Y")


def _time_of_day(matches: Sequence[re.Match[str]]) -> str:
    first = matches[0]
    seconds = ":%S" if first["seconds"] else ""
    fraction = ".%f" if first["fraction"] else ""
    if first["half"]:
        return f"%I:%M{seconds}{fraction}{' ' if ' ' in first['half'] else ''}%p"
    return f"%H:%M{seconds}{fraction}"


def month_and_day(text: str) -> tuple[int, int] | None:
    """The month and the day of a date such as ``11 December 2020``."""
    found = _DAY_MONTH_YEAR.search(text)
    if found is None:
        return None
    try:
        date = datetime.strptime(found[0], "%d %B %Y")
    except ValueError:
        return None
    return date.month, date.day

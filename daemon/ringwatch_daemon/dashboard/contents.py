"""Values out of the data of a message.

The wire contract promises strict JSON, not what stands in it: a view that runs for days shows
nothing for a value that it cannot use, and lets no control character through to the terminal.
"""

import math
from typing import Any

LONGEST_TEXT = 300

_INT64 = 2**63


def number(value: object) -> float:
    """A number, NaN where there is none or too large a one."""
    if isinstance(value, int):
        return float(value) if _is_count(value) else math.nan
    return value if isinstance(value, float) else math.nan


def integer(value: object, *, otherwise: int = 0) -> int:
    """An integer of 64 bits, or `otherwise`."""
    return value if isinstance(value, int) and _is_count(value) else otherwise


def _is_count(value: int) -> bool:
    return not isinstance(value, bool) and -_INT64 <= value < _INT64


def text(value: object) -> str:
    """One line of printable text, empty where there is none."""
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else " " for letter in value[:LONGEST_TEXT])


def texts(value: object) -> tuple[str, ...]:
    """Lines of text."""
    return tuple(text(item) for item in value) if isinstance(value, list) else ()


def mapping(value: object) -> dict[str, Any]:
    """An object with its keys, empty where there is none."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> tuple[dict[str, Any], ...]:
    """The objects of a list."""
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()

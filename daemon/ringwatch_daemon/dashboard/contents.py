"""Values out of the data of a message.

The wire contract promises strict JSON, not what stands in it: a view that runs for days shows
nothing for a value that it cannot use, and lets no control character through to the terminal.
"""

import math
from typing import Any

LONGEST_TEXT = 300


def number(value: object) -> float:
    """A number, NaN where there is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def integer(value: object, *, otherwise: int = 0) -> int:
    """An integer, or `otherwise`."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


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

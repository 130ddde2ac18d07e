"""Numbers in text, with a decimal point or comma, never misread.

A known reader turns ``3,7041`` into 37041; here every number matches its whole field or is an error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_pipelines.patterns import FloatArray

DecimalMark = Literal[".", ","]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WITH_MARKS = re.compile(r"[+-]?[\d.,]*\d[\d.,]*([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_PLAIN = str.maketrans("", "", "0123456789+-.eE ")
_MISSING = frozenset({"", "nan", "n/a", "-"})


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column of numbers.

    Parameters
    ----------
    values
        (rows,) NaN where the field is empty or bad.
    bad
        Indices of the fields that are no numbers.
    """

    values: FloatArray
    bad: tuple[int, ...]


def numbers_from_fields(fields: Sequence[str], *, decimal: DecimalMark) -> Numbers:
    """Read a column; an empty field is NaN, anything that is not wholly a finite number is bad."""
    if decimal == ",":
        # A point in such a file would be a thousands separator: it must not pass as a decimal.
        fields = [field.replace(".", "?").replace(",", ".") for field in fields]
    values = _all_plain(fields)
    return Numbers(values, ()) if values is not None else _one_by_one(fields)


def decimal_from_fields(fields: Sequence[str], *, separator: str) -> DecimalMark | None:
    """Tell the decimal mark from numbers as they stand in a file.

    Returns
    -------
    str or None
        None where no number has a mark yet.

    Raises
    ------
    CyclerError
        The mark can be read in two ways: the message asks for a declaration.
    """
    joined = "".join(fields)
    if "," not in joined:
        return "." if "." in joined else None
    numbers = [field.strip() for field in fields if _WITH_MARKS.fullmatch(field.strip())]
    with_comma = [number for number in numbers if "," in number]
    if not with_comma:
        return "." if any("." in number for number in numbers) else None
    if separator == "," or any("." in number for number in numbers):
        raise CyclerError(f"the comma in {with_comma[0]!r} can be a decimal or a thousands mark: declare `decimal`")
    certain = any(not _THOUSANDS.fullmatch(number) for number in with_comma)
    if not certain:
        raise CyclerError(f"{with_comma[0]!r} can be a decimal or a thousand: declare `decimal`")
    return ","


def _all_plain(fields: Sequence[str]) -> FloatArray | None:
    """All fields at once where every one is a plain number, as in nearly all blocks; else None."""
    if "".join(fields).translate(_PLAIN):
        return None
    try:
        values = np.array(fields, dtype=np.float64)
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _one_by_one(fields: Sequence[str]) -> Numbers:
    values = np.full(len(fields), np.nan)
    bad = []
    for index, field in enumerate(fields):
        text = field.strip()
        if text.lower() in _MISSING:
            continue
        value = float(text) if _NUMBER.fullmatch(text) else np.inf
        if np.isfinite(value):
            values[index] = value
        else:
            bad.append(index)
    return Numbers(values, tuple(bad))

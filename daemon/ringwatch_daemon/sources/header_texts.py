"""FabIO's headers, brought to one form: numbers as numbers, the producer's units mended."""

import contextlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ringwatch_daemon.sources.tiff_tags import number_or_text
from ringwatch_daemon.sources.times import Scalar

_MAX_TEXT = 10_000
_CBF_TEXT = "_array_data.header_contents"


def header_from_fabio(header: Mapping[str, Any], *, kind: str) -> dict[str, Scalar]:
    """The header of one frame.

    Parameters
    ----------
    header
        As FabIO read it.
    kind
        Name of FabIO's image class, since some formats carry their own units.
    """
    plain = {str(name): _scalar(value) for name, value in header.items()}
    contents = header.get(_CBF_TEXT)
    if contents is not None:
        plain |= header_from_cbf_text(str(contents))
    return plain | _from_marccd(header) if kind == "MarccdImage" else plain


def header_from_cbf_text(text: str) -> dict[str, Scalar]:
    """The comment lines that DECTRIS and areaDetector write into a CBF file.

    A line is ``# name value unit``; the one that is nothing but a date is the acquisition time.
    """
    header: dict[str, Scalar] = {}
    for line in text.splitlines():
        content = line.strip().lstrip("#").strip().rstrip("\r")
        if re.match(r"\d{4}[-/]\w{2,3}[-/]\d{1,2}[T ]\d{1,2}:", content):
            header["date"] = content
            continue
        name, _, value = content.replace("=", " ", 1).replace(":", " ", 1).partition(" ")
        if name and value:
            header[name] = number_or_text(value.strip())
    return header


def _scalar(value: object) -> Scalar:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, bool | int | float):
        return value
    return number_or_text(str(value)[:_MAX_TEXT].strip())


def _from_marccd(header: Mapping[str, Any]) -> dict[str, Scalar]:
    """MarCCD counts its exposure in milliseconds and writes its time as MMDDhhmmYYYY.SS."""
    mended: dict[str, Scalar] = {}
    exposure = header.get("exposure_time")
    if isinstance(exposure, int | float):
        mended["exposure_time"] = exposure / 1000
    stamp = re.sub(r"\D", "", str(header.get("acquire_timestamp", "")))
    if re.fullmatch(r"\d{12}(\d\d)?", stamp):
        with contextlib.suppress(ValueError):
            mended["date"] = datetime.strptime(stamp.ljust(14, "0"), "%m%d%H%M%Y%S").isoformat()
    return mended

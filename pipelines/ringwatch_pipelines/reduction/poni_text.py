"""The text of a ``.poni`` calibration: keys, numbers and what must not be missing."""

import json
import math
from collections.abc import Sequence
from typing import Any

from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.reduction.geometry import Geometry


def poni_entries(text: str) -> dict[str, str]:
    """Keys in lower case; the last entry of a key counts, as in pyFAI."""
    entries = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.lstrip().startswith("#"):
            entries[key.strip().lower()] = value.strip()
    if "dist" in entries:
        entries.setdefault("distance", entries["dist"])
    return entries


def require_entries(entries: dict[str, str], origin: str) -> None:
    """Raise GeometryError unless everything is there that a geometry cannot do without."""
    missing = [key for key in ("distance", "poni1", "poni2") if key not in entries]
    if missing:
        raise GeometryError(f"a .poni calibration was expected, but {origin} lacks {', '.join(missing)}")
    if entries.get("wavelength", "None") == "None":
        raise GeometryError(f"a wavelength in metres was expected, but {origin} has none: add a line 'Wavelength: ...'")
    if entries.get("parallax", "false").lower() == "true":
        raise GeometryError(f"{origin} asks for a parallax correction, which is not supported: calibrate without it")


def number_of(entries: dict[str, str], key: str, origin: str, default: float | None = None) -> float:
    """The finite number under a key, or GeometryError."""
    value = entries.get(key)
    if value is None and default is not None:
        return default
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise GeometryError(f"a number was expected for {key} in {origin}, got {value!r}")
    return number


def positive_of(entries: dict[str, str], key: str, origin: str) -> float:
    """The positive number under a key, or GeometryError."""
    number = number_of(entries, key, origin)
    if number <= 0:
        raise GeometryError(f"a positive {key} was expected in {origin}, got {number:g}")
    return number


def detector_config_of(entries: dict[str, str], origin: str) -> dict[str, Any]:
    """What sets the detector up; the pixel sizes of a first-version file are part of it."""
    text = entries.get("detector_config")
    if text is None:
        sizes = {f"pixel{axis}": f"pixelsize{axis}" for axis in (1, 2)}
        return {new: number_of(entries, old, origin) for new, old in sizes.items() if old in entries}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise GeometryError(f"JSON was expected for Detector_config in {origin}, got {text!r}") from error
    if not isinstance(config, dict):
        raise GeometryError(f"a JSON object was expected for Detector_config in {origin}, got {text!r}")
    return config


def poni_from_geometry(geometry: Geometry, *, remarks: Sequence[str] = ()) -> str:
    """The text of a ``.poni`` file, version 2.1, that reads back as the same geometry.

    Parameters
    ----------
    remarks
        Lines of comment that go first.
    """
    lines = [f"# {remark}" for remark in remarks]
    lines += [
        "poni_version: 2.1",
        f"Detector: {geometry.detector}",
        f"Detector_config: {geometry.detector_config}",
        f"Distance: {geometry.distance_m!r}",
        f"Poni1: {geometry.poni1_m!r}",
        f"Poni2: {geometry.poni2_m!r}",
        f"Rot1: {geometry.rot1_rad!r}",
        f"Rot2: {geometry.rot2_rad!r}",
        f"Rot3: {geometry.rot3_rad!r}",
        f"Wavelength: {geometry.wavelength_m!r}",
    ]
    return "\n".join(lines) + "\n"

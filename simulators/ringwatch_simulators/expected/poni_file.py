"""A flat detector out of a ``.poni`` file, read anew here: a mistake of the analysis' own reader must not hide."""

import math
from pathlib import Path

from ringwatch_simulators.detector_geometry import FlatDetector
from ringwatch_simulators.errors import ScenarioError

M_PER_A = 1e-10


def detector_from_poni(
    path: Path,
    *,
    shape: tuple[int, int],
    pixels_m: tuple[float, float],
    orientation: int = 3,
    displacement_m: float = 0.0,
) -> FlatDetector:
    """The detector that a calibration describes.

    Parameters
    ----------
    shape, pixels_m, orientation
        What a file that only names its detector leaves to a table of detectors.
    displacement_m
        See `FlatDetector`.

    Raises
    ------
    ScenarioError
        The file cannot be read, or lacks a number.
    """
    try:
        entries = _entries(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"expected a calibration in {path}, but it cannot be read: {error}") from error

    def number(*names: str, default: float = math.nan) -> float:
        text = next((entries[name] for name in names if name in entries), str(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ScenarioError(f"expected a number for {names[0]} in {path}, got {text!r}")
        return value

    return FlatDetector(
        shape=shape,
        pixel_m=pixels_m[0],
        pixel2_m=pixels_m[1],
        orientation=orientation,
        distance_m=number("distance", "dist"),
        poni1_m=number("poni1"),
        poni2_m=number("poni2"),
        rot1_rad=number("rot1", default=0.0),
        rot2_rad=number("rot2", default=0.0),
        rot3_rad=number("rot3", default=0.0),
        wavelength_A=number("wavelength") / M_PER_A,
        displacement_m=displacement_m,
    )


def _entries(text: str) -> dict[str, str]:
    """Keys in lower case; a file that was written to again ends with what counts."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    return {key.strip().lower(): value.strip() for key, value in pairs}

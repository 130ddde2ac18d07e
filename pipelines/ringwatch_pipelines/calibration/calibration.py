"""Frames of a calibrant to a refined geometry: measure the rings, move the detector, bin again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ringwatch_pipelines.calibration.geometry_refinement import GeometryFit, refine_geometry
from ringwatch_pipelines.calibration.geometry_search import SEARCH_SECTORS, searched_geometries
from ringwatch_pipelines.calibration.ring_positions import RingPositions, measure_positions, typical_fwhm_deg
from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.patterns import BinSums, FloatArray, Pattern, pattern_from_sums
from ringwatch_pipelines.quantities import two_theta_from_d_spacing
from ringwatch_pipelines.reduction.corrections import Corrections, Dark
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import Binning, Reach, build_operator, build_sector_operator, reach_of
from ringwatch_pipelines.reduction.operators import FoldedOperator, SectorPattern
from ringwatch_pipelines.reduction.ring_self_test import RingSelfTest, ring_self_test

SECTORS = 36
SELF_TEST_SECTORS = 12
MOST_RADIAL_BINS = 4000
MOST_LINES = 60
_ROUNDS = 10
_SEEN_SIGMAS = 8.0
_NOTABLE_HEIGHT = 0.2
_NEAREST = 4
"""A foreign ring is one that is seen, and that stands so high beside so many of the calibrant's."""
_SETTLED = 0.03
"""Part of a bin by which the rings may still move in the last round."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibrant:
    """A substance whose spacings are known.

    Parameters
    ----------
    name
        For messages and the record.
    d_spacing_A
        (lines,) descending.
    relative_intensity
        (lines,) expected strengths; all equal where they are not known.
    source
        Where the spacings come from.
    """

    name: str
    d_spacing_A: FloatArray
    relative_intensity: FloatArray
    source: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CalibrantFrames:
    """Frames of a calibrant, taken one after the other without a change.

    Parameters
    ----------
    images
        (rows, columns) raw counts each.
    dark
        Taken off each; None takes none off.
    corrections
        Mask, flat, limits and noise of a pixel.
    calibrant
        What was in the beam.
    """

    images: Sequence[NDArray[Any]]
    dark: Dark | None
    corrections: Corrections
    calibrant: Calibrant


@dataclass(frozen=True, slots=True, eq=False)
class GeometryCalibration:
    """The geometry before and after.

    Parameters
    ----------
    start
        Where the refinement started.
    fit
        Where it ended.
    positions
        Of the rings, in the last round; (points,).
    lines_two_theta_deg
        (lines,) Bragg angles of the calibrant in reach.
    d_spacing_A
        (lines,)
    before, after
        The ring self-test with both.
    rounds
        How often the frames were binned anew.
    """

    start: Geometry
    fit: GeometryFit
    positions: RingPositions
    lines_two_theta_deg: FloatArray
    d_spacing_A: FloatArray
    before: RingSelfTest
    after: RingSelfTest
    rounds: int


def check_geometry(*, frames: CalibrantFrames, geometry: Geometry) -> RingSelfTest:
    """The ring self-test of a calibration, which is left as it is."""
    reach = reach_of(geometry=geometry, corrections=frames.corrections)
    lines, _, strengths = _lines_in_reach(frames.calibrant, geometry, reach)
    pattern = _pattern(frames, geometry, reach, SELF_TEST_SECTORS)
    return ring_self_test(pattern=pattern, lines_two_theta_deg=lines, relative_strengths=strengths)


def calibrate_geometry(
    *, frames: CalibrantFrames, geometry: Geometry, refine_wavelength: bool = False
) -> GeometryCalibration:
    """Refine a geometry by the rings of a calibrant.

    Where the rings do not lie near the start's, they are looked for up to 12 % of the distance and of the
    detector's side away.

    Raises
    ------
    GeometryError
        In one sentence: why the geometry cannot be refined.
    """
    before = check_geometry(frames=frames, geometry=geometry)
    failures: list[str] = []
    for start, tolerance_deg in _starts(frames, geometry, before):
        try:
            fit, positions, rounds = _refined(frames, start, tolerance_deg, refine_wavelength)
        except GeometryError as error:
            failures.append(str(error))
            continue
        after = check_geometry(frames=frames, geometry=fit.geometry)
        if not after.passed:
            failures.append(after.text)
            continue
        reach = reach_of(geometry=fit.geometry, corrections=frames.corrections)
        lines, spacings, _ = _lines_in_reach(frames.calibrant, fit.geometry, reach)
        return GeometryCalibration(geometry, fit, positions, lines, spacings, before, after, rounds)
    reason = failures[0] if failures else before.text
    raise GeometryError(
        f"the geometry cannot be refined from here with {frames.calibrant.name}: {reason.removesuffix('.')}"
    )


def _starts(frames: CalibrantFrames, geometry: Geometry, before: RingSelfTest) -> "Sequence[tuple[Geometry, float]]":
    """Where to start from, each with how far off the rings may be in degree."""
    reach = reach_of(geometry=geometry, corrections=frames.corrections)
    near = [(geometry, 6.0 * reach.pixel_deg)] if before.passed else []
    lines, _, _ = _lines_in_reach(frames.calibrant, geometry, reach)
    if near:
        return near
    pattern = _pattern(frames, geometry, reach, SEARCH_SECTORS)
    return [
        (found, float(np.rad2deg(1.5 * error_m / found.distance_m)))
        for found, error_m in searched_geometries(pattern=pattern, lines_two_theta_deg=lines, geometry=geometry)
    ]


def _refined(
    frames: CalibrantFrames, geometry: Geometry, tolerance_deg: float, refine_wavelength: bool
) -> tuple[GeometryFit, RingPositions, int]:
    """Measure and fit in turn until the bins follow the geometry."""
    for rounds in range(1, _ROUNDS + 1):
        reach = reach_of(geometry=geometry, corrections=frames.corrections)
        lines, spacings, _ = _lines_in_reach(frames.calibrant, geometry, reach)
        pattern = _pattern(frames, geometry, reach, SECTORS)
        positions = measure_positions(pattern=pattern, lines_two_theta_deg=lines, tolerance_deg=tolerance_deg)
        fit = refine_geometry(
            positions=positions, d_spacing_A=spacings, geometry=geometry, refine_wavelength=refine_wavelength
        )
        moved = float(np.median(np.abs(fit.two_theta_deg - positions.two_theta_deg)))
        geometry = fit.geometry
        fwhm = typical_fwhm_deg(pattern=pattern, lines_two_theta_deg=lines, tolerance_deg=tolerance_deg)
        bin_deg = float(pattern.two_theta_deg[1] - pattern.two_theta_deg[0])
        if rounds > 1 and moved < _SETTLED * bin_deg:
            return fit, positions, rounds
        tolerance_deg = max(2.0 * bin_deg, min(tolerance_deg, 1.5 * fwhm if np.isfinite(fwhm) else tolerance_deg))
    raise GeometryError(f"after {rounds} rounds the rings still move by {moved:.2g} degree")


def sum_pattern(*, frames: CalibrantFrames, geometry: Geometry) -> Pattern:
    """The sum of all frames against angle, in bins of half a pixel, none of them split."""
    reach = reach_of(geometry=geometry, corrections=frames.corrections)
    span_deg = reach.two_theta_max_deg - reach.two_theta_min_deg
    operator = build_operator(
        geometry=geometry,
        corrections=frames.corrections,
        binning=Binning(max(round(2.0 * span_deg / reach.pixel_deg), 16)),
    )
    return pattern_from_sums(sums=_sums(operator, frames), axis=operator.axis)


def foreign_rings_deg(*, pattern: Pattern, lines_two_theta_deg: FloatArray, fwhm_deg: float) -> FloatArray:
    """Angles of rings that stand a fifth as high as the calibrant's nearest ones and are none of its own.

    A name that is wrong may still have all its rings among those of the substance in the beam, as silicon's are
    among ceria's: the distance then makes up for the lattice, and what is left over is all that tells.
    """
    known = np.isfinite(pattern.intensity)
    angle, intensity, sigma = pattern.two_theta_deg[known], pattern.intensity[known], pattern.sigma[known]
    bin_deg = float(np.median(np.diff(angle)))
    reach = max(round(6.0 * fwhm_deg / bin_deg), 8)
    distance = max(1, round(fwhm_deg / bin_deg))
    tops, found = find_peaks(intensity, prominence=0.0, wlen=2 * reach + 1, distance=distance)
    seen = found["prominences"] > _SEEN_SIGMAS * sigma[tops]
    place, height = angle[tops[seen]], found["prominences"][seen]
    own = np.abs(place[:, np.newaxis] - lines_two_theta_deg).min(axis=1) <= 2.0 * fwhm_deg
    if not own.any():
        return np.asarray(place)
    nearest = np.argsort(np.abs(place[:, np.newaxis] - place[own]), axis=1)[:, :_NEAREST]
    usual = np.median(height[own][nearest], axis=1)
    between = (place > lines_two_theta_deg[0]) & (place < lines_two_theta_deg[-1])
    return np.asarray(place[~own & between & (height > _NOTABLE_HEIGHT * usual)])


def _lines_in_reach(
    calibrant: Calibrant, geometry: Geometry, reach: Reach
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Angles, spacings and strengths of the lines that may be seen, ascending in angle."""
    angles = two_theta_from_d_spacing(d_spacing_A=calibrant.d_spacing_A, wavelength_m=geometry.wavelength_m)
    inside = np.flatnonzero((angles > reach.two_theta_min_deg) & (angles < reach.two_theta_max_deg))
    inside = inside[np.argsort(angles[inside])][:MOST_LINES]
    if inside.size < 2:
        raise GeometryError(
            f"two rings of {calibrant.name} or more were expected on the detector, which reaches from "
            f"{reach.two_theta_min_deg:.2f} to {reach.two_theta_max_deg:.2f} degree, got {inside.size}"
        )
    return angles[inside], calibrant.d_spacing_A[inside], calibrant.relative_intensity[inside]


def _pattern(frames: CalibrantFrames, geometry: Geometry, reach: Reach, sectors: int) -> SectorPattern:
    """The sum of all frames over azimuth and angle, in bins as wide as a pixel."""
    span_deg = reach.two_theta_max_deg - reach.two_theta_min_deg
    operator = build_sector_operator(
        geometry=geometry,
        corrections=_plain(frames.corrections),
        two_theta_min_deg=reach.two_theta_min_deg,
        two_theta_max_deg=reach.two_theta_max_deg,
        radial_bins=min(max(round(span_deg / reach.pixel_deg), 16), MOST_RADIAL_BINS),
        sectors=sectors,
    )
    return operator.pattern_of(_sums(operator, frames))


def _plain(corrections: Corrections) -> Corrections:
    """Without what changes slowly over a ring: it moves no line, and pyFAI takes its time over it."""
    return replace(corrections, solid_angle=False, polarization_factor=None)


def _sums(operator: FoldedOperator, frames: CalibrantFrames) -> BinSums:
    dark = None if frames.dark is None else operator.dark_sums(frames.dark)
    sums = operator.integrate(frames.images[0], dark=dark).sums
    for image in frames.images[1:]:
        sums += operator.integrate(image, dark=dark).sums
    return sums

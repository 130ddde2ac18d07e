"""Where each ring stands in each sector of azimuth, with its error.

A line is fitted only where it stands alone: a Voigt profile on a straight background, over a few widths on
both sides. What does not look like such a line (a spot, a shadow's edge, nothing at all) is left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.fit.peak_widths import fwhm_from_voigt
from ringwatch_pipelines.fit.profiles import voigt
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import sigma_from_fwhm
from ringwatch_pipelines.reduction.operators import SectorPattern

REACH_FWHM = 4.0
"""How far the bins of a line reach on each side."""
LEAST_ROOM_FWHM = 2.0
"""A line with a neighbour nearer than twice this does not stand alone."""
LEAST_SIGNIFICANCE = 6.0
_LORENTZ_SHARE = 0.4
"""Half width of the Lorentzian over sigma of the Gaussian: a shape between the two moves no position."""
_ROUNDS = 25


@dataclass(frozen=True, slots=True, eq=False)
class RingPositions:
    """Positions of rings, one a line and sector where it could be measured.

    Parameters
    ----------
    line
        (points,) index of the line.
    sector
        (points,) index of the sector.
    two_theta_deg, sigma_deg
        (points,) position, and one standard deviation of it.
    azimuth_deg
        (points,) centre of the sector.
    fwhm_deg
        (points,) width of the line in that sector, the bin's width contained.
    """

    line: NDArray[np.int64]
    sector: NDArray[np.int64]
    two_theta_deg: FloatArray
    sigma_deg: FloatArray
    azimuth_deg: FloatArray
    fwhm_deg: FloatArray


@dataclass(frozen=True, slots=True)
class _Position:
    two_theta_deg: float
    sigma_deg: float
    fwhm_deg: float


def measure_positions(
    *, pattern: SectorPattern, lines_two_theta_deg: FloatArray, tolerance_deg: float
) -> RingPositions:
    """Measure every line in every sector.

    Parameters
    ----------
    lines_two_theta_deg
        (lines,) where they are expected, ascending.
    tolerance_deg
        How far from there they are looked for, at most; never further than half way to a neighbour.
    """
    axis = pattern.two_theta_deg
    fwhm = typical_fwhm_deg(pattern=pattern, lines_two_theta_deg=lines_two_theta_deg, tolerance_deg=tolerance_deg)
    room = _room_deg(lines_two_theta_deg)
    alone = np.flatnonzero(room > LEAST_ROOM_FWHM * fwhm) if np.isfinite(fwhm) else np.zeros(0, np.int64)
    rows: list[tuple[float, ...]] = []
    for line in alone.tolist():
        expected = float(lines_two_theta_deg[line])
        # Up to here the next line cannot be mistaken for this one.
        reach = min(tolerance_deg, 0.5 * float(room[line]))
        half = min(REACH_FWHM * fwhm, float(room[line]) - 0.5 * fwhm)
        for sector in range(pattern.azimuth_deg.size):
            found = _position(axis, pattern.intensity[sector], pattern.sigma[sector], expected, reach, half, fwhm)
            if found is not None:
                rows.append((line, sector, found.two_theta_deg, found.sigma_deg, found.fwhm_deg))
    table = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    sector_index = table[1].astype(np.int64)
    return RingPositions(
        line=read_only(table[0].astype(np.int64)),
        sector=read_only(sector_index),
        two_theta_deg=read_only(table[2]),
        sigma_deg=read_only(table[3]),
        azimuth_deg=read_only(pattern.azimuth_deg[sector_index]),
        fwhm_deg=read_only(table[4]),
    )


def typical_fwhm_deg(*, pattern: SectorPattern, lines_two_theta_deg: FloatArray, tolerance_deg: float) -> float:
    """Median full width at half maximum of the lines that stand out most, in single sectors; NaN without any."""
    axis = pattern.two_theta_deg
    widths: list[float] = []
    heights: list[float] = []
    room = _room_deg(lines_two_theta_deg)
    for expected, free in zip(lines_two_theta_deg, room, strict=True):
        near = np.abs(axis - expected) <= max(min(tolerance_deg, 0.5 * free), 3 * (axis[1] - axis[0]))
        around = np.abs(axis - expected) <= free
        for intensity, sigma in zip(pattern.intensity, pattern.sigma, strict=True):
            width, height = _half_height(axis, intensity, sigma, near, around)
            if height > LEAST_SIGNIFICANCE:
                widths.append(width)
                heights.append(height)
    if not widths:
        return float("nan")
    strong = np.array(heights) >= np.median(heights)
    return float(np.median(np.array(widths)[strong]))


def _room_deg(lines_two_theta_deg: FloatArray) -> FloatArray:
    """(lines,) half the distance to the nearer neighbour."""
    gaps = np.diff(lines_two_theta_deg)
    wide = float(np.max(gaps, initial=2.0))
    return np.asarray(0.5 * np.minimum(np.append(gaps, wide), np.insert(gaps, 0, wide)))


def _half_height(
    axis: FloatArray, intensity: FloatArray, sigma: FloatArray, near: NDArray[np.bool_], around: NDArray[np.bool_]
) -> tuple[float, float]:
    """Width at half height of the highest bin near a place, and its height in sigmas; 0, 0 where there is none."""
    known = np.isfinite(intensity)
    if not (near & known).any() or (around & known).sum() < 7:
        return 0.0, 0.0
    ground = float(np.percentile(intensity[around & known], 25))
    top = int(np.flatnonzero(near & known)[np.argmax(intensity[near & known])])
    level = 0.5 * (intensity[top] + ground)
    first = last = top
    while first > 0 and intensity[first - 1] > level:
        first -= 1
    while last < axis.size - 1 and intensity[last + 1] > level:
        last += 1
    return float((last - first + 1) * (axis[1] - axis[0])), float((intensity[top] - ground) / sigma[top])


def _position(  # noqa: PLR0917 - the inner loop of a table
    axis: FloatArray,
    intensity: FloatArray,
    sigma: FloatArray,
    expected_deg: float,
    reach_deg: float,
    half_deg: float,
    fwhm_deg: float,
) -> _Position | None:
    """Fit one line in one sector; None where there is no line that could be trusted."""
    near = (np.abs(axis - expected_deg) <= reach_deg + 0.5 * fwhm_deg) & np.isfinite(intensity)
    if not near.any():
        return None
    top = float(axis[near][np.argmax(_smoothed(intensity, 3)[near])])
    window = np.abs(axis - top) <= half_deg
    used = window & np.isfinite(intensity) & (sigma > 0.0)
    core = np.abs(axis - top) <= fwhm_deg
    # A gap of the detector under the line, or a window cut by its edge, would shift the line without a trace.
    if used.sum() < 7 or used.sum() < 0.8 * window.sum() or not used[core].all():
        return None
    found = _fit_line(axis[used], intensity[used], sigma[used], top, fwhm_deg)
    if found is None or abs(found.two_theta_deg - expected_deg) > reach_deg:
        return None
    return found


def _smoothed(intensity: FloatArray, bins: int) -> FloatArray:
    filled = np.where(np.isfinite(intensity), intensity, 0.0)
    return np.convolve(filled, np.ones(bins) / bins, mode="same")


def _fit_line(x: FloatArray, y: FloatArray, error: FloatArray, top_deg: float, fwhm_deg: float) -> _Position | None:
    """Gauss-Newton over centre and sigma; area and background are linear and solved for at each step."""
    centre, sigma = top_deg, float(sigma_from_fwhm(fwhm=fwhm_deg)) / 1.2
    bounds = 0.3 * sigma, 3.0 * sigma
    weight = 1.0 / error
    middle = x - top_deg
    for _ in range(_ROUNDS):
        profile = voigt(x=x, centre=centre, sigma=sigma, hwhm=_LORENTZ_SHARE * sigma)
        smooth = np.stack([profile[0], np.ones_like(x), middle]) * weight
        linear, *_ = np.linalg.lstsq(smooth.T, y * weight, rcond=None)
        if not linear[0] > 0.0:
            return None
        by_width = profile[2] + _LORENTZ_SHARE * profile[3]
        design = np.vstack([smooth, linear[0] * profile[1] * weight, linear[0] * by_width * weight])
        residual = y * weight - linear @ smooth
        normal = design @ design.T
        step = np.linalg.lstsq(normal, design @ residual, rcond=None)[0]
        centre += float(np.clip(step[3], -0.5 * fwhm_deg, 0.5 * fwhm_deg))
        sigma = float(np.clip(sigma + np.clip(step[4], -0.3 * sigma, 0.3 * sigma), *bounds))
        if abs(step[3]) < 1e-4 * fwhm_deg and abs(step[4]) < 1e-3 * sigma:
            break
    else:
        return None
    covariance = np.linalg.pinv(normal, hermitian=True)
    # Misfit of the shape and grains only ever widen the error.
    spread = max(1.0, float(residual @ residual) / max(x.size - 5, 1))
    trusted = linear[0] > LEAST_SIGNIFICANCE * np.sqrt(spread * covariance[0, 0]) and bounds[0] < sigma < bounds[1]
    if not trusted:
        return None
    fwhm = float(fwhm_from_voigt(sigma=sigma, hwhm=_LORENTZ_SHARE * sigma))
    return _Position(centre, float(np.sqrt(spread * covariance[3, 3])), fwhm)

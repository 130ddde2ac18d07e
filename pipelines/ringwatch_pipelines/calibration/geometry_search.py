"""Rings whose centre or distance are far off are found by their picture as a whole.

What stands above the background, drawn on the detector's plane, is correlated with the rings of the
calibrant drawn for one distance after the other; the correlation tells all centres at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, percentile_filter

from ringwatch_pipelines.calibration.detector_plane import angles_from_plane, plane_from_angles
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.operators import SectorPattern

SEARCH_SECTORS = 120
CELLS = 360
"""Cells of the drawing along the longer side of what is lit."""
DISTANCE_RANGE = 0.12
"""Largest relative error of the distance that is looked for."""
CENTRE_RANGE = 0.12
"""Largest error of the centre that is looked for, relative to the longer side of what is lit."""
_AZIMUTHS = 720


@dataclass(frozen=True, slots=True, eq=False)
class _Drawing:
    """What stands out, on square cells of the detector's plane."""

    excess: FloatArray
    corner_m: FloatArray
    cell_m: float


def searched_geometries(
    *, pattern: SectorPattern, lines_two_theta_deg: FloatArray, geometry: Geometry, most: int = 3
) -> Iterator[tuple[Geometry, float]]:
    """Geometries under which the rings of a frame look like those of the calibrant, the likeliest first.

    Parameters
    ----------
    pattern
        One frame in the bins of `geometry`, over some `SEARCH_SECTORS` sectors.
    lines_two_theta_deg
        (lines,) of the calibrant.

    Yields
    ------
    geometry, error_m
        Tilts are left as they are; the error is that of the rings' places on the detector.
    """
    drawing = _drawing(pattern, geometry)
    if drawing is None:
        return
    step = drawing.cell_m / float(np.ptp(_cells(drawing), axis=0).max() / 2)
    scales = np.exp(np.arange(-DISTANCE_RANGE, DISTANCE_RANGE + step / 2, step))
    found: list[tuple[float, Geometry]] = []
    side = fft.next_fast_len(2 * max(drawing.excess.shape) + 1, real=True)
    spectrum = fft.rfft2(drawing.excess, (side, side))
    for scale in scales:
        trial = replace(geometry, distance_m=geometry.distance_m * float(scale))
        score, moved = _best_centre(drawing, spectrum, side, trial, lines_two_theta_deg)
        found.append((score, moved))
    found.sort(key=lambda entry: -entry[0])
    kept: list[Geometry] = []
    for _, candidate in found:
        # Neighbours on the grid of distances are one and the same find.
        apart = all(abs(np.log(candidate.distance_m / other.distance_m)) > 3.0 * step for other in kept)
        if apart:
            kept.append(candidate)
            yield candidate, drawing.cell_m
        if len(kept) == most:
            return


def _drawing(pattern: SectorPattern, geometry: Geometry) -> _Drawing | None:
    """The excess over the background, on a grid over all that is lit; None where nothing is."""
    standing_out = np.array([_excess(*row) for row in zip(pattern.intensity, pattern.sigma, strict=True)])
    lit = pattern.norm > 0
    two_theta, azimuth = np.deg2rad(pattern.two_theta_deg), np.deg2rad(pattern.azimuth_deg)
    points = plane_from_angles(
        geometry=geometry, two_theta_rad=two_theta[np.newaxis, :], azimuth_rad=azimuth[:, np.newaxis]
    )
    known = lit & np.isfinite(points).all(axis=-1)
    if not known.any() or not standing_out.any():
        return None
    low, high = points[known].min(axis=0), points[known].max(axis=0)
    cell_m = float((high - low).max() / CELLS)
    shape = np.ceil((high - low) / cell_m).astype(int) + 1
    rows, columns = (low[axis] + cell_m * (np.arange(shape[axis]) + 0.5) for axis in (0, 1))
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    angle, around, _ = angles_from_plane(geometry=geometry, points_m=grid)
    width = two_theta[1] - two_theta[0]
    radial = np.rint((angle - two_theta[0]) / width).astype(int)
    sector = np.floor(np.rad2deg(around) % 360.0 / 360.0 * azimuth.size).astype(int) % azimuth.size
    inside = (radial >= 0) & (radial < two_theta.size)
    radial = np.where(inside, radial, 0)
    inside &= known[sector, radial]
    # A cell takes the most of the bins that lie in it, so that no sharp ring falls between two cells.
    reach = max(1, round(cell_m / (geometry.distance_m * width) / 2))
    spread = _running_maximum(standing_out, reach)
    excess = np.where(inside, spread[sector, radial], 0.0)
    excess = np.where(inside, excess - excess[inside].mean(), 0.0)
    return _Drawing(gaussian_filter(excess, 0.7), low, cell_m)


def _excess(intensity: FloatArray, sigma: FloatArray) -> FloatArray:
    """What stands above the running background, compressed so that weak rings speak beside strong ones."""
    known = np.isfinite(intensity) & (sigma > 0)
    if known.sum() < 9:
        return np.zeros_like(intensity)
    smooth = np.interp(np.arange(intensity.size), np.flatnonzero(known), intensity[known])
    background = percentile_filter(smooth, 40, size=max(21, intensity.size // 30) | 1, mode="nearest")
    above = np.where(known, intensity - background, 0.0)
    above = np.where(above > 3.0 * np.where(known, sigma, np.inf), above, 0.0)
    if not above.any():
        return above
    level = float(np.median(above[above > 0]))
    return np.asarray(np.sqrt(np.minimum(above / level, 16.0)))


def _running_maximum(rows: FloatArray, reach: int) -> FloatArray:
    most = rows.copy()
    for shift in range(1, reach + 1):
        most[:, shift:] = np.maximum(most[:, shift:], rows[:, :-shift])
        most[:, :-shift] = np.maximum(most[:, :-shift], rows[:, shift:])
    return most


def _cells(drawing: _Drawing) -> FloatArray:
    return drawing.corner_m + drawing.cell_m * np.array([[0, 0], drawing.excess.shape])


def _best_centre(
    drawing: _Drawing, spectrum: NDArray[np.complex128], side: int, trial: Geometry, lines_two_theta_deg: FloatArray
) -> tuple[float, Geometry]:
    """The shift of the rings at which they fit best, and how well."""
    points = plane_from_angles(
        geometry=trial,
        two_theta_rad=np.deg2rad(lines_two_theta_deg)[:, np.newaxis],
        azimuth_rad=np.linspace(0.0, 2.0 * np.pi, _AZIMUTHS, endpoint=False)[np.newaxis, :],
    ).reshape(-1, 2)
    cell = np.rint((points - drawing.corner_m) / drawing.cell_m - 0.5)
    cell = cell[np.isfinite(cell).all(axis=1)]
    rows, columns = (axis.astype(np.int64) for axis in cell.T)
    # Rings that reach far off the drawing would fold back onto it.
    near = (np.abs(rows - side // 4) < side // 2) & (np.abs(columns - side // 4) < side // 2)
    rings = np.zeros((side, side))
    np.add.at(rings, (rows[near] % side, columns[near] % side), 1.0 / _AZIMUTHS)
    score = fft.irfft2(spectrum * np.conj(fft.rfft2(rings)), (side, side))
    reach = max(2, round(CENTRE_RANGE * max(drawing.excess.shape)))
    shifts = np.arange(-reach, reach + 1)
    window = score[np.ix_(shifts % side, shifts % side)]
    i, j = np.unravel_index(int(np.argmax(window)), window.shape)
    moved = replace(
        trial,
        poni1_m=trial.poni1_m + float(shifts[i]) * drawing.cell_m,
        poni2_m=trial.poni2_m + float(shifts[j]) * drawing.cell_m,
    )
    return float(window[i, j]), moved

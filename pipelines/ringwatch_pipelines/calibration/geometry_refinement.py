"""The geometry that puts rings where Bragg's law wants them: weighted least squares with its covariance."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.calibration.detector_plane import PARAMETERS, angles_from_plane, plane_from_angles
from ringwatch_pipelines.calibration.ring_positions import RingPositions
from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import METRES_PER_ANGSTROM, two_theta_from_d_spacing
from ringwatch_pipelines.reduction.geometry import Geometry

WAVELENGTH = "wavelength_m"
_HUBER = 2.0
"""Residuals beyond so many sigmas lose weight."""
_ROUNDS = 60
_WEIGHINGS = 4
_FAR_OFF = 5.0
"""Sigmas beyond which a point is not counted as used."""
_LARGEST_DAMPING = 1e8


@dataclass(frozen=True, slots=True, eq=False)
class GeometryFit:
    """A geometry fitted to ring positions.

    Parameters
    ----------
    names
        Refined parameters.
    values, covariance
        (parameters,) and (parameters, parameters) in metre and radian. Where whole rings lie off, as by a distortion
        of the detector or a wrong spacing, the places of a ring err together and the covariance is widened.
    two_theta_deg
        (points,) where the fitted geometry sees the measured rings.
    residual_deg, sigma_deg
        (points,) measured minus expected, and the error of it with the scatter that the counts do not explain.
    azimuth_deg
        (points,) in the fitted geometry, 0 to 360.
    excess_scatter_deg
        Scatter beyond the errors of the positions: grains, pixels, distortion of the detector.
    rms_deg
        Root mean square of the residuals, weighted.
    ring_rms_deg
        Root mean square over the rings of the median residual of each: what no geometry takes away.
    used
        (points,) False for a point more than five sigmas away.
    """

    geometry: Geometry
    names: tuple[str, ...]
    values: FloatArray
    covariance: FloatArray
    two_theta_deg: FloatArray
    residual_deg: FloatArray
    sigma_deg: FloatArray
    azimuth_deg: FloatArray
    excess_scatter_deg: float
    rms_deg: float
    ring_rms_deg: float
    used: NDArray[np.bool_]

    def sigma(self, name: str) -> float:
        """One standard deviation of a parameter; 0 for one that was held."""
        if name not in self.names:
            return 0.0
        index = self.names.index(name)
        return float(np.sqrt(self.covariance[index, index]))

    def correlation(self, one: str, other: str) -> float:
        """Correlation of two refined parameters."""
        i, j = self.names.index(one), self.names.index(other)
        return float(self.covariance[i, j] / (self.sigma(one) * self.sigma(other)))


def refine_geometry(
    *,
    positions: RingPositions,
    d_spacing_A: FloatArray,
    geometry: Geometry,
    refine_wavelength: bool = False,
) -> GeometryFit:
    """Fit distance, point of normal incidence and tilts to ring positions.

    Each measured position is a point of the detector's plane; the fit moves the plane until all points of
    a ring lie at its Bragg angle. Points far off lose weight (Huber 1964, Ann. Math. Stat. 35, 73).

    Parameters
    ----------
    positions
        As the bins of `geometry` show them.
    d_spacing_A
        (lines,) of the calibrant.
    refine_wavelength
        Let the wavelength go too. At small angles it cannot be told from the distance; the covariance says so.

    Raises
    ------
    GeometryError
        Fewer than ten positions, or all of one ring.
    """
    _require_enough(positions)
    points_m = plane_from_angles(
        geometry=geometry,
        two_theta_rad=np.deg2rad(positions.two_theta_deg),
        azimuth_rad=np.deg2rad(positions.azimuth_deg),
    )
    names = (*PARAMETERS, WAVELENGTH) if refine_wavelength else PARAMETERS
    problem = _Problem(points_m, d_spacing_A[positions.line], names)
    fitted, excess_deg = _settled(problem, geometry, positions.sigma_deg)
    return _assessed(problem, fitted, positions, excess_deg)


def _require_enough(positions: RingPositions) -> None:
    rings = np.unique(positions.line).size
    if positions.line.size < 10 or rings < 2:
        raise GeometryError(
            f"to refine a geometry, two rings and ten positions are needed, got {rings} and {positions.line.size}"
        )


def _settled(problem: "_Problem", geometry: Geometry, sigma_deg: FloatArray) -> tuple[Geometry, float]:
    """The geometry, and the scatter beyond the errors: each decides how much the points weigh for the other."""
    excess_deg = 0.0
    for _ in range(_WEIGHINGS):
        geometry = _minimised(problem, geometry, np.hypot(sigma_deg, excess_deg))
        residual, _ = problem.residual(geometry)
        excess_deg = _excess_scatter(residual, sigma_deg)
    return geometry, excess_deg


def _assessed(
    problem: "_Problem", geometry: Geometry, positions: RingPositions, excess_scatter_deg: float
) -> GeometryFit:
    """What the points say of a fitted geometry."""
    sigma = np.hypot(positions.sigma_deg, excess_scatter_deg)
    residual, slopes = problem.residual(geometry)
    weight = _huber_weight(residual / sigma) / sigma**2
    two_theta, azimuth, _ = angles_from_plane(geometry=geometry, points_m=problem.points_m)
    of_rings = [np.median(residual[positions.line == line]) for line in np.unique(positions.line)]
    return GeometryFit(
        geometry=geometry,
        names=problem.names,
        values=read_only(np.array([getattr(geometry, name) for name in problem.names])),
        covariance=read_only(_covariance(slopes, weight, residual, positions.line)),
        two_theta_deg=read_only(np.rad2deg(two_theta)),
        residual_deg=read_only(residual),
        sigma_deg=read_only(sigma),
        azimuth_deg=read_only(np.rad2deg(azimuth) % 360.0),
        excess_scatter_deg=excess_scatter_deg,
        rms_deg=float(np.sqrt((weight * residual**2).sum() / weight.sum())),
        ring_rms_deg=float(np.sqrt(np.mean(np.square(of_rings)))),
        used=read_only(np.abs(residual) < _FAR_OFF * sigma),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    points_m: FloatArray
    d_spacing_A: FloatArray
    names: tuple[str, ...]

    def residual(self, geometry: Geometry) -> tuple[FloatArray, FloatArray]:
        """(points,) measured minus expected in degree, and (points, parameters) its slopes."""
        two_theta, _, slopes = angles_from_plane(geometry=geometry, points_m=self.points_m)
        expected = two_theta_from_d_spacing(d_spacing_A=self.d_spacing_A, wavelength_m=geometry.wavelength_m)
        if WAVELENGTH in self.names:
            cosine = np.cos(np.deg2rad(expected) / 2.0)
            by_wavelength = -1.0 / (self.d_spacing_A * METRES_PER_ANGSTROM * cosine)
            slopes = np.column_stack([slopes, by_wavelength])
        return np.rad2deg(two_theta) - expected, np.rad2deg(slopes)

    def moved(self, geometry: Geometry, step: FloatArray) -> Geometry:
        changes = {name: getattr(geometry, name) + float(move) for name, move in zip(self.names, step, strict=True)}
        # A step that would turn the detector inside out is cut; the next ones go on from there.
        for name in ("distance_m", WAVELENGTH):
            if name in changes:
                value = getattr(geometry, name)
                changes[name] = min(max(changes[name], 0.7 * value), 1.4 * value)
        return replace(geometry, **changes)


def _minimised(problem: _Problem, geometry: Geometry, sigma: FloatArray) -> Geometry:
    """Levenberg-Marquardt on the Huber loss, with parameters brought to one scale."""
    damping = 1e-6
    residual, slopes = problem.residual(geometry)
    loss = _huber_loss(residual / sigma)
    for _ in range(_ROUNDS):
        weight = _huber_weight(residual / sigma) / sigma**2
        normal = (slopes * weight[:, None]).T @ slopes
        scale = 1.0 / np.sqrt(np.maximum(np.diagonal(normal), 1e-300))
        scaled = normal * np.outer(scale, scale) + damping * np.eye(len(scale))
        step = -np.linalg.solve(scaled, (slopes.T @ (weight * residual)) * scale) * scale
        trial = problem.moved(geometry, step)
        trial_residual, trial_slopes = problem.residual(trial)
        trial_loss = _huber_loss(trial_residual / sigma)
        if not trial_loss <= loss:
            damping *= 20.0
            if damping > _LARGEST_DAMPING:
                break
            continue
        settled = loss - trial_loss < 1e-9 * max(loss, 1.0)
        geometry, residual, slopes, loss = trial, trial_residual, trial_slopes, trial_loss
        damping = max(damping / 10.0, 1e-12)
        if settled:
            break
    return geometry


def _huber_loss(z: FloatArray) -> float:
    size = np.abs(z)
    return float(np.where(size <= _HUBER, z**2, 2 * _HUBER * size - _HUBER**2).sum())


def _huber_weight(z: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(1.0, _HUBER / np.maximum(np.abs(z), 1e-300)))


def _excess_scatter(residual: FloatArray, sigma: FloatArray) -> float:
    """What must be added to the errors in quadrature so that the median residual is as large as theirs says."""
    expected = 0.6745
    if np.median(np.abs(residual) / sigma) <= expected:
        return 0.0
    low, high = 0.0, float(np.max(np.abs(residual)) + np.max(sigma))
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.median(np.abs(residual) / np.hypot(sigma, middle)) > expected:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _covariance(slopes: FloatArray, weight: FloatArray, residual: FloatArray, line: NDArray[np.int64]) -> FloatArray:
    """Inverse of the normal matrix, each sigma widened to that of a scatter that is common to a ring.

    The latter is the covariance for clustered errors (Liang & Zeger 1986, Biometrika 73, 13) with the rings
    as clusters; with few rings it may come out too small, so that it only ever widens.
    """
    inverse = _inverse((slopes * weight[:, None]).T @ slopes)
    rings = np.unique(line)
    together = np.array([(weight * residual)[line == ring] @ slopes[line == ring] for ring in rings])
    clustered = inverse @ together.T @ together @ inverse * rings.size / max(rings.size - 1, 1)
    widening = np.sqrt(np.maximum(np.diagonal(clustered) / np.diagonal(inverse), 1.0))
    return np.asarray(inverse * np.outer(widening, widening))


def _inverse(normal: FloatArray) -> FloatArray:
    """Inverse after scaling; what the rings cannot tell gets a large variance and not none."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(normal), 1e-300))
    values, vectors = np.linalg.eigh(normal * np.outer(scale, scale))
    return np.asarray((vectors / np.maximum(values, 1e-14)) @ vectors.T * np.outer(scale, scale))

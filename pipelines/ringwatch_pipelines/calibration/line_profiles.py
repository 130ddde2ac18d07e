"""Voigt lines on a smooth background, whose widths follow a linear law: least squares over all of them at once.

The law is in the squared Gaussian FWHM and in the Lorentzian FWHM. It may be Caglioti's, or one width a line.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from ringwatch_pipelines.fit.profiles import voigt
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import FWHM_PER_SIGMA

_ROUNDS = 40
_LARGEST_DAMPING = 1e6
_LEAST_SIGMA_BINS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Neighbouring bins and the lines that reach into them.

    Parameters
    ----------
    two_theta_deg, intensity, weight
        (bins,) with 1 / sigma as weight.
    lines
        Indices of the lines.
    background_terms
        Chebyshev terms of the background.
    """

    two_theta_deg: FloatArray
    intensity: FloatArray
    weight: FloatArray
    lines: NDArray[np.int64]
    background_terms: int


@dataclass(frozen=True, slots=True, eq=False)
class WidthLaw:
    """Squared Gaussian FWHM ``square_fixed + square_basis @ s``, Lorentzian FWHM ``lorentz_fixed + lorentz_basis @ l``.

    Parameters
    ----------
    square_basis, lorentz_basis
        (lines, terms), degree squared and degree for a coefficient of 1. Coefficients of the Lorentzian
        stay at 0 or above.
    square_fixed, lorentz_fixed
        (lines,) what is known: the width of a bin, the size and strain of the sample.
    """

    square_basis: FloatArray
    square_fixed: FloatArray
    lorentz_basis: FloatArray
    lorentz_fixed: FloatArray

    @property
    def terms(self) -> int:
        """Number of coefficients."""
        return int(self.square_basis.shape[1] + self.lorentz_basis.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class LinesFit:
    """Coefficients of the law, and where the lines are.

    Parameters
    ----------
    coefficients, covariance
        (terms,) those of the Gaussian first, and (terms, terms) from the stated errors of the bins.
    area, area_sigma, shift_deg
        (lines,) area, its error, and the place against the expected one.
    chi_square
        Sum of squared weighted residuals.
    """

    coefficients: FloatArray
    covariance: FloatArray
    area: FloatArray
    area_sigma: FloatArray
    shift_deg: FloatArray
    chi_square: float
    degrees_of_freedom: int
    converged: bool

    @property
    def spread(self) -> float:
        """By which the covariance is widened where the shape misfits: reduced chi-square, or 1."""
        return max(1.0, self.chi_square / max(self.degrees_of_freedom, 1))


def fit_lines(
    *,
    stretches: tuple[Stretch, ...],
    two_theta_deg: FloatArray,
    law: WidthLaw,
    start: FloatArray,
    largest_shift_deg: float,
) -> LinesFit:
    """Refine widths, and place and area of every line, by Levenberg-Marquardt.

    Parameters
    ----------
    two_theta_deg
        (lines,) where the lines are expected.
    start
        (terms,) coefficients of the law to begin with.
    largest_shift_deg
        How far a line may stand from there.
    """
    model = _Model(stretches, two_theta_deg, law, largest_shift_deg)
    point = model.at(start, np.zeros(two_theta_deg.size))
    assert point is not None, "the start of a fit of widths must be a possible one"
    damping, converged = 1e-4, False
    for _ in range(_ROUNDS):
        step = point.step(damping)
        trial = model.at(*model.moved(point, step))
        if trial is None or trial.chi_square > point.chi_square:
            damping = max(10.0 * damping, 1e-6)
            if damping > _LARGEST_DAMPING:
                converged = True
                break
            continue
        gained = point.chi_square - trial.chi_square
        point, damping = trial, damping / 10.0
        if gained < 1e-3 * max(1.0, point.chi_square / max(model.bins, 1)):
            converged = True
            break
    covariance = point.covariance()
    terms, lines = law.terms, two_theta_deg.size
    area_sigma = np.sqrt(np.diagonal(covariance)[terms + lines : terms + 2 * lines])
    return LinesFit(
        coefficients=point.coefficients,
        covariance=covariance[:terms, :terms],
        area=point.linear[:lines],
        area_sigma=area_sigma,
        shift_deg=point.shift_deg,
        chi_square=point.chi_square,
        degrees_of_freedom=model.bins - len(covariance),
        converged=converged,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """Rows of `design`: coefficients, shifts, areas, backgrounds; the linear ones, at the end, are at their best."""

    coefficients: FloatArray
    shift_deg: FloatArray
    linear: FloatArray
    design: FloatArray
    residual: FloatArray
    chi_square: float

    def step(self, damping: float) -> FloatArray:
        """Of coefficients and shifts, (terms + lines,)."""
        normal = self.design @ self.design.T
        scale = _scale(normal)
        damped = normal * np.outer(scale, scale)
        shapes = self.coefficients.size + self.shift_deg.size
        damped[np.arange(shapes), np.arange(shapes)] *= 1.0 + damping
        damped[np.diag_indices_from(damped)] += 1e-12
        gradient = (self.design @ self.residual) * scale
        return np.asarray((np.linalg.solve(damped, gradient) * scale)[:shapes])

    def covariance(self) -> FloatArray:
        normal = self.design @ self.design.T
        scale = _scale(normal)
        return np.asarray(np.linalg.pinv(normal * np.outer(scale, scale), hermitian=True) * np.outer(scale, scale))


def _scale(normal: FloatArray) -> FloatArray:
    return np.asarray(1.0 / np.sqrt(np.maximum(np.diagonal(normal), 1e-300)))


class _Model:
    """Evaluates the lines on all stretches."""

    def __init__(
        self, stretches: tuple[Stretch, ...], two_theta_deg: FloatArray, law: WidthLaw, largest_shift_deg: float
    ) -> None:
        self._stretches = stretches
        self._two_theta_deg = two_theta_deg
        self._law = law
        self._largest_shift_deg = largest_shift_deg
        self._ends = np.cumsum([0] + [stretch.intensity.size for stretch in stretches])
        self.bins = int(self._ends[-1])
        self._weighted = np.concatenate([stretch.intensity * stretch.weight for stretch in stretches])
        self._smooth = self._background_rows()

    def _background_rows(self) -> FloatArray:
        rows = np.zeros((sum(stretch.background_terms for stretch in self._stretches), self.bins))
        first = 0
        for stretch, begin, end in zip(self._stretches, self._ends[:-1], self._ends[1:], strict=True):
            x = stretch.two_theta_deg
            scaled = (2.0 * x - x[0] - x[-1]) / max(x[-1] - x[0], 1e-12)
            terms = chebyshev.chebvander(scaled, stretch.background_terms - 1).T
            rows[first : first + len(terms), begin:end] = terms * stretch.weight
            first += len(terms)
        return rows

    def moved(self, point: _Point, step: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients and shifts after a step, within their bounds."""
        terms, squares = self._law.terms, self._law.square_basis.shape[1]
        coefficients = point.coefficients + step[:terms]
        coefficients[squares:] = np.maximum(coefficients[squares:], 0.0)
        limit = self._largest_shift_deg
        return coefficients, np.clip(point.shift_deg + step[terms:], -limit, limit)

    def at(self, coefficients: FloatArray, shift_deg: FloatArray) -> _Point | None:
        """The model with its best areas and backgrounds; None where a width would be none."""
        law, squares = self._law, self._law.square_basis.shape[1]
        square = law.square_fixed + law.square_basis @ coefficients[:squares]
        lorentz = law.lorentz_fixed + law.lorentz_basis @ coefficients[squares:]
        bin_deg = float(np.diff(self._stretches[0].two_theta_deg[:2])[0])
        if not np.all(square > (_LEAST_SIGMA_BINS * bin_deg) ** 2):
            return None
        sigma, hwhm = np.sqrt(square) / FWHM_PER_SIGMA, 0.5 * lorentz
        profiles = self._profiles(shift_deg, sigma, hwhm)
        lines = len(self._two_theta_deg)
        linear_rows = np.vstack([profiles[:, 0], self._smooth])
        normal = linear_rows @ linear_rows.T
        scale = _scale(normal)
        scaled = normal * np.outer(scale, scale)
        scaled[np.diag_indices_from(scaled)] += 1e-12
        linear = np.linalg.solve(scaled, (linear_rows @ self._weighted) * scale) * scale
        residual = self._weighted - linear @ linear_rows
        area = linear[:lines, np.newaxis]
        by_square = area * profiles[:, 2] / (2.0 * sigma * FWHM_PER_SIGMA**2)[:, np.newaxis]
        by_lorentz = area * 0.5 * profiles[:, 3]
        design = np.vstack(
            [law.square_basis.T @ by_square, law.lorentz_basis.T @ by_lorentz, area * profiles[:, 1], linear_rows]
        )
        return _Point(coefficients, shift_deg, linear, design, residual, float(residual @ residual))

    def _profiles(self, shift_deg: FloatArray, sigma: FloatArray, hwhm: FloatArray) -> FloatArray:
        """(lines, 4, bins) weighted value and slopes by centre, sigma and half width."""
        out = np.zeros((self._two_theta_deg.size, 4, self.bins))
        for stretch, begin, end in zip(self._stretches, self._ends[:-1], self._ends[1:], strict=True):
            for line in stretch.lines.tolist():
                centre = float(self._two_theta_deg[line] + shift_deg[line])
                shape = voigt(x=stretch.two_theta_deg, centre=centre, sigma=float(sigma[line]), hwhm=float(hwhm[line]))
                out[line, :, begin:end] = shape * stretch.weight
        return out

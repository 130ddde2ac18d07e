"""Joint Gauss-Newton for many linear and a few non-linear parameters.

One symmetric product an iteration gives the normal matrix of all parameters. Its Cholesky factor, linear
parameters first, holds both the step and the chi-square that the linear parameters would reach at the
present shape (variable projection, Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413); the latter decides
whether the last step was good. Damping (Levenberg 1944) comes in only when a step was not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from ringwatch_pipelines.fit.fit_layout import ShapeParameters
from ringwatch_pipelines.patterns import FloatArray

_RIDGE = 1e-11
"""Relative to the scaled diagonal: lines that coincide stay solvable, with the large sigma they deserve."""

_SMALL_STEP = 0.03
"""Squared length of the last step of the shape parameters, in sigmas; in their scatter where the model is poor."""

_LARGEST_DAMPING = 1e6

_HOLDING_ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Where the iterations ended.

    Parameters
    ----------
    parameters, covariance
        (parameters,) and (parameters, parameters); the covariance is the inverse of the normal matrix, never scaled.
    weighted_model
        (bins,)
    chi_square
        Sum of squared weighted residuals.
    """

    parameters: FloatArray
    covariance: FloatArray
    weighted_model: FloatArray
    chi_square: float
    iterations: int
    converged: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """The normal equations at one set of parameters.

    `scale` brings the diagonal of `matrix` to 1; `factor` is the lower Cholesky factor of the scaled matrix.
    """

    parameters: FloatArray
    design: FloatArray
    residual: FloatArray
    matrix: FloatArray
    gradient: FloatArray
    scale: FloatArray
    factor: FloatArray
    objective: float


def minimise(
    *,
    design: Callable[[FloatArray], FloatArray],
    weighted_intensity: FloatArray,
    start: FloatArray,
    shapes: ShapeParameters,
    max_iterations: int,
    linear_only: bool = False,
) -> Solution:
    """Least squares with a prior and bounds on the shape parameters, which are the last ones.

    Parameters
    ----------
    design
        Gives the (parameters, bins) weighted slopes at a set of parameters; the model is linear in the first ones.
    start
        (parameters,) where any of the linear ones is 0, the first step leaves the shape alone.
    linear_only
        Leave the shape alone altogether; one step is exact then.
    """
    linear = start.size - len(shapes.names)
    parameters, damping = start, 0.0
    best: _Point | None = None
    # A line of no area has no slopes by its shape: a first step would follow the prior alone.
    hold_shape = linear_only or not np.all(start[:linear])
    for iteration in range(1, max_iterations + 1):
        point = _normal_equations(design(parameters), weighted_intensity, parameters, shapes)
        if best is None or point.objective <= best.objective + max(1e-2, 1e-9 * abs(best.objective)):
            best, damping = point, damping / 10.0 if damping > 1e-5 else 0.0
        else:
            damping = max(10.0 * damping, 1e-3)
        step = _bounded_step(best, shapes, damping, hold_shape=hold_shape)
        if linear_only or (not hold_shape and _squared_length(best, step, linear) < _SMALL_STEP * _poverty(best)):
            return _solution(best, step, linear, iteration, converged=True)
        if not np.all(np.isfinite(step)) or damping > _LARGEST_DAMPING:
            break
        hold_shape = False
        parameters = best.parameters + step
    return _solution(best or point, np.zeros_like(start), linear, iteration, converged=False)


def _normal_equations(
    design: FloatArray, weighted_intensity: FloatArray, parameters: FloatArray, shapes: ShapeParameters
) -> _Point:
    linear = parameters.size - len(shapes.names)
    residual = weighted_intensity - parameters[:linear] @ design[:linear]
    lower = blas.dsyrk(1.0, design.T, trans=1, lower=1)
    matrix = np.tril(lower) + np.tril(lower, -1).T
    gradient = design @ residual
    departure = (shapes.mean - parameters[linear:]) / shapes.sigma
    shape = np.arange(linear, parameters.size)
    matrix[shape, shape] += shapes.sigma**-2
    gradient[shape] += departure / shapes.sigma
    diagonal = np.diagonal(matrix)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    factor = _cholesky(matrix * np.outer(scale, scale))
    gain, _ = lapack.dtrtrs(factor[:linear, :linear], (gradient * scale)[:linear], lower=1)
    objective = float(residual @ residual + departure @ departure - gain @ gain)
    return _Point(parameters, design, residual, matrix, gradient, scale, factor, objective)


def _cholesky(scaled: FloatArray) -> FloatArray:
    """Lower factor; the ridge grows until the matrix is positive."""
    ridge = _RIDGE
    diagonal = np.arange(len(scaled))
    while True:
        raised = scaled.copy(order="F")
        raised[diagonal, diagonal] += ridge
        factor, problem = lapack.dpotrf(raised, lower=1, clean=1)
        if problem == 0 or ridge > 1.0 or not np.all(np.isfinite(scaled)):
            return np.asarray(factor)
        ridge *= 100.0


def _bounded_step(point: _Point, shapes: ShapeParameters, damping: float, *, hold_shape: bool) -> FloatArray:
    """The step that solves the damped equations within bounds and largest steps.

    A parameter that would go further is held at its limit while the others are solved for, so that one that
    means little (the width of an absent phase) does not shorten the step of all.
    """
    linear = point.parameters.size - len(shapes.names)
    now = point.parameters[linear:]
    low = np.maximum(shapes.lower - now, -shapes.largest_step)
    high = np.minimum(shapes.upper - now, shapes.largest_step)
    held = np.full(now.shape, hold_shape)
    shift = np.zeros_like(now)
    for _ in range(_HOLDING_ROUNDS):
        step = _damped_step(point, linear, damping, held, shift)
        outside = ~held & ((step[linear:] < low) | (step[linear:] > high))
        if not np.any(outside):
            break
        shift = np.where(outside, np.clip(step[linear:], low, high), shift)
        held |= outside
    step[linear:] = np.clip(step[linear:], low, high)
    return step


def _damped_step(point: _Point, linear: int, damping: float, held: NDArray[np.bool_], shift: FloatArray) -> FloatArray:
    if damping == 0.0 and not np.any(held):
        solution, _ = lapack.dpotrs(point.factor, point.gradient * point.scale, lower=1)
        return np.asarray(solution * point.scale)
    fixed = np.concatenate([np.zeros(linear, dtype=bool), held])
    prescribed = np.concatenate([np.zeros(linear), np.where(held, shift, 0.0)])
    gradient = np.where(fixed, prescribed / point.scale**2, point.gradient - point.matrix @ prescribed)
    matrix = point.matrix * np.outer(point.scale, point.scale)
    shape = np.arange(linear, fixed.size)
    matrix[shape, shape] *= 1.0 + damping
    matrix[fixed, :] = 0.0
    matrix[:, fixed] = 0.0
    matrix[fixed, fixed] = 1.0
    solution, _ = lapack.dpotrs(_cholesky(matrix), gradient * point.scale, lower=1)
    return np.asarray(solution * point.scale)


def _squared_length(point: _Point, step: FloatArray, linear: int) -> float:
    """Of the step of the shape parameters, in units of their joint sigma."""
    scaled = (step / point.scale)[linear:]
    return float(np.sum((point.factor[linear:, linear:].T @ scaled) ** 2))


def _poverty(point: _Point) -> float:
    """Squared residual of a bin, at least 1: a poor model's parameters scatter by so much more than their variance."""
    return max(point.objective / point.residual.size, 1.0)


def _solution(point: _Point, step: FloatArray, linear: int, iterations: int, *, converged: bool) -> Solution:
    """Take the last, small step, over which the model is linear."""
    residual = point.residual - step @ point.design
    inverse, _ = lapack.dpotri(point.factor, lower=1)
    covariance = np.tril(inverse) + np.tril(inverse, -1).T
    covariance *= np.outer(point.scale, point.scale)
    return Solution(
        parameters=point.parameters + step,
        covariance=covariance,
        weighted_model=point.parameters[:linear] @ point.design[:linear] + step @ point.design,
        chi_square=float(residual @ residual),
        iterations=iterations,
        converged=converged,
    )

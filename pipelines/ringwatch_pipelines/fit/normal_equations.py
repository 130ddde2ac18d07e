"""The normal equations of a fit at one set of parameters, and the steps that they give."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from ringwatch_pipelines.fit.fit_layout import ShapeParameters
from ringwatch_pipelines.patterns import FloatArray

_RIDGE = 1e-11
"""Precision of a prior about 0 for each linear parameter, relative to what the pattern says of it alone.

Lines that coincide, or of which only tails are seen, stay solvable, with the large sigma they deserve.
"""

_LIFT = 1e-14
"""Relative to the scaled diagonal: what rounding may take from the eigenvalues."""

_HOLDING_ROUNDS = 4
_FEW_ROWS = 0.3
"""Part of the rows up to which products of the changed ones are made anew, and no others."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """The normal equations at one set of parameters.

    Parameters
    ----------
    products
        (parameters, parameters) of the rows of the design alone.
    matrix, gradient
        With the priors.
    scale
        Brings the diagonal of `matrix` to 1.
    factor
        Lower Cholesky factor of the scaled matrix.
    shape_gradient
        (shapes,) scaled gradient at the best linear parameters.
    objective
        Chi-square, with that of the priors, at the best linear parameters.
    """

    parameters: FloatArray
    design: FloatArray
    residual: FloatArray
    products: FloatArray
    matrix: FloatArray
    gradient: FloatArray
    scale: FloatArray
    factor: FloatArray
    shape_gradient: FloatArray
    objective: float

    @property
    def linear(self) -> int:
        """Number of linear parameters, which come first."""
        return self.parameters.size - self.shape_gradient.size

    def squared_lengths(self, steps: FloatArray) -> FloatArray:
        """(steps,) of (steps, shapes) of the shape parameters, in units of their joint sigma."""
        scaled = steps / self.scale[self.linear :]
        return np.asarray(np.sum((scaled @ self.factor[self.linear :, self.linear :]) ** 2, axis=1))

    def reachable(self, free: NDArray[np.bool_]) -> float:
        """The objective at the best linear parameters and the best of those shapes that are free."""
        if not np.any(free):
            return self.objective
        corner = self.factor[self.linear :, self.linear :]
        matrix, gradient = (corner @ corner.T)[np.ix_(free, free)], self.shape_gradient[free]
        return self.objective - float(gradient @ np.linalg.solve(matrix, gradient))


def point_at(
    parameters: FloatArray,
    *,
    design: FloatArray,
    weighted_intensity: FloatArray,
    shapes: ShapeParameters,
    near: tuple[Point, NDArray[np.bool_]] | None = None,
) -> Point:
    """Normal equations from the weighted slopes.

    Parameters
    ----------
    near
        Another point of the same pattern, and the rows of the design that are not the same there.
    """
    linear = parameters.size - len(shapes.names)
    residual = weighted_intensity - parameters[:linear] @ design[:linear]
    products = _products(design, near)
    matrix, gradient = products.copy(), design @ residual
    departure = (shapes.mean - parameters[linear:]) / shapes.sigma
    precision = np.concatenate([_RIDGE * np.diagonal(products)[:linear], shapes.sigma**-2])
    every = np.arange(parameters.size)
    matrix[every, every] += precision
    pull = precision[:linear] * parameters[:linear]
    gradient[:linear] -= pull
    gradient[linear:] += departure / shapes.sigma
    diagonal = np.diagonal(matrix)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    factor = _cholesky(matrix * np.outer(scale, scale))
    scaled = gradient * scale
    gain, _ = lapack.dtrtrs(factor[:linear, :linear], scaled[:linear], lower=1)
    return Point(
        parameters=parameters,
        design=design,
        residual=residual,
        products=products,
        matrix=matrix,
        gradient=gradient,
        scale=scale,
        factor=factor,
        shape_gradient=scaled[linear:] - factor[linear:, :linear] @ gain,
        objective=float(residual @ residual + pull @ parameters[:linear] + departure @ departure - gain @ gain),
    )


def _products(design: FloatArray, near: tuple[Point, NDArray[np.bool_]] | None) -> FloatArray:
    if near is not None and np.mean(near[1]) < _FEW_ROWS:
        products, changed = near[0].products.copy(), np.flatnonzero(near[1])
        products[changed] = design[changed] @ design.T
        products[:, changed] = products[changed].T
        return products
    return symmetric_from_lower(blas.dsyrk(1.0, design.T, trans=1, lower=1))


def symmetric_from_lower(matrix: FloatArray) -> FloatArray:
    """The whole of a symmetric matrix, of which BLAS and LAPACK fill the lower triangle."""
    return np.asarray(np.tril(matrix) + np.tril(matrix, -1).T)


def _cholesky(scaled: FloatArray) -> FloatArray:
    """Lower factor; the diagonal is lifted until the matrix is positive."""
    lift = _LIFT
    diagonal = np.arange(len(scaled))
    while True:
        raised = scaled.copy(order="F")
        raised[diagonal, diagonal] += lift
        factor, problem = lapack.dpotrf(raised, lower=1, clean=1)
        if problem == 0 or lift > 1.0 or not np.all(np.isfinite(scaled)):
            return np.asarray(factor)
        lift *= 100.0


def bounded_step(point: Point, shapes: ShapeParameters, damping: float, *, hold_shape: bool) -> FloatArray:
    """The step that solves the damped equations within bounds and largest steps.

    A parameter that would go further is held at its limit while the others are solved for, so that one that
    means little (the width of an absent phase) does not shorten the step of all.
    """
    linear = point.linear
    now = point.parameters[linear:]
    low = np.maximum(shapes.lower - now, -shapes.largest_step)
    high = np.minimum(shapes.upper - now, shapes.largest_step)
    held = np.full(now.shape, hold_shape)
    shift = np.zeros_like(now)
    for _ in range(_HOLDING_ROUNDS):
        step = _damped_step(point, damping, held, shift)
        outside = ~held & ((step[linear:] < low) | (step[linear:] > high))
        if not np.any(outside):
            break
        shift = np.where(outside, np.clip(step[linear:], low, high), shift)
        held |= outside
    step[linear:] = np.clip(step[linear:], low, high)
    return step


def _damped_step(point: Point, damping: float, held: NDArray[np.bool_], shift: FloatArray) -> FloatArray:
    if damping == 0.0 and not np.any(held):
        solution, _ = lapack.dpotrs(point.factor, point.gradient * point.scale, lower=1)
        return np.asarray(solution * point.scale)
    linear = point.linear
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

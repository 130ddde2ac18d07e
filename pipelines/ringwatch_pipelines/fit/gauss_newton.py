"""Joint Gauss-Newton for many linear and a few non-linear parameters.

One symmetric product gives the normal matrix of all parameters. Its Cholesky factor, linear parameters first,
holds both the step and the chi-square that the linear parameters would reach at the present shape (variable
projection, Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413); the latter decides whether the last step was
good. Damping (Levenberg 1944) comes in only when a step was not.

A group of parameters (a phase) is expanded anew only where its model bends over the step: a lattice known to
1e-6 may move by many sigmas before its lines are other functions of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from ringwatch_pipelines.fit.fit_layout import PhaseRows, ShapeParameters
from ringwatch_pipelines.fit.normal_equations import Point, bounded_step, point_at, symmetric_from_lower
from ringwatch_pipelines.patterns import FloatArray

_SMALL_BEND = 0.03
"""Squared length, in sigmas, of what is not linear in the last step; in their scatter where the model is poor."""

_GROUP_PART = 0.1
"""Part of it from which on a group is expanded anew, once any is."""

_BENDING = 3.0
"""A step of this part of the largest one is taken for wholly curved; twice to four times what it is."""

_SMALL_GROWTH = 0.05
"""Relative change of a group's intensities over which its slopes by shape, and so the sigmas, are taken as constant."""

_FORECAST = 0.1
"""Rise of chi-square that is borne while some groups wait, since what they will gain is no more than a forecast."""

_LARGEST_DAMPING = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Where the iterations ended.

    Parameters
    ----------
    parameters, covariance
        (parameters,) and (parameters, parameters); the covariance is the inverse of the normal matrix, never scaled.
    expanded_at
        (parameters,) about which the model was taken as linear at the end.
    weighted_model
        (bins,)
    chi_square
        Sum of squared weighted residuals.
    """

    parameters: FloatArray
    covariance: FloatArray
    expanded_at: FloatArray
    weighted_model: FloatArray
    chi_square: float
    iterations: int
    converged: bool


def minimise(
    *,
    design: Callable[[FloatArray], FloatArray],
    weighted_intensity: FloatArray,
    start: FloatArray,
    shapes: ShapeParameters,
    groups: Sequence[PhaseRows],
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
    groups
        Parameters whose slopes do not depend on those of other groups.
    linear_only
        Leave the shape alone altogether; one step is exact then.
    """
    linear = start.size - len(shapes.names)
    renewal = _Renewal(groups, shapes, linear)
    best = point_at(start, design=design(start), weighted_intensity=weighted_intensity, shapes=shapes)
    # A line of no area has no slopes by its shape: a first step would follow the prior alone.
    hold_shape = linear_only or not np.all(start[:linear])
    damping, all_move = 0.0, False
    for iteration in range(1, max_iterations + 1):
        step = bounded_step(best, shapes, damping, hold_shape=hold_shape)
        if not np.all(np.isfinite(step)) or damping > _LARGEST_DAMPING:
            break
        moving = renewal.moving(best, step, all_move=all_move or damping > 0.0)
        if linear_only or not (hold_shape or np.any(moving)):
            return _solution(best, step, renewal.smooth, iteration, converged=True)
        parameters = best.parameters + np.where(moving, step, 0.0)
        point = point_at(
            parameters,
            design=design(parameters),
            weighted_intensity=weighted_intensity,
            shapes=shapes,
            near=(best, renewal.changed(moving)),
        )
        waiting = ~moving[linear:]
        if hold_shape or _is_no_worse(point, best, waiting):
            best, all_move, damping = point, False, damping / 10.0 if damping > 1e-5 else 0.0
        elif np.any(waiting):
            all_move = True
        else:
            damping, all_move = max(10.0 * damping, 1e-3), True
        hold_shape = False
    return _solution(best, np.zeros_like(start), renewal.smooth, iteration, converged=False)


def _is_no_worse(point: Point, best: Point, waiting: NDArray[np.bool_]) -> bool:
    """By chi-square at the best linear parameters and at what those shapes are expected to gain that wait."""
    before = best.reachable(waiting)
    tolerated = _FORECAST * _poverty(best) if np.any(waiting) else max(1e-2, 1e-9 * abs(before))
    return point.reachable(waiting) <= before + tolerated


class _Renewal:
    """Which groups of parameters are expanded anew, step by step; the last group is what all others share.

    Parameters
    ----------
    smooth
        (parameters,) linear ones that belong to no group: no slope depends on them.
    """

    def __init__(self, groups: Sequence[PhaseRows], shapes: ShapeParameters, linear: int) -> None:
        self.groups, self.shapes, self.linear = groups, shapes, linear
        self._masks = np.zeros((len(groups) + 1, linear + len(shapes.names)), dtype=bool)
        for mask, group in zip(self._masks, groups, strict=False):
            mask[group.index[: group.own]] = True
        alone = ~np.any(self._masks, axis=0)
        self.smooth = alone & (np.arange(alone.size) < linear)
        self._masks[-1] = alone & ~self.smooth
        # The expansion of these is of this fit; that of the others may be older than the intensities.
        self._renewed = np.zeros(len(self._masks), dtype=bool)

    def moving(self, point: Point, step: FloatArray, *, all_move: bool) -> NDArray[np.bool_]:
        """(parameters,) those that take the step now; none where the model is linear enough over all of it.

        Parameters
        ----------
        all_move
            Nobody waits, unless the step is short for all: a damped step is not all of the way, however straight it is.
        """
        shape_step = step[self.linear :]
        growth = np.array([_growth(group, point, step) for group in self.groups] + [0.0])
        curved = _BENDING * np.abs(shape_step) / self.shapes.largest_step
        bend = 1.0 if all_move else np.minimum(1.0, growth[:, None] + curved)
        bends = self._masks[:, self.linear :] * bend * shape_step
        lengths = point.squared_lengths(np.vstack([bends, bends.sum(axis=0)]))
        squares, whole = lengths[:-1], lengths[-1]
        small = _SMALL_BEND * _poverty(point)
        bent = ~self._renewed & (growth > _SMALL_GROWTH)
        if whole >= small:
            bent |= all_move | (squares >= min(_GROUP_PART * small, np.max(squares)))
        # What all groups share moves with all of them.
        moved = bent | bent[-1]
        self._renewed |= moved
        any_moved: NDArray[np.bool_] = np.any(self._masks[moved], axis=0)
        return any_moved | self.smooth if np.any(moved) else any_moved

    def changed(self, moving: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(parameters,) rows of the design that are others once these parameters have moved."""
        changed: NDArray[np.bool_] = moving | self._masks[-1]
        return changed


def _growth(group: PhaseRows, point: Point, step: FloatArray) -> float:
    """Change of what the intensities of a group add to the pattern, relative to what they did at its expansion."""
    first, last = int(group.index[0]), int(group.index[0]) + group.groups
    products = point.products[first:last, first:last]
    known, change = point.parameters[first:last], step[first:last]
    square = float(known @ products @ known)
    return float(np.sqrt(max(float(change @ products @ change), 0.0) / square)) if square > 0.0 else np.inf


def _poverty(point: Point) -> float:
    """Squared residual of a bin, at least 1: a poor model's parameters scatter by so much more than their variance."""
    return max(point.objective / point.residual.size, 1.0)


def _solution(
    point: Point, step: FloatArray, smooth: NDArray[np.bool_], iterations: int, *, converged: bool
) -> Solution:
    """Take the last step, over which the model is linear."""
    change = step @ point.design
    residual = point.residual - change
    inverse, _ = lapack.dpotri(point.factor, lower=1)
    covariance = symmetric_from_lower(inverse) * np.outer(point.scale, point.scale)
    return Solution(
        parameters=point.parameters + step,
        covariance=covariance,
        expanded_at=np.where(smooth, point.parameters + step, point.parameters),
        weighted_model=point.parameters[: point.linear] @ point.design[: point.linear] + change,
        chi_square=float(residual @ residual),
        iterations=iterations,
        converged=converged,
    )

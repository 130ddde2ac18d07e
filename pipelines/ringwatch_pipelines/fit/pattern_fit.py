"""The whole-pattern fit of one pattern."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.crystals.phases import PhaseRole
from ringwatch_pipelines.fit.design_matrix import FitBins, bins_from_pattern, design_matrix
from ringwatch_pipelines.fit.detection import matched_significance, presence
from ringwatch_pipelines.fit.fit_layout import FitLayout, PhaseLayout, layout_from_recipe
from ringwatch_pipelines.fit.fit_recipe import FitRecipe, Hump, ReferenceBackground
from ringwatch_pipelines.fit.gauss_newton import Solution, minimise
from ringwatch_pipelines.fit.lattice_search import searched_start, start_with_found
from ringwatch_pipelines.fit.peak_widths import InstrumentProfile, constant_instrument_profile
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray, Pattern
from ringwatch_pipelines.results import FitState, PeakState

__all__ = [
    "FitLayout",
    "FitRecipe",
    "Hump",
    "InstrumentProfile",
    "PatternFit",
    "ReferenceBackground",
    "constant_instrument_profile",
    "fit_pattern",
    "layout_from_recipe",
]

_LEAST_SIGNAL = 2.0
"""Root mean square of intensity / sigma below which there is nothing to fit; noise alone gives 1."""

_WORTH_OF_A_SHAPE = 16.0
"""Chi-square that a shape parameter may gain from noise alone: four sigmas."""


@dataclass(frozen=True, slots=True, eq=False)
class PatternFit:
    """Parameters of one pattern with their covariance.

    Parameters
    ----------
    layout
        Says which parameter is which.
    state
        CONVERGED, NOT_CONVERGED or TOO_FEW_COUNTS; only a converged fit's numbers mean what they say. In a series also
        MISFIT and OUTLIER.
    parameters, covariance
        (parameters,) and (parameters, parameters) from the stated sigmas of the bins, never scaled by chi-square.
    chi_square
        Reduced: the sum of squared residuals over `degrees_of_freedom`.
    counted_two_theta_deg
        (counted bins,) angles of the bins that count, ascending.
    model, background
        (bins of the pattern,) in the unit of its intensity; NaN in a bin that does not count.
    """

    layout: FitLayout
    state: FitState
    parameters: FloatArray
    covariance: FloatArray
    chi_square: float
    degrees_of_freedom: int
    iterations: int
    counted_two_theta_deg: FloatArray
    model: FloatArray
    background: FloatArray

    def sigma(self, row: int) -> float:
        """One standard deviation of a parameter."""
        return float(np.sqrt(self.covariance[row, row]))


def fit_pattern(*, pattern: Pattern, layout: FitLayout, start: FloatArray | None = None) -> PatternFit:
    """Fit one pattern.

    Intensities of all lines, background, lattices, sizes and strain are refined together; the covariance is that
    of all of them. Without a `start` the lattices of the phases with free intensities are looked for up to 1.5 %
    away from where they are configured.

    Parameters
    ----------
    start
        (parameters,) of an earlier fit with the same layout, or `FitLayout.configured_start`.

    Returns
    -------
    PatternFit
        A pattern that cannot be fitted is a result with a state, not an exception.
    """
    bins = bins_from_pattern(pattern=pattern, recipe=layout.recipe)
    if _has_too_little(bins, layout):
        return _unfitted(pattern, layout, bins)
    solution = _cold_solution(layout, bins) if start is None else _minimised(layout, bins, start)
    if not solution.converged:
        solution = _without_free_phases(layout, bins, solution)
    return _fitted(pattern, layout, bins, solution)


def fit_with_found(*, pattern: Pattern, fit: PatternFit, phases: tuple[PhaseLayout, ...]) -> PatternFit:
    """Fit again, with the lattices of some FREE phases looked for in what the other phases leave of the pattern."""
    bins = bins_from_pattern(pattern=pattern, recipe=fit.layout.recipe)
    start = start_with_found(layout=fit.layout, bins=bins, parameters=fit.parameters, phases=phases)
    return fit_pattern(pattern=pattern, layout=fit.layout, start=start)


def _cold_solution(layout: FitLayout, bins: FitBins) -> Solution:
    """From the configured lattice and from the searched one; the better fit wins."""
    configured = layout.configured_start()
    searched = searched_start(layout=layout, bins=bins, start=configured)
    moved = np.abs(searched - configured)[layout.linear :] > layout.shapes.largest_step
    starts = [configured, searched] if np.any(moved) else [configured]
    fits = [_minimised(layout, bins, start) for start in starts]
    return min(fits, key=lambda fit: (not fit.converged, fit.chi_square))


def _without_free_phases(layout: FitLayout, bins: FitBins, wandering: Solution) -> Solution:
    """The fit at the configured lattices, where that shows that there was no phase whose lattice could be found.

    The shape of a phase that is absent is that of the noise, and its refinement may never settle.
    """
    fixed = _minimised(layout, bins, layout.configured_start(), linear_only=True)
    as_good = fixed.chi_square < wandering.chi_square + _WORTH_OF_A_SHAPE * len(layout.shapes.names)
    return fixed if as_good and not _shows_free_phase(layout, fixed) else wandering


def _shows_free_phase(layout: FitLayout, solution: Solution) -> bool:
    return any(
        shows_phase(phase, parameters=solution.parameters, covariance=solution.covariance)
        for phase in layout.phases
        if phase.phase.role is PhaseRole.FREE
    )


def shows_phase(phase: PhaseLayout, *, parameters: FloatArray, covariance: FloatArray) -> bool:
    """Whether a phase stands above the detection limit, by all its intensities together."""
    rows = phase.linear_rows
    if not len(phase.leads):
        return False
    z = matched_significance(values=parameters[rows], covariance=covariance[rows, rows], expected=phase.group_strengths)
    return presence(value=z, sigma=1.0) is PeakState.PRESENT


def _minimised(layout: FitLayout, bins: FitBins, start: FloatArray, *, linear_only: bool = False) -> Solution:
    return minimise(
        design=lambda parameters: design_matrix(layout=layout, bins=bins, parameters=parameters),
        weighted_intensity=bins.weighted_intensity,
        start=start,
        shapes=layout.shapes,
        max_iterations=layout.recipe.max_iterations,
        linear_only=linear_only,
    )


def _has_too_little(bins: FitBins, layout: FitLayout) -> bool:
    if bins.counted <= layout.parameters:
        return True
    square = float(bins.weighted_intensity @ bins.weighted_intensity) / bins.counted
    return not square > _LEAST_SIGNAL**2


def _fitted(pattern: Pattern, layout: FitLayout, bins: FitBins, solution: Solution) -> PatternFit:
    freedom = bins.counted - layout.parameters
    sound = solution.converged and bool(np.all(np.isfinite(solution.parameters)))
    counts = bins.angle_and_weight[1] > 0.0
    smooth = solution.parameters[layout.linear - len(bins.smooth_rows) : layout.linear] @ bins.smooth_rows
    return PatternFit(
        layout=layout,
        state=FitState.CONVERGED if sound else FitState.NOT_CONVERGED,
        parameters=read_only(solution.parameters),
        covariance=read_only(solution.covariance),
        chi_square=solution.chi_square / freedom,
        degrees_of_freedom=freedom,
        iterations=solution.iterations,
        counted_two_theta_deg=read_only(bins.angle_and_weight[0][counts]),
        model=_in_pattern(pattern, bins, solution.weighted_model[counts] / bins.angle_and_weight[1][counts]),
        background=_in_pattern(pattern, bins, smooth[counts]),
    )


def _unfitted(pattern: Pattern, layout: FitLayout, bins: FitBins) -> PatternFit:
    nothing = np.full(layout.parameters, np.nan)
    counted = bins.angle_and_weight[0][bins.angle_and_weight[1] > 0.0]
    blank = np.full(counted.size, np.nan)
    return PatternFit(
        layout=layout,
        state=FitState.TOO_FEW_COUNTS,
        parameters=read_only(nothing),
        covariance=read_only(np.full((nothing.size, nothing.size), np.nan)),
        chi_square=float("nan"),
        degrees_of_freedom=0,
        iterations=0,
        counted_two_theta_deg=read_only(counted),
        model=_in_pattern(pattern, bins, blank),
        background=_in_pattern(pattern, bins, blank),
    )


def _in_pattern(pattern: Pattern, bins: FitBins, counted_values: FloatArray) -> FloatArray:
    values = np.full(pattern.two_theta_deg.shape, np.nan)
    values[bins.index[bins.angle_and_weight[1] > 0.0]] = counted_values
    return read_only(values)

"""The whole-pattern fit of one pattern."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.crystals.phases import PhaseRole
from ringwatch_pipelines.fit.design_matrix import Expansion, expansion_at, weighted_design
from ringwatch_pipelines.fit.detection import matched_significance, presence
from ringwatch_pipelines.fit.fit_bins import FitBins, bins_from_pattern
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
    expansion
        The model's slopes, about parameters near the fitted ones; None where nothing was fitted. The next fit of a
        series is quickest from these parameters.
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
    expansion: Expansion | None = None

    def sigma(self, row: int) -> float:
        """One standard deviation of a parameter."""
        return float(np.sqrt(self.covariance[row, row]))


def fit_pattern(
    *, pattern: Pattern, layout: FitLayout, start: FloatArray | None = None, known: Expansion | None = None
) -> PatternFit:
    """Fit one pattern.

    Intensities of all lines, background, lattices, sizes and strain are refined together; the covariance is that
    of all of them. Without a `start` the lattices of the phases with free intensities are looked for up to 1.5 %
    away from where they are configured.

    Parameters
    ----------
    start
        (parameters,) of an earlier fit with the same layout, or `FitLayout.configured_start`.
    known
        Of an earlier fit with the same layout; it saves time where it is of the same parameters, and decides nothing.

    Returns
    -------
    PatternFit
        A pattern that cannot be fitted is a result with a state, not an exception.
    """
    grid = None if known is None else known.grid
    bins = bins_from_pattern(pattern=pattern, recipe=layout.recipe, grid=grid)
    if _has_too_little(bins, layout):
        return _unfitted(pattern, layout, bins)
    slopes = _Slopes(layout, bins, known)
    solution = _cold_solution(slopes) if start is None else _minimised(slopes, start)
    if not solution.converged:
        solution = _without_free_phases(slopes, solution)
    return _fitted(pattern, slopes, solution)


def fit_with_found(*, pattern: Pattern, fit: PatternFit, phases: tuple[PhaseLayout, ...]) -> PatternFit:
    """Fit again, with the lattices of some FREE phases looked for in what the other phases leave of the pattern."""
    bins = bins_from_pattern(pattern=pattern, recipe=fit.layout.recipe)
    start = start_with_found(layout=fit.layout, bins=bins, parameters=fit.parameters, phases=phases)
    return fit_pattern(pattern=pattern, layout=fit.layout, start=start)


class _Slopes:
    """The weighted design of one pattern at any parameters; what two of them have in common is worked out once."""

    def __init__(self, layout: FitLayout, bins: FitBins, known: Expansion | None) -> None:
        self.layout, self.bins = layout, bins
        self._known = known
        self._last: tuple[Expansion, FloatArray] | None = None

    def __call__(self, parameters: FloatArray) -> FloatArray:
        """(parameters, used bins)."""
        expansion = self.expansion(parameters)
        design = weighted_design(layout=self.layout, bins=self.bins, expansion=expansion, last=self._last)
        self._known, self._last = expansion, (expansion, design)
        return design

    def expansion(self, parameters: FloatArray) -> Expansion:
        """Not weighted."""
        return expansion_at(layout=self.layout, grid=self.bins.grid, parameters=parameters, known=self._known)


def _cold_solution(slopes: _Slopes) -> Solution:
    """From the configured lattice and from the searched one; the better fit wins."""
    layout = slopes.layout
    configured = layout.configured_start()
    searched = searched_start(layout=layout, bins=slopes.bins, start=configured)
    moved = np.abs(searched - configured)[layout.linear :] > layout.shapes.largest_step
    starts = [configured, searched] if np.any(moved) else [configured]
    fits = [_minimised(slopes, start) for start in starts]
    return min(fits, key=lambda fit: (not fit.converged, fit.chi_square))


def _without_free_phases(slopes: _Slopes, wandering: Solution) -> Solution:
    """The fit at the configured lattices, where that shows that there was no phase whose lattice could be found.

    The shape of a phase that is absent is that of the noise, and its refinement may never settle.
    """
    layout = slopes.layout
    fixed = _minimised(slopes, layout.configured_start(), linear_only=True)
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


def _minimised(slopes: _Slopes, start: FloatArray, *, linear_only: bool = False) -> Solution:
    layout = slopes.layout
    return minimise(
        design=slopes,
        weighted_intensity=slopes.bins.weighted_intensity,
        start=start,
        shapes=layout.shapes,
        groups=layout.phase_rows,
        max_iterations=layout.recipe.max_iterations,
        linear_only=linear_only,
    )


def _has_too_little(bins: FitBins, layout: FitLayout) -> bool:
    if bins.counted <= layout.parameters:
        return True
    square = float(bins.weighted_intensity @ bins.weighted_intensity) / bins.counted
    return not square > _LEAST_SIGNAL**2


def _fitted(pattern: Pattern, slopes: _Slopes, solution: Solution) -> PatternFit:
    layout, bins = slopes.layout, slopes.bins
    freedom = bins.counted - layout.parameters
    sound = solution.converged and bool(np.all(np.isfinite(solution.parameters)))
    smooth_rows = bins.grid.smooth_rows
    smooth = solution.parameters[layout.linear - len(smooth_rows) : layout.linear] @ smooth_rows
    counts = bins.counts
    return PatternFit(
        layout=layout,
        state=FitState.CONVERGED if sound else FitState.NOT_CONVERGED,
        parameters=read_only(solution.parameters),
        covariance=read_only(solution.covariance),
        chi_square=solution.chi_square / freedom,
        degrees_of_freedom=freedom,
        iterations=solution.iterations,
        counted_two_theta_deg=read_only(bins.grid.angle_deg[counts]),
        model=_in_pattern(pattern, bins, solution.weighted_model / np.where(counts, bins.weight, 1.0)),
        background=_in_pattern(pattern, bins, smooth),
        expansion=slopes.expansion(solution.expanded_at),
    )


def _unfitted(pattern: Pattern, layout: FitLayout, bins: FitBins) -> PatternFit:
    nothing = np.full(layout.parameters, np.nan)
    counted = bins.grid.angle_deg[bins.counts]
    blank = np.full(bins.weight.size, np.nan)
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


def _in_pattern(pattern: Pattern, bins: FitBins, values: FloatArray) -> FloatArray:
    whole = np.full(pattern.two_theta_deg.shape, np.nan)
    whole[bins.grid.used] = np.where(bins.counts, values, np.nan)
    return read_only(whole)

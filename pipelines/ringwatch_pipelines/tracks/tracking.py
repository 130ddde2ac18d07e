"""A series of fits: each starts from the last good one, and a bad frame does no harm to the next."""

from dataclasses import dataclass, replace

import numpy as np

from ringwatch_pipelines.crystals.phases import PhaseRole
from ringwatch_pipelines.fit.design_matrix import Expansion
from ringwatch_pipelines.fit.fit_layout import FitLayout, PhaseLayout, layout_from_recipe
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.pattern_fit import PatternFit, fit_pattern, fit_with_found, shows_phase
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray, Pattern
from ringwatch_pipelines.results import FitState, FittedCurves, FreePhaseTrack, PeakState, Tracked
from ringwatch_pipelines.tracks.phase_tracks import blank_tracked_from_layout, tracked_from_fit

_JUMP = 2.0
"""A chi-square this many times that of the last good fit (or of 1) is not taken for noise."""

_GROWN = 4.0
"""Growth of chi-square, in its own sigmas, that noise does not make."""

_POOR = 10.0
"""A reduced chi-square above this makes sigmas more than three times too small."""

_NEW_NORMAL = 3
"""So many misfits in a row are the sample's new state and no longer bad frames."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackerState:
    """What a frame leaves to the next.

    Parameters
    ----------
    layout
        Rows of the parameters, built with the first frame.
    two_theta_deg, chi_square
        Of the last good fit.
    parameters
        Where the next fit starts: near those of the last good one.
    expansion
        Of the last good fit; it saves time, and decides nothing.
    misfits
        Fits in a row since then that did not converge or jumped in chi-square.
    """

    layout: FitLayout | None = None
    two_theta_deg: FloatArray | None = None
    parameters: FloatArray | None = None
    chi_square: float = float("nan")
    misfits: int = 0
    expansion: Expansion | None = None


def blank_tracked(recipe: FitRecipe, fit_state: FitState) -> Tracked:
    """Tracks with every phase, line and peak of the recipe, and no values.

    Raises
    ------
    PhaseError
        A line that is to be reported lies outside the range or shares the intensity of a stronger one.
    """
    return blank_tracked_from_layout(layout_from_recipe(recipe), fit_state)


def track(state: TrackerState, pattern: Pattern, recipe: FitRecipe) -> tuple[TrackerState, PatternFit, Tracked]:
    """Fit the next pattern of a series.

    A warm fit that does not converge, or whose chi-square jumps, is repeated from a cold start; in a long row of
    misfits only at the first, second, fourth, eighth ... of them, so that a dead beam does not slow the run down.

    Returns
    -------
    state, fit, tracked
        The state is that of before where the fit is no good start for the next one.
    """
    layout = _layout(state, recipe)
    state = state if state.layout is layout else TrackerState(layout=layout)
    fit = _assessed(state, _fit(state, layout, pattern))
    tracked = replace(tracked_from_fit(fit), curves=_curves(fit))
    return _next_state(state, pattern, fit, tracked), fit, tracked


def _curves(fit: PatternFit) -> FittedCurves | None:
    return FittedCurves(fit.model, fit.background) if fit.state.has_values else None


def _layout(state: TrackerState, recipe: FitRecipe) -> FitLayout:
    if state.layout is not None and state.layout.recipe is recipe:
        return state.layout
    return layout_from_recipe(recipe)


def _fit(state: TrackerState, layout: FitLayout, pattern: Pattern) -> PatternFit:
    search = _is_power_of_two(state.misfits + 1)
    start = _warm_start(state, pattern)
    if start is None:
        return fit_pattern(pattern=pattern, layout=layout, start=None if search else layout.configured_start())
    fit = fit_pattern(pattern=pattern, layout=layout, start=start, known=state.expansion)
    absent = _absent_phases(layout, start)
    if absent and (_has_grown(state, fit) or _shows_any(absent, fit)):
        fit = _better(fit, fit_with_found(pattern=pattern, fit=fit, phases=absent))
    if search and _is_misfit(state, fit):
        fit = _better(fit, fit_pattern(pattern=pattern, layout=layout))
    return fit


def _absent_phases(layout: FitLayout, start: FloatArray) -> tuple[PhaseLayout, ...]:
    """FREE phases that the last good fit did not show: `_next_start` left them without intensities."""
    return tuple(
        phase
        for phase in layout.phases
        if phase.phase.role is PhaseRole.FREE and len(phase.leads) and not np.any(start[phase.linear_rows])
    )


def _has_grown(state: TrackerState, fit: PatternFit) -> bool:
    """Whether chi-square grew by more than noise makes it: something has appeared, maybe where it is not looked for."""
    noise = np.sqrt(2.0 / max(fit.degrees_of_freedom, 1))
    return fit.state.has_values and fit.chi_square > (1.0 + _GROWN * noise) * state.chi_square


def _shows_any(phases: tuple[PhaseLayout, ...], fit: PatternFit) -> bool:
    """Whether one of the phases has appeared; it is weak at first, and its lattice may be a neighbour's."""
    return fit.state.has_values and any(
        shows_phase(phase, parameters=fit.parameters, covariance=fit.covariance) for phase in phases
    )


def _assessed(state: TrackerState, fit: PatternFit) -> PatternFit:
    """Tell a model that never described the sample from a frame that is unlike those before it.

    The first still measures, with sigmas that say too little; the second is no measurement of the sample.
    """
    if fit.state is not FitState.CONVERGED or fit.chi_square <= _POOR:
        return fit
    unlike = state.parameters is not None and fit.chi_square > _POOR * max(state.chi_square, 1.0)
    outlier = unlike and not _is_settled(state)
    return replace(fit, state=FitState.OUTLIER if outlier else FitState.MISFIT)


def _is_settled(state: TrackerState) -> bool:
    """Whether one more misfit makes it the sample's new state."""
    return state.misfits + 1 >= _NEW_NORMAL


def _warm_start(state: TrackerState, pattern: Pattern) -> FloatArray | None:
    """Parameters of the last good fit, if they mean the same for this pattern."""
    if state.two_theta_deg is None or not np.array_equal(state.two_theta_deg, pattern.two_theta_deg):
        return None
    return state.parameters


def _is_misfit(state: TrackerState, fit: PatternFit) -> bool:
    if fit.state is FitState.NOT_CONVERGED:
        return True
    if not fit.state.has_values or (state.parameters is None and fit.chi_square <= _POOR):
        return False
    usual = 1.0 if state.parameters is None else max(state.chi_square, 1.0)
    # Far better than a poor one and still poor: that one may have led to the wrong minimum.
    return fit.chi_square > _JUMP * usual or _POOR < fit.chi_square < usual / _POOR


def _better(one: PatternFit, other: PatternFit) -> PatternFit:
    return min(one, other, key=lambda fit: (fit.state is not FitState.CONVERGED, fit.chi_square))


def _is_power_of_two(count: int) -> bool:
    return count & (count - 1) == 0


def _next_state(state: TrackerState, pattern: Pattern, fit: PatternFit, tracked: Tracked) -> TrackerState:
    if fit.state is FitState.TOO_FEW_COUNTS:
        return state
    if not _is_good_start(tracked) or (_is_misfit(state, fit) and not _is_settled(state)):
        return replace(state, misfits=state.misfits + 1)
    return replace(
        state,
        two_theta_deg=pattern.two_theta_deg,
        parameters=_next_start(fit, tracked),
        chi_square=fit.chi_square,
        misfits=0,
        expansion=fit.expansion,
    )


def _is_good_start(tracked: Tracked) -> bool:
    """Converged, and some phase of free intensities is there if the recipe has any: else the frame shows no sample."""
    free = [phase for phase in tracked.phases if isinstance(phase, FreePhaseTrack)]
    seen = not free or any(phase.state is PeakState.PRESENT for phase in free)
    return tracked.fit_state.has_values and seen


def _next_start(fit: PatternFit, tracked: Tracked) -> FloatArray:
    """Where the fit's slopes are known; an absent phase is back at its configured lattice: the fitted one is noise."""
    start = (fit.parameters if fit.expansion is None else fit.expansion.parameters).copy()
    configured = fit.layout.configured_start()
    for layout, phase in zip(fit.layout.phases, tracked.phases, strict=True):
        if isinstance(phase, FreePhaseTrack) and phase.state is not PeakState.PRESENT:
            start[layout.own_rows] = configured[layout.own_rows]
    return read_only(start)

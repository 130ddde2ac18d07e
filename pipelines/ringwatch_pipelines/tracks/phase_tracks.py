"""From the parameters of a fit to what is said of each phase."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.crystals.phases import PhaseRole
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit.detection import matched_significance, presence, ratio_from_areas, upper_limit
from ringwatch_pipelines.fit.fit_layout import FitLayout, PhaseLayout
from ringwatch_pipelines.fit.line_shapes import LineShapes, lines_at
from ringwatch_pipelines.fit.pattern_fit import PatternFit
from ringwatch_pipelines.fit.significance import significance_of_phase
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.results import (
    Estimate,
    FitState,
    FreePhaseTrack,
    LinePhaseTrack,
    LineTrack,
    PeakState,
    PeakTable,
    PhaseTrack,
    ReferencePhaseTrack,
    Tracked,
)

_SEEN_STRENGTH = 0.1
"""A reference phase is looked for if a line of at least this part of its strongest one lies in bins that count."""


def tracked_from_fit(fit: PatternFit) -> Tracked:
    """The tracks of a fit; those of a fit whose state says so have no values."""
    if not fit.state.has_values:
        return blank_tracked_from_layout(fit.layout, fit.state, chi_square=fit.chi_square)
    return Tracked(
        fit_state=fit.state,
        chi_square=fit.chi_square,
        phases=tuple(_phase_track(fit, layout) for layout in fit.layout.phases),
        hump=_estimate(fit, fit.layout.hump_row) if fit.layout.hump_row >= 0 else Estimate(),
        displacement_mm=_estimate(fit, fit.layout.displacement_row) if fit.layout.displacement_row >= 0 else None,
    )


def blank_tracked_from_layout(layout: FitLayout, state: FitState, *, chi_square: float = float("nan")) -> Tracked:
    """Tracks with every phase, line and peak of the layout, and no values.

    Raises
    ------
    PhaseError
        A line that is to be reported lies outside the range or shares the intensity of a stronger one.
    """
    phases = tuple(_blank_phase(layout, phase) for phase in layout.phases)
    displacement = None if layout.displacement_row < 0 else Estimate()
    return Tracked(fit_state=state, chi_square=chi_square, phases=phases, displacement_mm=displacement)


def _phase_track(fit: PatternFit, layout: PhaseLayout) -> PhaseTrack:
    lines = lines_at(recipe=fit.layout.recipe, layout=layout, parameters=fit.parameters)
    seen = _seen_lines(fit, lines)
    match layout.phase.role:
        case PhaseRole.FREE:
            return _free_phase(fit, layout, lines, seen[layout.leads])
        case PhaseRole.LINES:
            return _line_phase(fit, layout, seen[layout.leads])
        case PhaseRole.REFERENCE:
            return _reference_phase(fit, layout, seen)


def _free_phase(fit: PatternFit, layout: PhaseLayout, lines: LineShapes, seen: NDArray[np.bool_]) -> FreePhaseTrack:
    state = _joint_presence(fit, layout, seen)
    known = state is PeakState.PRESENT
    return FreePhaseTrack(
        name=layout.phase.name,
        state=state,
        lattice=_lattice(fit, layout, known=known),
        size_nm=_size(fit, layout) if known else Estimate(),
        strain=_strain(fit, layout) if known else Estimate(),
        peaks=_peaks(fit, layout, lines, seen, known=known),
    )


def _line_phase(fit: PatternFit, layout: PhaseLayout, seen: NDArray[np.bool_]) -> LinePhaseTrack:
    areas = {
        label: _estimate(fit, layout.first_row + index) if seen[index] else Estimate()
        for index, label in enumerate(layout.labels)
    }
    in_range = [layout.labels[index] for index in _in_range(fit.layout, layout)]
    lines = tuple(_line(label, areas[label]) for label in in_range)
    states = [line.state for line in lines]
    known = PeakState.PRESENT in states
    ratio, ratio_state = _ratio(fit, layout, areas)
    return LinePhaseTrack(
        name=layout.phase.name,
        state=_strongest_state(states),
        lattice=_lattice(fit, layout, known=known),
        lines=lines,
        ratio=ratio,
        ratio_state=ratio_state,
        ratio_labels=layout.phase.ratio,
    )


def _reference_phase(fit: PatternFit, layout: PhaseLayout, seen: NDArray[np.bool_]) -> ReferencePhaseTrack:
    if not np.any(seen & (layout.share >= _SEEN_STRENGTH)):
        return _blank_reference(layout)
    amount, significance = _estimate(fit, layout.first_row), significance_of_phase(fit=fit, layout=layout)
    return ReferencePhaseTrack(
        name=layout.phase.name,
        state=presence(value=significance.z, sigma=1.0),
        amount=amount,
        upper_limit=upper_limit(value=amount.value, sigma=amount.sigma),
        z=significance.z,
        noise=significance.noise,
    )


def _line(label: str, area: Estimate) -> LineTrack:
    limit = upper_limit(value=area.value, sigma=area.sigma) if np.isfinite(area.value) else float("nan")
    return LineTrack(label, area, presence(value=area.value, sigma=area.sigma), limit)


def _strongest_state(states: Sequence[PeakState]) -> PeakState:
    for state in (PeakState.PRESENT, PeakState.ABSENT):
        if state in states:
            return state
    return PeakState.UNDETERMINED


def _ratio(fit: PatternFit, layout: PhaseLayout, areas: dict[str, Estimate]) -> tuple[Estimate, PeakState]:
    labels = layout.phase.ratio
    if labels is None or any(label not in areas or np.isnan(areas[label].value) for label in labels):
        return Estimate(), PeakState.UNDETERMINED
    rows = [layout.first_row + layout.labels.index(label) for label in labels]
    return ratio_from_areas(areas=fit.parameters[rows], covariance=fit.covariance[np.ix_(rows, rows)])


def _seen_lines(fit: PatternFit, lines: LineShapes) -> NDArray[np.bool_]:
    """(lines,) whether a bin that counts lies within half a FWHM of the line."""
    centre, counted = lines.centre_deg, fit.counted_two_theta_deg
    nearest = np.searchsorted(counted, centre).clip(1, counted.size - 1)
    distance = np.minimum(np.abs(counted[nearest] - centre), np.abs(counted[nearest - 1] - centre))
    return np.asarray(distance <= 0.5 * lines.fwhm_deg)


def _joint_presence(fit: PatternFit, layout: PhaseLayout, seen: NDArray[np.bool_]) -> PeakState:
    """Of all peak areas that could be measured, taken together."""
    groups = np.flatnonzero(seen)
    if not len(groups):
        return PeakState.UNDETERMINED
    rows = layout.first_row + groups
    z = matched_significance(
        values=fit.parameters[rows],
        covariance=fit.covariance[np.ix_(rows, rows)],
        expected=layout.group_strengths[groups],
    )
    # Where the model does not describe the pattern, what it leaves is its noise.
    return presence(value=z, sigma=float(np.sqrt(max(fit.chi_square, 1.0))))


def _lattice(fit: PatternFit, layout: PhaseLayout, *, known: bool) -> tuple[tuple[str, Estimate], ...]:
    """An absent phase has no lattice: the fit only gives its prior back."""
    names, rows = layout.phase.lattice.names, layout.lattice_rows
    if not known or len(rows) != len(names):
        return tuple((name, Estimate()) for name in names)
    return tuple((name, _estimate(fit, row)) for name, row in zip(names, rows, strict=True))


def _size(fit: PatternFit, layout: PhaseLayout) -> Estimate:
    """NaN where 1 / size is not told from 0: the crystallites are too large to broaden the lines."""
    inverse = _estimate(fit, int(layout.rows[0, 2]))
    if not inverse.value > inverse.sigma:
        return Estimate()
    return Estimate(1.0 / inverse.value, inverse.sigma / inverse.value**2)


def _strain(fit: PatternFit, layout: PhaseLayout) -> Estimate:
    """The root of the squared strain; its sigma is that of the upper side, which stays finite at 0."""
    square = _estimate(fit, int(layout.rows[0, 1]))
    value = float(np.sqrt(max(square.value, 0.0)))
    return Estimate(value, float(np.sqrt(value**2 + square.sigma)) - value)


def _peaks(
    fit: PatternFit, layout: PhaseLayout, lines: LineShapes, seen: NDArray[np.bool_], *, known: bool
) -> PeakTable:
    groups = _in_range(fit.layout, layout)
    leads, rows = layout.leads[groups], layout.first_row + groups
    centre, fwhm = lines.centre_deg, lines.fwhm_deg
    measured = seen[groups]
    present = np.full(groups.shape, known)
    return PeakTable(
        hkl=layout.hkl[leads],
        two_theta_deg=np.where(present, centre[leads], np.nan),
        two_theta_errors_deg=np.where(present, _position_sigma(fit, layout, lines)[leads], np.nan),
        shift_deg=np.where(present, (centre - layout.two_theta_deg)[leads], np.nan),
        area=np.where(measured, fit.parameters[rows], np.nan),
        area_errors=np.where(measured, np.sqrt(np.diagonal(fit.covariance)[rows]), np.nan),
        fwhm_deg=np.where(present, fwhm[leads], np.nan),
    )


def _position_sigma(fit: PatternFit, layout: PhaseLayout, lines: LineShapes) -> FloatArray:
    """(lines,) from the covariance of the lattice and of the displacement."""
    rows, slopes = layout.rows[0, 3:], lines.by_position
    variance = np.sum(slopes @ fit.covariance[np.ix_(rows, rows)] * slopes, axis=1)
    return np.asarray(np.sqrt(variance))


def _in_range(layout: FitLayout, phase: PhaseLayout) -> NDArray[np.int64]:
    """Groups whose leading line lies in the range at the configured lattice."""
    low, high = layout.recipe.two_theta_range_deg
    angles = phase.two_theta_deg[phase.leads]
    return np.flatnonzero((angles >= low) & (angles <= high))


def _estimate(fit: PatternFit, row: int) -> Estimate:
    return Estimate(float(fit.parameters[row]), fit.sigma(row))


def _blank_phase(layout: FitLayout, phase: PhaseLayout) -> PhaseTrack:
    match phase.phase.role:
        case PhaseRole.FREE:
            return _blank_free(layout, phase)
        case PhaseRole.LINES:
            return _blank_lines(layout, phase)
        case PhaseRole.REFERENCE:
            return _blank_reference(phase)


def _blank_free(layout: FitLayout, phase: PhaseLayout) -> FreePhaseTrack:
    groups = _in_range(layout, phase)
    _require_reported(phase, [phase.labels[index] for index in groups])
    nothing = np.full(groups.shape, np.nan)
    return FreePhaseTrack(
        name=phase.phase.name,
        state=PeakState.UNDETERMINED,
        lattice=tuple((name, Estimate()) for name in phase.phase.lattice.names),
        size_nm=Estimate(),
        strain=Estimate(),
        peaks=PeakTable(phase.hkl[phase.leads[groups]], *([nothing] * 6)),
    )


def _blank_lines(layout: FitLayout, phase: PhaseLayout) -> LinePhaseTrack:
    labels = [phase.labels[index] for index in _in_range(layout, phase)]
    _require_reported(phase, labels)
    return LinePhaseTrack(
        name=phase.phase.name,
        state=PeakState.UNDETERMINED,
        lattice=tuple((name, Estimate()) for name in phase.phase.lattice.names),
        lines=tuple(_line(label, Estimate()) for label in labels),
        ratio=Estimate(),
        ratio_state=PeakState.UNDETERMINED,
        ratio_labels=phase.phase.ratio,
    )


def _blank_reference(phase: PhaseLayout) -> ReferencePhaseTrack:
    nan = float("nan")
    return ReferencePhaseTrack(phase.phase.name, PeakState.UNDETERMINED, Estimate(), nan, nan)


def _require_reported(phase: PhaseLayout, labels: Sequence[str]) -> None:
    for label in (*phase.phase.reported_lines, *(phase.phase.ratio or ())):
        if label not in labels:
            raise PhaseError(
                f"phase {phase.phase.name} cannot report the line {label}: in the range of the fit, and with an "
                f"intensity of their own, it has {', '.join(labels) or 'no lines'}"
            )

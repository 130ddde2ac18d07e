"""A coarse search for the lattice of a phase whose lines stand elsewhere than configured."""

import itertools
from dataclasses import replace

import numpy as np

from ringwatch_pipelines.crystals.phases import PhaseRole
from ringwatch_pipelines.fit.design_matrix import design_matrix
from ringwatch_pipelines.fit.fit_bins import FitBins
from ringwatch_pipelines.fit.fit_layout import FitLayout, PhaseLayout
from ringwatch_pipelines.patterns import FloatArray

_REACH = 0.015
"""Relative change of the lengths that is searched."""

_STEPS = 41


def searched_start(*, layout: FitLayout, bins: FitBins, start: FloatArray) -> FloatArray:
    """The start with the lattice of every FREE phase moved to where its lines match the pattern best."""
    found = start.copy()
    for phase in layout.phases:
        rows = phase.lattice_rows
        if phase.phase.role is PhaseRole.FREE and rows:
            found[rows] = _best_lattice(layout, phase, bins, start[rows])
    return found


def start_with_found(
    *, layout: FitLayout, bins: FitBins, parameters: FloatArray, phases: tuple[PhaseLayout, ...]
) -> FloatArray:
    """Fitted parameters, with the lattices of some phases moved to where what the others leave shows them best."""
    start, configured = parameters.copy(), layout.configured_start()
    for phase in phases:
        start[phase.own_rows] = configured[phase.own_rows]
    model = start[: layout.linear] @ design_matrix(layout=layout, bins=bins, parameters=start)[: layout.linear]
    left = replace(bins, weighted_intensity=bins.weighted_intensity - model)
    for phase in phases:
        start[phase.lattice_rows] = _best_lattice(layout, phase, left, configured[phase.lattice_rows])
    return start


def _best_lattice(layout: FitLayout, phase: PhaseLayout, bins: FitBins, start: FloatArray) -> FloatArray:
    """Compare lattices by the height of the pattern at the angles of their lines, coarsely and then finely.

    Angles are taken linear in the lattice, about the best one of the step before. Roots of the heights and of the
    reference intensities keep a few strong lines from ruling.
    """
    fwhm = float(np.median(phase.widths.fwhm_deg(size_nm=phase.phase.size_nm, strain=phase.phase.strain)))
    best = start
    for reach in (_REACH, _REACH / 8.0):
        angles, slopes = phase.phase.lattice.two_theta_deg(
            hkl=phase.hkl, wavelength_m=layout.recipe.wavelength_m, free=best
        )
        changes = _trial_changes(len(start), reach) * best
        one_step = float(np.median(np.abs(slopes) @ best)) * 2.0 * reach / (_STEPS - 1)
        heights = _peak_heights(bins, fwhm, max(0.5 * fwhm, one_step))
        trials = angles + changes @ slopes.T
        scores = np.interp(trials, bins.grid.angle_deg, heights, left=0.0, right=0.0) @ np.sqrt(phase.strength)
        best = best + changes[int(np.argmax(scores))]
    return best


def _trial_changes(free: int, reach: float) -> FloatArray:
    """(trials, free): a full grid for one or two parameters, else a common change and one of each parameter."""
    grid = np.linspace(-reach, reach, _STEPS)
    if free <= 2:
        return np.array(list(itertools.product(grid, repeat=free)))
    lengths = np.arange(free) < 3
    common = grid[:, None] * lengths
    single = [common + change * np.eye(free)[k] for k in range(free) for change in grid[::4]]
    return np.concatenate([common, *single])


def _peak_heights(bins: FitBins, fwhm_deg: float, blunt_deg: float) -> FloatArray:
    """(used,) root of what stands above the surroundings, blunted."""
    x, weight, counts = bins.grid.angle_deg, bins.weight, bins.counts
    intensity = np.interp(x, x[counts], bins.weighted_intensity[counts] / weight[counts])
    width = (x[-1] - x[0]) / max(x.size - 1, 1)
    above = _smoothed(intensity, 0.5 * fwhm_deg / width) - _smoothed(intensity, 10.0 * fwhm_deg / width)
    return _smoothed(np.sqrt(np.maximum(above, 0.0)), blunt_deg / width)


def _smoothed(values: FloatArray, span: float) -> FloatArray:
    """Running mean over the nearest odd number of bins, which moves no peak."""
    odd = 2 * min(int(0.5 * span), (values.size - 1) // 2) + 1
    return np.convolve(values, np.full(odd, 1.0 / odd), mode="same")

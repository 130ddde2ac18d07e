"""A coarse search for the lattice of a phase whose lines stand elsewhere than configured."""

import itertools

import numpy as np

from ringwatch_pipelines.design_matrix import FitBins
from ringwatch_pipelines.fit_layout import FitLayout, PhaseLayout
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.peak_widths import fwhm_from_voigt
from ringwatch_pipelines.phases import PhaseRole

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


def _best_lattice(layout: FitLayout, phase: PhaseLayout, bins: FitBins, start: FloatArray) -> FloatArray:
    """Compare lattices by the sum of the peaks' height at the angles of the lines, first with blunted peaks.

    Angles are taken linear in the lattice, about the best one of the step before.
    """
    fwhm = float(np.median(fwhm_from_voigt(sigma=phase.sigma_deg, hwhm=phase.hwhm_deg)))
    fwhm += 2.0 * float(np.median(phase.hwhm_by_inverse_size_deg_nm)) / phase.phase.size_nm
    best = start
    for reach, blunt in ((_REACH, 3.0), (_REACH / 8.0, 1.0)):
        angles, slopes = phase.phase.lattice.two_theta_deg(
            hkl=phase.hkl, wavelength_m=layout.recipe.wavelength_m, free=best
        )
        changes = _trial_changes(len(start), reach) * best
        trials = angles + changes @ slopes.T
        heights = _peak_heights(bins, fwhm, blunt * fwhm)
        scores = np.interp(trials, bins.angle_and_weight[0], heights, left=0.0, right=0.0) @ np.sqrt(phase.strength)
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
    """(used,) square root of what stands above the surroundings, blunted; the root keeps strong lines from ruling."""
    x, weight = bins.angle_and_weight
    intensity = np.where(weight > 0.0, bins.weighted_intensity / np.where(weight > 0.0, weight, 1.0), 0.0)
    width = (x[-1] - x[0]) / max(x.size - 1, 1)
    narrow = _smoothed(intensity, max(int(0.5 * fwhm_deg / width), 1))
    wide = _smoothed(intensity, max(int(10.0 * fwhm_deg / width), 3))
    above = np.sqrt(np.maximum(narrow - wide, 0.0))
    return _smoothed(above, max(int(blunt_deg / width), 1))


def _smoothed(values: FloatArray, span: int) -> FloatArray:
    span = min(span, values.size)
    return np.convolve(values, np.full(span, 1.0 / span), mode="same")

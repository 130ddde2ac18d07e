"""A hump over the background of an empty cell: the recipe that can tell one."""

from dataclasses import replace

import numpy as np
from scipy.special import voigt_profile

from accuracy.courses import START_NS, summed_pattern, within_an_hour
from accuracy.figures import FEWEST, Figure, Measured, coverage
from ringwatch_pipelines.analysis import Recipe
from ringwatch_pipelines.fit.fit_recipe import Hump, ReferenceBackground
from ringwatch_simulators.cell_model import FULL_COURSE_H
from ringwatch_simulators.radial_profile import HUMP_CENTRE_DEG, HUMP_FWHM_DEG, Beam, lagp_lines
from ringwatch_simulators.scenario import Scenario, SyntheticFrames

EMPTY_FRAMES, EMPTY_DARKS = 32, 8
TERMS = 2
"""Of the background, beside the empty cell's."""
HUMP_OF_113 = 0.005
GROWN = 0.6


def with_empty_cell(recipe: Recipe, scenario: Scenario) -> Recipe:
    """The recipe with a background measured on the empty cell and few terms of its own, and the hump."""
    assert recipe.fit is not None
    empty = replace(
        scenario,
        cell=replace(scenario.cell, pellet=False),
        response=within_an_hour(scenario),
        frames=EMPTY_FRAMES,
        darks=EMPTY_DARKS,
        dark_every=0,
    )
    bare = replace(recipe, fit=None, texture=(), ring_check=None, onset=None)
    pattern = summed_pattern(bare, SyntheticFrames(empty, START_NS))
    filled = np.isfinite(pattern.intensity)
    reference = ReferenceBackground(pattern.two_theta_deg[filled], pattern.intensity[filled])
    hump = Hump(HUMP_CENTRE_DEG, HUMP_FWHM_DEG)
    return replace(recipe, fit=replace(recipe.fit, reference_background=reference, background_terms=TERMS, hump=hump))


def with_faint_hump(scenario: Scenario) -> Scenario:
    """The scenario with a hump that ends at half a per cent of the height of LAGP (113)."""
    frames = SyntheticFrames(replace(scenario, response=replace(scenario.response, lag=())), START_NS)
    line = max(lagp_lines(frames.model.at(FULL_COURSE_H), Beam()), key=lambda one: one.area)
    peak = line.area * float(voigt_profile(0.0, line.gauss_sigma_deg, line.lorentz_hwhm_deg))
    return replace(scenario, cell=replace(scenario.cell, hump_counts=HUMP_OF_113 * peak))


def hump_figures(measured: Measured) -> list[Figure]:
    """The height where the hump has grown to 0.3 to 0.5 % of LAGP (113), relative to the truth."""
    grown = measured.known & (measured.truth > GROWN * np.max(measured.truth))
    late = Measured(measured.value[grown], measured.sigma[grown], measured.truth[grown])
    frames = late.error.size
    enough = frames >= FEWEST
    mean, scatter = (float(np.mean(late.relative)), float(np.std(late.relative))) if enough else (np.nan, np.nan)
    title = "hump of 0.3 to 0.5 % of LAGP (113)"
    return [
        Figure(f"{title}: mean error", f"{mean:+.1%}", "within 5 %", bool(abs(mean) < 0.05), frames),
        Figure(f"{title}: scatter", f"{scatter:.1%}", "", None, frames),
        Figure(f"{title}: within one sigma", f"{coverage(late):.0%}" if enough else "nan", "", None, frames),
    ]

"""The same sample in coarse and in fine bins is the same sample."""

import dataclasses

import numpy as np
import pytest
from scipy.special import voigt_profile

from ringwatch_pipelines.crystals.phases import PhaseRole, Site, phase_from_cell
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.pattern_fit import fit_pattern, layout_from_recipe
from ringwatch_pipelines.fit.peak_widths import constant_instrument_profile, fwhm_from_size
from ringwatch_pipelines.patterns import Pattern
from ringwatch_pipelines.quantities import sigma_from_fwhm

WAVELENGTH_M = 1.173e-11
SIZE_NM, FWHM_DEG = 60.0, 0.02
RANGE_DEG = (1.5, 5.0)


def recipe(bin_width_deg):
    nickel = phase_from_cell(
        name="nickel", role=PhaseRole.FREE, cell=(3.524, 3.524, 3.524, 90.0, 90.0, 90.0), space_group="F m -3 m",
        sites=(Site("Ni", 0.0, 0.0, 0.0),), d_min_A=1.2, wavelength_m=WAVELENGTH_M,
    )  # fmt: skip
    return FitRecipe(
        phases=(nickel,),
        wavelength_m=WAVELENGTH_M,
        two_theta_range_deg=RANGE_DEG,
        instrument=constant_instrument_profile(fwhm_deg=FWHM_DEG),
        bin_width_deg=bin_width_deg,
        background_terms=6,
    )


def binned(bin_width_deg):
    """Counts in bins that average over their width."""
    edges = np.arange(RANGE_DEG[0] - 0.1, RANGE_DEG[1] + 0.1, bin_width_deg)
    centres = 0.5 * (edges[1:] + edges[:-1])
    fine = (centres[:, np.newaxis] + bin_width_deg * (np.arange(20) - 9.5) / 20).ravel()
    rate = 3000.0 + 0.0 * fine
    for square in (3, 4, 8):
        line = np.degrees(2 * np.arcsin(0.5 * WAVELENGTH_M * 1e10 / 3.524 * np.sqrt(square)))
        hwhm = 0.5 * float(fwhm_from_size(size_nm=SIZE_NM, two_theta_deg=line, wavelength_m=WAVELENGTH_M))
        rate += 20000.0 * voigt_profile(fine - line, float(sigma_from_fwhm(fwhm=FWHM_DEG)), hwhm)
    counts = np.random.default_rng(1).poisson(rate.reshape(-1, 20).mean(axis=1)).astype(float)
    return Pattern(centres, counts, np.sqrt(counts), np.ones_like(counts))


def shape(fit, name):
    """Value of a shape parameter with its error."""
    row = fit.layout.linear + fit.layout.shapes.names.index(f"nickel.{name}")
    return fit.parameters[row], fit.sigma(row)


@pytest.mark.parametrize("bin_width_deg", [0.002, 0.006, 0.014])
def test_size_and_strain_do_not_depend_on_the_bins(bin_width_deg):
    fit = fit_pattern(pattern=binned(bin_width_deg), layout=layout_from_recipe(recipe(bin_width_deg)))
    inverse_size, sigma = shape(fit, "inverse_size_per_nm")
    assert sigma < 0.03 / SIZE_NM
    assert abs(inverse_size - 1.0 / SIZE_NM) < 4.0 * sigma
    squared_strain, sigma = shape(fit, "squared_strain")
    assert squared_strain < 4.0 * sigma


def test_the_width_of_bins_that_nobody_told_the_fit_of_looks_like_strain():
    fit = fit_pattern(pattern=binned(0.014), layout=layout_from_recipe(recipe(0.0)))
    squared_strain, sigma = shape(fit, "squared_strain")
    assert squared_strain > 10.0 * sigma


def test_a_bin_of_negative_width_is_refused():
    with pytest.raises(PhaseError, match="width of a bin"):
        dataclasses.replace(recipe(0.0), bin_width_deg=-0.01)

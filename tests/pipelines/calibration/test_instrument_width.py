"""The instrument's width from patterns whose widths are known."""

import numpy as np
import pytest
from scipy.special import voigt_profile

from ringwatch_pipelines.calibration.instrument_width import KnownBroadening, fit_instrument_width
from ringwatch_pipelines.fit.peak_widths import InstrumentProfile, fwhm_from_size, fwhm_from_strain
from ringwatch_pipelines.patterns import Pattern
from ringwatch_pipelines.quantities import sigma_from_fwhm

LINES = np.degrees(2 * np.arcsin(0.16 * np.sqrt([3, 4, 8, 11, 12, 16, 19, 20, 24, 27, 32, 35, 36, 40]) / 10.8233))
WAVELENGTH_M = 1.6e-11


def calibrant_pattern(instrument, *, bin_deg=0.006, size_nm=np.inf, strain=0.0, counts=2e5, seed=0, foreign=()):
    """Poisson counts of bins that truly average over their width, twenty points each."""
    edges = np.arange(1.5, 6.5, bin_deg)
    centres = 0.5 * (edges[1:] + edges[:-1])
    fine = (centres[:, np.newaxis] + bin_deg * (np.arange(20) - 9.5) / 20).ravel()
    size = fwhm_from_size(size_nm=size_nm, two_theta_deg=LINES, wavelength_m=WAVELENGTH_M)
    widening = sigma_from_fwhm(fwhm=fwhm_from_strain(strain=strain, two_theta_deg=LINES))
    sigma = np.hypot(instrument.sigma_deg(LINES), widening)
    hwhm = instrument.hwhm_deg(LINES) + 0.5 * size
    rate = 0.02 * counts * (1 + np.exp(-fine / 2))
    for index, line in enumerate(LINES):
        rate = rate + counts * 0.03 / (1 + 0.1 * index) * voigt_profile(fine - line, sigma[index], hwhm[index])
    for place in foreign:
        rate = rate + counts * 0.01 * voigt_profile(fine - place, 0.01, 0.0)
    counted = np.random.default_rng(seed).poisson(rate.reshape(-1, 20).mean(axis=1)).astype(float)
    return Pattern(centres, counted, np.sqrt(np.maximum(counted, 1.0)), np.ones_like(centres))


def fitted(instrument, **how):
    known = {name: how[name] for name in ("size_nm", "strain") if name in how}
    return fit_instrument_width(
        pattern=calibrant_pattern(instrument, **how),
        lines_two_theta_deg=LINES,
        fwhm_guess_deg=0.025,
        wavelength_m=WAVELENGTH_M,
        broadening=KnownBroadening(**known),
    )


def test_a_constant_width_needs_no_other_term():
    truth = InstrumentProfile(w_deg2=0.02**2)
    pulls = []
    for seed in range(8):
        found = fitted(truth, seed=seed)
        assert found.terms == ("w_deg2",)
        pulls.append((found.profile.w_deg2 - truth.w_deg2) / found.sigma("w_deg2"))
    assert np.abs(pulls).max() < 4.0
    assert 0.3 < np.std(pulls) < 2.0


@pytest.mark.parametrize("bin_deg", [0.003, 0.006, 0.012])
def test_the_width_of_a_bin_is_not_part_of_the_result(bin_deg):
    truth = InstrumentProfile(w_deg2=0.02**2)
    found = fitted(truth, bin_deg=bin_deg, counts=1e6)
    assert found.profile.w_deg2 == pytest.approx(truth.w_deg2, rel=0.01)
    assert found.bin_width_deg == pytest.approx(bin_deg)


def test_gaussian_and_lorentzian_terms_are_told_apart():
    truth = InstrumentProfile(w_deg2=0.018**2, u_deg2=0.12, x_deg=0.006)
    found = fitted(truth, counts=2e6)
    assert found.terms == ("u_deg2", "w_deg2", "x_deg")
    for term in found.terms:
        assert abs(getattr(found.profile, term) - getattr(truth, term)) < 4.5 * found.sigma(term)


def test_the_certified_size_and_strain_are_taken_out():
    truth = InstrumentProfile(w_deg2=0.02**2)
    found = fitted(truth, size_nm=200.0, strain=5e-4, counts=2e6)
    assert found.terms == ("w_deg2",)
    assert found.profile.w_deg2 == pytest.approx(truth.w_deg2, rel=0.01)


def test_each_line_has_its_own_width_with_its_error():
    truth = InstrumentProfile(w_deg2=0.018**2, u_deg2=0.12)
    found = fitted(truth, counts=1e6)
    expected = np.sqrt(truth.w_deg2 + truth.u_deg2 * np.tan(np.radians(found.two_theta_deg) / 2) ** 2)
    pull = (found.fwhm_deg - expected) / found.fwhm_sigma_deg
    assert np.abs(pull).max() < 4.5
    assert 0.4 < np.std(pull) < 2.0


def test_a_foreign_line_between_the_rings_changes_nothing():
    truth = InstrumentProfile(w_deg2=0.02**2)
    between = 0.5 * (LINES[1] + LINES[2])
    assert fitted(truth, foreign=(between,)).profile.w_deg2 == pytest.approx(truth.w_deg2, rel=0.02)


def test_a_pattern_without_lines_says_that_nothing_can_be_told():
    axis = np.arange(1.5, 6.5, 0.006)
    flat = np.random.default_rng(0).poisson(1000.0, axis.size).astype(float)
    found = fit_instrument_width(
        pattern=Pattern(axis, flat, np.sqrt(flat), np.ones_like(axis)),
        lines_two_theta_deg=LINES,
        fwhm_guess_deg=0.025,
        wavelength_m=WAVELENGTH_M,
    )
    assert found.profile is None
    assert "cannot be told" in found.text

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import voigt_profile

from fakes.synthetic_patterns import thompson_cox_hastings
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit import peak_widths
from ringwatch_pipelines.fit.peak_widths import InstrumentProfile, constant_instrument_profile
from ringwatch_pipelines.fit.profiles import pseudo_voigt, voigt

X = np.linspace(0.0, 6.0, 1201)
CENTRE = 2.123


@pytest.mark.parametrize("sigma", [0.003, 0.0083, 0.03])
@pytest.mark.parametrize("hwhm", [0.0, 1e-6, 1e-4, 0.002, 0.02, 0.2])
def test_the_profile_is_scipys_voigt_to_a_millionth(sigma, hwhm):
    value = voigt(x=X, centre=CENTRE, sigma=sigma, hwhm=hwhm)[0]
    expected = voigt_profile(X - CENTRE, sigma, hwhm)
    known = expected > 1e-6 * expected.max()
    np.testing.assert_allclose(value[known], expected[known], rtol=1e-6)
    np.testing.assert_allclose(value, expected, atol=1e-9 * expected.max(), rtol=0)


@pytest.mark.parametrize("sigma", [0.003, 0.0083, 0.03])
@pytest.mark.parametrize("hwhm", [0.0, 1e-4, 0.002, 0.02, 0.2])
def test_the_pseudo_voigt_is_that_of_thompson_cox_and_hastings(sigma, hwhm):
    value = pseudo_voigt(x=X, centre=CENTRE, sigma=sigma, hwhm=hwhm)
    expected = thompson_cox_hastings(X - CENTRE, np.sqrt(8.0 * np.log(2.0)) * sigma, 2.0 * hwhm)
    np.testing.assert_allclose(value, expected, atol=1e-9 * expected.max(), rtol=0)


def test_without_a_lorentzian_part_both_profiles_are_one_gaussian():
    expected = voigt(x=X, centre=CENTRE, sigma=0.01, hwhm=0.0)[0]
    value = pseudo_voigt(x=X, centre=CENTRE, sigma=0.01, hwhm=0.0)
    np.testing.assert_allclose(value, expected, atol=1e-9 * expected.max(), rtol=0)


@pytest.mark.parametrize("shape", [(0.0083, 0.002), (0.0083, 1e-3), (0.02, 0.02), (0.01, 0.05)])
def test_slopes_are_those_of_small_changes(shape):
    sigma, hwhm = shape
    slopes = voigt(x=X, centre=CENTRE, sigma=sigma, hwhm=hwhm)[1:]
    step = 2e-4 * sigma
    for slope, (by_centre, by_sigma, by_hwhm) in zip(slopes, np.eye(3), strict=True):
        above = voigt_profile(X - CENTRE - step * by_centre, sigma + step * by_sigma, hwhm + step * by_hwhm)
        below = voigt_profile(X - CENTRE + step * by_centre, sigma - step * by_sigma, hwhm - step * by_hwhm)
        numeric = (above - below) / (2.0 * step)
        np.testing.assert_allclose(slope, numeric, atol=3e-6 * np.abs(numeric).max())


@given(sigma=st.floats(0.01, 0.1), hwhm=st.floats(0.0, 0.02))
def test_the_area_is_one(sigma, hwhm):
    x = np.linspace(-40.0, 40.0, 40001)
    area = voigt(x=x, centre=0.0, sigma=sigma, hwhm=hwhm)[0].sum() * (x[1] - x[0])
    outside = 2.0 * hwhm / (np.pi * 40.0)
    assert area == pytest.approx(1.0 - outside, abs=1e-5)


@given(size_nm=st.floats(1.0, 1e4), two_theta_deg=st.floats(0.1, 150.0))
def test_size_and_width_round_trip(size_nm, two_theta_deg):
    common = {"two_theta_deg": two_theta_deg, "wavelength_m": 1e-10, "scherrer_constant": 0.94}
    fwhm = peak_widths.fwhm_from_size(size_nm=size_nm, **common)
    assert peak_widths.size_from_fwhm(fwhm_deg=fwhm, **common) == pytest.approx(size_nm)


@given(strain=st.floats(1e-6, 0.05), two_theta_deg=st.floats(0.1, 150.0))
def test_strain_and_width_round_trip(strain, two_theta_deg):
    fwhm = peak_widths.fwhm_from_strain(strain=strain, two_theta_deg=two_theta_deg)
    assert peak_widths.strain_from_fwhm(fwhm_deg=fwhm, two_theta_deg=two_theta_deg) == pytest.approx(strain)


def test_a_voigts_width_is_that_at_half_its_height():
    sigma, hwhm = 0.0083, 0.006
    x = np.linspace(0.0, 0.1, 100001)
    profile = voigt_profile(x, sigma, hwhm)
    half = 2.0 * x[np.argmin(np.abs(profile - 0.5 * profile[0]))]
    assert peak_widths.fwhm_from_voigt(sigma=sigma, hwhm=hwhm) == pytest.approx(half, rel=5e-4)


def test_the_instrument_follows_cagliotis_polynomial():
    profile = InstrumentProfile(u_deg2=0.3, v_deg2=-0.1, w_deg2=0.02, x_deg=0.01, y_deg=0.02)
    tangent, cosine = np.tan(np.radians(15.0)), np.cos(np.radians(15.0))
    fwhm = profile.sigma_deg(30.0) * np.sqrt(8.0 * np.log(2.0))
    assert fwhm**2 == pytest.approx(0.3 * tangent**2 - 0.1 * tangent + 0.02)
    assert 2.0 * profile.hwhm_deg(30.0) == pytest.approx(0.01 / cosine + 0.02 * tangent)


def test_a_constant_instrument_has_one_width():
    sigma = constant_instrument_profile(fwhm_deg=0.02).sigma_deg([1.0, 30.0])
    np.testing.assert_allclose(sigma * np.sqrt(8.0 * np.log(2.0)), 0.02)


def test_bins_that_average_broaden_the_instrument():
    sigma, hwhm, bin_width = 0.0083, 0.002, 0.0056
    fine = np.arange(-2000, 2000) * bin_width / 40.0 + bin_width / 80.0
    averaged = voigt_profile(fine, sigma, hwhm).reshape(-1, 40).mean(axis=1)
    centres = fine.reshape(-1, 40).mean(axis=1)
    instrument = constant_instrument_profile(fwhm_deg=sigma * np.sqrt(8.0 * np.log(2.0)))
    seen = peak_widths.profile_from_bin_width(instrument=instrument, bin_width_deg=bin_width)
    corrected = voigt(x=centres, centre=0.0, sigma=float(seen.sigma_deg(2.0)), hwhm=hwhm)[0]
    naive = voigt(x=centres, centre=0.0, sigma=sigma, hwhm=hwhm)[0]
    assert np.abs(corrected - averaged).max() < 0.05 * np.abs(naive - averaged).max()


def test_an_instrument_without_width_is_refused():
    with pytest.raises(PhaseError, match="W above 0"):
        InstrumentProfile(w_deg2=0.0)
    with pytest.raises(PhaseError, match="not positive"):
        InstrumentProfile(w_deg2=0.01, v_deg2=-1.0).sigma_deg([30.0])

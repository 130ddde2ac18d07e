import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_pipelines import quantities as q

wavelengths_m = st.floats(1e-12, 3e-10)
angles_deg = st.floats(1e-3, 179.0)


@given(two_theta_deg=angles_deg, wavelength_m=wavelengths_m)
def test_angle_and_spacing_round_trip(two_theta_deg, wavelength_m):
    spacing = q.d_spacing_from_two_theta(two_theta_deg=two_theta_deg, wavelength_m=wavelength_m)
    back = q.two_theta_from_d_spacing(d_spacing_A=spacing, wavelength_m=wavelength_m)
    assert back == pytest.approx(two_theta_deg, rel=1e-9)


@given(two_theta_deg=angles_deg, wavelength_m=wavelengths_m)
def test_angle_and_momentum_transfer_round_trip(two_theta_deg, wavelength_m):
    momentum = q.q_from_two_theta(two_theta_deg=two_theta_deg, wavelength_m=wavelength_m)
    assert q.two_theta_from_q(q_per_A=momentum, wavelength_m=wavelength_m) == pytest.approx(two_theta_deg, rel=1e-9)


@given(two_theta_deg=angles_deg, wavelength_m=wavelengths_m)
def test_momentum_transfer_is_the_same_by_angle_and_by_spacing(two_theta_deg, wavelength_m):
    spacing = q.d_spacing_from_two_theta(two_theta_deg=two_theta_deg, wavelength_m=wavelength_m)
    by_angle = q.q_from_two_theta(two_theta_deg=two_theta_deg, wavelength_m=wavelength_m)
    assert q.q_from_d_spacing(d_spacing_A=spacing) == pytest.approx(by_angle)
    assert q.d_spacing_from_q(q_per_A=by_angle) == pytest.approx(spacing)


@given(energy_keV=st.floats(1.0, 500.0))
def test_energy_and_wavelength_round_trip(energy_keV):
    wavelength = q.wavelength_from_energy(energy_keV=energy_keV)
    assert q.energy_from_wavelength(wavelength_m=wavelength) == pytest.approx(energy_keV)


@given(fwhm=st.floats(1e-6, 1e3))
def test_gaussian_widths_round_trip(fwhm):
    assert q.fwhm_from_sigma(sigma=q.sigma_from_fwhm(fwhm=fwhm)) == pytest.approx(fwhm)


def test_copper_radiation_has_its_energy():
    assert q.energy_from_wavelength(wavelength_m=1.54059e-10) == pytest.approx(8.0478, abs=1e-3)


def test_a_spacing_below_half_the_wavelength_has_no_angle():
    angles = q.two_theta_from_d_spacing(d_spacing_A=np.array([0.4, 2.0]), wavelength_m=1e-10)
    assert np.isnan(angles[0])
    assert np.isfinite(angles[1])

"""Units, constants and conversions between wavelength, spacing, angle and momentum transfer."""

import math

import numpy as np
from numpy.typing import ArrayLike

from ringwatch_pipelines.patterns import FloatArray

PLANCK_TIMES_LIGHT_keV_A = 12.398419843320026
"""h c in keV angstrom, exact in the SI of 2019."""

METRES_PER_ANGSTROM = 1e-10

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian over its standard deviation."""


def wavelength_from_energy(*, energy_keV: ArrayLike) -> FloatArray:
    """Wavelength in metre: ``lambda = h c / E``."""
    return PLANCK_TIMES_LIGHT_keV_A / _floats(energy_keV) * METRES_PER_ANGSTROM


def energy_from_wavelength(*, wavelength_m: ArrayLike) -> FloatArray:
    """Photon energy in keV: ``E = h c / lambda``."""
    return PLANCK_TIMES_LIGHT_keV_A / _wavelength_A(wavelength_m)


def d_spacing_from_two_theta(*, two_theta_deg: ArrayLike, wavelength_m: ArrayLike) -> FloatArray:
    """Spacing in angstrom by Bragg's law, ``d = lambda / (2 sin theta)``."""
    return _wavelength_A(wavelength_m) / (2.0 * np.sin(_theta(two_theta_deg)))


def two_theta_from_d_spacing(*, d_spacing_A: ArrayLike, wavelength_m: ArrayLike) -> FloatArray:
    """Scattering angle in degree by Bragg's law; NaN where ``d < lambda / 2`` cannot diffract."""
    with np.errstate(invalid="ignore"):
        return 2.0 * np.degrees(np.arcsin(_wavelength_A(wavelength_m) / (2.0 * _floats(d_spacing_A))))


def q_from_two_theta(*, two_theta_deg: ArrayLike, wavelength_m: ArrayLike) -> FloatArray:
    """Momentum transfer in 1/angstrom: ``q = 4 pi sin(theta) / lambda``."""
    return 4.0 * np.pi * np.sin(_theta(two_theta_deg)) / _wavelength_A(wavelength_m)


def two_theta_from_q(*, q_per_A: ArrayLike, wavelength_m: ArrayLike) -> FloatArray:
    """Scattering angle in degree: the inverse of `q_from_two_theta`; NaN where no angle has that q."""
    with np.errstate(invalid="ignore"):
        return 2.0 * np.degrees(np.arcsin(_floats(q_per_A) * _wavelength_A(wavelength_m) / (4.0 * np.pi)))


def q_from_d_spacing(*, d_spacing_A: ArrayLike) -> FloatArray:
    """Momentum transfer in 1/angstrom: ``q = 2 pi / d``."""
    return 2.0 * np.pi / _floats(d_spacing_A)


def d_spacing_from_q(*, q_per_A: ArrayLike) -> FloatArray:
    """Spacing in angstrom: ``d = 2 pi / q``."""
    return 2.0 * np.pi / _floats(q_per_A)


def sigma_from_fwhm(*, fwhm: ArrayLike) -> FloatArray:
    """Standard deviation of a Gaussian from its full width at half maximum, in the same unit."""
    return _floats(fwhm) / FWHM_PER_SIGMA


def fwhm_from_sigma(*, sigma: ArrayLike) -> FloatArray:
    """Full width at half maximum of a Gaussian from its standard deviation, in the same unit."""
    return _floats(sigma) * FWHM_PER_SIGMA


def _floats(values: ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _wavelength_A(wavelength_m: ArrayLike) -> FloatArray:
    return _floats(wavelength_m) / METRES_PER_ANGSTROM


def _theta(two_theta_deg: ArrayLike) -> FloatArray:
    return np.radians(_floats(two_theta_deg)) / 2.0

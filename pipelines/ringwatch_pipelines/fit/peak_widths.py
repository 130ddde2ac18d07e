"""Where the width of a line comes from: the instrument, the crystallite size, the strain."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import FWHM_PER_SIGMA, METRES_PER_ANGSTROM, fwhm_from_sigma, sigma_from_fwhm

_NM_PER_M = 1e9
NM_PER_ANGSTROM = METRES_PER_ANGSTROM * _NM_PER_M


@dataclass(frozen=True, slots=True)
class InstrumentProfile:
    """Width of the lines of an ideal sample, whatever the bins: their width is no part of it.

    Gaussian ``FWHM^2 = U tan^2 theta + V tan theta + W`` (Caglioti, Paoletti & Ricci 1958, Nucl. Instrum. 3, 223)
    and Lorentzian ``FWHM = X / cos theta + Y tan theta``, as GSAS has it.

    Parameters
    ----------
    u_deg2, v_deg2, w_deg2
        Degree squared of 2theta.
    x_deg, y_deg
        Degree of 2theta.
    """

    w_deg2: float
    u_deg2: float = 0.0
    v_deg2: float = 0.0
    x_deg: float = 0.0
    y_deg: float = 0.0

    def __post_init__(self) -> None:
        values = (self.u_deg2, self.v_deg2, self.w_deg2, self.x_deg, self.y_deg)
        if not (np.all(np.isfinite(values)) and self.w_deg2 > 0.0):
            raise PhaseError(f"an instrument profile needs W above 0 and finite U, V, X, Y, got {self}")

    def sigma_deg(self, two_theta_deg: ArrayLike) -> FloatArray:
        """Standard deviation of the Gaussian part.

        Raises
        ------
        PhaseError
            The polynomial is not positive at one of these angles.
        """
        tangent = _tan_theta(two_theta_deg)
        square = self.u_deg2 * tangent**2 + self.v_deg2 * tangent + self.w_deg2
        if not np.all(square > 0.0):
            raise PhaseError(f"the Gaussian width of {self} is not positive at all angles of the lines")
        return sigma_from_fwhm(fwhm=np.sqrt(square))

    def hwhm_deg(self, two_theta_deg: ArrayLike) -> FloatArray:
        """Half width at half maximum of the Lorentzian part; never below 0."""
        fwhm = self.x_deg / _cos_theta(two_theta_deg) + self.y_deg * _tan_theta(two_theta_deg)
        return np.maximum(0.5 * fwhm, 0.0)


def constant_instrument_profile(*, fwhm_deg: float) -> InstrumentProfile:
    """A Gaussian instrument of one width at every angle."""
    return InstrumentProfile(w_deg2=fwhm_deg**2)


def profile_from_bin_width(*, instrument: InstrumentProfile, bin_width_deg: float) -> InstrumentProfile:
    """The instrument as it appears in bins that average over their width.

    The variance grows by ``width^2 / 12`` (Sheppard's correction).
    """
    return replace(instrument, w_deg2=instrument.w_deg2 + FWHM_PER_SIGMA**2 * bin_width_deg**2 / 12.0)


def fwhm_from_size(
    *, size_nm: ArrayLike, two_theta_deg: ArrayLike, wavelength_m: float, scherrer_constant: float = 0.9
) -> FloatArray:
    """Lorentzian FWHM in degree: ``K lambda / (L cos theta)`` (Scherrer 1918)."""
    broadening = scherrer_constant * wavelength_m * _NM_PER_M / (np.asarray(size_nm) * _cos_theta(two_theta_deg))
    return np.degrees(broadening)


def size_from_fwhm(
    *, fwhm_deg: ArrayLike, two_theta_deg: ArrayLike, wavelength_m: float, scherrer_constant: float = 0.9
) -> FloatArray:
    """Crystallite size in nm: the inverse of `fwhm_from_size`."""
    return np.asarray(scherrer_constant * wavelength_m * _NM_PER_M / (np.radians(fwhm_deg) * _cos_theta(two_theta_deg)))


def fwhm_from_strain(*, strain: ArrayLike, two_theta_deg: ArrayLike) -> FloatArray:
    """Gaussian FWHM in degree: ``4 e tan theta`` (Stokes & Wilson 1944, Proc. Phys. Soc. 56, 174).

    Strain is taken as Gaussian and size as Lorentzian, which is what lets one pattern tell them apart.
    """
    return np.degrees(4.0 * np.asarray(strain) * _tan_theta(two_theta_deg))


def strain_from_fwhm(*, fwhm_deg: ArrayLike, two_theta_deg: ArrayLike) -> FloatArray:
    """Microstrain: the inverse of `fwhm_from_strain`."""
    return np.asarray(np.radians(fwhm_deg) / (4.0 * _tan_theta(two_theta_deg)))


def fwhm_from_voigt(*, sigma: ArrayLike, hwhm: ArrayLike) -> FloatArray:
    """FWHM of a Voigt profile to 0.02 % (Olivero & Longbothum 1977, J. Quant. Spectrosc. Radiat. Transfer 17, 233)."""
    gauss = fwhm_from_sigma(sigma=sigma)
    lorentz = 2.0 * np.asarray(hwhm)
    return np.asarray(0.5346 * lorentz + np.sqrt(0.2166 * lorentz**2 + gauss**2))


def _tan_theta(two_theta_deg: ArrayLike) -> FloatArray:
    return np.asarray(np.tan(np.radians(two_theta_deg) / 2.0))


def _cos_theta(two_theta_deg: ArrayLike) -> FloatArray:
    return np.asarray(np.cos(np.radians(two_theta_deg) / 2.0))

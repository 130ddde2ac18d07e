"""The lines of a phase that reach into the range of a fit, and which of them share an intensity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.crystals.phases import Phase, PhaseRole
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.peak_widths import (
    fwhm_from_size,
    fwhm_from_strain,
    fwhm_from_voigt,
    profile_from_bin_width,
)
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import sigma_from_fwhm

_MARGIN_FWHM = 3.0
"""Lines this far outside the range still reach into it."""

_TAIL_FWHM = 30.0
"""Tails of lines this far outside the range still do. All that is seen of them is smooth: many background terms take
them up, a measured background cannot, and a hump then does."""

_LEAST_STRENGTH = 1e-6
"""So that a group of lines without any reference intensity still has a shape."""


@dataclass(frozen=True, slots=True, eq=False)
class LineWidths:
    """What decides the width of each line.

    Parameters
    ----------
    sigma_deg, hwhm_deg
        (lines,) instrument width.
    sigma_by_strain_deg, hwhm_by_inverse_size_deg_nm
        (lines,) broadening for a strain of 1 and for a size of 1 nm.
    """

    sigma_deg: FloatArray
    hwhm_deg: FloatArray
    sigma_by_strain_deg: FloatArray
    hwhm_by_inverse_size_deg_nm: FloatArray

    def fwhm_deg(self, *, size_nm: float, strain: float) -> FloatArray:
        """(lines,) full width at half maximum."""
        sigma = np.hypot(self.sigma_deg, strain * self.sigma_by_strain_deg)
        return fwhm_from_voigt(sigma=sigma, hwhm=self.hwhm_deg + self.hwhm_by_inverse_size_deg_nm / size_nm)


@dataclass(frozen=True, slots=True, eq=False)
class PhaseLines:
    """The lines of one phase, by rising angle at the configured lattice; those of which only a tail is seen come last.

    Parameters
    ----------
    index
        (lines,) into the phase's reflections.
    two_theta_deg, slopes
        (lines,) and (lines, free) angle and its slopes by the lattice parameters.
    fwhm_deg
        (lines,) at the configured size and strain.
    strength
        (lines,) reference intensity; 0 where only a tail is seen.
    group
        (lines,) which linear parameter of the phase the line belongs to.
    share
        (lines,) area of the line for a linear parameter of 1.
    leads
        (groups,) index of the strongest line of each group.
    """

    index: NDArray[np.int64]
    two_theta_deg: FloatArray
    slopes: FloatArray
    widths: LineWidths
    fwhm_deg: FloatArray
    strength: FloatArray
    group: NDArray[np.int64]
    share: FloatArray
    leads: NDArray[np.int64]


def lines_of_phase(*, phase: Phase, recipe: FitRecipe) -> PhaseLines:
    """Choose and group the lines; the groups hold for the whole run."""
    angles, slopes = phase.lattice.two_theta_deg(hkl=phase.reflections.hkl, wavelength_m=recipe.wavelength_m)
    widths = _widths(np.nan_to_num(angles, nan=180.0), recipe)
    fwhm = widths.fwhm_deg(size_nm=phase.size_nm, strain=phase.strain)
    index = _near(angles, recipe.two_theta_range_deg, _MARGIN_FWHM * fwhm)
    group = _groups(phase.role, angles[index], fwhm[index], recipe.merge_fwhm)
    strength = phase.reflections.relative_intensity[index]
    share, leads = _shares(phase.role, group, strength), _leads(group, strength)
    tails = _tails(angles, index, fwhm, phase, recipe)
    if tails.size:
        part = np.maximum(phase.reflections.relative_intensity[tails], _LEAST_STRENGTH)
        leads = np.append(leads, index.size + np.argmax(part))
        group = np.append(group, np.full(tails.size, leads.size - 1))
        share, strength = np.append(share, part / part.sum()), np.append(strength, np.zeros(tails.size))
        index = np.append(index, tails)
    return PhaseLines(
        index=index,
        two_theta_deg=angles[index],
        slopes=slopes[index],
        widths=_widths(angles[index], recipe),
        fwhm_deg=fwhm[index],
        strength=strength,
        group=group,
        share=share,
        leads=leads,
    )


def _tails(
    angles: FloatArray, near: NDArray[np.int64], fwhm: FloatArray, phase: Phase, recipe: FitRecipe
) -> NDArray[np.int64]:
    """Lines of a FREE phase of which the range sees a tail only; they share one intensity."""
    if phase.role is not PhaseRole.FREE or recipe.reference_background is None or not near.size:
        return np.zeros(0, dtype=np.int64)
    return np.setdiff1d(_near(angles, recipe.two_theta_range_deg, _TAIL_FWHM * fwhm), near)


def _near(angles: FloatArray, range_deg: tuple[float, float], margin_deg: FloatArray) -> NDArray[np.int64]:
    """Indices of the lines in the range or at most a margin outside it, by rising angle."""
    index = np.flatnonzero((angles > range_deg[0] - margin_deg) & (angles < range_deg[1] + margin_deg))
    return np.asarray(index[np.argsort(angles[index], kind="stable")], dtype=np.int64)


def _widths(two_theta_deg: FloatArray, recipe: FitRecipe) -> LineWidths:
    """Taken within the range, where the instrument's polynomial was measured."""
    angles = np.clip(two_theta_deg, *recipe.two_theta_range_deg)
    by_size = fwhm_from_size(
        size_nm=1.0,
        two_theta_deg=angles,
        wavelength_m=recipe.wavelength_m,
        scherrer_constant=recipe.scherrer_constant,
    )
    instrument = profile_from_bin_width(instrument=recipe.instrument, bin_width_deg=recipe.bin_width_deg)
    return LineWidths(
        sigma_deg=instrument.sigma_deg(angles),
        hwhm_deg=instrument.hwhm_deg(angles),
        sigma_by_strain_deg=sigma_from_fwhm(fwhm=fwhm_from_strain(strain=1.0, two_theta_deg=angles)),
        hwhm_by_inverse_size_deg_nm=0.5 * by_size,
    )


def _groups(role: PhaseRole, angles: FloatArray, fwhm: FloatArray, merge_fwhm: float) -> NDArray[np.int64]:
    match role:
        case PhaseRole.FREE:
            apart = np.diff(angles, prepend=-np.inf) >= merge_fwhm * fwhm
            return np.cumsum(apart, dtype=np.int64) - 1
        case PhaseRole.LINES:
            return np.arange(len(angles), dtype=np.int64)
        case PhaseRole.REFERENCE:
            return np.zeros(len(angles), dtype=np.int64)


def _shares(role: PhaseRole, group: NDArray[np.int64], strength: FloatArray) -> FloatArray:
    """A group's parameter is its area; a reference phase's is the area of its strongest line in the range."""
    if role is PhaseRole.REFERENCE:
        return strength / np.max(strength, initial=1e-300)
    known = np.maximum(strength, _LEAST_STRENGTH)
    return np.asarray(known / np.bincount(group, weights=known)[group]) if len(group) else known


def _leads(group: NDArray[np.int64], strength: FloatArray) -> NDArray[np.int64]:
    groups = int(group[-1]) + 1 if len(group) else 0
    members = (np.flatnonzero(group == index) for index in range(groups))
    return np.array([member[np.argmax(strength[member])] for member in members], dtype=np.int64)

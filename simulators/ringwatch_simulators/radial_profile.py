"""The pattern that a cell gives, on a fine grid of 2theta: lines, background, hump, window and copper ring.

Spacings and strengths of polypropylene's alpha form: Turner-Jones, Aizlewood & Beckett (1964), Makromol. Chem. 75, 134.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import voigt_profile

from ringwatch_simulators.cell_model import CellTruth
from ringwatch_simulators.crystals import (
    ALPO4,
    CERIA,
    COPPER,
    LAGP,
    LIOH,
    LITHIUM,
    Crystal,
    PowderLine,
    powder_lines,
    two_theta_deg,
)

FloatArray = NDArray[np.float64]

SCHERRER_CONSTANT = 0.9
SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
MINOR_SIZE_NM = {"li": 400.0, "lioh": 40.0, "alpo4": 40.0, "copper": 250.0, "ceria": 2000.0}
"""Crystallite sizes of the phases that stay as they are."""
HUMP_CENTRE_DEG, HUMP_FWHM_DEG = 2.30, 0.90
POLYPROPYLENE = ((6.26, 1.00), (5.19, 0.62), (4.77, 0.55), (4.19, 0.45), (4.05, 0.60))
"""Spacing in angstrom and area relative to the strongest line."""
POLYPROPYLENE_SIZE_NM = 15.0
D_MIN_A = 0.95
_NEAR_FWHM = 5.0
_COARSE_STEP_DEG = 0.004
_LEAST_FWHM_DEG = 1e-3


@dataclass(frozen=True, slots=True)
class Beam:
    """What turns spacings into angles and widths.

    Parameters
    ----------
    wavelength_A
        Of the beam.
    instrument_fwhm_deg
        Gaussian width of an ideal line at small angles, pixel and spread of light included.
    caglioti_deg2
        U and V: the square of that width grows by ``U tan^2 theta + V tan theta``.
    lorentz_deg
        X and Y of the Lorentzian width ``X / cos theta + Y tan theta``.
    """

    wavelength_A: float = 0.1173
    instrument_fwhm_deg: float = 0.0195
    caglioti_deg2: tuple[float, float] = (0.0, 0.0)
    lorentz_deg: tuple[float, float] = (0.0, 0.0)

    def widths_deg(self, theta_rad: FloatArray, *, size_nm: float, strain: float) -> tuple[FloatArray, FloatArray]:
        """(n,) Gaussian sigma and (n,) Lorentzian half width of lines: instrument, strain and size together."""
        (u, v), (x, y) = self.caglioti_deg2, self.lorentz_deg
        tangent, cosine = np.tan(theta_rad), np.cos(theta_rad)
        square = self.instrument_fwhm_deg**2 + u * tangent**2 + v * tangent
        gauss = np.sqrt(np.maximum(square, _LEAST_FWHM_DEG**2) + np.degrees(4.0 * strain * tangent) ** 2)
        size_fwhm = np.degrees(SCHERRER_CONSTANT * 0.1 * self.wavelength_A / (size_nm * cosine))
        return SIGMA_PER_FWHM * gauss, 0.5 * np.maximum(size_fwhm + x / cosine + y * tangent, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class RadialPattern:
    """Counts of a pixel at normal incidence for monitor 1, each (points,).

    Parameters
    ----------
    smooth
        All but lithium.
    lithium
        Lithium's lines, which texture and grains modulate along the rings.
    """

    smooth: FloatArray
    lithium: FloatArray


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the pattern as rendered: place, area in counts x degree, widths."""

    two_theta_deg: float
    area: float
    gauss_sigma_deg: float
    lorentz_hwhm_deg: float


def radial_pattern(truth: CellTruth, beam: Beam, grid_deg: FloatArray, background_counts: float) -> RadialPattern:
    """The pattern on `grid_deg`, which has equal steps."""
    smooth = background(grid_deg, background_counts) + hump(grid_deg, truth.hump_counts)
    others = [*lagp_lines(truth, beam), *minor_lines(LIOH, truth.lioh_area, beam)]
    others += [*minor_lines(ALPO4, truth.alpo4_area, beam), *minor_lines(COPPER, truth.copper_area, beam)]
    others += minor_lines(CERIA, truth.ceria_area, beam)
    add_lines(smooth, grid_deg, others + window_lines(truth.window_area, beam))
    lithium = np.zeros_like(grid_deg)
    add_lines(lithium, grid_deg, lithium_lines(truth, beam))
    return RadialPattern(smooth, lithium)


def background(two_theta: FloatArray, counts: float) -> FloatArray:
    """Air, Compton and window: a slow fall, and a wide halo of polypropylene around 1.4 degree."""
    fall = 0.30 + 0.70 * np.exp(-two_theta / 1.8)
    halo = 0.15 * np.exp(-0.5 * ((two_theta - 1.4) / (0.9 * SIGMA_PER_FWHM)) ** 2)
    return np.asarray(counts * (fall + halo))


def hump(two_theta: FloatArray, counts: float) -> FloatArray:
    """The amorphous hump: a wide Gaussian."""
    return gaussian(two_theta, HUMP_CENTRE_DEG, HUMP_FWHM_DEG, counts)


def gaussian(two_theta: FloatArray, centre_deg: float, fwhm_deg: float, counts: float) -> FloatArray:
    """A Gaussian of height `counts`."""
    return np.asarray(counts * np.exp(-0.5 * ((two_theta - centre_deg) / (fwhm_deg * SIGMA_PER_FWHM)) ** 2))


def lagp_lines(truth: CellTruth, beam: Beam) -> list[Line]:
    """Lines of LAGP with its size and strain; their strengths are those of the pristine structure."""
    if truth.area_113 <= 0.0:
        return []
    lines = powder_lines(LAGP, beam.wavelength_A, D_MIN_A)
    strength_113 = next(line.strength for line in lines if line.hkl == (1, 1, 3))
    crystal = LAGP.with_lattice(a_A=truth.a_A, c_A=truth.c_A)
    scale = truth.area_113 / strength_113
    return _lines(crystal, beam, scale, size_nm=truth.size_nm, strain=truth.strain, relative_to=LAGP)


def lithium_lines(truth: CellTruth, beam: Beam) -> list[Line]:
    """Lines of lithium: (110) and (200) as the truth says, the others as in a random powder of that (110)."""
    crystal = LITHIUM.with_lattice(a_A=truth.a_li_A, c_A=truth.a_li_A)
    lines = _lines(crystal, beam, truth.area_110, size_nm=MINOR_SIZE_NM["li"], strain=0.0, relative_to=LITHIUM)
    told = {(1, 1, 0): truth.area_110, (2, 0, 0): truth.area_200}
    names = [line.hkl for line in powder_lines(LITHIUM, beam.wavelength_A, D_MIN_A)]
    return [
        Line(line.two_theta_deg, told.get(name, line.area), line.gauss_sigma_deg, line.lorentz_hwhm_deg)
        for name, line in zip(names, lines, strict=True)
    ]


def minor_lines(crystal: Crystal, area: float, beam: Beam) -> list[Line]:
    """Lines of a phase whose strongest one has `area`; none when there is nothing of it."""
    if area <= 0.0:
        return []
    return _lines(crystal, beam, area, size_nm=MINOR_SIZE_NM[crystal.name], strain=0.0, relative_to=crystal)


def window_lines(area: float, beam: Beam) -> list[Line]:
    """Lines of the polypropylene window, the strongest with `area`."""
    theta = [float(np.arcsin(beam.wavelength_A / (2.0 * d_A))) for d_A, _ in POLYPROPYLENE]
    sigma = SIGMA_PER_FWHM * beam.instrument_fwhm_deg
    hwhm = 0.5 * np.degrees(SCHERRER_CONSTANT * 0.1 * beam.wavelength_A / (POLYPROPYLENE_SIZE_NM * np.cos(theta)))
    return [
        Line(float(np.degrees(2.0 * theta[i])), area * strength, sigma, float(hwhm[i]))
        for i, (_, strength) in enumerate(POLYPROPYLENE)
        if area > 0.0
    ]


def _lines(
    crystal: Crystal, beam: Beam, area: float, *, size_nm: float, strain: float, relative_to: Crystal
) -> list[Line]:
    table = powder_lines(relative_to, beam.wavelength_A, D_MIN_A)
    return placed_lines(table, crystal, beam, area, size_nm=size_nm, strain=strain)


def placed_lines(
    table: Sequence[PowderLine], crystal: Crystal, beam: Beam, area: float, *, size_nm: float, strain: float
) -> list[Line]:
    """The lines of `table` where the lattice of `crystal` puts them, the strongest with `area`; none beyond reach."""
    angles = two_theta_deg(crystal, np.array([line.hkl for line in table]).reshape(-1, 3), beam.wavelength_A)
    sigma, hwhm = beam.widths_deg(np.radians(angles) / 2.0, size_nm=size_nm, strain=strain)
    return [
        Line(float(angles[i]), area * line.strength, float(sigma[i]), float(hwhm[i]))
        for i, line in enumerate(table)
        if np.isfinite(angles[i])
    ]


def add_lines(pattern: FloatArray, grid_deg: FloatArray, lines: list[Line]) -> None:
    """Add each line to `pattern`.

    Beyond 5 widths a Voigt profile is its tail, ``hwhm / (pi x^2) (1 + (3 sigma^2 - hwhm^2) / x^2)``, which a coarse
    grid holds well enough; nearer, the tail is held constant and the profile added on top of it.
    """
    if not lines:
        return
    coarse = np.arange(grid_deg[0], grid_deg[-1] + _COARSE_STEP_DEG, _COARSE_STEP_DEG)
    tails = np.zeros_like(coarse)
    start, step = grid_deg[0], grid_deg[1] - grid_deg[0]
    for line in lines:
        near_deg = _NEAR_FWHM * (2.0 * line.lorentz_hwhm_deg + line.gauss_sigma_deg / SIGMA_PER_FWHM)
        tails += line.area * _tail(coarse - line.two_theta_deg, line, near_deg)
        edges = line.two_theta_deg + np.array([-near_deg, near_deg])
        first, last = np.clip(np.ceil((edges - start) / step), 0, grid_deg.size).astype(int)
        offset = grid_deg[first:last] - line.two_theta_deg
        profile = voigt_profile(offset, line.gauss_sigma_deg, line.lorentz_hwhm_deg)
        pattern[first:last] += line.area * (profile - _tail(np.array(near_deg), line, near_deg))
    pattern += np.interp(grid_deg, coarse, tails)


def _tail(offset_deg: FloatArray, line: Line, near_deg: float) -> FloatArray:
    square = np.maximum(offset_deg**2, near_deg**2)
    correction = 1.0 + (3.0 * line.gauss_sigma_deg**2 - line.lorentz_hwhm_deg**2) / square
    return np.asarray(line.lorentz_hwhm_deg / np.pi * correction / square)

"""Patterns of known truth, made without the code under test: closed d-spacing formulas and SciPy's Voigt profile."""

from dataclasses import dataclass

import numpy as np
from scipy.special import voigt_profile

from ringwatch_pipelines.crystals.phases import Phase, PhaseRole, Site, phase_from_cell
from ringwatch_pipelines.fit.pattern_fit import FitRecipe, constant_instrument_profile
from ringwatch_pipelines.patterns import FloatArray, Pattern

WAVELENGTH_M = 0.1173e-10
INSTRUMENT_FWHM_DEG = 0.0195
BINS = 1000
RANGE_DEG = (1.0, 5.3)
DISTANCE_MM = 1600.0

LAGP_SITES = (
    Site("Li", 0, 0, 0),
    Site("Ge", 0, 0, 0.14097),
    Site("P", 0.2879, 0, 0.25),
    Site("O", 0.1802, -0.0152, 0.1883),
    Site("O", 0.1845, 0.1593, 0.0821),
)
LIOH_SITES = (Site("O", 0, 0.5, 0.1941), Site("H", 0, 0.5, 0.4072), Site("Li", 0, 0, 0))


@dataclass(frozen=True)
class Truth:
    """What stands in a pattern."""

    a: float = 8.2570
    c: float = 20.632
    size_nm: float = 60.0
    strain: float = 1e-3
    a_li: float = 3.5100
    li_110: float = 5.0
    li_200: float = 0.7
    lioh: float = 0.0
    lagp_113: float = 90.0
    background: float = 400.0
    displacement_mm: float = 0.0
    """The sample stands so much further from the detector than DISTANCE_MM."""
    pseudo: float = 0.0
    """Part of the pseudo-Voigt in the profiles of all lines; the rest is Voigt."""
    counts_per_unit: float = 2000.0
    """Counts behind an intensity of 1; they set the noise."""


def lagp() -> Phase:
    return phase_from_cell(
        name="lagp",
        role=PhaseRole.FREE,
        cell=(8.257, 8.257, 20.632, 90, 90, 120),
        space_group="R -3 c",
        d_min_A=1.2,
        wavelength_m=WAVELENGTH_M,
        sites=LAGP_SITES,
        reported_lines=("113",),
    )


def lithium() -> Phase:
    return phase_from_cell(
        name="li",
        role=PhaseRole.LINES,
        cell=(3.51, 3.51, 3.51, 90, 90, 90),
        space_group="I m -3 m",
        d_min_A=1.4,
        wavelength_m=WAVELENGTH_M,
        ratio=("110", "200"),
    )


def lioh() -> Phase:
    return phase_from_cell(
        name="lioh",
        role=PhaseRole.REFERENCE,
        cell=(3.546, 3.546, 4.334, 90, 90, 90),
        space_group="P 4/n m m",
        d_min_A=1.2,
        wavelength_m=WAVELENGTH_M,
        sites=LIOH_SITES,
        size_nm=30.0,
    )


def recipe(*phases: Phase, **changes: object) -> FitRecipe:
    return FitRecipe(
        phases=phases,
        wavelength_m=WAVELENGTH_M,
        two_theta_range_deg=RANGE_DEG,
        instrument=constant_instrument_profile(fwhm_deg=INSTRUMENT_FWHM_DEG),
        **changes,
    )


def axis_deg() -> FloatArray:
    low, high = RANGE_DEG
    return low + (high - low) / BINS * (np.arange(BINS) + 0.5)


def intensity(truth: Truth, two_theta_deg: FloatArray | None = None) -> FloatArray:
    """Expected intensity at given angles, or in the bins."""
    x = axis_deg() if two_theta_deg is None else two_theta_deg
    y = truth.background * (1.0 + 0.7 * np.exp(-x / 1.5) + 0.15 * np.exp(-0.5 * ((x - 2.0) / 0.6) ** 2))
    lines = lagp().reflections
    h, k, l = lines.hkl.T  # noqa: E741 the symbol of the field
    spacing = 1.0 / np.sqrt(4.0 / 3.0 * (h**2 + h * k + k**2) / truth.a**2 + l**2 / truth.c**2)
    for d, share in zip(spacing, lines.relative_intensity / 100.0, strict=True):
        y = y + truth.lagp_113 * share * _line(x, d, truth.size_nm, truth.strain, truth)
    for squares, area in ((2, truth.li_110), (4, truth.li_200), (6, 0.2 * truth.li_110)):
        y = y + area * _line(x, truth.a_li / np.sqrt(squares), 100.0, 0.0, truth)
    hydroxide = lioh().reflections
    h, k, l = hydroxide.hkl.T  # noqa: E741
    spacing = 1.0 / np.sqrt((h**2 + k**2) / 3.546**2 + l**2 / 4.334**2)
    for d, share in zip(spacing, hydroxide.relative_intensity / 100.0, strict=True):
        y = y + truth.lioh * share * _line(x, d, 30.0, 0.0, truth)
    return y


def pattern(truth: Truth, seed: int) -> Pattern:
    """One noise draw."""
    return noisy(intensity(truth), np.sqrt(intensity(truth) / truth.counts_per_unit), seed)


def noisy(expected: FloatArray, sigma: FloatArray, seed: int) -> Pattern:
    draw = np.random.default_rng(seed).standard_normal(expected.size)
    return Pattern(axis_deg(), expected + sigma * draw, sigma, np.ones(expected.size))


def _line(x: FloatArray, d_spacing_A: float, size_nm: float, strain: float, truth: Truth) -> FloatArray:
    theta = np.arcsin(WAVELENGTH_M * 1e10 / (2.0 * d_spacing_A))
    gauss_fwhm = float(np.hypot(INSTRUMENT_FWHM_DEG, np.degrees(4.0 * strain * np.tan(theta))))
    lorentz_fwhm = float(np.degrees(0.9 * WAVELENGTH_M * 1e9 / (size_nm * np.cos(theta))))
    radius_mm = (DISTANCE_MM + truth.displacement_mm) * np.tan(2.0 * theta)
    away = x - np.degrees(np.arctan(radius_mm / DISTANCE_MM))
    voigt = voigt_profile(away, gauss_fwhm / np.sqrt(8.0 * np.log(2.0)), 0.5 * lorentz_fwhm)
    if truth.pseudo == 0.0:
        return voigt
    return (1.0 - truth.pseudo) * voigt + truth.pseudo * thompson_cox_hastings(away, gauss_fwhm, lorentz_fwhm)


def thompson_cox_hastings(x: FloatArray, gauss_fwhm: float, lorentz_fwhm: float) -> FloatArray:
    """Pseudo-Voigt profile of unit area (J. Appl. Cryst. 20 (1987) 79)."""
    powers = [1.0, 2.69269, 2.42843, 4.47163, 0.07842, 1.0]
    fwhm = sum(f * gauss_fwhm ** (5 - n) * lorentz_fwhm**n for n, f in enumerate(powers)) ** 0.2
    ratio = lorentz_fwhm / fwhm
    eta = 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3
    lorentz = (0.5 * fwhm / np.pi) / (x**2 + 0.25 * fwhm**2)
    gauss = np.sqrt(4.0 * np.log(2.0) / np.pi) / fwhm * np.exp(-4.0 * np.log(2.0) * (x / fwhm) ** 2)
    return eta * lorentz + (1.0 - eta) * gauss

"""The model of a pattern and its slopes by every parameter, as a weighted matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from ringwatch_pipelines.fit.displacement import seen_angle_from_displacement
from ringwatch_pipelines.fit.fit_layout import FitLayout, PhaseLayout
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.profiles import add_lines
from ringwatch_pipelines.patterns import FloatArray, Pattern
from ringwatch_pipelines.quantities import sigma_from_fwhm


@dataclass(frozen=True, slots=True, eq=False)
class FitBins:
    """The bins of a pattern that lie in the fit's range.

    Parameters
    ----------
    index
        (used,) their index in the pattern.
    angle_and_weight
        (2, used) scattering angle, and 1 / sigma, which is 0 for a bin that does not count.
    weighted_intensity
        (used,) intensity / sigma.
    smooth_rows
        (hump + reference background + Chebyshev terms, used) not weighted.
    """

    index: NDArray[np.int64]
    angle_and_weight: FloatArray
    weighted_intensity: FloatArray
    smooth_rows: FloatArray

    @property
    def counted(self) -> int:
        """Number of bins that count."""
        return int(np.count_nonzero(self.angle_and_weight[1]))


def bins_from_pattern(*, pattern: Pattern, recipe: FitRecipe) -> FitBins:
    """Cut the fit's range out of a pattern; bins without a finite intensity and sigma do not count."""
    angle = pattern.two_theta_deg
    low, high = recipe.two_theta_range_deg
    index = np.flatnonzero((angle >= low) & (angle <= high))
    x, intensity, sigma = angle[index], pattern.intensity[index], pattern.sigma[index]
    counts = np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0.0)
    for first, last in recipe.excluded_deg:
        counts &= (x < first) | (x > last)
    weight = np.where(counts, 1.0 / np.where(counts, sigma, 1.0), 0.0)
    return FitBins(
        index=index,
        angle_and_weight=np.stack([x, weight]),
        weighted_intensity=np.where(counts, intensity, 0.0) * weight,
        smooth_rows=_smooth_rows(x, recipe),
    )


def shape_values(*, layout: PhaseLayout, parameters: FloatArray) -> tuple[FloatArray, float, float]:
    """Free lattice parameters, 1 / size in 1/nm and squared strain of a phase; configured ones where they are fixed."""
    lattice = layout.phase.lattice.free
    rows = layout.rows[0] if len(layout.rows) else np.full(3 + len(lattice), -1, dtype=np.int64)
    squared_strain = parameters[rows[1]] if rows[1] >= 0 else layout.phase.strain**2
    inverse_size = parameters[rows[2]] if rows[2] >= 0 else 1.0 / layout.phase.size_nm
    own = rows[3 : 3 + len(lattice)]
    return np.where(own >= 0, parameters[own], lattice), float(inverse_size), float(squared_strain)


def line_positions(*, recipe: FitRecipe, layout: PhaseLayout, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(lines,) where the lines stand in the pattern, and (lines, free) slopes by the lattice.

    Where the displacement is refined, the slopes have one more column, by the displacement in mm.
    """
    lattice, _, _ = shape_values(layout=layout, parameters=parameters)
    true, by_lattice = layout.phase.lattice.two_theta_deg(
        hkl=layout.hkl, wavelength_m=recipe.wavelength_m, free=lattice
    )
    if recipe.displacement is None or not len(layout.rows):
        return true, by_lattice
    seen, by_angle, by_displacement = seen_angle_from_displacement(
        two_theta_deg=true,
        displacement_mm=float(parameters[layout.rows[0, -1]]),
        distance_m=recipe.displacement.distance_m,
    )
    return seen, np.column_stack([by_lattice * by_angle[:, None], by_displacement])


def line_widths(
    *, layout: PhaseLayout, inverse_size_per_nm: float, squared_strain: float
) -> tuple[FloatArray, FloatArray]:
    """(lines,) sigma and half width of the lines, at the angles of the configured lattice."""
    widths = layout.widths
    sigma = np.sqrt(widths.sigma_deg**2 + squared_strain * widths.sigma_by_strain_deg**2)
    return sigma, widths.hwhm_deg + inverse_size_per_nm * widths.hwhm_by_inverse_size_deg_nm


def design_matrix(*, layout: FitLayout, bins: FitBins, parameters: FloatArray) -> FloatArray:
    """(parameters, used bins) slopes of the weighted model by every parameter.

    The rows of the linear parameters do not depend on their values, so the model itself is their
    product with these rows.
    """
    design = np.zeros((layout.parameters, bins.index.size))
    smooth = len(bins.smooth_rows)
    design[layout.linear - smooth : layout.linear] = bins.smooth_rows * bins.angle_and_weight[1]
    mixing = float(parameters[layout.mixing_row]) if layout.mixing_row >= 0 else 0.0
    for phase in layout.phases:
        if len(phase.rows):
            lines, slopes = _lines(layout.recipe, phase, parameters)
            add_lines(design, bins.angle_and_weight, lines, phase.rows, slopes, mixing, layout.mixing_row)
    return design


def _lines(recipe: FitRecipe, layout: PhaseLayout, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Tables of `profiles.add_lines`; that widths follow the angle is left out of the slopes, a 1e-3 part of them."""
    _, inverse_size, squared_strain = shape_values(layout=layout, parameters=parameters)
    centre, by_position = line_positions(recipe=recipe, layout=layout, parameters=parameters)
    sigma, hwhm = line_widths(layout=layout, inverse_size_per_nm=inverse_size, squared_strain=squared_strain)
    lines = np.stack([centre, sigma, hwhm, layout.share, parameters[layout.rows[:, 0]]], axis=1)
    by_squared_strain = layout.widths.sigma_by_strain_deg**2 / (2.0 * sigma)
    slopes = np.column_stack([by_squared_strain, layout.widths.hwhm_by_inverse_size_deg_nm, by_position])
    return lines, slopes


def hump_share(*, recipe: FitRecipe, two_theta_deg: FloatArray) -> float:
    """Part of the hump's shape that the background of the recipe cannot make itself, as a root mean square.

    Sigma of the hump's height is at least one over it times what it would be on a known background.

    Parameters
    ----------
    two_theta_deg
        (bins,) of a pattern.
    """
    low, high = recipe.two_theta_range_deg
    x = two_theta_deg[(two_theta_deg >= low) & (two_theta_deg <= high)]
    hump, *background = _smooth_rows(x, recipe)
    columns = np.array(background).T / np.linalg.norm(background, axis=1)
    left = hump - columns @ np.linalg.lstsq(columns, hump, rcond=None)[0]
    return float(np.linalg.norm(left) / np.linalg.norm(hump))


def _smooth_rows(x: FloatArray, recipe: FitRecipe) -> FloatArray:
    rows = []
    if recipe.hump is not None:
        sigma = float(sigma_from_fwhm(fwhm=recipe.hump.fwhm_deg))
        rows.append(np.exp(-0.5 * ((x - recipe.hump.two_theta_deg) / sigma) ** 2))
    if recipe.reference_background is not None:
        reference = recipe.reference_background
        rows.append(np.interp(x, reference.two_theta_deg, reference.intensity))
    if x.size:
        middle, half = 0.5 * (x[0] + x[-1]), max(0.5 * (x[-1] - x[0]), 1e-12)
        rows.extend(chebyshev.chebvander((x - middle) / half, recipe.background_terms - 1).T)
    return np.array(rows) if x.size else np.zeros((0, 0))

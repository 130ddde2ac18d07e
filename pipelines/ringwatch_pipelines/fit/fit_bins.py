"""The bins that a fit uses, and the part of its model that no parameter moves."""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.patterns import FloatArray, Pattern
from ringwatch_pipelines.quantities import sigma_from_fwhm


@dataclass(frozen=True, slots=True, eq=False)
class FitGrid:
    """Which bins of a pattern the recipe uses; the same for all patterns of the same angles.

    Parameters
    ----------
    two_theta_deg
        (bins,) of the pattern.
    used
        Bins within the fit's range.
    allowed
        (used,) whether a bin lies outside the excluded regions.
    smooth_rows
        (hump + reference background + Chebyshev terms, used) not weighted.
    """

    two_theta_deg: FloatArray
    used: slice
    allowed: NDArray[np.bool_]
    smooth_rows: FloatArray

    @property
    def angle_deg(self) -> FloatArray:
        """(used,) scattering angle, ascending."""
        return self.two_theta_deg[self.used]


def grid_from_angles(*, two_theta_deg: FloatArray, recipe: FitRecipe) -> FitGrid:
    """Cut the fit's range out of ascending angles."""
    low, high = recipe.two_theta_range_deg
    first, last = np.searchsorted(two_theta_deg, low), np.searchsorted(two_theta_deg, high, side="right")
    used = slice(int(first), int(last))
    x = two_theta_deg[used]
    allowed = np.ones(x.size, dtype=bool)
    for begin, end in recipe.excluded_deg:
        allowed &= (x < begin) | (x > end)
    return FitGrid(two_theta_deg=two_theta_deg, used=used, allowed=allowed, smooth_rows=_smooth_rows(x, recipe))


@dataclass(frozen=True, slots=True, eq=False)
class FitBins:
    """What a pattern says in the bins of a grid.

    Parameters
    ----------
    weight
        (used,) 1 / sigma, which is 0 for a bin that does not count.
    weighted_intensity
        (used,) intensity / sigma.
    """

    grid: FitGrid
    weight: FloatArray
    weighted_intensity: FloatArray

    @property
    def counts(self) -> NDArray[np.bool_]:
        """(used,) whether a bin counts."""
        return self.weight > 0.0

    @property
    def counted(self) -> int:
        """Number of bins that count."""
        return int(np.count_nonzero(self.weight))


def bins_from_pattern(*, pattern: Pattern, recipe: FitRecipe, grid: FitGrid | None = None) -> FitBins:
    """Cut the fit's range out of a pattern; bins without a finite intensity and sigma do not count.

    Parameters
    ----------
    grid
        That of an earlier pattern with the same recipe; a new one is made where the angles are others.
    """
    if grid is None or not np.array_equal(grid.two_theta_deg, pattern.two_theta_deg):
        grid = grid_from_angles(two_theta_deg=pattern.two_theta_deg, recipe=recipe)
    intensity, sigma = pattern.intensity[grid.used], pattern.sigma[grid.used]
    counts = grid.allowed & np.isfinite(intensity) & np.isfinite(sigma) & (sigma > 0.0)
    weight = np.where(counts, 1.0 / np.where(counts, sigma, 1.0), 0.0)
    return FitBins(grid=grid, weight=weight, weighted_intensity=np.where(counts, intensity, 0.0) * weight)


def hump_share(*, recipe: FitRecipe, two_theta_deg: FloatArray) -> float:
    """Part of the hump's shape that the background of the recipe cannot make itself, as a root mean square.

    Sigma of the hump's height is at least one over it times what it would be on a known background.

    Parameters
    ----------
    two_theta_deg
        (bins,) of a pattern.
    """
    hump, *background = grid_from_angles(two_theta_deg=two_theta_deg, recipe=recipe).smooth_rows
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

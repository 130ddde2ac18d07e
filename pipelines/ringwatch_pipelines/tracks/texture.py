"""Smooth ring, spots of coarse grains and preferred orientation, from the azimuthal sectors of one line.

Area of each sector: a linear least-squares fit of the line's known profile on a local linear background.

Smooth part: ``S(phi) = s0 + s1 cos 2 phi + s2 sin 2 phi``. Spots only ever add, so sectors above
``S + k sigma`` are left out. That cuts the upper tail of pure noise too, by ``-lambda sigma`` with
``lambda = pdf(k) / cdf(k)``, the mean of a normal distribution cut at `k`; each kept sector is given this
back. The estimate is then an M-estimate with ``psi(u) = u + lambda`` below `k` and 0 above, unbiased on noise,
whose variance is ``1 / h`` times that of least squares with ``h = cdf(k) - (k + lambda) pdf(k)``; the variance
of total minus smooth is ``1 / h - 1`` times it (Huber & Ronchetti 2009, Robust Statistics, section 3.2).

Spots fainter than the noise of a sector count as smooth: 40 grains of unlike size that hold a tenth of the
line, at 3 % noise a sector, leave 1 % of it there. Where the sectors scatter much more than counting explains,
as with few grains, the width of that scatter is itself uncertain and the errors are too small by up to a factor of 1.6.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ringwatch_pipelines.compiled import compiled
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.operators import SectorPattern
from ringwatch_pipelines.results import Estimate, TextureTrack

CLIP = 2.0
"""k: low, so that faint spots are left out too; what it costs in noise is in the errors."""

FEWEST_SECTORS = 12
_LEAST_COVERED = 0.5
_LEAST_SIGNIFICANCE = 3.0
_START_QUANTILE = 0.35
_MEDIAN_BELOW_START = float(ndtri(_START_QUANTILE) - ndtri(0.5 * _START_QUANTILE))
_MOST_ROUNDS = 50

_PDF = float(np.exp(-0.5 * CLIP**2) / np.sqrt(2 * np.pi))
_CDF = float(ndtr(CLIP))
_SHIFT = _PDF / _CDF
_EFFICIENCY = _CDF - (CLIP + _SHIFT) * _PDF


@dataclass(frozen=True, slots=True, eq=False)
class SectorAreas:
    """The area of one line in each sector of azimuth.

    Parameters
    ----------
    azimuth_deg
        (sectors,) centres.
    area, sigma
        (sectors,) intensity x degree, NaN in a sector that does not show enough of the line.
    """

    azimuth_deg: FloatArray
    area: FloatArray
    sigma: FloatArray


def areas_from_sectors(*, sectors: SectorPattern, profile: FloatArray, others: FloatArray | None = None) -> SectorAreas:
    """Fit the line's profile and a linear background in each sector.

    All sectors share their weights, from the median variance of each radial bin: weights from a sector's
    own counts would favour its low ones.

    Parameters
    ----------
    sectors
        Intensity over azimuth and scattering angle.
    profile
        (radial bins,) the line with an area of 1, per degree.
    others
        (radial bins,) fitted intensity of all other lines (and of the background), taken off first. Bins where it
        is NaN are left out.

    Raises
    ------
    PatternError
        Profile or others do not have the sectors' radial bins.
    """
    bins = sectors.two_theta_deg.shape
    for name, array in (("profile", profile), ("model of the others", others)):
        if array is not None and array.shape != bins:
            raise PatternError(f"expected a {name} of {bins[0]} radial bins as the sectors have, got {array.shape}")
    counts = np.isfinite(sectors.intensity) & np.isfinite(sectors.sigma)
    counts &= sectors.norm > 0
    if others is None:
        others = np.zeros(bins)
    counts &= np.isfinite(others)
    intensity = np.where(counts, sectors.intensity - others, 0.0)
    variance = np.where(counts, sectors.sigma**2, 0.0)
    weights = counts * _shared_weights(sectors.sigma, counts)
    x = sectors.two_theta_deg - sectors.two_theta_deg.mean()
    design = np.stack([profile, np.ones_like(x), x / max(float(np.abs(x).max()), 1e-300)])
    normal = np.einsum("sk,ik,jk->sij", weights, design, design)
    covered = _covered(counts, profile) & (np.linalg.matrix_rank(normal, hermitian=True) == 3)
    normal[~covered] = np.eye(3)
    # Row 0 of the inverse makes the area; everything after is linear in the intensities.
    first = np.linalg.solve(normal, np.broadcast_to(np.eye(3)[:, :1], (len(normal), 3, 1)))[:, :, 0]
    coefficients = weights * (first @ design)
    area = np.where(covered, np.sum(coefficients * intensity, axis=1), np.nan)
    sigma = np.where(covered, np.sqrt(np.sum(coefficients**2 * variance, axis=1)), np.nan)
    return SectorAreas(azimuth_deg=sectors.azimuth_deg, area=read_only(area), sigma=read_only(sigma))


def texture_from_areas(*, label: str, areas: SectorAreas) -> TextureTrack:
    """Spots, smooth part and second harmonic from the areas of the sectors.

    Parameters
    ----------
    label
        Miller indices of the line.
    areas
        Sectors without an area are left out; the smooth part is taken to go on in them.

    Returns
    -------
    TextureTrack
        The share of spots and the harmonic are NaN where the line itself is not seen; all are NaN with
        too few sectors. The harmonic's amplitude has its noise taken off in square (Wardle & Kronberg 1974,
        ApJ 194, 249).
    """
    seen = np.isfinite(areas.area) & (areas.sigma > 0)
    if np.count_nonzero(seen) < FEWEST_SECTORS:
        return TextureTrack(label)
    area, sigma = areas.area[seen], areas.sigma[seen]
    smooth = _fit_smooth(np.deg2rad(areas.azimuth_deg[seen]), area, sigma)
    level, level_sigma = float(smooth.terms[0]), float(np.sqrt(smooth.covariance[0, 0] / _EFFICIENCY))
    found = TextureTrack(label, smooth=Estimate(level, level_sigma))
    total = float(area.mean())
    if total < _LEAST_SIGNIFICANCE * float(np.sqrt(np.sum(smooth.sigma**2))) / area.size:
        return found
    spots = _spot_fraction(area, total, smooth)
    harmonic = _harmonic(smooth) if level > _LEAST_SIGNIFICANCE * level_sigma else Estimate()
    return TextureTrack(label, spot_fraction=spots, smooth=found.smooth, a2=harmonic)


def texture_from_sectors(
    *, label: str, sectors: SectorPattern, profile: FloatArray, others: FloatArray | None = None
) -> TextureTrack:
    """`areas_from_sectors`, then `texture_from_areas`."""
    return texture_from_areas(label=label, areas=areas_from_sectors(sectors=sectors, profile=profile, others=others))


@dataclass(frozen=True, slots=True, eq=False)
class _Smooth:
    """The smooth part.

    Parameters
    ----------
    terms
        Mean, cosine and sine of twice the azimuth.
    covariance
        (3, 3) of least squares on the kept sectors.
    response
        (3, sectors) derivative of the terms by the areas; 0 where a sector is left out.
    design
        (sectors, 3).
    sigma
        (sectors,) with the scatter that counting does not explain.
    """

    terms: FloatArray
    covariance: FloatArray
    response: FloatArray
    design: FloatArray
    sigma: FloatArray


def _shared_weights(sigma: FloatArray, counts: NDArray[np.bool_]) -> FloatArray:
    """(radial bins,) one over the median variance of the sectors that have the bin."""
    those = counts.sum(axis=0)
    ascending = np.sort(np.where(counts, sigma, np.inf), axis=0)
    middle = [np.take_along_axis(ascending, place[None, :], axis=0)[0] for place in ((those - 1) // 2, those // 2)]
    with np.errstate(invalid="ignore"):
        median = np.maximum(0.5 * (middle[0] + middle[1]), np.finfo(float).tiny ** 0.25)
    return np.asarray(np.where(those > 0, 1.0 / median**2, 0.0))


def _covered(counts: NDArray[np.bool_], profile: FloatArray) -> NDArray[np.bool_]:
    """Sectors that show enough of the line."""
    return np.asarray(counts @ profile**2 >= _LEAST_COVERED * np.sum(profile**2))


def _fit_smooth(azimuth_rad: FloatArray, area: FloatArray, sigma: FloatArray) -> _Smooth:
    design = np.stack([np.ones_like(area), np.cos(2 * azimuth_rad), np.sin(2 * azimuth_rad)], axis=1)
    terms = _quantile_fit(design, area, sigma)
    scatter = sigma * _excess(area - design @ terms, sigma)
    fitted, kept = None, np.zeros(area.shape, dtype=np.bool_)
    for _ in range(_MOST_ROUNDS):
        now = area - design @ terms <= CLIP * scatter
        if fitted is not None and np.array_equal(now, kept):
            break
        kept = now
        fitted = _least_squares(design, area + _SHIFT * scatter, scatter, kept)
        terms = fitted.terms
    assert fitted is not None
    return fitted


def _excess(residual: FloatArray, sigma: FloatArray) -> float:
    """How much wider than counting noise the sectors scatter below the start, where no spot reaches; at least 1."""
    pulls = residual / sigma
    below = pulls[pulls < 0]
    return max(1.0, float(np.median(-below)) / _MEDIAN_BELOW_START) if below.size else 1.0


@compiled
def _quantile_fit(design: FloatArray, area: FloatArray, sigma: FloatArray) -> FloatArray:
    """A low quantile of the sectors, by reweighted least squares: a start that most spots cannot lift."""
    weight = np.ones(area.size)
    terms = np.zeros(design.shape[1])
    for _ in range(26):
        weighted = design * weight.reshape(-1, 1)
        terms[:] = np.linalg.solve(design.T @ weighted, weighted.T @ area)
        for sector in range(area.size):
            residual = (area[sector] - design[sector] @ terms) / sigma[sector]
            slope = _START_QUANTILE if residual > 0 else 1.0 - _START_QUANTILE
            weight[sector] = slope / max(abs(residual), 0.1) / sigma[sector] ** 2
    return terms


def _least_squares(design: FloatArray, area: FloatArray, sigma: FloatArray, kept: NDArray[np.bool_]) -> _Smooth:
    weighted = design * (kept / sigma**2)[:, None]
    covariance = np.asarray(np.linalg.pinv(design.T @ weighted, hermitian=True), dtype=np.float64)
    response = covariance @ weighted.T
    return _Smooth(response @ area, covariance, response, design, sigma)


def _spot_fraction(area: FloatArray, total: float, smooth: _Smooth) -> Estimate:
    """One minus smooth over total, both over the sectors that are seen."""
    mean_design = smooth.design.mean(axis=0)
    ratio = float(mean_design @ smooth.terms) / total
    response = mean_design @ smooth.response
    own = np.sum(((response - ratio / area.size) * smooth.sigma) ** 2)
    clipping = (1 / _EFFICIENCY - 1) * np.sum((response * smooth.sigma) ** 2)
    return Estimate(1.0 - ratio, float(np.sqrt(own + clipping)) / total)


def _harmonic(smooth: _Smooth) -> Estimate:
    """Amplitude of the second harmonic over the mean."""
    mean, cosine, sine = smooth.terms
    amplitude = float(np.hypot(cosine, sine))
    direction = np.array([cosine, sine]) / amplitude if amplitude else np.array([1.0, 0.0])
    slope = np.array([-amplitude / mean, *direction]) / mean
    variance = float(slope @ smooth.covariance @ slope) / _EFFICIENCY
    return Estimate(float(np.sqrt(max((amplitude / mean) ** 2 - variance, 0.0))), float(np.sqrt(variance)))

"""Do the rings lie where the calibration says? A wrong ``.poni`` makes patterns that look fine.

The rings of a known phase are looked for as a whole, as a comb of lines that may be scaled in d
spacing, in every sector of azimuth. A wrong distance or wavelength scales the comb, a wrong beam
centre or tilt scales it differently from sector to sector, and another phase fits no comb. Foreign
rings raise the score of a comb by chance only, equally at every scale.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import percentile_filter

from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.operators import SectorPattern

SEARCH = 0.08
"""Largest relative error of d that is looked for."""
STEP = 1e-4
LEAST_CONTRAST = 4.5
"""How far the best scale must stand above the others, in standard deviations of what chance does."""
_TOLD_BINS = 0.25
"""Part of a bin to which rings of unknown strengths are placed; where that is more than the tolerance, it is meant."""
_STRONGEST = 6
_VISIBLE_SIGMAS = 6.0
"""A line is held against the calibration only where it should stand out by so much."""
_ROOM_FWHM, _LEAST_ALONE, _NEIGHBOUR = 1.5, 3, 0.1
"""A line is, where there are so many such, only where others within so many widths have no more than a tenth of it."""


@dataclass(frozen=True, slots=True)
class RingSelfTest:
    """Whether the calibration puts the rings where they are.

    Parameters
    ----------
    passed
        The calibration can be used.
    lines_expected, lines_found
        Lines inside the pattern that stand alone, and those seen within the tolerance of their place; weak ones may
        hide in noise.
    median_offset_ppm, worst_offset_ppm
        Of d over the lines found, measured minus expected; NaN where none was found.
    scale_ppm
        Error of d at which the comb of lines fits best; NaN where it fits nowhere.
    azimuthal_scatter_ppm
        Robust standard deviation over the sectors of the d at which the comb fits; NaN
        where fewer than 3, or less than half of them, show the comb.
    text
        One sentence for an operator.
    """

    passed: bool
    lines_expected: int
    lines_found: int
    median_offset_ppm: float
    worst_offset_ppm: float
    scale_ppm: float
    azimuthal_scatter_ppm: float
    text: str


def ring_self_test(
    *,
    pattern: SectorPattern,
    lines_two_theta_deg: ArrayLike,
    relative_strengths: ArrayLike | None = None,
    tolerance_ppm: float = 1000.0,
) -> RingSelfTest:
    """Compare the rings of a frame with the lines of a phase that is in the beam.

    Parameters
    ----------
    pattern
        One frame over (sectors, radial bins); 8 sectors or more tell a wrong centre from a wrong distance.
    lines_two_theta_deg
        (lines,) where the calibration puts the lines; those outside the pattern are left out.
    relative_strengths
        (lines,) expected strengths, all equal where not given; strong lines weigh more.
    tolerance_ppm
        Largest error of d that is no fault of the calibration; a quarter of a bin is none either.

    Raises
    ------
    PatternError
        Lines and strengths do not belong together.
    """
    lines, weights = _lines_inside(pattern, lines_two_theta_deg, relative_strengths)
    if lines.size < 2:
        text = f"{lines.size} of the expected rings lie inside the pattern, but two are needed to test the calibration"
        return RingSelfTest(False, lines.size, 0, np.nan, np.nan, np.nan, np.nan, text)
    tolerance_ppm = max(tolerance_ppm, 1e6 * _TOLD_BINS * _bin_deg(pattern.two_theta_deg) / float(np.median(lines)))
    mean, sigma = _mean_over_sectors(pattern)
    whole = _comb_offset(pattern.two_theta_deg, mean, sigma, lines, weights)
    sectors = []
    for intensity, noise in zip(pattern.intensity, pattern.sigma, strict=True):
        reached = _has_room(pattern.two_theta_deg, np.isfinite(intensity), lines)
        sectors.append(_comb_offset(pattern.two_theta_deg, intensity, noise, lines[reached], weights[reached]))
    scatter = _scatter(np.array(sectors), lit=int((pattern.norm > 0).any(axis=1).sum()))
    alone = _alone(pattern.two_theta_deg, _excess(mean, sigma, sigmas=4.0), lines, weights)
    lines, weights = lines[alone], weights[alone]
    offsets = _line_offsets(pattern.two_theta_deg, mean, sigma, lines, tolerance_ppm)
    found = np.isfinite(offsets)
    visible = _visible(pattern.two_theta_deg, mean, sigma, _scaled(lines, 1.0 + 1e-6 * np.nan_to_num(whole)), weights)
    share = float(weights[found & visible].sum() / max(weights[visible].sum(), 1e-300))
    fault = _fault(whole, scatter, share, tolerance_ppm, (int(found.sum()), lines.size))
    seen = offsets[found]
    median = float(np.median(seen)) if seen.size else np.nan
    worst = float(seen[np.argmax(np.abs(seen))]) if seen.size else np.nan
    around = f", {scatter:.0f} ppm around the ring" if np.isfinite(scatter) else ""
    text = fault or (
        f"{seen.size} of {lines.size} rings lie where the calibration puts them, {median:+.0f} ppm off in d{around}"
    )
    return RingSelfTest(not fault, lines.size, seen.size, median, worst, whole, scatter, text)


def _bin_deg(two_theta_deg: FloatArray) -> float:
    return float(two_theta_deg[1] - two_theta_deg[0])


def _fault(whole: float, scatter: float, share: float, tolerance_ppm: float, found: tuple[int, int]) -> str:
    """What is wrong, in one sentence; empty when nothing is."""
    if scatter > tolerance_ppm and not scatter < abs(whole):
        return (
            f"the rings lie differently around the azimuth, by {scatter:.0f} ppm in d "
            f"(up to {tolerance_ppm:.0f} are accepted): beam centre or tilt belong to another set-up"
        )
    if not np.isfinite(whole):
        return (
            f"the expected rings stand out nowhere within {100 * SEARCH:.0f} % of their place: "
            "no sample in the beam or too few counts, another phase, or a calibration far off"
        )
    if abs(whole) > tolerance_ppm:
        return (
            f"the rings lie {whole:+.0f} ppm in d from where the calibration puts them "
            f"(up to {tolerance_ppm:.0f} are accepted): distance or wavelength belong to another set-up"
        )
    if share < 0.5 or found[0] < 2:
        return f"only {found[0]} of {found[1]} expected rings lie where the calibration puts them"
    return ""


def _scatter(sectors: FloatArray, *, lit: int) -> float:
    """Robust deviation of the sectors that show the comb; NaN where those are fewer than half of the lit ones."""
    shown = sectors[np.isfinite(sectors)]
    return _robust_deviation(shown) if 2 * shown.size >= lit else float("nan")


def _lines_inside(
    pattern: SectorPattern, lines_two_theta_deg: ArrayLike, relative_strengths: ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    """Lines that lie in filled bins with room on both sides, those nearer than three bins taken as one."""
    lines = np.asarray(lines_two_theta_deg, dtype=np.float64)
    weights = np.ones_like(lines) if relative_strengths is None else np.asarray(relative_strengths, dtype=np.float64)
    if lines.ndim != 1 or weights.shape != lines.shape or not (weights >= 0).all():
        raise PatternError(
            f"one strength of 0 or more is needed for each line, got {weights.shape} strengths for {lines.shape} lines"
        )
    axis = pattern.two_theta_deg
    width = axis[1] - axis[0]
    inside = _has_room(axis, pattern.norm.max(axis=0) > 0, lines) & (weights > 0)
    lines, weights = lines[inside], weights[inside]
    order = np.argsort(lines)
    lines, weights = lines[order], weights[order]
    group = np.cumsum(np.concatenate([[0], np.diff(lines) > 3 * width])[: lines.size]).astype(np.int64)
    total = np.bincount(group, weights=weights)
    # The square root keeps one strong ring from deciding alone.
    return np.bincount(group, weights=weights * lines) / np.maximum(total, 1e-300), np.sqrt(total)


def _has_room(two_theta_deg: FloatArray, filled: NDArray[np.bool_], lines: FloatArray) -> NDArray[np.bool_]:
    """(lines,) True where a line lies in a filled bin with four filled bins on each side."""
    room = np.convolve(filled, np.ones(9), mode="same") > 8.5
    place = np.searchsorted(two_theta_deg, lines)
    inside = (place > 0) & (place < two_theta_deg.size)
    return np.asarray(inside & room[np.minimum(place, two_theta_deg.size - 1)], dtype=np.bool_)


def _mean_over_sectors(pattern: SectorPattern) -> tuple[FloatArray, FloatArray]:
    norm = pattern.norm.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(pattern.intensity * pattern.norm, axis=0) / norm
        sigma = np.sqrt(np.nansum((pattern.sigma * pattern.norm) ** 2, axis=0)) / norm
    return mean, sigma


def _excess(intensity: FloatArray, sigma: FloatArray, *, sigmas: float) -> FloatArray:
    """What stands more than so many `sigmas` above the running background; 0 in empty bins."""
    known = np.isfinite(intensity)
    if known.sum() < 9:
        return np.zeros_like(intensity)
    places = np.arange(intensity.size)
    smooth = np.interp(places, places[known], intensity[known])
    window = max(21, intensity.size // 30) | 1
    background = percentile_filter(smooth, 40, size=window, mode="nearest")
    above = np.where(known, intensity - background, 0.0)
    return np.where(above > sigmas * np.nan_to_num(sigma), above, 0.0)


def _alone(two_theta_deg: FloatArray, excess: FloatArray, lines: FloatArray, weights: FloatArray) -> NDArray[np.bool_]:
    """(lines,) whether a line stands alone: the top of a cluster is nobody's place. All of them where hardly any does.

    `weights` are roots of strengths.
    """
    strongest = np.argsort(-weights, kind="stable")[:_STRONGEST]
    tops = np.searchsorted(two_theta_deg, lines[strongest])
    widths = [_bins_above_half(excess, min(int(top), excess.size - 1)) for top in tops]
    reach = _ROOM_FWHM * float(np.median(widths)) * _bin_deg(two_theta_deg)
    near = np.abs(lines[:, None] - lines[None, :]) <= reach
    others = near @ weights**2 - weights**2
    alone = others <= _NEIGHBOUR * weights**2
    return alone if alone.sum() >= _LEAST_ALONE else np.ones_like(alone)


def _bins_above_half(excess: FloatArray, near: int) -> int:
    """Bins around a place that stand above half of the highest one next to it."""
    top = max(near - 2, 0) + int(np.argmax(excess[max(near - 2, 0) : near + 3]))
    low = np.flatnonzero(excess <= 0.5 * excess[top])
    left, right = low[low < top], low[low > top]
    first = int(left[-1]) + 1 if left.size else 0
    last = int(right[0]) - 1 if right.size else excess.size - 1
    return last - first + 1


def _comb_offset(
    two_theta_deg: FloatArray, intensity: FloatArray, sigma: FloatArray, lines: FloatArray, weights: FloatArray
) -> float:
    """Error of d in ppm at which the comb of lines fits best, or NaN where no scale stands out."""
    # The square root lets weak rings speak beside strong ones.
    if lines.size < 2:
        return float("nan")
    excess = np.sqrt(np.maximum(_excess(intensity, sigma, sigmas=2.0), 0.0))
    scales = np.exp(np.arange(-SEARCH, SEARCH + STEP / 2, STEP))
    places = _scaled(lines[np.newaxis, :], scales[:, np.newaxis])
    values = np.interp(places, two_theta_deg, excess, left=0.0, right=0.0)
    # No line may bring more than a few times its average: a single strong spot is no comb.
    shares = np.minimum(values / (values.mean(axis=0) + 1e-300), 6.0)
    score = shares @ weights
    best = int(np.argmax(score))
    # Were the lines unrelated, their chances would add in squares.
    by_chance = float(np.sqrt((weights**2) @ shares.var(axis=0)))
    visible = weights * _visible(two_theta_deg, intensity, sigma, places[best], weights)
    lit = float(visible[values[best] > 0].sum() / max(visible.sum(), 1e-300))
    if lit < 0.6 or not score[best] - float(np.median(score)) > LEAST_CONTRAST * by_chance:
        return float("nan")
    return float(1e6 * (_vertex(scales, score, best) - 1.0))


def _visible(
    two_theta_deg: FloatArray, intensity: FloatArray, sigma: FloatArray, lines: FloatArray, weights: FloatArray
) -> NDArray[np.bool_]:
    """(lines,) whether a line should stand out of the noise, judged by the strongest ones.

    `weights` are roots of strengths. That others are not seen where counts are few is no fault of the calibration.
    """
    heights = np.interp(lines, two_theta_deg, _excess(intensity, sigma, sigmas=2.0))
    strongest = np.argsort(-weights, kind="stable")[:_STRONGEST]
    height = float(np.median(heights[strongest] / weights[strongest] ** 2)) * weights**2
    return np.asarray(height > _VISIBLE_SIGMAS * np.interp(lines, two_theta_deg, np.nan_to_num(sigma)), dtype=np.bool_)


def _scaled(two_theta_deg: FloatArray, scale: ArrayLike) -> FloatArray:
    """Scattering angle of a line whose d is `scale` times as large (Bragg)."""
    sine = np.sin(np.deg2rad(two_theta_deg) / 2) / np.asarray(scale)
    return np.asarray(np.rad2deg(2 * np.arcsin(np.minimum(sine, 1.0))), dtype=np.float64)


def _vertex(places: FloatArray, score: FloatArray, best: int) -> float:
    """Centre of mass of the top half of a maximum, finer than the grid."""
    level = 0.5 * (score[best] + float(np.median(score)))
    first, last = best, best
    while first > 0 and score[first - 1] > level:
        first -= 1
    while last < score.size - 1 and score[last + 1] > level:
        last += 1
    top = score[first : last + 1] - level
    return float((top * places[first : last + 1]).sum() / top.sum())


def _line_offsets(
    two_theta_deg: FloatArray, intensity: FloatArray, sigma: FloatArray, lines: FloatArray, tolerance_ppm: float
) -> FloatArray:
    """(lines,) error of d in ppm, measured minus expected; NaN where no line is seen within the tolerance."""
    excess = np.maximum(_excess(intensity, sigma, sigmas=4.0), 0.0)
    width = two_theta_deg[1] - two_theta_deg[0]
    offsets = np.full(lines.size, np.nan)
    for index, line in enumerate(lines):
        reach = max(2.5 * width, 2e-6 * tolerance_ppm * line)
        near = np.flatnonzero(np.abs(two_theta_deg - line) <= reach)
        if near.size == 0 or not excess[near].any():
            continue
        top = int(near[np.argmax(excess[near])])
        place = _centre_of_peak(two_theta_deg, excess, top)
        ppm = 1e6 * (np.sin(np.deg2rad(line) / 2) / np.sin(np.deg2rad(place) / 2) - 1.0)
        if abs(ppm) <= tolerance_ppm:
            offsets[index] = ppm
    return offsets


def _centre_of_peak(two_theta_deg: FloatArray, excess: FloatArray, top: int) -> float:
    """Centre of mass of a peak above half its height."""
    level = 0.5 * excess[top]
    first, last = top, top
    while first > 0 and level < excess[first - 1]:
        first -= 1
    while last < excess.size - 1 and level < excess[last + 1]:
        last += 1
    mass = excess[first : last + 1] - level
    return float((mass * two_theta_deg[first : last + 1]).sum() / mass.sum())


def _robust_deviation(values: NDArray[np.float64]) -> float:
    """1.4826 times the median absolute deviation; NaN for fewer than three values."""
    if values.size < 3:
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - np.median(values))))

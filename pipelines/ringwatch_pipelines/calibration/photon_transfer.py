"""Gain and read noise of a detector from pairs of frames (Janesick 2007, Photon Transfer, ch. 5).

The difference of two frames under equal conditions holds noise alone: pedestal and sensitivity of the pixels drop
out. Its variance against the signal is a line; the slope is the gain, the intercept the squared read noise.

- **Blur** of a scintillator correlates neighbouring pixels and takes variance away from single ones. Sums over
  ``k x k`` pixels lose less, in the measure of their edge: ``sqrt(slope)`` is linear in ``1 / k`` for a
  separable blur smaller than k, so two sizes give the slope of an endless superpixel: what a bin of many pixels has.
- **Drift** of the pedestal or of the beam between the frames is smooth: of each two superpixels on either side of
  a third, the difference is taken once more.
- **Bad pixels**, edges of readout blocks and spots that moved are clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray

SMALL, LARGE = 4, 8
"""Sides of the superpixels."""
_SIGNAL_BINS = 24
_LEAST_DIFFERENCES = 200
_CLIP_SIGMAS = 4.5
_MOST_PAIRS = 8
_SHARED = 3.0
"""Variance of an estimated variance times the number of differences: 2, and more since a superpixel enters two."""
_ROWS_OF_A_STEP = 32
_LARGEST_CHANGE = 0.2
_ENOUGH_RANGE = 0.5
"""Range of signals, relative to the largest, over which a slope is told without the dark."""


@dataclass(frozen=True, slots=True, eq=False)
class PhotonTransfer:
    """Gain and read noise with what they rest on; NaN for what cannot be told.

    Parameters
    ----------
    gain, gain_sigma
        Variance over mean, counts squared a count, as sums over many pixels have it.
    read_noise_counts, read_noise_sigma
        Standard deviation of a pixel without beam.
    pixel_gain
        The slope that superpixels of `SMALL` show: how much blur hides.
    signal_counts, variance, variance_sigma
        (points,) mean signal of a pixel above the dark, and the variance a pixel in superpixels of `LARGE`.
    light_pairs, dark_pairs
        How many were used.
    text
        One sentence: what was found, and what cannot be told.
    """

    gain: float
    gain_sigma: float
    read_noise_counts: float
    read_noise_sigma: float
    pixel_gain: float
    signal_counts: FloatArray
    variance: FloatArray
    variance_sigma: FloatArray
    light_pairs: int
    dark_pairs: int
    text: str


def photon_transfer(
    *,
    lights: Sequence[NDArray[Any]],
    darks: Sequence[NDArray[Any]] = (),
    usable: NDArray[np.bool_] | None = None,
    minimum_counts: float | None = None,
    saturation_counts: float | None = None,
) -> PhotonTransfer:
    """Gain and read noise from frames under equal conditions.

    Parameters
    ----------
    lights
        (rows, columns) frames each; the first and second are a pair, the third and fourth, and so on. One
        frame has a wide range of signals, so that pairs at other exposures may be added and need not.
    darks
        Frames without beam. Without one the zero of the signal is not known, and the read noise cannot be told.
    usable
        (rows, columns) False for pixels that never count.
    minimum_counts
        Pixels with fewer counts in a light frame do not count.
    saturation_counts
        Pixels with so many counts do not count.
    """
    shape = (lights or darks)[0].shape if len(lights) or len(darks) else (0, 0)
    good = np.ones(shape, dtype=np.bool_) if usable is None else usable
    if minimum_counts is not None:
        good = good & np.all([light >= minimum_counts for light in lights], axis=0)
    zero = np.mean([np.asarray(dark, dtype=np.float64) for dark in darks], axis=0) if len(darks) else np.zeros(shape)
    light_pairs, unequal = _equal_pairs(lights, zero, good)
    dark_pairs = _pairs(darks)
    if not light_pairs:
        why = "two light frames differ by more than 20 %" if unequal else "it takes two light frames alike"
        return _untold(dark_pairs, good, why)
    fits = {}
    for side in (SMALL, LARGE):
        points = np.concatenate([_points(pair, zero, good, saturation_counts, side) for pair in light_pairs], axis=1)
        ground = _dark_points(dark_pairs, good, side)
        if not points[0].size or np.ptp(points[0]) < _ENOUGH_RANGE * points[0].max():
            # Counts all alike: the frames without beam are the other end of the line.
            points = np.concatenate([points, ground], axis=1)
        if points.shape[1] < 2:
            return _untold(dark_pairs, good, "too few superpixels are free of bad pixels, or all count alike")
        fits[side] = _line(points)
    dark = _dark_points(dark_pairs, good, SMALL)
    return _combined(fits, dark, light_pairs=len(light_pairs), dark_frames=len(darks))


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """Variance against signal, with the points (3, points) that it was laid through."""

    slope: float
    intercept: float
    covariance: FloatArray
    points: FloatArray


Pair = tuple[NDArray[Any], NDArray[Any]]


def _pairs(frames: Sequence[NDArray[Any]]) -> list[Pair]:
    return [(frames[i], frames[i + 1]) for i in range(0, len(frames) - 1, 2)][:_MOST_PAIRS]


def _equal_pairs(lights: Sequence[NDArray[Any]], zero: FloatArray, good: NDArray[np.bool_]) -> tuple[list[Pair], int]:
    """Pairs whose beam differs by little, and how many differ by more."""
    pairs = _pairs(lights)
    kept = [pair for pair in pairs if abs(_ratio(pair, zero, good) - 1.0) < _LARGEST_CHANGE]
    return kept, len(pairs) - len(kept)


def _ratio(pair: Pair, zero: FloatArray, good: NDArray[np.bool_]) -> float:
    """Beam of the first frame over that of the second.

    By the slopes of the signal and not by the signal itself, so that a drift of the pedestal does not enter; the
    ratio of two scatters is not biased by noise that both have alike.
    """
    whole = _sums(good.astype(np.float64), LARGE) == LARGE * LARGE
    both = whole[:, 2:] & whole[:, :-2]
    if both.sum() < _LEAST_DIFFERENCES:
        return 0.0
    sums = [_sums(np.where(good, np.nan_to_num(frame - zero), 0.0), LARGE) for frame in pair]
    first, second = ((frame[:, 2:] - frame[:, :-2])[both] for frame in sums)
    first, second = first - np.median(first), second - np.median(second)
    ratio = 1.0
    for _ in range(6):
        odd = np.abs(first - ratio * second)
        kept = odd <= _CLIP_SIGMAS * 1.4826 * np.median(odd)
        scatter = float((second[kept] ** 2).sum())
        if not scatter > 0.0:
            return 0.0
        ratio = float(np.sqrt((first[kept] ** 2).sum() / scatter))
    return ratio


def _sums(image: FloatArray, side: int) -> FloatArray:
    rows, columns = (length // side for length in image.shape)
    return np.asarray(image[: rows * side, : columns * side].reshape(rows, side, columns, side).sum(axis=(1, 3)))


def _points(
    pair: Pair, zero: FloatArray, good: NDArray[np.bool_], saturation_counts: float | None, side: int
) -> FloatArray:
    """(3, points) signal, variance and its error a pixel, over bins of signal."""
    ratio = _ratio(pair, zero, good)
    first, second = (np.asarray(frame, dtype=np.float64) - zero for frame in pair)
    counted = good & np.isfinite(first) & np.isfinite(second)
    if saturation_counts is not None:
        counted &= (pair[0] < saturation_counts) & (pair[1] < saturation_counts)
    first, second = (np.where(counted, frame, 0.0) for frame in (first, second))
    whole = _sums(counted.astype(np.float64), side) == side * side
    # Frame 1 has the mean signal m, frame 2 has m / ratio: var(1) + ratio^2 var(2) = (1 + ratio) g m + ...
    noise = (_sums(first, side) - ratio * _sums(second, side)) / np.sqrt((1.0 + ratio) * side * side)
    signal = 0.5 * (_sums(first, side) + ratio * _sums(second, side)) / (side * side)
    difference, level = _second_differences(noise, signal, whole)
    if difference.size < _LEAST_DIFFERENCES:
        return np.zeros((3, 0))
    bins = min(_SIGNAL_BINS, difference.size // _LEAST_DIFFERENCES)
    order = np.argsort(level)
    table = [(float(level[part].mean()), *_variance(difference[part])) for part in np.array_split(order, bins)]
    # Pixels that all read the same in both frames, as in a gap nobody masked, are no detector without noise.
    return np.array([point for point in table if point[1] > 0.0], dtype=np.float64).reshape(-1, 3).T


def _dark_points(pairs: Sequence[Pair], good: NDArray[np.bool_], side: int) -> FloatArray:
    """(3, pairs) as `_points`, at no signal."""
    points = []
    whole = _sums(good.astype(np.float64), side) == side * side
    for pair in pairs:
        first, second = (np.where(good, np.asarray(frame, dtype=np.float64), 0.0) for frame in pair)
        noise = (_sums(first, side) - _sums(second, side)) / np.sqrt(2.0 * side * side)
        difference, _ = _second_differences(noise, noise, whole)
        if difference.size >= _LEAST_DIFFERENCES:
            points.append((0.0, *_variance(difference)))
    return np.array(points, dtype=np.float64).reshape(-1, 3).T


def _second_differences(
    noise: FloatArray, signal: FloatArray, whole: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Differences of superpixels two apart, so that no blur joins them, scaled to the variance of one."""
    both = whole[:, 2:] & whole[:, :-2]
    difference = np.where(both, (noise[:, 2:] - noise[:, :-2]) / np.sqrt(2.0), np.nan)
    level = 0.5 * (signal[:, 2:] + signal[:, :-2])
    for rows in np.array_split(np.arange(len(difference)), max(1, len(difference) // _ROWS_OF_A_STEP)):
        # An offset of a whole column of differences is a step between readout blocks that drifted apart.
        enough = both[rows].sum(axis=0) > 3
        block = np.ix_(rows, enough)
        difference[block] -= np.nanmedian(difference[block], axis=0)
        # A median taken off n values takes off a part of 2 / n of their variance, and adds its own, (pi / 2) / n.
        difference[block] /= np.sqrt(1.0 - (2.0 - np.pi / 2.0) / both[rows][:, enough].sum(axis=0))
    return difference[both], level[both]


def _variance(values: FloatArray) -> tuple[float, float]:
    """Variance with outliers clipped, and its error."""
    centre = float(np.median(values))
    width = float(1.4826 * np.median(np.abs(values - centre)))
    kept = values
    for _ in range(8):
        kept = values[np.abs(values - centre) <= _CLIP_SIGMAS * max(width, 1e-12)]
        if kept.size < 2:
            return 0.0, float("inf")
        centre, width = float(kept.mean()), float(kept.std())
    return width**2, float(width**2 * np.sqrt(_SHARED / kept.size))


def _line(points: FloatArray) -> _Line:
    """Straight line; the errors of the points follow the line itself, since those of low variance would pull."""
    signal, variance, error = points
    relative = error / np.maximum(variance, 1e-300)
    for _ in range(4):
        weight = 1.0 / np.maximum(error, 1e-12)
        design = np.stack([signal, np.ones_like(signal)]) * weight
        covariance = np.linalg.pinv(design @ design.T, hermitian=True)
        slope, intercept = covariance @ (design @ (variance * weight))
        error = relative * np.maximum(slope * signal + intercept, 1e-3 * variance.max())
    residual = (variance - slope * signal - intercept) / error
    # Lag, grains and a gain that changes with the signal show as misfit; it widens the errors.
    spread = max(1.0, float(residual @ residual) / max(signal.size - 2, 1))
    return _Line(float(slope), float(intercept), covariance * spread, np.stack([signal, variance, error]))


def _combined(fits: dict[int, _Line], dark: FloatArray, *, light_pairs: int, dark_frames: int) -> PhotonTransfer:
    small, large = fits[SMALL], fits[LARGE]
    signal, variance, error = large.points
    if not (small.slope > 0.0 and large.slope > 0.0):
        text = f"the variance of {light_pairs} pairs of frames does not grow with the signal: the gain cannot be told"
        nan = float("nan")
        return PhotonTransfer(
            nan, nan, nan, nan, nan, read_only(signal), read_only(variance), read_only(error),
            light_pairs, dark.shape[1], text,
        )  # fmt: skip
    reach = LARGE / SMALL
    root = (reach * np.sqrt(large.slope) - np.sqrt(small.slope)) / (reach - 1.0)
    root_variance = (
        reach**2 * large.covariance[0, 0] / (4.0 * large.slope) + small.covariance[0, 0] / (4.0 * small.slope)
    ) / (reach - 1.0) ** 2
    gain, gain_sigma = float(root**2), float(2.0 * root * np.sqrt(root_variance))
    noise, noise_sigma, about_noise = _read_noise(dark) if dark.size else _intercept_noise(small, dark_frames)
    text = f"gain {gain:.4g} +- {gain_sigma:.2g} from {light_pairs} pairs of frames; {about_noise}"
    return PhotonTransfer(
        gain=gain,
        gain_sigma=gain_sigma,
        read_noise_counts=noise,
        read_noise_sigma=noise_sigma,
        pixel_gain=small.slope,
        signal_counts=read_only(signal),
        variance=read_only(variance),
        variance_sigma=read_only(error),
        light_pairs=light_pairs,
        dark_pairs=dark.shape[1],
        text=text,
    )


def _read_noise(dark: FloatArray) -> tuple[float, float, str]:
    """From (3, pairs) frames without beam."""
    variance, error = float(dark[1].mean()), float(np.sqrt((dark[2] ** 2).sum()) / dark.shape[1])
    noise = float(np.sqrt(variance))
    sigma = error / (2.0 * noise) if noise > 0.0 else 0.0
    return noise, sigma, f"read noise {noise:.4g} +- {sigma:.2g} counts from {dark.shape[1]} pairs of darks"


def _intercept_noise(line: _Line, dark_frames: int) -> tuple[float, float, str]:
    """From the variance that is left at no signal, whose zero one dark tells."""
    if not dark_frames:
        return float("nan"), float("nan"), "the read noise cannot be told without a dark frame"
    error = float(np.sqrt(line.covariance[1, 1]))
    if line.intercept < 2.0 * error:
        limit = float(np.sqrt(max(line.intercept, 0.0) + 2.0 * error))
        return float("nan"), float("nan"), f"the read noise is below {limit:.3g} counts; two dark frames would tell it"
    noise = float(np.sqrt(line.intercept))
    return noise, error / (2.0 * noise), f"read noise {noise:.4g} +- {error / (2.0 * noise):.2g} counts"


def _untold(dark_pairs: Sequence[Pair], good: NDArray[np.bool_], why: str) -> PhotonTransfer:
    nan, nothing = float("nan"), read_only(np.zeros(0))
    dark = _dark_points(dark_pairs, good, SMALL)
    noise = noise_sigma = nan
    about_noise = "the read noise cannot be told: it takes two dark frames"
    if dark.size:
        noise, noise_sigma, about_noise = _read_noise(dark)
    text = f"the gain cannot be told: {why}; {about_noise}"
    return PhotonTransfer(
        nan, nan, noise, noise_sigma, nan, nothing, nothing, nothing, 0, dark.shape[1], text
    )  # fmt: skip

"""Whether a measured value is told from zero, and what to say where it is not."""

import numpy as np
from scipy.linalg import lapack

from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.results import Estimate, PeakState

DETECTION_SIGMAS = 3.0
"""A value below so many of its sigmas is ABSENT."""

_ONE_SIDED_95 = 1.645


def upper_limit(*, value: float, sigma: float) -> float:
    """95 % upper limit of a value that cannot be negative: ``max(value, 0) + 1.645 sigma``.

    It covers at least 95 % (Gaussian sigma), and more where the value came out negative.
    """
    return max(value, 0.0) + _ONE_SIDED_95 * sigma


def presence(*, value: float, sigma: float) -> PeakState:
    """Whether a value stands above the detection limit."""
    if not (np.isfinite(value) and np.isfinite(sigma)):
        return PeakState.UNDETERMINED
    return PeakState.PRESENT if value >= DETECTION_SIGMAS * sigma else PeakState.ABSENT


def matched_significance(*, values: FloatArray, covariance: FloatArray, expected: FloatArray) -> float:
    """How many sigmas the amount of an expected set of areas stands above zero.

    The best linear estimate of the amount, ``e C^-1 v / (e C^-1 e)`` over its sigma: areas that cannot be told from
    each other, with their large opposite errors, count by what is known of them together.

    Parameters
    ----------
    values, expected
        (areas,) measured and expected up to a factor.
    covariance
        (areas, areas)
    """
    scale = 1.0 / np.sqrt(np.diagonal(covariance))
    template = expected * scale
    scaled = covariance * np.outer(scale, scale)
    _, weights, problem = lapack.dposv(scaled, template, lower=1)
    if problem:
        weights = np.linalg.lstsq(scaled, template, rcond=1e-12)[0]
    information = float(weights @ template)
    return float(weights @ (values * scale)) / np.sqrt(information) if information > 0.0 else float("nan")


def ratio_from_areas(*, areas: FloatArray, covariance: FloatArray) -> tuple[Estimate, PeakState]:
    """First over second of two areas, with sigma by the delta method.

    Parameters
    ----------
    areas, covariance
        (2,) and (2, 2).

    Returns
    -------
    ratio, state
        ABSENT where the denominator lies below its detection limit.
    """
    if not (np.all(np.isfinite(areas)) and np.all(np.isfinite(covariance))) or areas[1] == 0.0:
        return Estimate(), PeakState.UNDETERMINED
    ratio = areas[0] / areas[1]
    slope = np.array([1.0, -ratio]) / areas[1]
    sigma = float(np.sqrt(slope @ covariance @ slope))
    return Estimate(float(ratio), sigma), presence(value=float(areas[1]), sigma=float(np.sqrt(covariance[1, 1])))

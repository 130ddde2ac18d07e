"""Sums of counts in bins, and the pattern they make.

All static corrections are linear, so a frame is reduced to the sum of raw counts in
each bin; what the dark and the normalisation contribute to a bin is a vector that the
operator knows beforehand. Sums over frames are therefore sums of integers: exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.frames import read_only

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BinSums:
    """Per-bin sums over the pixels (and over the frames) that count.

    Parameters
    ----------
    raw
        (bins,) sum of raw counts; int64 for integer frames without splitting, else float64.
    dark
        (bins,) sum of the dark over the same pixels.
    norm
        (bins,) sum of solid angle x polarisation x flat x monitor over the same pixels.
    variance
        (bins,) variance of ``raw - dark``, in counts squared.
    frames
        How many frames were summed.
    """

    raw: NDArray[np.int64] | FloatArray
    dark: FloatArray
    norm: FloatArray
    variance: FloatArray
    frames: int = 1

    def __add__(self, other: "BinSums") -> "BinSums":
        if self.raw.shape != other.raw.shape:
            raise PatternError(f"sums of {self.raw.size} bins cannot be added to sums of {other.raw.size} bins")
        return BinSums(
            raw=self.raw + other.raw,
            dark=self.dark + other.dark,
            norm=self.norm + other.norm,
            variance=self.variance + other.variance,
            frames=self.frames + other.frames,
        )


@dataclass(frozen=True, slots=True, eq=False)
class RadialAxis:
    """Bins of equal width in scattering angle.

    Parameters
    ----------
    edges_two_theta_deg
        (bins + 1,) ascending.
    pixels_two_theta_deg
        (bins,) mean angle of the pixels in each bin, weighted with their normalisation; None for bin centres.
        A bin holds about a thousand pixels, so that their mean lies off the centre by some 1 % of the bin, the same in
        every frame. On the flank of a strong line that is as much as the noise.
    """

    edges_two_theta_deg: FloatArray
    pixels_two_theta_deg: FloatArray | None = None

    @property
    def two_theta_deg(self) -> FloatArray:
        """(bins,) bin centres in degree."""
        edges = self.edges_two_theta_deg
        return 0.5 * (edges[1:] + edges[:-1])

    @property
    def mean_two_theta_deg(self) -> FloatArray:
        """(bins,) the angle that the intensity of a bin belongs to."""
        return self.two_theta_deg if self.pixels_two_theta_deg is None else self.pixels_two_theta_deg


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Intensity against scattering angle, one sigma beside it.

    Parameters
    ----------
    two_theta_deg
        (bins,) bin centres, ascending.
    intensity
        (bins,) counts a unit of normalisation; NaN in an empty bin.
    sigma
        (bins,) one standard deviation of `intensity`; NaN in an empty bin.
    norm
        (bins,) normalisation (0 in an empty bin).
    """

    two_theta_deg: FloatArray
    intensity: FloatArray
    sigma: FloatArray
    norm: FloatArray

    def __post_init__(self) -> None:
        shapes = {self.two_theta_deg.shape, self.intensity.shape, self.sigma.shape, self.norm.shape}
        if len(shapes) != 1 or self.two_theta_deg.ndim != 1:
            raise PatternError(f"a pattern needs four arrays of one length, got shapes {sorted(shapes)}")


def pattern_from_sums(*, sums: BinSums, axis: RadialAxis) -> Pattern:
    """Corrected intensity and its sigma from per-bin sums.

    ``I = (raw - dark) / norm`` and ``sigma = sqrt(variance) / norm``; pyFAI calls this the
    azimuthal average (Kieffer et al. 2020, J. Appl. Cryst. 53, 5).

    Parameters
    ----------
    sums
        Sums over (bins,).
    axis
        The bins.

    Returns
    -------
    Pattern
        An empty bin is NaN in intensity and sigma.
    """
    filled = sums.norm > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        intensity = np.where(filled, (sums.raw - sums.dark) / sums.norm, np.nan)
        sigma = np.where(filled, np.sqrt(sums.variance) / sums.norm, np.nan)
    return Pattern(
        two_theta_deg=read_only(axis.two_theta_deg),
        intensity=read_only(intensity),
        sigma=read_only(sigma),
        norm=read_only(sums.norm),
    )

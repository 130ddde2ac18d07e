"""Mask, flat, dark, saturation and the noise of a pixel. All fail closed."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.frames import DetectorConditions, read_only
from ringwatch_pipelines.results import Refusal

BoolArray = NDArray[np.bool_]


def checksum_of(array: NDArray[Any]) -> str:
    """Hexadecimal sha256 of an array's shape, type and values, whatever its byte order and layout."""
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    head = f"{native.shape} {native.dtype.kind}{native.dtype.itemsize} "
    return hashlib.sha256(head.encode() + native.tobytes()).hexdigest()


def _require_shape(image: NDArray[Any], shape: tuple[int, int], what: str) -> None:
    if image.shape != shape:
        raise CorrectionError(f"{what} must have the detector's shape {shape}, got {image.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Pixels that never count.

    Parameters
    ----------
    image
        (rows, columns) bool, True is masked.
    origin
        File or rule it came from, for messages.
    """

    image: BoolArray
    origin: str = "mask"
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        if self.image.dtype != np.bool_ or self.image.ndim != 2:
            raise CorrectionError(
                f"the mask from {self.origin} must be a 2-D bool array with True for masked pixels, "
                f"got {self.image.ndim}-D {self.image.dtype}"
            )
        if self.image.all():
            raise CorrectionError(f"the mask from {self.origin} masks every pixel, so no frame could be integrated")
        object.__setattr__(self, "image", read_only(self.image))
        object.__setattr__(self, "checksum", checksum_of(self.image))

    @property
    def masked_fraction(self) -> float:
        """Share of the pixels that are masked, 0 to 1."""
        return float(self.image.mean())


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """Relative sensitivity of the pixels; a pixel that is not finite and positive is taken as masked.

    Parameters
    ----------
    image
        (rows, columns), 1 for a pixel of mean sensitivity.
    origin
        File it came from, for messages.
    """

    image: NDArray[Any]
    origin: str = "flat"
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        if self.image.ndim != 2 or self.image.dtype.kind not in "uif":
            raise CorrectionError(f"the flat from {self.origin} must be a 2-D array of real numbers")
        if not self.usable.any():
            raise CorrectionError(f"the flat from {self.origin} has no finite, positive pixel")
        object.__setattr__(self, "image", read_only(self.image))
        object.__setattr__(self, "checksum", checksum_of(self.image))

    @property
    def usable(self) -> BoolArray:
        """(rows, columns) True where the sensitivity is finite and positive."""
        return np.asarray(np.isfinite(self.image) & (self.image > 0), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Dark:
    """What the detector reads without beam.

    Parameters
    ----------
    image
        (rows, columns) counts of one frame: the mean when several were averaged.
    conditions
        Exposure, gain and trigger mode under which it was taken.
    timestamp_ns
        UTC, nanoseconds since 1970.
    frames
        How many frames were averaged.
    checksum
        sha256 of the image; worked out where it is not given.
    origin
        File, PV or frame it came from, for messages.
    """

    image: NDArray[Any]
    conditions: DetectorConditions = field(default_factory=DetectorConditions)
    timestamp_ns: int = 0
    frames: int = 1
    checksum: str = ""
    origin: str = "dark"

    def __post_init__(self) -> None:
        if self.image.ndim != 2 or self.image.dtype.kind not in "uif":
            raise CorrectionError(
                f"the dark from {self.origin} must be a 2-D array of real numbers, "
                f"got {self.image.ndim}-D {self.image.dtype}"
            )
        if self.frames < 1:
            raise CorrectionError(f"the dark from {self.origin} must be a mean of 1 frame or more, got {self.frames}")
        if not np.isfinite(self.image).all():
            raise CorrectionError(
                f"the dark from {self.origin} must be finite everywhere, but it holds NaN or infinity"
            )
        object.__setattr__(self, "image", read_only(self.image))
        if not self.checksum:
            object.__setattr__(self, "checksum", checksum_of(self.image))


@dataclass(frozen=True, slots=True, eq=False)
class DarkChoice:
    """The dark for a frame, or why there is none.

    Parameters
    ----------
    dark
        None where the frame must be refused.
    index
        Place of the dark in the list, -1 without one.
    refusal, text
        Reason and one sentence where there is no dark.
    """

    dark: Dark | None
    index: int = -1
    refusal: Refusal | None = None
    text: str = ""


def select_dark(darks: Sequence[Dark], *, conditions: DetectorConditions, timestamp_ns: int) -> DarkChoice:
    """Newest dark that is not newer than the frame and was taken under the frame's conditions.

    Parameters
    ----------
    darks
        All darks of the run so far, in any order.
    conditions
        Those of the frame.
    timestamp_ns
        UTC of the frame.
    """
    if not darks:
        return DarkChoice(None, refusal=Refusal.BEFORE_FIRST_DARK, text="no dark has been taken before this frame")
    earlier = [index for index, dark in enumerate(darks) if dark.timestamp_ns <= timestamp_ns]
    if not earlier:
        return DarkChoice(
            None, refusal=Refusal.BEFORE_FIRST_DARK, text=f"all {len(darks)} darks are newer than this frame"
        )
    newest_first = sorted(earlier, key=lambda index: (darks[index].timestamp_ns, index), reverse=True)
    for index in newest_first:
        if not darks[index].conditions.disagreement(conditions):
            return DarkChoice(darks[index], index)
    newest = darks[newest_first[0]]
    mismatch = newest.conditions.disagreement(conditions)
    text = f"no dark fits this frame: the newest one, from {newest.origin}, differs in {mismatch}"
    return DarkChoice(None, refusal=Refusal.NO_VALID_DARK, text=text)


def dead_pixels_from_dark(dark: NDArray[Any]) -> BoolArray:
    """Pixels that read exactly zero although the detector has an offset.

    An integrating panel adds a pedestal to every pixel that works, so a zero in its dark is a pixel
    without readout (whole first and last rows on the Perkin-Elmer panels). A photon counter has a dark of
    zeros; there nothing can be told and nothing is masked.

    Parameters
    ----------
    dark
        (rows, columns) counts without beam.

    Returns
    -------
    BoolArray
        (rows, columns), True is dead.
    """
    if not np.median(dark) > 0:
        return np.zeros(dark.shape, dtype=np.bool_)
    return np.asarray(dark == 0, dtype=np.bool_)


class VarianceKind(StrEnum):
    """Where the variance of a pixel comes from."""

    DETECTOR = "DETECTOR"
    POISSON = "POISSON"


@dataclass(frozen=True, slots=True)
class VarianceModel:
    """Variance of a pixel's raw counts minus dark, in counts squared.

    ``DETECTOR``: ``gain * (raw - dark) + read_noise**2 * (1 + 1 / frames_of_dark)``, the photon-transfer
    relation (Janesick 2007, Photon Transfer, ch. 5); the second part of the read noise comes with a dark only.
    ``POISSON``: ``raw``, and 1 at least in a bin. What pyFAI calls ``poisson`` is 1 at least in a pixel, which makes
    sigma twice too large at a quarter of a photon a pixel.

    Parameters
    ----------
    gain
        Counts squared a count: the slope of variance against signal.
    read_noise_counts
        Standard deviation of a pixel without beam.
    """

    gain: float = 1.0
    read_noise_counts: float = 0.0
    kind: VarianceKind = VarianceKind.DETECTOR

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise CorrectionError(f"the gain of a detector must be positive, got {self.gain:g}")
        if not (math.isfinite(self.read_noise_counts) and self.read_noise_counts >= 0):
            raise CorrectionError(f"the read noise must be 0 counts or more, got {self.read_noise_counts:g}")

    def pedestal_variance(self, *, frames_of_dark: int | None) -> float:
        """Variance of a pixel that got no photon, with the dark's own part where one is taken off."""
        own = self.read_noise_counts**2
        return own if frames_of_dark is None else own * (1.0 + 1.0 / frames_of_dark)


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """What is done to every frame alike.

    Parameters
    ----------
    mask, flat
        None where there is none; the detector's own gaps are masked in any case.
    solid_angle
        Divide by the solid angle of a pixel.
    polarization_factor
        Degree of polarisation in the plane of the ring, -1 to 1; None leaves it out.
    saturation_counts
        A pixel with this many raw counts or more does not count in its frame.
    minimum_counts
        A pixel with fewer raw counts does not count in its frame (photon counters write -1 and -2 into gaps).
    """

    mask: Mask | None = None
    flat: Flat | None = None
    solid_angle: bool = True
    polarization_factor: float | None = None
    saturation_counts: float | None = None
    minimum_counts: float | None = None
    variance: VarianceModel = field(default_factory=VarianceModel)

    def __post_init__(self) -> None:
        factor = self.polarization_factor
        if factor is not None and not -1.0 <= factor <= 1.0:
            raise CorrectionError(f"the polarisation factor must lie between -1 and 1, got {factor:g}")
        low, high = self.minimum_counts, self.saturation_counts
        if (low is not None and math.isnan(low)) or (high is not None and math.isnan(high)):
            raise CorrectionError("saturation and minimum counts must be numbers, got NaN")
        if low is not None and high is not None and not low < high:
            raise CorrectionError(f"saturation must lie above the minimum counts, got {high:g} and {low:g}")

    def require_shape(self, shape: tuple[int, int]) -> None:
        """Raise CorrectionError unless mask and flat have the detector's shape."""
        if self.mask is not None:
            _require_shape(self.mask.image, shape, f"the mask from {self.mask.origin}")
        if self.flat is not None:
            _require_shape(self.flat.image, shape, f"the flat from {self.flat.origin}")

"""A frame to its sums: the operator that is built once and applied to every frame."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import BinSums, FloatArray, RadialAxis
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, VarianceKind
from ringwatch_pipelines.reduction.folds import Counts, Fold, FoldInput, StaticSums
from ringwatch_pipelines.reduction.frame_limits import limits_for, prepared_image


@dataclass(frozen=True, slots=True, eq=False)
class DarkSums:
    """What one dark adds to every bin.

    Parameters
    ----------
    image
        (rows, columns) the dark itself, for pixels that are bad in one frame.
    sums, squares
        (bins,) sums of ``c * dark`` and ``c**2 * dark``.
    frames
        How many frames were averaged into the dark.
    checksum
        That of the dark.
    """

    image: NDArray[Any]
    sums: FloatArray
    squares: FloatArray
    frames: int
    checksum: str


@dataclass(frozen=True, slots=True, eq=False)
class Integrated:
    """One frame in bins.

    Parameters
    ----------
    sums
        Over (bins,).
    photon_variance
        (bins,) the part of the sums' variance that grows with ``raw - dark``.
    saturated_pixels
        Pixels at or above saturation, taken out of this frame.
    bad_pixels
        All pixels taken out of this frame: saturated, below the minimum, not finite.
    """

    sums: BinSums
    photon_variance: FloatArray
    saturated_pixels: int
    bad_pixels: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FoldedOperator:
    """One linear operator from raw counts to bins, with the static sums that go with it.

    Parameters
    ----------
    fold
        How pixels fall into bins.
    shape
        (rows, columns) of a frame.
    corrections
        Limits and noise of a pixel; mask, flat and the rest are folded in already.
    norm
        (bins,) sum of solid angle x polarisation x flat at monitor 1.
    squares
        (bins,) sum of squared coefficients.
    threads
        How many threads share a frame; no result depends on it.
    """

    fold: Fold
    shape: tuple[int, int]
    corrections: Corrections
    norm: FloatArray
    squares: FloatArray
    threads: int = 2

    def dark_sums(self, dark: Dark) -> DarkSums:
        """What `dark` adds to every bin; once for each dark.

        Raises
        ------
        CorrectionError
            The dark has another shape than the frames.
        """
        if dark.image.shape != self.shape:
            raise CorrectionError(
                f"the dark from {dark.origin} must have the shape of the frames {self.shape}, got {dark.image.shape}"
            )
        image = np.ascontiguousarray(dark.image, dtype=dark.image.dtype.newbyteorder("="))
        sums, squares = self.fold.static_sums(image)
        return DarkSums(
            image=read_only(image),
            sums=read_only(sums),
            squares=read_only(squares),
            frames=dark.frames,
            checksum=dark.checksum,
        )

    def integrate(self, image: NDArray[Any], *, dark: DarkSums | None, monitor: float = 1.0) -> Integrated:
        """Sums of one frame.

        Parameters
        ----------
        image
            (rows, columns) raw counts.
        dark
            What the dark adds, or None to take none off.
        monitor
            Incident beam of this frame relative to 1; the normalisation is multiplied with it.

        Raises
        ------
        FrameShapeError, FrameTypeError
            The frame has another shape, or does not hold real numbers.
        CorrectionError
            The monitor is not positive, or the dark was prepared for other bins.
        """
        self._require(dark, monitor)
        return self._corrected(self.count(image), dark, monitor)

    def count(self, image: NDArray[Any]) -> Counts:
        """What the counts of one frame add to the bins: the part of `integrate` that looks at every pixel.

        Raises
        ------
        FrameShapeError, FrameTypeError
            The frame has another shape, or does not hold real numbers.
        """
        counts = prepared_image(image, shape=self.shape)
        limits = limits_for(
            dtype=counts.dtype,
            minimum_counts=self.corrections.minimum_counts,
            saturation_counts=self.corrections.saturation_counts,
        )
        return self.fold.counts(FoldInput(image=counts, limits=limits, threads=self.threads))

    def corrected(self, counts: Counts, *, dark: DarkSums | None, monitor: float = 1.0) -> Integrated:
        """Sums of one frame from what `count` told of it; as `integrate` does in one.

        Raises
        ------
        CorrectionError
            The monitor is not positive, or the dark was prepared for other bins.
        """
        self._require(dark, monitor)
        return self._corrected(counts, dark, monitor)

    def _corrected(self, counts: Counts, dark: DarkSums | None, monitor: float) -> Integrated:
        nothing = np.zeros_like(self.norm)
        static = StaticSums(
            norm=self.norm,
            squares=self.squares,
            dark=nothing if dark is None else dark.sums,
            dark_squares=nothing if dark is None else dark.squares,
        )
        if counts.bad.size:
            static = self.fold.without(static, counts.bad, dark=None if dark is None else dark.image)
        variance, photon_variance = self._variance(counts, static, None if dark is None else dark.frames)
        sums = BinSums(raw=counts.raw, dark=static.dark.copy(), norm=static.norm * monitor, variance=variance)
        return Integrated(
            sums,
            photon_variance=photon_variance,
            saturated_pixels=counts.saturated_pixels,
            bad_pixels=counts.bad.size,
        )

    def _require(self, dark: DarkSums | None, monitor: float) -> None:
        if not 0.0 < monitor < float("inf"):
            raise CorrectionError(f"the monitor of a frame must be finite and positive, got {monitor:g}")
        if dark is not None and (dark.sums.shape != self.norm.shape or dark.image.shape != self.shape):
            raise CorrectionError(
                f"the dark was prepared for {dark.sums.size} bins of frames {dark.image.shape}, "
                f"but this operator has {self.norm.size} bins of frames {self.shape}"
            )

    def _variance(
        self, counts: Counts, static: StaticSums, frames_of_dark: int | None
    ) -> tuple[FloatArray, FloatArray]:
        """(bins,) variance of ``raw - dark``, and the part of it that grows with that.

        A bin counts as one photon at least: sigma is then never 0, which would make an empty bin
        the surest of all, or leave out just those bins whose noise came out low.
        """
        model = self.corrections.variance
        one_photon = np.where(static.squares > 0.0, model.gain, 0.0)
        signal = np.maximum(counts.raw_squares - static.dark_squares, one_photon)
        if model.kind == VarianceKind.POISSON:
            counted = np.maximum(counts.raw_squares, np.where(static.squares > 0.0, 1.0, 0.0))
            return counted, np.minimum(signal, counted)
        photons = np.asarray(model.gain * signal, dtype=np.float64)
        return photons + model.pedestal_variance(frames_of_dark=frames_of_dark) * static.squares, photons


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegrationOperator(FoldedOperator):
    """Frames to radial bins.

    Parameters
    ----------
    axis
        The bins.
    geometry_fingerprint
        That of the geometry it was built from.
    masked_fraction
        Share of the pixels that never count because of the mask, the detector's gaps or the flat.
    """

    axis: RadialAxis
    geometry_fingerprint: str
    masked_fraction: float


@dataclass(frozen=True, slots=True, eq=False)
class SectorPattern:
    """Intensity of one frame over azimuth and scattering angle.

    Parameters
    ----------
    intensity, sigma
        (sectors, radial bins); NaN where no pixel counts.
    norm
        (sectors, radial bins).
    two_theta_deg
        (radial bins,) bin centres.
    azimuth_deg
        (sectors,) centres, 0 to 360.
    """

    intensity: FloatArray
    sigma: FloatArray
    norm: FloatArray
    two_theta_deg: FloatArray
    azimuth_deg: FloatArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SectorOperator(FoldedOperator):
    """Frames to sectors of azimuth by radial bins; its sums are those of (sectors x radial bins,), row by row.

    Parameters
    ----------
    axis
        The radial bins.
    azimuth_deg
        (sectors,) centres, 0 to 360, counted as pyFAI counts chi.
    geometry_fingerprint
        That of the geometry it was built from.
    """

    axis: RadialAxis
    azimuth_deg: FloatArray
    geometry_fingerprint: str

    def sector_pattern(self, image: NDArray[Any], *, dark: DarkSums | None, monitor: float = 1.0) -> SectorPattern:
        """Intensity of one frame over azimuth and scattering angle; raises what `integrate` raises."""
        return self.pattern_of(self.integrate(image, dark=dark, monitor=monitor).sums)

    def pattern_of(self, sums: BinSums) -> SectorPattern:
        """Intensity over azimuth and scattering angle from the sums of one frame or several."""
        grid = (self.azimuth_deg.size, self.axis.two_theta_deg.size)
        with np.errstate(divide="ignore", invalid="ignore"):
            intensity = np.where(sums.norm > 0, (sums.raw - sums.dark) / sums.norm, np.nan)
            sigma = np.where(sums.norm > 0, np.sqrt(sums.variance) / sums.norm, np.nan)
        return SectorPattern(
            intensity=read_only(intensity.reshape(grid)),
            sigma=read_only(sigma.reshape(grid)),
            norm=read_only(sums.norm.reshape(grid)),
            two_theta_deg=self.axis.two_theta_deg,
            azimuth_deg=self.azimuth_deg,
        )

"""Counts of every pixel from a pattern: the detector's own faults and noise included.

One frame is, pixel by pixel::

    light  = shadow * solid_angle * polarisation * exposure * monitor * pattern(2theta)
    charge = gain_map * (light + blur(photon noise)) + zingers,   variance of the noise = adu_per_photon * light
    counts = round(pedestal + drift + charge + lag * earlier charges + read noise)

cut at 0 and at the largest count. What the spread of light in the scintillator does to the lines is part of their
instrument width, a Gaussian; what it does to the photons of neighbouring pixels is the blur here. The photon noise
is Gaussian; at the hundreds of photons a pixel of this detector it cannot be told from Poisson noise, and below 20
photons a pixel true Poisson noise is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.detector_geometry import FlatDetector, PixelAngles, pixel_angles, polarisation_factor
from ringwatch_simulators.detector_maps import (
    DEAD,
    HOT,
    Float32Array,
    OffsetDrift,
    bad_pixels,
    blurred,
    gain_map,
    grown,
    pedestal,
    shadow,
)
from ringwatch_simulators.detector_response import DetectorResponse
from ringwatch_simulators.measured_maps import MeasuredMaps
from ringwatch_simulators.radial_profile import FloatArray, RadialPattern

GRID_STEP_DEG = 2.5e-4
_BLOCK_PIXELS = 1 << 17
_FEW_PHOTONS = 20.0
_RING_HALF_WIDTH_DEG = 0.10


@dataclass(frozen=True, slots=True, eq=False)
class _Ring:
    """The pixels around one lithium line: flat indices, index into the grid, azimuth."""

    pixels: NDArray[np.intp]
    azimuth_rad: Float32Array


class FrameRenderer:
    """Renders frames of one detector.

    Parameters
    ----------
    detector
        Geometry.
    response
        Gain, noise and faults.
    seed
        Decides bad pixels, pedestal and grains.
    maps
        Of a detector that somebody has measured: they stand for those that the seed would decide.
    """

    def __init__(
        self, detector: FlatDetector, response: DetectorResponse, seed: int, maps: MeasuredMaps | None = None
    ) -> None:
        self.detector = detector
        self.response = response
        angles = pixel_angles(detector)
        rng = np.random.default_rng([seed, 1])
        self.grid_deg = np.arange(0.0, float(angles.two_theta_deg.max()) + 2 * GRID_STEP_DEG, GRID_STEP_DEG)
        place = (angles.two_theta_deg / GRID_STEP_DEG).reshape(-1)
        self._index = place.astype(np.int32)
        self._weight = (place - self._index).astype(np.float32)
        self._two_theta = angles.two_theta_deg.reshape(-1).astype(np.float32)
        self._azimuth = angles.azimuth_rad.reshape(-1).astype(np.float32)
        self._bad = bad_pixels(detector.shape, response, rng)
        self._shadow = shadow(angles, detector, response)
        self._throughput = self._transmission(angles)
        self._gain = gain_map(detector.shape, response, rng)
        self._flat_seed = int(rng.integers(2**31))
        self.pedestal = pedestal(detector.shape, response, rng)
        self._drift = OffsetDrift(detector.shape, response, rng)
        self._rings: dict[float, _Ring] = {}
        if maps is not None:
            self._take_over(maps)

    def _take_over(self, maps: MeasuredMaps) -> None:
        if maps.bad is not None:
            self._bad = np.where(maps.bad, DEAD, 0).astype(np.uint8).reshape(-1)
        if maps.flat is not None:
            self._gain = maps.flat.reshape(-1)
        if maps.offset is not None:
            self.pedestal = maps.offset.reshape(-1)

    def mask(self) -> NDArray[np.uint8]:
        """1 where a pixel must not be used: bad, or in the shadow and its edge; (rows, columns)."""
        dark = grown(self._shadow.reshape(self.detector.shape) < 1.0, 2)
        return np.asarray(dark | (self._bad.reshape(self.detector.shape) != 0), dtype=np.uint8)

    def flat(self) -> Float32Array:
        """Sensitivity of every pixel as a flat-field measurement finds it, (rows, columns)."""
        true = np.ones(self._index.size, np.float32) if self._gain is None else self._gain
        error = np.random.default_rng(self._flat_seed).standard_normal(true.size, dtype=np.float32)
        return np.asarray(true * (1.0 + np.float32(self.response.flat_error) * error)).reshape(self.detector.shape)

    def expected(self, pattern: RadialPattern, rings: dict[float, FloatArray], scale: float) -> Float32Array:
        """(rows, columns) mean counts of the light.

        Parameters
        ----------
        pattern
            On `grid_deg`.
        rings
            For each lithium line's 2theta the modulation of its intensity, (azimuths,) over the full turn with mean 1.
        scale
            Monitor times relative exposure.
        """
        total = ((pattern.smooth + pattern.lithium) * scale).astype(np.float32)
        light = np.empty(self._index.size, np.float32)
        for block in self._blocks():
            index, weight = self._index[block], self._weight[block]
            low = total[index]
            light[block] = (low + (total[index + 1] - low) * weight) * self._throughput[block]
        lithium = pattern.lithium * scale
        for line_deg, modulation in rings.items():
            ring = self._ring(line_deg)
            local = np.interp(self._two_theta[ring.pixels], self.grid_deg, lithium)
            turn = (ring.azimuth_rad / (2 * np.pi) % 1.0) * modulation.size
            light[ring.pixels] += local * (modulation[turn.astype(np.intp)] - 1.0) * self._throughput[ring.pixels]
        return light.reshape(self.detector.shape)

    def charge(self, light: Float32Array, rng: np.random.Generator) -> Float32Array:
        """What one exposure to `light` leaves in the pixels, with the noise of its photons; (rows, columns)."""
        charge = self._with_photon_noise(light.reshape(-1), rng).reshape(self.detector.shape)
        if self.response.blur > 0.0:
            charge = light + blurred(charge - light, self.response.blur)
        if self._gain is not None:
            charge *= self._gain.reshape(self.detector.shape)
        hits = rng.poisson(self.response.zingers)
        where = rng.integers(0, charge.size, hits)
        np.add.at(charge.reshape(-1), where, rng.exponential(self.response.zinger_adu, hits).astype(np.float32))
        return charge

    def readout(self, charge: Float32Array | None, rng: np.random.Generator, course: float = 0.0) -> NDArray[Any]:
        """Counts (rows, columns) of a `charge` (None for none) when a part of the run, 0 to 1, is over."""
        drift = self._drift.at(course)
        offsets = self.pedestal if drift is None else self.pedestal + drift
        noise = np.float32(self.response.read_noise_adu)
        out = np.empty(self._index.size, self.response.dtype)
        flat = None if charge is None else charge.reshape(-1)
        for block in self._blocks():
            values = rng.standard_normal(block.stop - block.start, dtype=np.float32) * noise
            values += offsets[block]
            if flat is not None:
                values += flat[block]
            np.rint(values, out=values)
            out[block] = np.clip(values, 0.0, self.response.largest_count)
        out[self._bad == DEAD] = 0
        out[self._bad == HOT] = self.response.largest_count
        return out.reshape(self.detector.shape)

    def _with_photon_noise(self, light: Float32Array, rng: np.random.Generator) -> Float32Array:
        gain = np.float32(self.response.adu_per_photon)
        charge = np.empty(light.size, np.float32)
        for block in self._blocks():
            lit = light[block]
            values = rng.standard_normal(lit.size, dtype=np.float32)
            values *= np.sqrt(lit * gain)
            values += lit
            few = np.flatnonzero((lit > 0) & (lit < _FEW_PHOTONS * gain))
            if few.size:
                values[few] = rng.poisson(lit[few] / gain).astype(np.float32) * gain
            charge[block] = values
        return charge

    def _transmission(self, angles: PixelAngles) -> Float32Array:
        light = angles.solid_angle * polarisation_factor(angles, self.response.polarisation)
        return np.asarray(light.reshape(-1) * self._shadow, dtype=np.float32)

    def _ring(self, line_deg: float) -> _Ring:
        key = round(line_deg, 2)
        if key not in self._rings:
            pixels = np.flatnonzero(np.abs(self._two_theta - key) < _RING_HALF_WIDTH_DEG)
            self._rings[key] = _Ring(pixels, self._azimuth[pixels])
        return self._rings[key]

    def _blocks(self) -> Iterator[slice]:
        for start in range(0, self._index.size, _BLOCK_PIXELS):
            yield slice(start, min(start + _BLOCK_PIXELS, self._index.size))


def ring_modulation(
    *, spot_fraction: float, second_harmonic: float, grains: NDArray[np.float64], azimuths: int = 7200
) -> FloatArray:
    """Intensity along a ring with mean 1: a smooth part with texture, and spots.

    Parameters
    ----------
    grains
        (grains, 2): azimuth in radian and strength of each grain.
    """
    turn = np.arange(azimuths) * (2 * np.pi / azimuths)
    smooth = 1.0 + second_harmonic * np.cos(2.0 * turn)
    width = np.radians(0.6)
    distance = np.mod(turn - grains[:, :1] + np.pi, 2 * np.pi) - np.pi
    spots = grains[:, 1] @ np.exp(-0.5 * (distance / width) ** 2)
    if spots.max() <= 0.0:
        return np.asarray(smooth / smooth.mean())
    return np.asarray((1.0 - spot_fraction) * smooth / smooth.mean() + spot_fraction * spots / spots.mean())

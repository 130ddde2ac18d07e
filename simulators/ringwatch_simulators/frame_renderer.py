"""Counts of every pixel from a pattern: the detector's own faults and noise included.

One frame is, pixel by pixel::

    expected = pedestal + gain_map * shadow * solid_angle * polarisation * exposure * monitor * pattern(2theta)
    counts   = round(expected + noise),  variance = adu_per_photon * (expected - pedestal) + read_noise^2

cut at 0 and at the largest count. The noise is Gaussian; at the hundreds of photons a pixel of this
detector it cannot be told from Poisson noise, and below 20 photons a pixel true Poisson noise is drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.detector_geometry import FlatDetector, PixelAngles, pixel_angles, polarisation_factor
from ringwatch_simulators.radial_profile import FloatArray, RadialPattern

Float32Array = NDArray[np.float32]

GRID_STEP_DEG = 2.5e-4
_BLOCK_PIXELS = 1 << 17
_FEW_PHOTONS = 20.0
_RING_HALF_WIDTH_DEG = 0.10


@dataclass(frozen=True, slots=True)
class DetectorResponse:
    """How the detector turns light into counts.

    Parameters
    ----------
    adu_per_photon
        Gain, the variance over the mean of the light's counts.
    read_noise_adu
        Standard deviation of the noise that is there without light.
    pedestal_adu, block_step_adu, block_columns
        Mean of the dark image, largest step between readout blocks, and their width.
    gain_spread
        Standard deviation of the pixels' sensitivities.
    lag
        Share of the previous frame's light that is seen again.
    bad_pixels, bad_lines
        How many dead or hot pixels and dead columns.
    beam_stop_deg
        Radius of the beam stop's shadow; 0 for none. Its arm points along axis 1.
    largest_count
        Where the detector saturates.
    polarisation
        Degree of horizontal polarisation.
    """

    adu_per_photon: float = 1.5
    read_noise_adu: float = 4.0
    pedestal_adu: float = 2800.0
    block_step_adu: float = 300.0
    block_columns: int = 128
    gain_spread: float = 0.0
    lag: float = 0.0
    bad_pixels: int = 400
    bad_lines: int = 2
    beam_stop_deg: float = 0.55
    largest_count: int = 65535
    polarisation: float = 0.99


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
    """

    def __init__(self, detector: FlatDetector, response: DetectorResponse, seed: int) -> None:
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
        self._bad = _bad_pixels(detector.shape, response, rng)
        self._shadow = _shadow(angles, detector, response)
        self._throughput = self._sensitivity(angles, rng)
        self.pedestal = _pedestal(detector.shape, response, rng)
        self._rings: dict[float, _Ring] = {}

    def mask(self) -> NDArray[np.uint8]:
        """1 where a pixel must not be used: bad, or in the shadow and its edge; (rows, columns)."""
        shadow = _grown(self._shadow.reshape(self.detector.shape) < 1.0, 2)
        return np.asarray(shadow | (self._bad.reshape(self.detector.shape) != 0), dtype=np.uint8)

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

    def counts(self, light: Float32Array | None, rng: np.random.Generator) -> NDArray[np.uint16]:
        """One readout of `light` (None for a dark frame), with noise, (rows, columns) uint16."""
        out = np.empty(self._index.size, np.uint16)
        flat = None if light is None else light.reshape(-1)
        for block in self._blocks():
            lit = None if flat is None else flat[block]
            values = self.pedestal[block] + self._noisy(lit, block, rng)
            np.rint(values, out=values)
            out[block] = np.clip(values, 0.0, self.response.largest_count)
        out[self._bad == 1] = 0
        out[self._bad == 2] = self.response.largest_count
        return out.reshape(self.detector.shape)

    def _noisy(self, lit: Float32Array | None, block: slice, rng: np.random.Generator) -> Float32Array:
        read_square = np.float32(self.response.read_noise_adu**2)
        noise = rng.standard_normal(block.stop - block.start, dtype=np.float32)
        if lit is None:
            return np.asarray(noise * np.sqrt(read_square))
        gain = np.float32(self.response.adu_per_photon)
        values = lit + noise * np.sqrt(lit * gain + read_square)
        few = np.flatnonzero((lit > 0) & (lit < _FEW_PHOTONS * gain))
        if few.size:
            drawn = rng.poisson(lit[few] / gain).astype(np.float32) * gain
            values[few] = drawn + noise[few] * np.sqrt(read_square)
        return np.asarray(values)

    def _sensitivity(self, angles: PixelAngles, rng: np.random.Generator) -> Float32Array:
        light = angles.solid_angle * polarisation_factor(angles, self.response.polarisation)
        if self.response.gain_spread > 0.0:
            light = light * rng.normal(1.0, self.response.gain_spread, self.detector.shape).clip(0.5, 1.5)
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


def _bad_pixels(shape: tuple[int, int], response: DetectorResponse, rng: np.random.Generator) -> NDArray[np.uint8]:
    """0 good, 1 dead, 2 hot."""
    bad = np.zeros(shape, np.uint8)
    if response.bad_lines:
        bad[:, rng.choice(shape[1], response.bad_lines, replace=False)] = 1
        bad[[0, -1], :] = 1
    where = rng.choice(bad.size, min(response.bad_pixels, bad.size // 10), replace=False)
    bad.reshape(-1)[where] = rng.integers(1, 3, where.size)
    return bad.reshape(-1)


def _pedestal(shape: tuple[int, int], response: DetectorResponse, rng: np.random.Generator) -> Float32Array:
    rows, columns = shape
    blocks = -(-columns // response.block_columns)
    steps = rng.uniform(-1.0, 1.0, (2, blocks)) * response.block_step_adu
    pedestal = np.full(shape, response.pedestal_adu)
    half = rows // 2
    pedestal[:half] += np.repeat(steps[0], response.block_columns)[:columns]
    pedestal[half:] += np.repeat(steps[1], response.block_columns)[:columns]
    pedestal += rng.normal(0.0, 0.02 * response.block_step_adu, shape)
    return np.asarray(pedestal.reshape(-1), dtype=np.float32)


def _shadow(angles: PixelAngles, detector: FlatDetector, response: DetectorResponse) -> Float32Array:
    """1 in the light, 0 behind the beam stop and its arm of 8 pixels."""
    light = np.ones(detector.shape)
    if response.beam_stop_deg > 0.0:
        radius = angles.two_theta_deg * detector.distance_m * np.pi / 180.0
        along, across = radius * np.sin(angles.azimuth_rad), radius * np.cos(angles.azimuth_rad)
        arm = (along > 0.0) & (np.abs(across) < 4 * detector.pixel_m)
        light[(angles.two_theta_deg < response.beam_stop_deg) | arm] = 0.0
    return np.asarray(light.reshape(-1), dtype=np.float32)


def _grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    grown = mask.copy()
    for axis in (0, 1):
        for _ in range(pixels):
            before = grown.copy()
            for shift in (1, -1):
                moved = np.roll(before, shift, axis)
                edge = [slice(None), slice(None)]
                edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
                moved[tuple(edge)] = False
                grown |= moved
    return grown

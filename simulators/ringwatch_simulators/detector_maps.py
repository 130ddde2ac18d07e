"""What differs from pixel to pixel and stays as it is: bad pixels, offsets, sensitivities, shadow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.detector_geometry import FlatDetector, PixelAngles
from ringwatch_simulators.detector_response import DetectorResponse

Float32Array = NDArray[np.float32]

DEAD, HOT = 1, 2
_DRIFT_WAVES = 3.0
"""Of the wandering part of an offset over a run, as from a day's temperature."""


def bad_pixels(shape: tuple[int, int], response: DetectorResponse, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(pixels,) 0 where good, else DEAD or HOT."""
    bad = np.zeros(shape, np.uint8)
    if response.bad_lines:
        bad[:, rng.choice(shape[1], response.bad_lines, replace=False)] = DEAD
        bad[[0, -1], :] = DEAD
    where = rng.choice(bad.size, min(response.bad_pixels, bad.size // 10), replace=False)
    bad.reshape(-1)[where] = rng.integers(DEAD, HOT + 1, where.size)
    return bad.reshape(-1)


def pedestal(shape: tuple[int, int], response: DetectorResponse, rng: np.random.Generator) -> Float32Array:
    """(pixels,) offsets: a mean, a step for each readout block, a little for each pixel."""
    steps = rng.uniform(-1.0, 1.0, (2, _blocks(shape, response))) * response.block_step_adu
    offsets = response.pedestal_adu + _on_blocks(steps, shape, response)
    offsets += rng.normal(0.0, 0.02 * response.block_step_adu, shape)
    return np.asarray(offsets.reshape(-1), dtype=np.float32)


class OffsetDrift:
    """How the offsets of the readout blocks wander in the course of a run."""

    def __init__(self, shape: tuple[int, int], response: DetectorResponse, rng: np.random.Generator) -> None:
        self._shape = shape
        self._response = response
        self._linear, self._wave = rng.standard_normal((2, 2, _blocks(shape, response)))

    def at(self, course: float) -> Float32Array | None:
        """(pixels,) change of the offsets when this part of the run, 0 to 1, is over; None for no drift at all."""
        if self._response.block_drift_adu <= 0.0:
            return None
        wave = 0.3 * np.sin(2.0 * np.pi * _DRIFT_WAVES * course)
        steps = self._response.block_drift_adu * (self._linear * course + self._wave * wave)
        return _on_blocks(steps.astype(np.float32), self._shape, self._response).reshape(-1)


def gain_map(shape: tuple[int, int], response: DetectorResponse, rng: np.random.Generator) -> Float32Array | None:
    """(pixels,) sensitivity relative to the mean, or None where all are alike."""
    if response.gain_spread <= 0.0 and response.block_gain_spread <= 0.0:
        return None
    steps = 1.0 + response.block_gain_spread * rng.standard_normal((2, _blocks(shape, response)))
    gains = _on_blocks(steps, shape, response) * rng.normal(1.0, response.gain_spread, shape)
    return np.asarray(np.clip(gains, 0.5, 1.5).reshape(-1), dtype=np.float32)


def shadow(angles: PixelAngles, detector: FlatDetector, response: DetectorResponse) -> Float32Array:
    """(pixels,) 1 in the light, 0 behind the beam stop and its arm of 8 pixels."""
    light = np.ones(detector.shape)
    if response.beam_stop_deg > 0.0:
        radius = angles.two_theta_deg * detector.distance_m * np.pi / 180.0
        along, across = radius * np.sin(angles.azimuth_rad), radius * np.cos(angles.azimuth_rad)
        arm = (along > 0.0) & (np.abs(across) < 4 * detector.pixel_m)
        light[(angles.two_theta_deg < response.beam_stop_deg) | arm] = 0.0
    return np.asarray(light.reshape(-1), dtype=np.float32)


def grown(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """`mask` with a rim of so many pixels."""
    wider = mask.copy()
    for axis in (0, 1):
        for _ in range(pixels):
            before = wider.copy()
            for shift in (1, -1):
                moved = np.roll(before, shift, axis)
                edge = [slice(None), slice(None)]
                edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
                moved[tuple(edge)] = False
                wider |= moved
    return wider


def blurred(image: Float32Array, share: float) -> Float32Array:
    """`image` (rows, columns) with a `share` of each pixel moved to each neighbour along both axes; none is lost."""
    for axis in (0, 1):
        lines = image if axis == 0 else image.T
        out = lines * np.float32(1.0 - 2.0 * share)
        out[1:] += lines[:-1] * np.float32(share)
        out[:-1] += lines[1:] * np.float32(share)
        out[[0, -1]] += lines[[0, -1]] * np.float32(share)
        image = out if axis == 0 else out.T
    return np.ascontiguousarray(image)


def _blocks(shape: tuple[int, int], response: DetectorResponse) -> int:
    return -(-shape[1] // response.block_columns)


def _on_blocks(values: NDArray[Any], shape: tuple[int, int], response: DetectorResponse) -> NDArray[Any]:
    """(rows, columns) from the values (2, blocks) of the upper and lower half."""
    rows, columns = shape
    image = np.empty(shape, values.dtype)
    image[: rows // 2], image[rows // 2 :] = np.repeat(values, response.block_columns, axis=1)[:, :columns]
    return image

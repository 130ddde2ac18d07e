"""Mask, flat and offset of a detector that somebody has measured, from their files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.detector_maps import Float32Array
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.recorded import RecordedFrames
from ringwatch_simulators.supply import Exposure


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredMaps:
    """Each (rows, columns), or None where the detector's model decides.

    Parameters
    ----------
    bad
        Pixels that must not be used; they count nothing.
    flat
        Sensitivity relative to the mean.
    offset
        Mean counts without light.
    """

    bad: NDArray[np.bool_] | None = None
    flat: Float32Array | None = None
    offset: Float32Array | None = None


def measured_maps(
    *, mask: Path | None, flat: Path | None, darks: tuple[Path, ...], shape: tuple[int, int]
) -> MeasuredMaps:
    """Read them.

    Raises
    ------
    SimulatorError
        A file cannot be read, or is for another detector.
    """
    sensitivity = None if flat is None else _mean_image((flat,), shape)
    if sensitivity is not None:
        sensitivity = np.where(sensitivity > 0.0, sensitivity / sensitivity[sensitivity > 0.0].mean(), 0.0)
    return MeasuredMaps(
        bad=None if mask is None else _mean_image((mask,), shape) != 0,
        flat=None if sensitivity is None else sensitivity.astype(np.float32),
        offset=_mean_image(darks, shape).astype(np.float32) if darks else None,
    )


def _mean_image(paths: tuple[Path, ...], shape: tuple[int, int]) -> NDArray[np.float64]:
    frames = RecordedFrames([str(path) for path in paths])
    total = np.zeros(shape)
    for index in range(len(frames)):
        image = frames.frame(Exposure(index, 0.0)).image
        if image.shape != shape:
            raise ScenarioError(f"expected images of {shape} (rows, columns) in {paths[0]}, got {image.shape}")
        total += image
    return total / len(frames)

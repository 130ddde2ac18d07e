"""The newest pattern as the page draws it: with its fit, and what the fit leaves in units of sigma."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.dashboard.contents import text

MOST_POINTS = 2000


class ShownPattern:
    """Keeps the bins of the run and the newest pattern."""

    def __init__(self) -> None:
        self._two_theta_deg: NDArray[Any] | None = None
        self._intensity: NDArray[Any] | None = None
        self._beside: dict[str, NDArray[np.float64]] = {}
        self._frame = -1
        self._cell = ""

    def begin(self, start: StreamMessage) -> None:
        """Take the bins from the start of a run."""
        self._two_theta_deg = _line(dict(start.arrays).get("two_theta_deg"))

    def take(self, message: StreamMessage) -> None:
        """Take a pattern."""
        arrays = dict(message.arrays)
        self._intensity = _line(arrays.get("I"))
        self._beside = {} if self._intensity is None else _beside(self._intensity, arrays)
        self._frame, self._cell = message.frame, text(message.data.get("cell_name"))

    def state(self) -> dict[str, Any] | None:
        """Angles, intensities and the fit; of more than some thousand bins the lowest and the highest in each stretch.

        Without a fit ``fit``, ``background`` and ``residual`` are left out.
        """
        angles, intensity = self._two_theta_deg, self._intensity
        if angles is None or intensity is None or angles.size != intensity.size:
            return None
        keep = _kept(intensity)
        return {
            "frame": self._frame,
            "cell": self._cell,
            "x": [_number(value) for value in angles[keep]],
            "y": [_number(value) for value in intensity[keep]],
            **{name: [_number(value) for value in values[keep]] for name, values in self._beside.items()},
        }


def _beside(intensity: NDArray[Any], arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Fit, background and residual over the same bins, where all of them were told."""
    told = [_line(arrays.get(name)) for name in ("fitted", "background", "I_errors")]
    lines = [line.astype(np.float64) for line in told if line is not None and line.size == intensity.size]
    if len(lines) < len(told):
        return {}
    fitted, background, sigma = lines
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = (intensity - fitted) / sigma
    return {"fit": fitted, "background": background, "residual": residual}


def _line(array: NDArray[Any] | None) -> NDArray[Any] | None:
    return array if array is not None and array.ndim == 1 and array.dtype.kind in "iuf" else None


def _kept(intensity: NDArray[Any]) -> NDArray[np.int64]:
    if intensity.size <= MOST_POINTS:
        return np.arange(intensity.size)
    stretches = np.array_split(np.arange(intensity.size), MOST_POINTS // 2)
    filled = np.nan_to_num(intensity.astype(np.float64))
    ends = [{int(part[filled[part].argmin()]), int(part[filled[part].argmax()])} for part in stretches]
    return np.array(sorted(set().union(*ends)), dtype=np.int64)


def _number(value: Any) -> float | None:
    plain = float(value)
    return float(f"{plain:.6g}") if math.isfinite(plain) else None

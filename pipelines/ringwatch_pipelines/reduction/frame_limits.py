"""Which raw counts count, and a frame as the compiled loops want it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.errors import FrameShapeError, FrameTypeError

COUNTS = frozenset(np.dtype(name) for name in ("u1", "u2", "u4", "i1", "i2", "i4", "i8", "f2", "f4", "f8"))
"""What a frame may hold. Unsigned 64 bit may not: sums would not be exact, and no detector writes it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Raw counts that count: ``low <= counts <= high``, in the type of the frame."""

    low: Any
    high: Any


def limits_for(*, dtype: np.dtype[Any], minimum_counts: float | None, saturation_counts: float | None) -> Limits:
    """Limits in the frame's own type; for floats they leave out NaN and both infinities.

    Parameters
    ----------
    minimum_counts
        Least counts that count.
    saturation_counts
        Least counts that do not count any more.

    Raises
    ------
    FrameTypeError
        No value of this type lies within the limits.
    """
    low, high = (
        _float_limits(dtype, minimum_counts, saturation_counts)
        if dtype.kind == "f"
        else _integer_limits(np.iinfo(dtype), minimum_counts, saturation_counts)
    )
    if not low <= high:
        raise FrameTypeError(
            f"counts from {minimum_counts} to below {saturation_counts} were expected, but {dtype} holds none of them"
        )
    return Limits(dtype.type(low), dtype.type(high))


def _float_limits(dtype: np.dtype[Any], minimum: float | None, saturation: float | None) -> tuple[Any, Any]:
    widest = np.finfo(dtype)
    low = widest.min if minimum is None or minimum < widest.min else dtype.type(minimum)
    if saturation is None or saturation > widest.max:
        return low, widest.max
    return low, np.nextafter(dtype.type(saturation), dtype.type(-np.inf))


def _integer_limits(widest: Any, minimum: float | None, saturation: float | None) -> tuple[int, int]:
    low, high = int(widest.min), int(widest.max)
    if minimum is not None and minimum > low:
        low = int(np.ceil(minimum)) if minimum <= high else high + 1
    if saturation is not None and saturation <= high:
        high = int(np.ceil(saturation)) - 1 if saturation > widest.min else low - 1
    return low, high


def prepared_image(image: NDArray[Any], *, shape: tuple[int, int]) -> NDArray[Any]:
    """The frame as a contiguous array of the machine's byte order; copied only where it is not one.

    Raises
    ------
    FrameShapeError, FrameTypeError
        The frame has another shape, or does not hold real numbers that can be summed exactly.
    """
    if image.shape != shape:
        raise FrameShapeError(f"a frame of {shape} (rows, columns) was expected, got {image.shape}")
    native = image.dtype.newbyteorder("=")
    if native not in COUNTS:
        raise FrameTypeError(f"a frame of integers up to 32 bit, int64 or floats was expected, got {image.dtype}")
    return np.ascontiguousarray(image, dtype=np.float32 if native == np.float16 else native)

"""A Channel Access array becomes an image again: signedness, shape and colour from the plugin's records."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.refusals import FrameRefusedError
from ringwatch_pipelines.frames import read_only

_DTYPES = {
    name.lower(): np.dtype(name.lower())
    for name in ("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float32", "Float64")
}


def pixels_from_wire(wire: NDArray[Any], data_type: str) -> NDArray[Any]:
    """The pixels in the detector's type, as ``DataType_RBV`` names it.

    Channel Access knows no unsigned integers: uint16 comes as int16 bit by bit, or as a wider type.

    Raises
    ------
    FrameRefusedError
        The type is unknown, or the waveform record is too narrow to have carried it.
    """
    dtype = _DTYPES.get(data_type.strip().lower())
    if dtype is None:
        raise FrameRefusedError(Reason.WRONG_TYPE, f"expected a DataType_RBV of areaDetector, got {data_type[:40]!r}")
    if wire.dtype == dtype:
        return wire
    if wire.dtype.kind in "iu" and dtype.kind in "iu" and wire.dtype.itemsize == dtype.itemsize:
        return wire.view(dtype)
    if wire.dtype.itemsize < dtype.itemsize or (wire.dtype.kind in "iu" and dtype.kind == "f"):
        raise FrameRefusedError(
            Reason.WRONG_TYPE, f"expected a waveform that can hold {data_type}, got one of {wire.dtype}: set its FTVL"
        )
    try:
        with np.errstate(invalid="raise", over="raise"):
            return wire.astype(dtype)
    except FloatingPointError as error:
        raise FrameRefusedError(
            Reason.WRONG_TYPE, f"expected counts of {data_type}, got numbers that are none"
        ) from error


def image_from_pixels(pixels: NDArray[Any], *, sizes: tuple[int, ...], colour_mode: str) -> NDArray[Any]:
    """The (rows, columns) image, read-only.

    Parameters
    ----------
    pixels
        One-dimensional.
    sizes
        ``ArraySize0_RBV`` on, fastest first; zeros at the end do not count.

    Raises
    ------
    FrameRefusedError
        No grey image, or the pixels do not fill it.
    """
    if colour_mode.strip().lower() not in {"", "0", "mono"}:
        raise FrameRefusedError(Reason.WRONG_SHAPE, f"expected a grey image, got colour mode {colour_mode[:40]!r}")
    lengths = [size for size in sizes if size > 1] if len([size for size in sizes if size > 0]) > 2 else list(sizes)
    lengths = [size for size in lengths if size > 0]
    if len(lengths) != 2:
        raise FrameRefusedError(Reason.WRONG_SHAPE, f"expected two dimensions, got ArraySize {sizes}")
    columns, rows = lengths
    if pixels.size != rows * columns:
        raise FrameRefusedError(
            Reason.WRONG_SHAPE, f"expected {rows} x {columns} = {rows * columns} pixels, got {pixels.size}"
        )
    return read_only(pixels.reshape(rows, columns))

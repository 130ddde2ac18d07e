"""Decompression of the codecs of areaDetector's NDPluginCodec: blosc, lz4, bslz4 and jpeg.

The compressed bytes become the only chunk of an HDF5 dataset in memory, read back through the
filters of hdf5plugin; the chunk headers follow the filters' specifications
(registered HDF5 filters 32001 blosc, 32004 lz4, 32008 bitshuffle).
"""

import io
import struct
from collections.abc import Callable
from itertools import count
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.refusals import FrameRefusedError

_BSHUF_TARGET_BYTES = 8192
_BSHUF_MULTIPLE = 8
_BSHUF_SMALLEST_BLOCK = 128
_LZ4_LARGEST = 0x7E000000
_LZ4_MOST_GAIN = 255
"""LZ4 cannot shrink data by more than this factor."""

_numbers = count()


def decompress(codec: str, packed: bytes, *, dtype: np.dtype[Any], pixels: int) -> NDArray[Any]:
    """The (pixels,) of a compressed frame.

    Raises
    ------
    FrameRefusedError
        The codec is unknown, or the bytes are not what it writes for so many pixels.
    """
    unpack = _CODECS.get(codec)
    if unpack is None:
        raise FrameRefusedError(
            Reason.WRONG_TYPE, f"expected one of the codecs {', '.join(_CODECS)} or none, got {codec[:40]!r}"
        )
    try:
        return unpack(packed, dtype, pixels)
    # The decoders raise whatever their libraries do with garbage.
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise FrameRefusedError(
            Reason.UNREADABLE, f"expected {pixels} pixels of {dtype} packed by {codec}, got {len(packed)} bytes: {text}"
        ) from error


def _blosc(packed: bytes, dtype: np.dtype[Any], pixels: int) -> NDArray[Any]:
    if len(packed) < 16:
        raise ValueError("shorter than the header of blosc")
    unpacked_bytes, _, packed_bytes = struct.unpack_from("<III", packed, 4)
    if unpacked_bytes != pixels * dtype.itemsize or packed_bytes != len(packed):
        raise ValueError(f"its header tells of {unpacked_bytes} bytes packed into {packed_bytes}")
    return _through_filter(packed, dtype, pixels, hdf5plugin.Blosc())


def _lz4(packed: bytes, dtype: np.dtype[Any], pixels: int) -> NDArray[Any]:
    total = pixels * dtype.itemsize
    if not 0 < total <= _LZ4_LARGEST or total > _LZ4_MOST_GAIN * len(packed) + 64:
        raise ValueError(f"it cannot hold {total} bytes")
    if len(packed) == total:  # what the filter takes for a block left as it was
        raise ValueError("it is as long as the frame")
    header = struct.pack(">QII", total, total, len(packed))
    return _through_filter(header + packed, dtype, pixels, hdf5plugin.LZ4())


def _bslz4(packed: bytes, dtype: np.dtype[Any], pixels: int) -> NDArray[Any]:
    _check_bslz4_blocks(packed, dtype.itemsize, pixels)
    header = struct.pack(">QI", pixels * dtype.itemsize, _bshuf_block(dtype.itemsize) * dtype.itemsize)
    return _through_filter(header + packed, dtype, pixels, hdf5plugin.Bitshuffle(cname="lz4"))


def _bshuf_block(itemsize: int) -> int:
    block = _BSHUF_TARGET_BYTES // itemsize // _BSHUF_MULTIPLE * _BSHUF_MULTIPLE
    return max(block, _BSHUF_SMALLEST_BLOCK)


def _check_bslz4_blocks(packed: bytes, itemsize: int, pixels: int) -> None:
    """Walk the lengths of the blocks, so that the filter never reads beyond the bytes that came."""
    block = _bshuf_block(itemsize)
    blocks = pixels // block + (pixels % block >= _BSHUF_MULTIPLE)
    offset = 0
    for _ in range(blocks):
        if offset + 4 > len(packed):
            raise ValueError("its blocks end early")
        offset += 4 + int(struct.unpack_from(">I", packed, offset)[0])
    if offset + pixels % _BSHUF_MULTIPLE * itemsize != len(packed):
        raise ValueError("its blocks do not fill it")


def _jpeg(packed: bytes, dtype: np.dtype[Any], pixels: int) -> NDArray[Any]:
    with Image.open(io.BytesIO(packed), formats=["JPEG"]) as picture:
        if picture.width * picture.height != pixels or picture.mode != "L":
            raise ValueError(f"it shows {picture.width} x {picture.height} in mode {picture.mode}")
        return np.asarray(picture).reshape(-1).astype(dtype, copy=False)


def _through_filter(chunk: bytes, dtype: np.dtype[Any], pixels: int, filter_options: Any) -> NDArray[Any]:
    name = f"codec{next(_numbers)}.h5"
    with h5py.File(name, "w", driver="core", backing_store=False) as memory:
        dataset = memory.create_dataset("frame", (pixels,), dtype, chunks=(pixels,), **filter_options)
        dataset.id.write_direct_chunk((0,), chunk)
        unpacked: NDArray[Any] = dataset[()]
        return unpacked


_CODECS: dict[str, Callable[[bytes, np.dtype[Any], int], NDArray[Any]]] = {
    "blosc": _blosc,
    "lz4": _lz4,
    "bslz4": _bslz4,
    "jpeg": _jpeg,
}

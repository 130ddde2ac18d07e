"""An NTNDArray of areaDetector, taken apart without copying its pixels.

Works on any structure with the fields of ``epics:nt/NTNDArray:1.0`` and imports no transport.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.codecs import decompress
from ringwatch_daemon.sources.refusals import FrameRefusedError
from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.frames import read_only

_CODEC_TYPES = (
    np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float32, np.float64
)  # fmt: skip
"""Pixel type by the number that pvData gives it, as NDPluginCodec writes it into the codec's parameters."""

_COLOUR_MODES = ("mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV411")
_INT64 = np.iinfo(np.int64)
_MAX_ATTRIBUTES = 256
_MAX_DIMENSIONS = 10


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an NTNDArray says about its frame.

    Parameters
    ----------
    unique_id
        None where the field is missing.
    stamp_ns
        ``timeStamp``, areaDetector's ``epicsTS``: UTC nanoseconds since 1970, 0 where it was never set.
    data_stamp_ns
        ``dataTimeStamp``, the driver's own time, likewise.
    attributes
        NDAttributes that are a number or a text.
    """

    unique_id: int | None
    stamp_ns: int
    data_stamp_ns: int
    attributes: dict[str, Scalar]


def is_ntndarray(value: Any) -> bool:
    """Whether a structure has the fields that make it an image."""
    return all(name in value for name in ("value", "dimension", "uniqueId"))


def is_empty(value: Any) -> bool:
    """Whether this is the array of a server that has no frame yet: neither pixels nor dimensions."""
    pixels = value.get("value")
    no_pixels = pixels is None or (isinstance(pixels, np.ndarray) and pixels.size == 0)
    return no_pixels and not value.get("dimension")


def announcement_of(value: Any) -> Announcement:
    """Read everything but the pixels."""
    unique_id = value.get("uniqueId")
    return Announcement(
        unique_id=int(unique_id) if isinstance(unique_id, int | np.integer) else None,
        stamp_ns=stamp_ns_of(value),
        data_stamp_ns=_stamp_ns(value.get("dataTimeStamp")),
        attributes=dict(_attributes(value.get("attribute") or ())),
    )


def stamp_ns_of(value: Any) -> int:
    """``timeStamp`` of any normative type, 0 where it has none."""
    return _stamp_ns(value.get("timeStamp"))


def _stamp_ns(stamp: Any) -> int:
    if stamp is None:
        return 0
    stamp_ns = int(stamp.get("secondsPastEpoch", 0)) * NS_PER_S + int(stamp.get("nanoseconds", 0))
    return min(max(stamp_ns, int(_INT64.min)), int(_INT64.max))


def _attributes(attributes: Iterable[Any]) -> Iterable[tuple[str, Scalar]]:
    for number, attribute in enumerate(attributes):
        if number >= _MAX_ATTRIBUTES:
            return
        scalar = plain_scalar(attribute.get("value"))
        if scalar is not None:
            yield str(attribute.get("name", "")), scalar


def plain_scalar(value: Any) -> Scalar | None:
    """A number or a text out of a PVA field; None for anything larger."""
    if hasattr(value, "get"):  # a structure, such as an NTScalar or an NTEnum
        inner = value.get("value")
        if hasattr(inner, "get"):
            choices, index = inner.get("choices") or [], inner.get("index", -1)
            return str(choices[index]) if 0 <= index < len(choices) else index
        return plain_scalar(inner)
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str | int | float) else None


def image_of(value: Any, attributes: dict[str, Scalar], *, max_image_bytes: int) -> NDArray[Any]:
    """The (rows, columns) image of an NTNDArray, read-only; a view unless it was compressed.

    Parameters
    ----------
    value
        The structure; its dimensions run from the fastest axis to the slowest.
    max_image_bytes
        An image that would take more is refused before anything is allocated.

    Raises
    ------
    FrameRefusedError
        It is no grey image, its pixels do not fill its shape, or its codec cannot be undone.
    """
    pixels = value.get("value")
    if not isinstance(pixels, np.ndarray) or not hasattr(value.get("dimension"), "__len__"):
        raise FrameRefusedError(Reason.WRONG_TYPE, f"expected an NTNDArray with pixels, got {type(pixels).__name__}")
    _check_mono(attributes)
    rows, columns = _shape(value.get("dimension"))
    codec = value.get("codec")
    name = str(codec.get("name", "")) if codec is not None else ""
    dtype = _packed_dtype(codec, pixels.dtype) if name else pixels.dtype
    if dtype.kind not in "iuf":
        raise FrameRefusedError(Reason.WRONG_TYPE, f"expected pixels that are counts, got {dtype}")
    if rows * columns * dtype.itemsize > max_image_bytes:
        raise FrameRefusedError(
            Reason.WRONG_SHAPE, f"expected at most {max_image_bytes} bytes of image, got {rows} x {columns} of {dtype}"
        )
    if name:
        pixels = decompress(name, _packed_bytes(value, pixels), dtype=dtype, pixels=rows * columns)
    if pixels.size != rows * columns:
        raise FrameRefusedError(
            Reason.WRONG_SHAPE, f"expected {rows} x {columns} = {rows * columns} pixels, got {pixels.size}"
        )
    return read_only(pixels.reshape(rows, columns))


def _check_mono(attributes: dict[str, Scalar]) -> None:
    mode = attributes.get("ColorMode", 0)
    if str(mode) in {"0", "0.0", "Mono"}:
        return
    known = isinstance(mode, int) and 0 <= mode < len(_COLOUR_MODES)
    name = _COLOUR_MODES[int(mode)] if known else mode
    raise FrameRefusedError(Reason.WRONG_SHAPE, f"expected a grey image, got colour mode {str(name)[:40]}")


def _shape(dimensions: Any) -> tuple[int, int]:
    if len(dimensions) > _MAX_DIMENSIONS:
        raise FrameRefusedError(Reason.WRONG_SHAPE, f"expected two dimensions, got {len(dimensions)}")
    sizes = [int(dimension.get("size", 0)) for dimension in dimensions]
    if any(size <= 0 for size in sizes):
        raise FrameRefusedError(Reason.WRONG_SHAPE, f"expected dimensions larger than zero, got {sizes}")
    while len(sizes) > 2 and 1 in sizes:
        sizes.remove(1)
    if len(sizes) != 2:
        raise FrameRefusedError(Reason.WRONG_SHAPE, f"expected two dimensions, got {sizes}")
    columns, rows = sizes
    return rows, columns


def _packed_dtype(codec: Any, carrier: np.dtype[Any]) -> np.dtype[Any]:
    """The type before compression; the bytes travel as (u)int8, and some servers keep the union's own type."""
    number = plain_scalar(codec.get("parameters"))
    if isinstance(number, int) and 0 <= number < len(_CODEC_TYPES):
        return np.dtype(_CODEC_TYPES[number])
    if carrier.itemsize > 1:
        return carrier
    raise FrameRefusedError(
        Reason.WRONG_TYPE, f"expected the type of the compressed pixels in codec.parameters, got {number!r}"
    )


def _packed_bytes(value: Any, carrier: NDArray[Any]) -> bytes:
    packed = carrier.tobytes()
    length = value.get("compressedSize", 0)
    return packed[:length] if 0 < length <= len(packed) else packed

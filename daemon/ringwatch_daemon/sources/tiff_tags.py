"""The tags of a TIFF file, those of EPICS areaDetector included.

areaDetector's NDFileTIFF writes the NDArray's time stamp, unique id and EPICS time under
private tags 65000 to 65003, and each NDAttribute as ``name:value`` from 65010 on. No reader
of the installed libraries hands all of them over, so the directory is walked here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ringwatch_daemon.sources.times import Scalar

_FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q", 17: "q"}
_MAX_TAGS = 4096
_MAX_FRAMES = 1_000_000
_MAX_VALUE_BYTES = 1 << 20
_NAMES = {
    270: "ImageDescription",
    271: "Make",
    272: "Model",
    305: "Software",
    306: "DateTime",
    65000: "NDTimeStamp",
    65001: "uniqueId",
    65002: "EPICSTSSec",
    65003: "EPICSTSNsec",
}
_STRIP_OFFSETS, _STRIP_BYTES = 273, 279
_TILE_OFFSETS, _TILE_BYTES = 324, 325
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_SAMPLES, _SAMPLE_FORMAT = 277, 339
_KINDS = {1: "u", 2: "i", 3: "f"}
_AREA_DETECTOR = range(65000, 65004)
_FIRST_ATTRIBUTE = 65010

Values = tuple[int | float, ...] | str


@dataclass(frozen=True, slots=True)
class PlainPixels:
    """Where the pixels of an image lie that is neither packed nor cut up: one after the other, row by row.

    Parameters
    ----------
    dtype
        In the byte order of the file.
    shape
        (rows, columns).
    """

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """One image of a TIFF file.

    Parameters
    ----------
    header
        Named tags and the NDAttributes.
    end_byte
        Where its pixel data end; a shorter file is truncated.
    pixels
        None where somebody else has to unpack them.
    """

    header: dict[str, Scalar]
    end_byte: int
    pixels: PlainPixels | None = None


def tiff_directories(path: Path) -> tuple[TiffDirectory, ...]:
    """The directories of a classic TIFF file, one for each image; empty for anything else (BigTIFF too).

    Raises
    ------
    OSError, struct.error
        The file ends within its directory.
    """
    with path.open("rb") as file:
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(file.read(4))
        return tuple(islice(_walk(file, order), _MAX_FRAMES)) if order else ()


def _walk(file: BinaryIO, order: str) -> Iterator[TiffDirectory]:
    (offset,) = struct.unpack(order + "I", file.read(4))
    seen: set[int] = set()
    while offset and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        (count,) = struct.unpack(order + "H", file.read(2))
        entries = [struct.unpack(order + "HHI4s", file.read(12)) for _ in range(min(count, _MAX_TAGS))]
        (offset,) = struct.unpack(order + "I", file.read(4))
        yield _directory({tag: _values(file, order, kind, n, inline) for tag, kind, n, inline in entries}, order)


def _values(file: BinaryIO, order: str, kind: int, count: int, inline: bytes) -> Values:
    code = _FORMATS.get(kind)
    if code is None:
        return ()
    layout = f"{order}{count}{code}"
    size = struct.calcsize(layout)
    if size > _MAX_VALUE_BYTES:
        return ()
    if size > 4:
        file.seek(struct.unpack(order + "I", inline)[0])
        raw = file.read(size)
    else:
        raw = inline[:size]
    unpacked = struct.unpack(layout, raw)
    return unpacked[0].split(b"\0")[0].decode("utf-8", "replace") if code == "s" else unpacked


def _directory(tags: dict[int, Values], order: str) -> TiffDirectory:
    from_area_detector = all(tag in tags for tag in _AREA_DETECTOR)
    header: dict[str, Scalar] = {}
    for tag, values in tags.items():
        if not values:
            continue
        if tag in _NAMES and (tag not in _AREA_DETECTOR or from_area_detector):
            header[_NAMES[tag]] = values if isinstance(values, str) else values[0]
        elif from_area_detector and tag >= _FIRST_ATTRIBUTE and isinstance(values, str):
            name, _, text = values.partition(":")
            header[name.strip()] = number_or_text(text.strip())
    return TiffDirectory(header, _end_byte(tags), _plain_pixels(tags, order))


def _plain_pixels(tags: dict[int, Values], order: str) -> PlainPixels | None:
    offsets, sizes = _numbers(tags, _STRIP_OFFSETS), _numbers(tags, _STRIP_BYTES)
    bits, kind = _only(tags, _BITS, 0), _KINDS.get(_only(tags, _SAMPLE_FORMAT, 1), "")
    usual = ((_COMPRESSION, 1), (_SAMPLES, 1), (_FILL_ORDER, 1), (_PHOTOMETRIC, 1))
    if not offsets or any(_only(tags, tag, value) != value for tag, value in usual):
        return None
    if f"{kind}{bits}" not in {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "f64"}:
        return None
    shape = (_only(tags, _LENGTH, 0), _only(tags, _WIDTH, 0))
    one_after_the_other = all(
        offset + size == after for offset, size, after in zip(offsets, sizes, offsets[1:], strict=False)
    )
    if not one_after_the_other or sum(sizes) != shape[0] * shape[1] * bits // 8:
        return None
    return PlainPixels(offsets[0], np.dtype(f"{order}{kind}{bits // 8}"), shape)


def _numbers(tags: dict[int, Values], tag: int) -> tuple[int, ...]:
    values = tags.get(tag, ())
    return () if isinstance(values, str) else tuple(int(value) for value in values)


def _only(tags: dict[int, Values], tag: int, default: int) -> int:
    """The value of a tag that has one; -1 where it has several."""
    values = _numbers(tags, tag) or (default,)
    return values[0] if len(values) == 1 else -1


def _end_byte(tags: dict[int, Values]) -> int:
    ends = [0]
    for offsets_tag, bytes_tag in ((_STRIP_OFFSETS, _STRIP_BYTES), (_TILE_OFFSETS, _TILE_BYTES)):
        offsets, sizes = tags.get(offsets_tag, ()), tags.get(bytes_tag, ())
        if not isinstance(offsets, str) and not isinstance(sizes, str):
            ends += [int(offset + size) for offset, size in zip(offsets, sizes, strict=False)]
    return max(ends)


def number_or_text(text: str) -> Scalar:
    """A whole number, a float or the text as it is."""
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text

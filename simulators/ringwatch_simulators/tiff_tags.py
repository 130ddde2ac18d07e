"""What areaDetector writes into the tags of a TIFF: unique id, times and attributes.

NDFileTIFF of ADCore writes 65000 NDTimeStamp (double, seconds since 1990), 65001 NDUniqueId,
65002 EPICSTSSec (since 1990), 65003 EPICSTSNsec, and from 65010 on one text ``Name:value`` for
each attribute. Tags below 65000 are those of TIFF 6.0.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from ringwatch_simulators.errors import FrameFileError

TagValue = int | float | str | bytes

_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TEXT = 2
_EPICS_EPOCH_NS = 631_152_000 * 1_000_000_000
_FIRST_ATTRIBUTE = 65010
_BEYOND_ATTRIBUTES = 65536


@dataclass(frozen=True, slots=True)
class AreaDetectorTags:
    """What a TIFF of areaDetector says about its frame.

    Parameters
    ----------
    unique_id
        None where the file has none.
    timestamp_ns
        UTC, nanoseconds since 1970; None where the file has none.
    attributes
        (name, text) of each NDAttribute.
    """

    unique_id: int | None
    timestamp_ns: int | None
    attributes: tuple[tuple[str, str], ...]


def read_tags(path: Path) -> AreaDetectorTags:
    """Read the tags of the first image of a classic TIFF.

    Raises
    ------
    FrameFileError
        The file is no TIFF or ends before its tags do.
    """
    raw = path.read_bytes()
    try:
        tags = dict(_directory(raw))
    except (struct.error, IndexError, KeyError) as error:
        raise FrameFileError(f"expected a TIFF with readable tags in {path}, got {error}") from error
    unique_id, seconds, nanoseconds = (tags.get(number) for number in (65001, 65002, 65003))
    stamp = None
    if isinstance(seconds, int) and isinstance(nanoseconds, int) and seconds > 0:
        stamp = _EPICS_EPOCH_NS + seconds * 1_000_000_000 + nanoseconds
    texts = [tags[number] for number in sorted(tags) if _FIRST_ATTRIBUTE <= number < _BEYOND_ATTRIBUTES]
    pairs = [text.partition(":") for text in texts if isinstance(text, str)]
    attributes = tuple((name, value) for name, found, value in pairs if found and name)
    return AreaDetectorTags(unique_id if isinstance(unique_id, int) else None, stamp, attributes)


def _directory(raw: bytes) -> list[tuple[int, TagValue]]:
    order = {b"II": "<", b"MM": ">"}[raw[:2]]
    (start,) = struct.unpack_from(order + "I", raw, 4)
    (count,) = struct.unpack_from(order + "H", raw, start)
    return [_tag(raw, order, start + 2 + 12 * number) for number in range(count)]


def _tag(raw: bytes, order: str, at: int) -> tuple[int, TagValue]:
    number, kind, count = struct.unpack_from(order + "HHI", raw, at)
    width = _WIDTHS.get(kind, 1) * count
    place = at + 8 if width <= 4 else struct.unpack_from(order + "I", raw, at + 8)[0]
    if kind == _TEXT:
        return number, raw[place : place + count].split(b"\0")[0].decode(errors="replace")
    if kind in _FORMATS and count == 1:
        return number, struct.unpack_from(order + _FORMATS[kind], raw, place)[0]
    return number, raw[place : place + width]

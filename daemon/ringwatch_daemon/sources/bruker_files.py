"""Bruker's scans: ``.brml`` and binary ``.raw`` of four versions, told by content.

geddes reads angles and intensities of ``.brml`` and of the versions 3 and 4. It refuses the versions 1 and 2, two plain
tables (DIFFRAC-AT manual, appendix B), and tells no times, which stand at fixed places (DIFFRAC plus XCH manual,
appendix A; the documents of a ``.brml``). So these are read here.
"""

import importlib
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.scan_image import DURATION_KEY, ScanImage, rising_scan
from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.patterns import FloatArray

RAW_1, RAW_2, RAW_3, RAW_4, ZIP = b"RAW ", b"RAW2", b"RAW1.01", b"RAW4.00", b"PK\x03\x04"
MOST_SCANS = 1000
_LARGEST_UNPACKED = 512 << 20
_LARGEST_DOCUMENT = 128 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError)
"""What `zipfile`, and the four ways of packing behind it, raise of damaged bytes; each of them has been seen."""
_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})")


def is_bruker(content: bytes) -> bool:
    """Whether a file begins as one of Bruker's does; a ``.brml`` is a zip, as other files are too."""
    return content.startswith((b"RAW", ZIP))


def read_bruker(content: bytes) -> tuple[ScanImage, ...]:
    """The scans of a file, in its order.

    Raises
    ------
    InputFileError
        It is none of Bruker's files, is damaged, holds no scan of 2theta, or geddes is missing.
    """
    if content.startswith(ZIP):
        return _from_brml(content)
    if content.startswith(RAW_1):
        return tuple(_ranges_1(content))
    if content.startswith(RAW_2):
        return tuple(_ranges_2(content))
    if content.startswith((RAW_3, RAW_4)):
        return _with_header(_scans_by_geddes(content, "scan.raw"), _header_of_raw(content))
    raise InputFileError(f"expected Bruker's .raw of version 1 to 4, got one that begins with {content[:8]!r}")


def _scans_by_geddes(content: bytes, name: str) -> list[ScanImage]:
    geddes = _geddes()
    found: list[ScanImage] = []
    while len(found) < MOST_SCANS:
        try:
            pattern = geddes.read_bytes(content, name, index=len(found))
        except (ValueError, OSError) as error:
            if found and "out of range" in str(error):
                break
            raise InputFileError(f"expected a scan of Bruker's, got none that can be read: {error}") from error
        found.append(rising_scan(np.array(pattern.x), np.array(pattern.y), None, {}))
    return found


def _geddes() -> Any:
    try:
        return importlib.import_module("geddes")
    except ModuleNotFoundError as error:
        raise InputFileError("Bruker's files need geddes: pip install 'ringwatch[scans]'") from error


def _with_header(scans: list[ScanImage], header: dict[str, Scalar]) -> tuple[ScanImage, ...]:
    """The time of the file is that of its first scan; when the others began, it does not tell."""
    if len(scans) > 1:
        header.pop(DURATION_KEY, None)
    first, *others = scans
    return (ScanImage(first.two_theta_deg, first.intensity, None, header), *others)


def _header_of_raw(content: bytes) -> dict[str, Scalar]:
    if content.startswith(RAW_4):
        return _header(_text(content, 12, 12), _text(content, 24, 10), 0.0)
    (runtime_s,) = _unpacked("<f", content, 664)
    return _header(_text(content, 16, 10), _text(content, 26, 10), runtime_s)


def _header(date: str, time: str, runtime_s: float) -> dict[str, Scalar]:
    header: dict[str, Scalar] = {}
    if date and time:
        header["start_time"] = f"{_iso_date(date)} {time}"
    if 0.0 < runtime_s < 1e8:
        header[DURATION_KEY] = float(runtime_s)
    return header


def _iso_date(date: str) -> str:
    """A date with slashes in ISO 8601 where it can be read in one way only, else as it stands."""
    found = _US_DATE.fullmatch(date)
    if found is None:
        return date
    one, two, year = int(found[1]), int(found[2]), int(found[3])
    if one != two and one <= 12 and two <= 12:
        return date
    month, day = (one, two) if one <= 12 else (two, one)
    return f"{year + 2000 if year < 100 else year:04d}-{month:02d}-{day:02d}"


def _ranges_1(content: bytes) -> Iterator[ScanImage]:
    at, follows = 4, 1
    while follows:
        if at > 4 and content[at : at + 4] == RAW_1:
            at += 4
        points, _, step = _unpacked("<Iff", content, at)
        (start,) = _unpacked("<f", content, at + 20)
        (follows,) = _unpacked("<I", content, at + 148)
        at += 152
        yield _table(content, at, points, start=start, step=step, header={})
        at += 4 * points


def _ranges_2(content: bytes) -> Iterator[ScanImage]:
    (ranges,) = _unpacked("<H", content, 4)
    (runtime_s,) = _unpacked("<f", content, 210)
    date, _, time = _text(content, 168, 20).partition(" ")
    header = _header(date, time.strip(), runtime_s if ranges == 1 else 0.0)
    at = 256
    for _ in range(min(ranges, MOST_SCANS)):
        length, points = _unpacked("<HH", content, at)
        step, start = _unpacked("<ff", content, at + 12)
        if length < 48:
            raise InputFileError(f"expected a range header of 48 bytes or more, got {length}")
        yield _table(content, at + length, points, start=start, step=step, header=header)
        at, header = at + length + 4 * points, {}
    if not ranges:
        raise InputFileError("expected a range in the .raw file, got none")


def _table(content: bytes, at: int, points: int, *, start: float, step: float, header: dict[str, Scalar]) -> ScanImage:
    if not points or at + 4 * points > len(content):
        raise InputFileError(f"expected {points} points from byte {at} on, got a file of {len(content)} bytes")
    if not (np.isfinite(start) and np.isfinite(step) and step != 0.0):
        raise InputFileError(f"expected a start and a step, got {start:g} and {step:g}")
    # In its four bytes a step of 0.02 is 0.0199999996: rounded to what somebody has entered.
    angles: FloatArray = round(start, 6) + round(step, 7) * np.arange(points, dtype=np.float64)
    counts = np.frombuffer(content, dtype="<f4", count=points, offset=at).astype(np.float64)
    return rising_scan(angles, counts, None, header)


def _unpacked(layout: str, content: bytes, at: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(layout, content, at)
    except struct.error as error:
        raise InputFileError(f"expected a whole .raw file, got {len(content)} bytes: it is cut off") from error


def _text(content: bytes, at: int, size: int) -> str:
    return content[at : at + size].split(b"\0")[0].decode("ascii", "replace").strip()


def _from_brml(content: bytes) -> tuple[ScanImage, ...]:
    try:
        headers = _headers_of_brml(content)
    except _DAMAGED as error:
        raise InputFileError(f"expected a whole .brml file, got one that is damaged: {error}") from error
    scans = _scans_by_geddes(content, "scan.brml")
    return tuple(
        ScanImage(scan.two_theta_deg, scan.intensity, None, headers[number] if number < len(headers) else {})
        for number, scan in enumerate(scans)
    )


def _headers_of_brml(content: bytes) -> list[dict[str, Scalar]]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        container = next((name for name in file.namelist() if name.endswith("DataContainer.xml")), None)
        if container is None:
            raise InputFileError("expected Bruker's .brml, got a zip of something else")
        unpacked = sum(info.file_size for info in file.infolist())
        if unpacked > _LARGEST_UNPACKED:
            raise InputFileError(f"expected a .brml of at most {_LARGEST_UNPACKED >> 20} MiB, got {unpacked >> 20} MiB")
        listed = _document(file, container)
        names = sorted((name for name in file.namelist() if name in listed), key=listed.index)
        return [_times_in(_document(file, name)) for name in names if name != container][:MOST_SCANS]


def _document(file: zipfile.ZipFile, name: str) -> str:
    # A zip may lie about the size of what is in it.
    with file.open(name) as member:
        data = member.read(_LARGEST_DOCUMENT + 1)
    if len(data) > _LARGEST_DOCUMENT:
        raise InputFileError(f"expected documents of at most {_LARGEST_DOCUMENT >> 20} MiB, got more in {name}")
    return data.decode("utf-8", "replace")


def _times_in(document: str) -> dict[str, Scalar]:
    header: dict[str, Scalar] = {}
    for element, key in (("TimeStampStarted", "start_time"), ("TimeStampFinished", "end_time")):
        found = re.search(rf"<{element}>\s*([^<]{{1,64}}?)\s*</{element}>", document)
        if found:
            # Bruker writes ten millionths of a second.
            header[key] = re.sub(r"(\.\d{6})\d+", r"\1", found[1])
    return header

"""Files of 1-D scans, told by content: columns of text (``.xye``, ``.xy``), PANalytical ``.xrdml``, Bruker's own."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.bruker_files import is_bruker, read_bruker
from ringwatch_daemon.sources.scan_image import ScanImage, rising_scan
from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.patterns import FloatArray

SCAN_SUFFIXES = frozenset({".xye", ".xy", ".dat", ".chi", ".txt", ".csv", ".xrdml", ".raw", ".brml"})
_COMMENT = re.compile(r"\s*([#!;'/%&]|$)")
_HEADER_ENTRY = re.compile(r"[#!;'/%&\s]*([A-Za-z][\w .-]*?)\s*[:=]\s*(\S.*?)\s*$")
_COLUMN_GAP = re.compile(r"[\s,;]+")
_DECIMAL_COMMA = re.compile(r"\d,\d")
_LARGEST_BYTES = 256 << 20


def read_scans(path: Path) -> tuple[ScanImage, ...]:
    """The scans of a file, in its order.

    Raises
    ------
    InputFileError
        It cannot be read or is no scan: names the file and what stands there.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputFileError(f"expected a scan, got a file of more than {_LARGEST_BYTES >> 20} MiB: {path}")
        content = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return _from_content(content)
    except InputFileError as error:
        raise InputFileError(f"{path}: {error}") from error


def _from_content(content: bytes) -> tuple[ScanImage, ...]:
    if is_bruker(content):
        return read_bruker(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return _from_xrdml(content) if "<xrdMeasurements" in text[:4096] else (_from_columns(text),)


def _from_columns(text: str) -> ScanImage:
    header: dict[str, Scalar] = {}
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        values = None if _COMMENT.match(line) else _numbers(line)
        if values is not None and len(values) == 1 and not rows:
            # A .chi file counts its rows before the first one.
            continue
        if values is not None:
            if rows and len(values) != len(rows[0]):
                raise InputFileError(f"expected {len(rows[0])} numbers in line {number}, got {len(values)}")
            rows.append(values)
        elif entry := _HEADER_ENTRY.match(line):
            header.setdefault(entry[1].strip().lower(), entry[2])
        elif rows and not _COMMENT.match(line):
            raise InputFileError(f"expected numbers in line {number}, got {line[:60]!r}")
    if not rows:
        raise InputFileError("expected columns of angle, intensity and sigma, got none")
    table = np.array(rows)
    if table.shape[1] not in {2, 3}:
        raise InputFileError(f"expected two or three columns, got {table.shape[1]}")
    return rising_scan(table[:, 0], table[:, 1], table[:, 2] if table.shape[1] == 3 else None, header)


def _numbers(line: str) -> list[float] | None:
    """The numbers of a line, None where it is not wholly made of them."""
    if _DECIMAL_COMMA.search(line) and not re.search(r"\d,\s|\d,\d+,|\.", line):
        # 10,02 1345,0: decimal commas between other separators.
        line = line.replace(",", ".")
    try:
        return [float(part) for part in _COLUMN_GAP.split(line.strip()) if part]
    except ValueError:
        return None


def _from_xrdml(content: bytes) -> tuple[ScanImage, ...]:
    plain = content.replace(b"\0", b"")  # the same in an encoding of two bytes a letter
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise InputFileError("expected an .xrdml file without entities of its own")
    try:
        root = ET.fromstring(content)  # noqa: S314 - entities, which could grow, are refused above
    except (ET.ParseError, LookupError, ValueError) as error:
        raise InputFileError(f"expected a whole .xrdml file, got one that is truncated or damaged: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    scans = [scan for scan in root.iter("scan") if scan.find("dataPoints") is not None]
    if not scans:
        raise InputFileError("expected a scan in the .xrdml file, got none")
    return tuple(_from_scan_element(scan) for scan in scans)


def _from_scan_element(scan: ET.Element) -> ScanImage:
    points = scan.find("dataPoints")
    assert points is not None
    counts = next((element for name in ("counts", "intensities") if (element := points.find(name)) is not None), None)
    if counts is None:
        raise InputFileError("expected counts or intensities in the .xrdml file, got neither")
    intensity = _list(counts)
    if counts.get("unit") == "cps":
        intensity = intensity * _number(points, "commonCountingTime")
    header: dict[str, Scalar] = {}
    for name, key in (("startTimeStamp", "start_time"), ("endTimeStamp", "end_time")):
        told = scan.findtext(f"header/{name}")
        if told:
            header[key] = told
    return rising_scan(_angles(points, intensity.size), intensity, None, header)


def _angles(points: ET.Element, size: int) -> FloatArray:
    for positions in points.findall("positions"):
        if positions.get("axis") == "2Theta":
            listed = positions.find("listPositions")
            if listed is not None:
                return _list(listed)
            return np.linspace(_number(positions, "startPosition"), _number(positions, "endPosition"), size)
    raise InputFileError("expected positions of the axis 2Theta in the .xrdml file, got none")


def _list(element: ET.Element) -> FloatArray:
    try:
        return np.array([float(part) for part in (element.text or "").split()])
    except ValueError as error:
        raise InputFileError(f"expected numbers in {element.tag} of the .xrdml file: {error}") from error


def _number(parent: ET.Element, name: str) -> float:
    try:
        return float(parent.findtext(name, ""))
    except ValueError as error:
        raise InputFileError(f"expected a number as {name} in the .xrdml file") from error

"""A raw frame with all that came with it, in a file of its own.

Layout: magic (8), CRC-32 of all that follows it (4), length of the head (4), length of the image (8),
head (JSON), image in its own byte order. Integers are little-endian. A file that a kill has torn is too
short, one that a power loss has torn has another checksum: neither is taken for a frame.
"""

import json
import os
import struct
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_pipelines.frames import DetectorConditions, Frame, FrameKind, read_only

_MAGIC = b"RWFRAME1"
_START = struct.Struct("<8sI")
_LENGTHS = struct.Struct("<IQ")
_PLAIN = ("unique_id", "timestamp_ns", "received_ns", "exposure_s", "monitor", "origin", "offset_subtracted")
_LARGEST_HEAD = 2**20


def write_frame(path: Path, frame: Frame) -> int:
    """Write a frame and return the size of its file in bytes.

    Raises
    ------
    OSError
        The disk does not take it; no part of it is left.
    """
    image = np.ascontiguousarray(frame.image)
    head = json.dumps(_told(frame)).encode()
    lengths = _LENGTHS.pack(len(head), image.nbytes)
    pixels = image.reshape(-1).view(np.uint8).data
    checksum = zlib.crc32(pixels, zlib.crc32(head, zlib.crc32(lengths)))
    try:
        with path.open("wb", buffering=0) as file:
            file.write(b"".join([_START.pack(_MAGIC, checksum), lengths, head]))
            _write_all(file.fileno(), pixels)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return _START.size + _LENGTHS.size + len(head) + image.nbytes


def read_frame(path: Path) -> Frame:
    """Read a frame back.

    Raises
    ------
    InputFileError
        The file is not there, or is not what was written.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from error
    head, image = _parts(data, path)
    (_, checksum) = _START.unpack_from(data)
    if zlib.crc32(memoryview(data)[_START.size :]) != checksum:
        raise InputFileError(f"{path} was expected to be as it was written, but its checksum differs")
    return _frame(head, np.frombuffer(image, dtype=head["dtype"]).reshape(head["shape"]))


def key_in(path: Path) -> tuple[int, int, int]:
    """Unique id, time of receipt and size in bytes of the frame in a file, without reading its image.

    Raises
    ------
    InputFileError
        The file is not a whole frame.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(_START.size + _LENGTHS.size + _LARGEST_HEAD)
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from error
    head, _ = _parts(start, path, size=size)
    try:
        return int(head["unique_id"]), int(head["received_ns"]), size
    except (KeyError, TypeError, ValueError) as error:
        raise InputFileError(f"{path} holds a frame whose head was damaged: {error!r}") from error


def _told(frame: Frame) -> dict[str, Any]:
    return {name: getattr(frame, name) for name in _PLAIN} | {
        "kind": frame.kind.value,
        "cell": frame.cell,
        "conditions": asdict(frame.conditions),
        "attributes": [[name, _plain(value)] for name, value in frame.attributes],
        "dtype": frame.image.dtype.str,
        "shape": frame.image.shape,
    }


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _frame(head: dict[str, Any], image: np.ndarray[Any, Any]) -> Frame:
    return Frame(
        **{name: head[name] for name in _PLAIN},
        image=read_only(image),
        kind=FrameKind(head["kind"]),
        conditions=DetectorConditions(**head["conditions"]),
        attributes=tuple((name, value) for name, value in head["attributes"]),
        cell=head.get("cell", ""),
    )


def _parts(data: bytes, path: Path, *, size: int | None = None) -> tuple[dict[str, Any], memoryview]:
    first = _START.size + _LENGTHS.size
    if len(data) < first or data[: len(_MAGIC)] != _MAGIC:
        raise InputFileError(f"{path} was expected to hold a frame")
    head_bytes, image_bytes = _LENGTHS.unpack_from(data, _START.size)
    whole = first + head_bytes + image_bytes
    if (len(data) if size is None else size) != whole or len(data) < first + head_bytes:
        raise InputFileError(f"{path} was expected to have {whole} bytes, got {size or len(data)}: it was cut off")
    try:
        head = json.loads(data[first : first + head_bytes])
    except ValueError as error:
        raise InputFileError(f"{path} holds a frame whose head cannot be read: {error}") from error
    return head, memoryview(data)[first + head_bytes :]


def _write_all(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]

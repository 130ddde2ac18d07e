"""Arrays that take long to work out, in files of a cache folder (an `ArrayStore`).

Layout of a file: magic (8), CRC-32 of all that follows it (4), length of the head (4), head (JSON: key, and name, type
and shape of each array), arrays. Integers are little-endian. A file appears under its name only when it is whole; one
that is damaged all the same is told by its checksum and made anew. Several processes may share the folder.
"""

import hashlib
import json
import logging
import os
import struct
import tempfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.reduction.array_store import Arrays

LOG = logging.getLogger(__name__)
SUFFIX = ".rwcache"
_MAGIC = b"RWARRAY1"
_START = struct.Struct("<8sII")
_COVERED = 12
"""Bytes at the start that the checksum does not cover: the magic and the checksum."""


@dataclass(frozen=True, slots=True)
class ArrayCache:
    """Keeps arrays in a folder; whatever is wrong with it costs time, and never a run.

    Parameters
    ----------
    folder
        Made when something is kept.
    quota_bytes
        Beyond it, what was not asked for longest goes.
    least_bytes
        Less is worked out faster than it is read.
    """

    folder: Path
    quota_bytes: int = 4 * 2**30
    least_bytes: int = 2**22

    def recall(self, key: str) -> Arrays | None:
        """What was kept under `key`, read-only; None where nothing was, or it is damaged."""
        path = self._path(key)
        try:
            arrays = _arrays(path.read_bytes(), key)
        except FileNotFoundError:
            return None
        except (OSError, InputFileError) as error:
            LOG.warning("%s is not used, and made anew: %s", path, error)
            return None
        with suppress(OSError):  # a folder that can only be read is as good
            os.utime(path)
        return arrays

    def keep(self, key: str, arrays: Arrays) -> None:
        """Keep arrays; a folder that cannot be written, or a full disk, is logged and that is all."""
        if sum(array.nbytes for array in arrays.values()) < self.least_bytes:
            return
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(path, _parts(key, arrays))
            self._make_room(path)
        except OSError as error:
            LOG.warning("%s could not be written, so the next start takes longer: %s", path, error)

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}{SUFFIX}"

    def _make_room(self, newest: Path) -> None:
        found = [(path, path.stat()) for path in self.folder.glob(f"*{SUFFIX}") if path != newest]
        room = self.quota_bytes - newest.stat().st_size
        for path, about in sorted(found, key=lambda one: one[1].st_mtime_ns, reverse=True):
            room -= about.st_size
            if room < 0:
                path.unlink(missing_ok=True)


def _parts(key: str, arrays: Arrays) -> list[bytes | memoryview]:
    held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    told = {"key": key, "arrays": [[name, array.dtype.str, array.shape] for name, array in held.items()]}
    head = json.dumps(told).encode()
    body: list[bytes | memoryview] = [head, *(array.reshape(-1).view(np.uint8).data for array in held.values())]
    length = struct.pack("<I", len(head))
    checksum = zlib.crc32(length)
    for part in body:
        checksum = zlib.crc32(part, checksum)
    return [_MAGIC + struct.pack("<I", checksum) + length, *body]


def _write(path: Path, parts: list[bytes | memoryview]) -> None:
    """Write under another name first, one for each writer; the last of several to finish wins, with equal content."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _arrays(data: bytes, key: str) -> dict[str, NDArray[Any]]:
    if len(data) < _START.size or not data.startswith(_MAGIC):
        raise InputFileError("it was expected to begin as a file of arrays does")
    _, checksum, length = _START.unpack_from(data)
    body = memoryview(data)
    if zlib.crc32(body[_COVERED:]) != checksum:
        raise InputFileError("its checksum differs from what was written")
    head = json.loads(bytes(body[_START.size : _START.size + length]))
    if head["key"] != key:
        raise InputFileError("it holds something else")
    at, found = _START.size + length, {}
    for name, dtype, shape in head["arrays"]:
        size = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
        found[name] = read_only(np.frombuffer(body[at : at + size], dtype=dtype).reshape(shape))
        at += size
    return found

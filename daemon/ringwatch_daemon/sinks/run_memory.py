"""The folder beside a run's file that lets a later process go on with the run.

``run.json`` says what run it is; two slots take turns holding the checkpoint, so that one of them
always belongs to the rows that the file has; images of darks lie beside them. The folder is locked
while a process writes the run, and goes when the run has ended properly.
"""

import errno
import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError, SinkError
from ringwatch_daemon.core.records import Checkpoint
from ringwatch_daemon.sinks.checkpoint_codec import (
    decode_checkpoint,
    encode_checkpoint,
    images_of_checkpoint,
    row_of_checkpoint,
)

SUFFIX = ".resume"
SEQUENCE = "sequence"
_RUN, _LOCK = "run.json", "lock"
_SLOTS = ("checkpoint-0", "checkpoint-1")


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run a folder belongs to.

    Parameters
    ----------
    fingerprint
        Of everything that decides what the file holds.
    """

    run_id: str
    started_ns: int
    fingerprint: str


def memory_folder(output: Path) -> Path:
    """The folder that belongs to the file of a run."""
    return output.with_name(output.stem + SUFFIX)


class RunMemory:
    """Writes the folder of one run.

    Parameters
    ----------
    resumed_rows
        Rows that the file of the run has already; None for a new run: what is there is of another one then,
        whose file is gone.

    Raises
    ------
    SinkError
        Another process writes this run.
    OSError
        The folder cannot be made.
    """

    def __init__(self, folder: Path, identity: RunIdentity, *, resumed_rows: int | None) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_of(folder)
        if self._lock is None:
            raise SinkError(f"the run of {folder} is written by another process")
        if resumed_rows is None:
            _clear(folder)
        slots = [_slot(folder / name) for name in _SLOTS]
        # First the slot that does not belong to the rows of the file: the older one, or one that was ahead of it.
        rows = [-1 if slot is None or slot[0] >= (resumed_rows or 0) else slot[0] for slot in slots]
        self._turn = rows.index(min(rows))
        self._images = [frozenset() if slot is None else images_of_checkpoint(slot[1]) for slot in slots]
        _write_safely(folder / _RUN, json.dumps(asdict(identity)).encode())

    def keep(self, row: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint that stands after `row`, before the row itself is written.

        Raises
        ------
        OSError
            The disk does not take it.
        """
        data, images = encode_checkpoint(row, checkpoint)
        for name, image in images.items():
            if not (self._folder / name).exists():
                _write_image(self._folder / name, image)
        slot = os.open(self._folder / _SLOTS[self._turn], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.pwrite(slot, data, 0)
            if written < len(data):
                raise OSError(errno.ENOSPC, "the disk took a part of it only")
        finally:
            os.close(slot)
        self._images[self._turn] = frozenset(images)
        self._turn = 1 - self._turn
        self._forget_images()

    def forget(self) -> None:
        """The run has ended: nobody will resume it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Let others have the run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _forget_images(self) -> None:
        wanted = self._images[0] | self._images[1]
        for path in self._folder.glob("*.npy"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != _LOCK and path.is_file():
            path.unlink()


def lock_of(folder: Path) -> int | None:
    """The lock of a folder as an open file, or None when another process has it."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def identity_in(folder: Path) -> RunIdentity:
    """Which run a folder belongs to.

    Raises
    ------
    InputFileError
        The folder does not tell.
    """
    try:
        return RunIdentity(**json.loads((folder / _RUN).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise InputFileError(f"the folder of a run was expected in {folder}: {error}") from error


def checkpoint_at(folder: Path, rows: int) -> Checkpoint | None:
    """The newest checkpoint that stands after no more than `rows` rows, or None when there is none."""
    candidates = [slot for name in _SLOTS if (slot := _slot(folder / name)) is not None and slot[0] < rows]
    for _, data in sorted(candidates, key=lambda slot: slot[0], reverse=True):
        try:
            return decode_checkpoint(data, lambda name: _read_image(folder / name))[1]
        except (InputFileError, OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _slot(path: Path) -> tuple[int, bytes] | None:
    try:
        data = path.read_bytes()
        return row_of_checkpoint(data), data
    except (OSError, InputFileError, ValueError, KeyError, TypeError):
        return None


def _read_image(path: Path) -> NDArray[Any]:
    try:
        image: NDArray[Any] = np.load(path, allow_pickle=False)
    # numpy's parsing raises whatever a damaged header makes it stumble over.
    except Exception as error:
        raise InputFileError(f"an image was expected in {path}, got {type(error).__name__}: {error}") from error
    return image


def _write_image(path: Path, image: NDArray[Any]) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, image, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _write_safely(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

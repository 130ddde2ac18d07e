"""Small file systems of their own that really fill up; only root can mount them, and a test without them is skipped."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_MiB: int, *, kind: str = "tmpfs") -> Iterator[Path]:
    """A file system at `folder` for the length of a block: ``tmpfs``, or ``ext4`` on a loop device."""
    if os.geteuid():
        pytest.skip("only root can mount a file system for this test")
    folder.mkdir()
    image = folder.with_name(folder.name + ".image")
    if kind == "tmpfs":
        _command("mount", "-t", "tmpfs", "-o", f"size={size_MiB}m", "tmpfs", folder)
    else:
        with image.open("wb") as file:
            file.truncate(size_MiB * 2**20)
        _command("mkfs.ext4", "-q", "-m", "0", image)
        _command("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        image.unlink(missing_ok=True)


def room_on(disk: Path) -> int:
    """Free bytes."""
    room = os.statvfs(disk)
    return room.f_bavail * room.f_bsize


def fill(disk: Path, *, but: int = 0) -> Path:
    """Take all of the room, except for some bytes; the file that takes it."""
    filler, size = disk / "filler", max(1, room_on(disk) - but)
    with filler.open("wb") as file:
        while size:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                break
            except OSError:  # the file system wants some of the room for itself
                size -= max(1, size // 100)
    return filler


def _command(*words: object) -> None:
    try:
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"a file system of its own was wanted for this test: {error}")
    if done.returncode:
        pytest.skip(f"a file system of its own was wanted for this test: {done.stderr.strip()}")

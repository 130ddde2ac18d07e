"""The disk that the runs are written to, and what can go wrong with it.

As root it is a small file system of its own that really fills up. Otherwise the limit of the kernel on
the size of files (RLIMIT_FSIZE) stands in for it: writing beyond it fails with an error, as on a full disk.
"""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = "400m"


class Disk:
    """Where the runs are.

    Parameters
    ----------
    folder
        Of the runs.
    is_own
        Whether it is a file system of its own.
    """

    def __init__(self, folder: Path, *, is_own: bool) -> None:
        self.folder = folder
        self.is_own = is_own

    @property
    def kind(self) -> str:
        """For the report."""
        return f"tmpfs of {SIZE}" if self.is_own else "limit on the size of files"

    @contextmanager
    def full(self, process: int, file: Path) -> Iterator[None]:
        """Nothing more can be written for the length of a block."""
        if self.is_own:
            room = os.statvfs(self.folder)
            filler = self.folder / "filler"
            with filler.open("wb") as taken:
                os.posix_fallocate(taken.fileno(), 0, room.f_bavail * room.f_bsize)
            try:
                yield
            finally:
                filler.unlink()
            return
        soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
        resource.prlimit(process, resource.RLIMIT_FSIZE, (file.stat().st_size, hard))
        try:
            yield
        finally:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))

    @contextmanager
    def vanished(self) -> Iterator[None]:
        """The folder of the runs is not where it was, for the length of a block."""
        away = self.folder.with_name(self.folder.name + ".away")
        if self.is_own:
            _command("mount", "--bind", self.folder, away)
            _command("umount", "-l", self.folder)
        else:
            self.folder.rename(away)
        try:
            yield
        finally:
            if self.is_own:
                _command("mount", "--bind", away, self.folder)
                _command("umount", "-l", away)
            else:
                away.rename(self.folder)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """The disk of the runs takes nothing for the length of a block: for programs that start now."""
        self.folder.chmod(0o555)
        if self.is_own:
            _command("mount", "-o", "remount,ro", self.folder)
        try:
            yield
        finally:
            if self.is_own:
                _command("mount", "-o", "remount,rw", self.folder)
            self.folder.chmod(0o755)


@contextmanager
def disk_at(folder: Path) -> Iterator[Disk]:
    """A disk for the length of a block."""
    folder.mkdir()
    folder.with_name(folder.name + ".away").mkdir()
    is_own = (
        not os.geteuid()
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    )
    if not is_own:
        folder.with_name(folder.name + ".away").rmdir()
    try:
        yield Disk(folder, is_own=is_own)
    finally:
        if is_own:
            subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def _command(*words: object) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)

"""Where the numbers of a stream have got to, so that no number is ever given to two messages.

Every number is noted before its message can leave: that holds through any end of the process. A power
loss may take back what the disk was not made to keep; so a number some way ahead is kept for sure (``fsync``),
and it is where the stream goes on after a boot.

Layout: next number (8), number kept for sure (8), boot id of the kernel (36). Integers are little-endian.
"""

import os
import struct
from pathlib import Path

_MARK = struct.Struct("<QQ36s")
_AHEAD = 4096
_FAR_AHEAD = 2**40
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class SequenceMark:
    """The mark of one run.

    Parameters
    ----------
    path
        Made with the first number that is noted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._sure = 0
        self._boot = _boot_id()

    def note(self, next_seq: int) -> None:
        """Every number below `next_seq` may have been used from now on.

        Raises
        ------
        OSError
            The disk does not take it.
        """
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if next_seq > self._sure:
            self._write(next_seq, next_seq + _AHEAD)
            os.fsync(self._file)
            self._sure = next_seq + _AHEAD
        else:
            self._write(next_seq, self._sure)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, next_seq: int, sure: int) -> None:
        assert self._file is not None
        os.pwrite(self._file, _MARK.pack(next_seq, sure, self._boot), 0)


def next_seq_after(path: Path) -> int:
    """The first number that no message of an earlier process can have.

    Without a mark nothing ever left; behind one that cannot be read the numbers go on far away.
    """
    try:
        next_seq, sure, boot = _MARK.unpack(path.read_bytes())
    except FileNotFoundError:
        return 0
    except (OSError, struct.error):
        return _FAR_AHEAD
    return int(next_seq if boot == _boot_id() else sure)


def _boot_id() -> bytes:
    try:
        return _BOOT.read_bytes()[:36].ljust(36, b"\0")
    except OSError:
        # Nobody tells: every start then counts as one after a boot, by a name that is never the same.
        return os.urandom(18).hex().encode()

"""Keeps a growing HDF5 file readable by everybody, at any moment, after any end.

A file that is written in SWMR mode says in its superblock "open for writing", and the end of the
file that the superblock tells is that of the moment when SWMR writing began. So a plain
``h5py.File(path)`` refuses it while it grows, and for ever when the writer was killed. HDF5 does
not read its superblock again. Hence it can be put right from outside: the flags cleared, and an end
of file told that lies far enough ahead to cover what the writer adds before we look again.

HDF5 writes its own superblock once more when the whole file is flushed after it has become longer,
but not when datasets are flushed one by one (``H5Dflush``): so that is how a sealed file is flushed.

The file is really made that long first, for a superblock that tells of more than there is means a
truncated file to HDF5. The disk's blocks are taken with it: a full disk shows here, where it can be
waited out, and not in the middle of what HDF5 writes. `SwmrSeal.finish` gives the rest back.

Layout: HDF5 File Format Specification 3.0, section II.A "Format Signature and Superblock", versions
2 and 3, with offsets of 8 bytes: signature (8), version (1), size of offsets (1), size of lengths (1),
consistency flags (1), base address (8), extension address (8), end of file (8), root group (8),
checksum (4). The checksum is Bob Jenkins' lookup3, ``hashlittle`` (public domain, 2006).
"""

import os
from pathlib import Path

SIGNATURE = b"\x89HDF\r\n\x1a\n"
RESERVE_BYTES = 8 * 2**20

_SIZE = 48
_FLAGS_AT = 11
_END_AT = 28
_CHECKSUM_AT = 44
_MASK = 0xFFFFFFFF


class SealError(Exception):
    """The file has no superblock of a known form."""


class SwmrSeal:
    """The superblock of one growing file.

    Parameters
    ----------
    path
        The file; opened a second time, beside HDF5.
    reserve_bytes
        How far ahead the end of file is told. More than what one batch of rows adds.

    Raises
    ------
    SealError
        The file has no superblock of version 2 or 3 with offsets of 8 bytes.
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._reserve_bytes = reserve_bytes
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _superblock(self._file)
        except SealError:
            self.close()
            raise

    def hold(self, allocated_bytes: int) -> None:
        """Make the superblock good for a file of `allocated_bytes` and what is added next.

        Call it before rows are written and before each flush of datasets. It writes only when the
        reserve is half used up.

        Raises
        ------
        OSError
            The file cannot be made longer, or the superblock not be written.
        """
        block = _superblock(self._file)
        end = int.from_bytes(block[_END_AT : _END_AT + 8], "little")
        if block[_FLAGS_AT] == 0 and end >= allocated_bytes + self._reserve_bytes // 2:
            return
        end = max(end, allocated_bytes + self._reserve_bytes)
        there = os.fstat(self._file).st_size
        if there < end:
            os.posix_fallocate(self._file, there, end - there)
        os.pwrite(self._file, sealed(block, end=end), 0)

    def require_in_place(self, path: Path) -> None:
        """Make sure that what is written can be found at `path`.

        Raises
        ------
        OSError
            The file was removed, or another one or another disk stands in its place.
        """
        try:
            there = path.stat()
        except OSError as error:
            raise OSError(error.errno, "the file is not there any more") from error
        if not os.path.samestat(there, os.fstat(self._file)):
            raise OSError("another file stands in its place")

    def sync(self) -> None:
        """Wait until the disk has what was written so far.

        Raises
        ------
        OSError
            The disk could not take it.
        """
        os.fsync(self._file)

    def finish(self, end: int) -> None:
        """Tell the true end of a file to which nothing is added any more, and cut the reserve off.

        Raises
        ------
        OSError
            The file cannot be written or cut.
        """
        if _SIZE < end < os.fstat(self._file).st_size:
            os.pwrite(self._file, sealed(_superblock(self._file), end=end), 0)
            os.ftruncate(self._file, end)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def mend(path: Path) -> bool:
    """Put the superblock of a file right that nobody writes any more, and say whether that was needed.

    For files of writers that kept no seal, and for one whose seal was interrupted half-way.

    Raises
    ------
    SealError
        The file has no superblock of a known form.
    OSError
        The file cannot be opened or written.
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        block = _superblock(file)
        good = sealed(block, end=os.fstat(file).st_size)
        if good == block:
            return False
        os.pwrite(file, good, 0)
        return True
    finally:
        os.close(file)


def sealed(block: bytes, *, end: int) -> bytes:
    """The superblock `block` with clear flags, an end of file at `end` and the checksum that belongs to it."""
    body = block[:_FLAGS_AT] + b"\0" + block[_FLAGS_AT + 1 : _END_AT] + end.to_bytes(8, "little")
    body += block[_END_AT + 8 : _CHECKSUM_AT]
    return body + lookup3(body).to_bytes(4, "little")


def _superblock(file: int) -> bytes:
    block = os.pread(file, _SIZE, 0)
    if len(block) < _SIZE or block[:8] != SIGNATURE or block[8] not in (2, 3) or block[9] != 8:
        raise SealError("a superblock of version 2 or 3 with offsets of 8 bytes was expected")
    return block


def lookup3(data: bytes, start: int = 0) -> int:
    """Jenkins' lookup3 hash of `data`, 32 bits, from the seed `start`.

    Twelve bytes at a time are added to three words and mixed; the last one to twelve bytes, padded
    with zeros, get a final mix of their own. No bytes at all get none.
    """
    a = b = c = (0xDEADBEEF + len(data) + start) & _MASK
    if not data:
        return c
    last = (len(data) - 1) // 12 * 12
    for offset in range(0, last, 12):
        a, b, c = _add(data[offset : offset + 12], a, b, c)
        for turn in (4, 6, 8, 16, 19, 4):
            a = ((a - c) & _MASK) ^ _rotated(c, turn)
            c = (c + b) & _MASK
            a, b, c = b, c, a
    a, b, c = _add(data[last:].ljust(12, b"\0"), a, b, c)
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, turn)) & _MASK
        a, b, c = b, c, a
    # seven turns leave the words one place on: what was finished last stands in b
    return b


def _add(block: bytes, a: int, b: int, c: int) -> tuple[int, int, int]:
    words = [int.from_bytes(block[at : at + 4], "little") for at in (0, 4, 8)]
    return (a + words[0]) & _MASK, (b + words[1]) & _MASK, (c + words[2]) & _MASK


def _rotated(word: int, by: int) -> int:
    return ((word << by) | (word >> (32 - by))) & _MASK

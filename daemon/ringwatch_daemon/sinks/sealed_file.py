"""An HDF5 file that grows in SWMR mode and that everybody can open at any moment."""

import os
from collections.abc import Mapping
from pathlib import Path

import h5py

from ringwatch_daemon.sinks.swmr_seal import RESERVE_BYTES, SwmrSeal, mend

CHUNK_CACHE_BYTES = 32 * 2**10
"""Of each dataset. Chunks are not compressed, so HDF5 writes into them directly and needs no cache."""
MADE_BYTES = 8 * 2**20
"""More than a file takes until it begins to grow: groups, attributes, datasets without a row."""
CUT_BYTES = 2**20
"""More than HDF5 adds to a file in which it makes datasets shorter."""


class SealedFile:
    """A file that this process writes.

    Parameters
    ----------
    path
        Where it stands.
    file
        Open for writing; owned by this object.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file
        self._seal: SwmrSeal | None = None

    @classmethod
    def made(cls, path: Path) -> "SealedFile":
        """A new file. Locks would keep readers out, on some network file systems the writer too.

        Raises
        ------
        OSError
            The disk has no room for it. That is seen before HDF5 writes, which a full disk can bring down with us.
        """
        try:
            _take_room(path, MADE_BYTES)
            file = h5py.File(path, "w", libver="latest", locking=False, rdcc_nbytes=CHUNK_CACHE_BYTES)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        made = cls(path, file)
        try:
            # Once more: HDF5 has emptied the file, and somebody else may have been quicker.
            _take_room(path, MADE_BYTES)
        except OSError:
            made.abandon()
            raise
        return made

    @classmethod
    def reopened(cls, path: Path) -> "SealedFile":
        """A file that a writer before this one has left, in whatever way it ended."""
        mend(path)
        file = h5py.File(path, "r+", libver="latest", locking=False, rdcc_nbytes=CHUNK_CACHE_BYTES)
        # HDF5 has marked it as open again; readers wait for nothing that is about to change.
        mend(path)
        return cls(path, file)

    @property
    def entry(self) -> h5py.Group:
        """The entry of the file."""
        return self.file["entry"]

    def begin_growing(self, *, batch_bytes: int) -> None:
        """Write in SWMR mode from here on; groups, datasets and attributes can no longer be added.

        Parameters
        ----------
        batch_bytes
            What one batch of rows may add.
        """
        self.file.swmr_mode = True
        # At once: until then a file that others read already counts as one that is open for writing.
        self._seal = SwmrSeal(self.path, reserve_bytes=max(RESERVE_BYTES, 4 * batch_bytes))
        self.hold()

    def renamed(self, path: Path) -> None:
        """Give the file the name `path`, in the place of whatever has it."""
        self.path.replace(path)
        self.path = path

    def hold(self) -> None:
        """Keep the superblock good for what is written next; see `SwmrSeal.hold`."""
        if self._seal is not None:
            self._seal.hold(self.file.id.get_filesize())

    def require_in_place(self) -> None:
        """Make sure that what is written can be found; see `SwmrSeal.require_in_place`."""
        if self._seal is not None:
            self._seal.require_in_place(self.path)

    def sync(self) -> None:
        """Wait until the disk has what was written so far."""
        if self._seal is not None:
            self._seal.sync()

    def close(self, *, lengths: Mapping[str, int] | None = None) -> None:
        """Close the file and give back the room that it kept ahead; what was not flushed is not in it.

        Parameters
        ----------
        lengths
            Rows of datasets that are longer than they should be, as a batch that was cut off leaves them.
        """
        try:
            if self._seal is None:
                self.file.close()
            else:
                end = self.file.id.get_filesize()
                _close_without_writing(self.file)
                self._seal.finish(end)
            self._cut(lengths or {})
            self.sync()
        finally:
            if self._seal is not None:
                self._seal.close()
                self._seal = None

    def abandon(self) -> None:
        """Close a file that is of no use, and remove it."""
        try:
            _close_without_writing(self.file)
        finally:
            self.path.unlink(missing_ok=True)
            if self._seal is not None:
                self._seal.close()
                self._seal = None

    def _cut(self, lengths: Mapping[str, int]) -> None:
        if lengths:
            _take_room(self.path, self.path.stat().st_size + CUT_BYTES)
            with h5py.File(self.path, "r+", libver="latest", locking=False) as file:
                for name, rows in lengths.items():
                    file["entry"][name].resize(rows, axis=0)


def _take_room(path: Path, size: int) -> None:
    """Make a file at least `size` bytes long, with blocks of the disk behind all of them."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(file, 0, size)
    finally:
        os.close(file)


def _close_without_writing(file: h5py.File) -> None:
    """Close a file whose datasets are flushed, so that it is whole at every moment.

    HDF5 marks the file as open once more while it closes it, for some milliseconds in which a kill would leave it
    so. What it writes then tells nothing new: it goes to a piece of memory that is thrown away.
    """
    scratch = os.memfd_create("closing")
    try:
        os.dup2(scratch, file.id.get_vfd_handle(), inheritable=False)
    finally:
        os.close(scratch)
    file.close()

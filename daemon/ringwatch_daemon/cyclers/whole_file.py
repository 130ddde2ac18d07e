"""A cycler's file that can only be read as a whole, again whenever it has changed."""

from collections.abc import Callable
from pathlib import Path

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.given_once import GivenOnce
from ringwatch_daemon.cyclers.set_back import SetBack, set_back_in
from ringwatch_pipelines.cell.cycling import CyclerSamples

_Look = tuple[int, int, int]


class WholeFileCycler:
    """Reads a file whenever it has changed and gives out only its new rows.

    A file that cannot be read may be half written: it is complained of once it stands still from one
    call to the next, and then not again until it changes.

    Parameters
    ----------
    path
        May appear later and be replaced.
    samples_from
        Turns the content of the file into all of its samples.
    """

    def __init__(self, path: Path, samples_from: Callable[[bytes], CyclerSamples]) -> None:
        self._path = path
        self._samples_from = samples_from
        self._given = GivenOnce()
        self._dealt_with: _Look | None = None
        self._last_look: _Look | None = None
        self._held_back: CyclerSamples | None = None
        self._set_back: SetBack | None = None

    def poll(self) -> CyclerSamples | None:
        """New samples since the last call, or None.

        Raises
        ------
        CyclerError
            The file, as it stands now, cannot be understood, or its clock was set back; then the rows come next.
        """
        if self._held_back is not None:
            samples, self._held_back = self._held_back, None
            return samples
        look = self._look()
        if look is None or look == self._dealt_with:
            return None
        stands_still, self._last_look = look == self._last_look, look
        try:
            samples = self._read()
        except CyclerError:
            if not stands_still:
                return None
            self._dealt_with = look
            raise
        self._dealt_with = look
        self._given.begins_again()
        new = self._given.new_ones(samples)
        set_back = set_back_in(samples.cycler_timestamp_ns)
        if set_back is not None and set_back != self._set_back:
            self._set_back, self._held_back = set_back, new
            raise CyclerError(f"{self._path} row {set_back.place + 1}: {set_back.text}")
        return new

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _look(self) -> _Look | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CyclerError(f"{self._path} cannot be read: {error.strerror or error}") from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> CyclerSamples:
        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise CyclerError(f"{self._path} cannot be read: {error.strerror or error}") from error
        if not content:
            raise CyclerError(f"{self._path}: expected a cycler's data, got an empty file")
        try:
            samples = self._samples_from(content)
        except CyclerError as error:
            raise CyclerError(f"{self._path}: {error}") from error
        if not samples.timestamp_ns.size:
            raise CyclerError(f"{self._path}: expected samples, got a file without a single one")
        return samples

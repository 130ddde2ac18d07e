"""The sink that writes a run to HDF5: NeXus, readable by everybody while it grows and after any end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringwatch_daemon.core.clock import Clock, SystemClock
from ringwatch_daemon.core.errors import SinkError, StorageError
from ringwatch_daemon.core.records import Record, RunStart
from ringwatch_daemon.sinks.run_file import RunFile
from ringwatch_daemon.sinks.run_parts import clear_parts, parts_there
from ringwatch_daemon.sinks.swmr_seal import SealError

SYNC_S = 5.0


class NexusFile:
    """A sink that writes a run to one file.

    Parameters
    ----------
    directory
        Where a file named after the run is made; the directory itself is made where it is missing.
    path
        The file to make, instead.
    overwrite
        Replace a file that is there; refused otherwise.
    resume
        Go on with the file that is there, of a run that was cut off.
    part_rows
        Frames in one file: a longer run stands in parts beside it, and the file reads as one over them.
        None for one file whatever comes.
    sync_s
        Longest time between two requests that the disk have what was written; infinite for none.
    interval_s
        `flush` writes when this much time has passed since the last write. By default it writes
        every time, so that what is published after a flush is in the file.

    Raises
    ------
    SinkError
        Neither a directory nor a path is given.
    """

    def __init__(
        self,
        *,
        directory: Path | None = None,
        path: Path | None = None,
        overwrite: bool = False,
        resume: bool = False,
        part_rows: int | None = None,
        sync_s: float = SYNC_S,
        interval_s: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        if directory is None and path is None:
            raise SinkError("a directory or a path for the file of the run was expected, got neither")
        self._directory = directory
        self._path = path
        self._overwrite = overwrite
        self._resume = resume
        self._part_rows = part_rows
        self._sync_s = sync_s
        self._interval_s = interval_s
        self._clock = clock or SystemClock()
        self._run: RunFile | None = None
        self._written_s = -float("inf")

    @property
    def path(self) -> Path | None:
        """The file of the run; None before the start of a run that gives the file its name."""
        return self._path

    def accept(self, record: Record) -> None:
        """Take the next record; the start of a run makes the file.

        Raises
        ------
        SinkError
            The file cannot be made or written, or the record does not follow those before.
        """
        if isinstance(record, RunStart):
            self._start(record)
            return
        if self._run is None:
            raise SinkError(f"the file of a run expected its start first, got {type(record).__name__}")
        with _told(self._run.path, "written"):
            self._run.take(record)

    def flush(self) -> None:
        """Write what was accepted and show it to readers, unless that was done a moment ago.

        Raises
        ------
        StorageError
            The file cannot be written; what waits is tried again at the next flush.
        """
        now_s = self._clock.monotonic_s()
        if self._run is None or now_s - self._written_s < self._interval_s:
            return
        self._written_s = now_s
        with _told(self._run.path, "written"):
            self._run.write(self._clock.utc_ns())

    def close(self) -> None:
        """Write everything and close the file.

        Raises
        ------
        SinkError
            The last rows cannot be written; the file still holds all that were.
        """
        run, self._run = self._run, None
        if run is not None:
            with _told(run.path, "closed"):
                run.close(self._clock.utc_ns())

    def _start(self, start: RunStart) -> None:
        if self._run is not None:
            raise SinkError(f"{self._run.path} holds run {self._run.run_id}, got another start: {start.run_id}")
        path = self._path or (self._directory or Path()) / f"{start.run_id}.h5"
        if not self._resume and not self._overwrite:
            _require_nothing_there(path)
        with _told(path, "made"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._run = RunFile(path, start, part_rows=self._part_rows, resume=self._resume, sync_s=self._sync_s)
            if not self._resume:
                # Those of the run that was overwritten.
                clear_parts(path)
        self._path = path


def _require_nothing_there(path: Path) -> None:
    for there in (path, *parts_there(path)):
        if there.exists():
            raise SinkError(f"{there} is there already, and a run is not overwritten: name another file or remove it")


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{path} cannot be {what}: {_first_line(error)}") from error
    except (SealError, ValueError, IndexError) as error:
        raise SinkError(f"{path} cannot be {what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

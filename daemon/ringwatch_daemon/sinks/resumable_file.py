"""The file of a run together with what lets a later process go on with it."""

import hashlib
from dataclasses import replace
from pathlib import Path

from ringwatch_daemon.core.errors import StorageError
from ringwatch_daemon.core.messages import messages_from_record
from ringwatch_daemon.core.records import Checkpoint, FrameRecord, Record, RunStart, RunStop
from ringwatch_daemon.core.wire import encode
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.run_memory import RunIdentity, RunMemory, memory_folder


class ResumableFile:
    """A sink: the file, and the checkpoint that belongs to its last row.

    Parameters
    ----------
    output
        The file of the run.
    file
        Writes it; owned by this sink.
    resumed_rows
        Rows that the file has already, of a run that was cut off; None for a new run.
    """

    def __init__(self, output: Path, file: NexusFile, *, resumed_rows: int | None = None) -> None:
        self._folder = memory_folder(output)
        self._resumed_rows = resumed_rows
        self._file = file
        self._memory: RunMemory | None = None
        self._newest: tuple[int, Checkpoint] | None = None
        self._ended = False

    def accept(self, record: Record) -> None:
        """Take the next record.

        Raises
        ------
        SinkError
            The file cannot be made or written, or another process writes this run.
        """
        match record:
            case RunStart():
                self._start(record)
            case FrameRecord() if record.checkpoint is not None:
                self._newest = record.row, record.checkpoint
            case RunStop():
                self._ended = True
        self._file.accept(record)

    def flush(self) -> None:
        """Make what was accepted durable, the checkpoint first: one of the two slots then always fits the file.

        Raises
        ------
        StorageError
            The disk does not take it; the next flush tries again.
        """
        if self._memory is not None and self._newest is not None:
            try:
                self._memory.keep(*self._newest)
            except OSError as error:
                raise StorageError(f"the state of the run cannot be kept in {self._folder}: {error}") from error
            self._newest = None
        self._file.flush()

    def close(self) -> None:
        """Close the file; a run that ended properly is not resumed.

        Raises
        ------
        SinkError
            The last rows cannot be written.
        """
        try:
            self._file.close()
            if self._ended and self._memory is not None:
                self._memory.forget()
        finally:
            if self._memory is not None:
                self._memory.close()

    def _start(self, start: RunStart) -> None:
        identity = RunIdentity(start.run_id, start.started_ns, fingerprint_of(start))
        try:
            self._memory = RunMemory(self._folder, identity, resumed_rows=self._resumed_rows)
        except OSError as error:
            raise StorageError(f"the folder {self._folder} cannot be made: {error}") from error


def fingerprint_of(start: RunStart) -> str:
    """sha256 of all that the start of a run tells, apart from its name and time.

    It holds bins, columns, the whole configuration, checksums and the versions of what decides a
    number: rows of two runs that share it can stand in one file.
    """
    plain = replace(start, run_id="", started_ns=0)
    digest = hashlib.sha256()
    for message in messages_from_record(plain, start=plain, first_seq=0, now_ns=0):
        for part in encode(message):
            digest.update(part)
    return digest.hexdigest()

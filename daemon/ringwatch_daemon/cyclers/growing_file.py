"""Complete lines of a file that another program appends to, writes again or rotates."""

import os
import re
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.errors import CyclerError

_FINGERPRINT_BYTES = 256
_FINISHED_AFTER_NS = 60 * NS_PER_S
_FIELD = re.compile(rb"[^\t;,|]*\Z")
_DIGITS = re.compile(rb"[0-9]")


@dataclass(frozen=True, slots=True)
class Lines:
    """Complete lines, without their ends.

    Parameters
    ----------
    first_number
        Number of the first of them in the file, from 1.
    restarted
        They begin a file that is new, or was written again.
    """

    lines: tuple[bytes, ...] = ()
    first_number: int = 1
    restarted: bool = False


class GrowingFile:
    """Follows a path, one block of complete lines at a time.

    The file stays open, so that one that is renamed is read to its end before the new one under
    its name. A last line without its end is not given out while it may be half of one. A file that
    shrank, or whose beginning or last given line has changed, is read again from its beginning.

    Parameters
    ----------
    block_bytes
        Largest block; also the longest line.
    clock
        Where it is given, a last line without its end is taken once the file has not changed for a minute, and it
        ends as the line before it: many programs end a finished file so, and a copy that broke off does not.
    """

    def __init__(self, path: Path, *, block_bytes: int = 1 << 22, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock
        self._block_bytes = block_bytes
        self._file: FileIO | None = None
        self._position = 0
        self._line_number = 1
        # What was read last and not accepted yet; the beginning and the end of what was.
        self._block = b""
        self._head = b""
        self._tail = b""

    def peek(self) -> Lines:
        """The next lines, the same again until `accept`; none where there is no file.

        Raises
        ------
        CyclerError
            The file cannot be read, or has no lines.
        """
        try:
            return self._peek()
        except OSError as error:
            self.close()
            raise CyclerError(f"{self._path} cannot be read: {error.strerror or error}") from error

    def accept(self) -> None:
        """The lines of the last `peek` are dealt with."""
        self._position += len(self._block)
        self._line_number += self._block.count(b"\n")
        self._head = (self._head + self._block)[:_FINGERPRINT_BYTES]
        self._tail = (self._tail + self._block)[-_FINGERPRINT_BYTES:]
        self._block = b""

    def close(self) -> None:
        """Let go of the file; the next `peek` starts again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _peek(self) -> Lines:
        if self._file is None and not self._open():
            return Lines()
        if self._was_rewritten():
            self._restart()
        self._block = self._complete_lines()
        if not self._block and self._was_replaced() and self._open():
            self._block = self._complete_lines()
        if not self._block:
            return Lines(restarted=self._position == 0)
        lines = tuple(line.removesuffix(b"\r") for line in self._block.removesuffix(b"\n").split(b"\n"))
        return Lines(lines, self._line_number, restarted=self._position == 0)

    def _restart(self) -> None:
        self._position = 0
        self._line_number = 1
        self._head = b""
        self._tail = b""
        self._block = b""

    def _open(self) -> bool:
        self.close()
        try:
            # Unbuffered: a buffer would go on showing what the writer has overwritten.
            self._file = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        self._restart()
        return True

    def _read(self, position: int, size: int) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(position)
        return self._file.read(size)

    def _complete_lines(self) -> bytes:
        block = self._read(self._position, self._block_bytes)
        end = block.rfind(b"\n") + 1
        if not end and len(block) == self._block_bytes:
            raise CyclerError(
                f"{self._path} line {self._line_number}: expected a line of text, got {len(block)} bytes without an end"
            )
        if end < len(block) < self._block_bytes and self._is_finished():
            if _ends_alike(block[end:], self._line_before(block[:end])):
                return block
            if not end:
                raise CyclerError(
                    f"{self._path} line {self._line_number}: expected the end of the last line, got {_shown(block)} in "
                    "a file that has not changed for a minute: it is cut off, and the line is not taken"
                )
        return block[:end]

    def _line_before(self, block: bytes) -> bytes:
        """The last whole line before the end of the file."""
        return (self._tail + block).removesuffix(b"\n").rsplit(b"\n", 1)[-1].removesuffix(b"\r")

    def _is_finished(self) -> bool:
        if self._clock is None or self._file is None:
            return False
        return self._clock.utc_ns() - os.fstat(self._file.fileno()).st_mtime_ns > _FINISHED_AFTER_NS

    def _was_rewritten(self) -> bool:
        head = self._read(0, len(self._head))
        tail = self._read(self._position - len(self._tail), len(self._tail))
        return (head, tail) != (self._head, self._tail)

    def _was_replaced(self) -> bool:
        """Another file stands under the name now."""
        if self._file is None:
            return False
        try:
            there, ours = self._path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def _ends_alike(line: bytes, before: bytes) -> bool:
    """Whether the last fields of two lines have their digits at the same places: half a number seldom does."""
    last, other = (_shape(one) for one in (line, before))
    return last == other


def _shape(line: bytes) -> bytes:
    """Of the last field, whatever its sign."""
    found = _FIELD.search(line)
    return b"" if found is None else _DIGITS.sub(b"0", found[0].strip().lstrip(b"+-")).replace(b"-", b"+")


def _shown(line: bytes) -> str:
    return repr(line[-60:].decode("utf-8", "replace"))

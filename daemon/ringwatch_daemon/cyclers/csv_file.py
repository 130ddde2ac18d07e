"""A cycler's text table that grows while the run goes on."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.growing_file import GrowingFile, Lines
from ringwatch_daemon.cyclers.layout import TableLayout
from ringwatch_daemon.cyclers.table import BadLine, Table
from ringwatch_pipelines.cycling import CyclerSamples
from ringwatch_pipelines.frames import read_only

_NAMED_LINES = 3


@dataclass(frozen=True, slots=True)
class CsvCyclerConfig:
    """A cycler that writes a text table.

    Parameters
    ----------
    path
        May appear later, be appended to, be written again or be rotated.
    layout
        What the columns mean.
    clock_offset_s
        Detector's clock minus cycler's clock.
    """

    path: Path
    layout: TableLayout
    clock_offset_s: float = 0.0


class CsvCycler:
    """Gives out each row of the table once, as soon as its line is complete.

    Lines that are not data are skipped and told in a `CyclerError`; the rows around them come with the
    next call. A table that is written again gives only rows whose stamps are new.

    Parameters
    ----------
    config
        Where the table is and what it means.
    block_bytes
        Most that one call reads, so that a long table comes in pieces.
    """

    def __init__(self, config: CsvCyclerConfig, *, block_bytes: int = 1 << 22) -> None:
        self._config = config
        self._file = GrowingFile(config.path, block_bytes=block_bytes)
        self._clock_offset_ns = round(config.clock_offset_s * 1e9)
        self._table: Table | None = None
        self._repeats = False
        self._given: list[NDArray[np.int64]] = []
        self._newest_ns = 0
        self._held_back: CyclerSamples | None = None

    def poll(self) -> CyclerSamples | None:
        """New samples since the last call, or None.

        Raises
        ------
        CyclerError
            Lines were skipped, or the table cannot be understood; names file, line and what was expected.
        """
        if self._held_back is not None:
            samples, self._held_back = self._held_back, None
            return samples
        block = self._file.peek()
        if block.restarted:
            self._table = None
            self._repeats = bool(self._given)
        if not block.lines or not self._below_header(block):
            return None
        return self._read(block)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _below_header(self, block: Lines) -> bool:
        """Whether the header is known, reading it from the first block."""
        if self._table is None and len(block.lines) >= self._config.layout.header_line:
            number = self._config.layout.header_line
            header = _text(block.lines[number - 1], is_first=number == 1)
            if "\0" in header:
                raise CyclerError(
                    f"{self._config.path} line {number}: expected text in UTF-8 or Latin-1, got NUL bytes"
                )
            try:
                self._table = Table(header, self._config.layout, clock_offset_ns=self._clock_offset_ns)
            except CyclerError as error:
                raise CyclerError(f"{self._config.path} line {number}: {error}") from error
        return self._table is not None

    def _read(self, block: Lines) -> CyclerSamples | None:
        assert self._table is not None
        skipped = self._config.layout.header_line if block.restarted else 0
        lines = [_text(line) for line in block.lines[skipped:]]
        first = block.first_number + skipped
        try:
            rows = self._table.read(lines, first)
        except CyclerError as error:
            raise CyclerError(f"{self._config.path} from line {first} on: {error}") from error
        self._file.accept()
        samples = self._new_ones(rows.samples)
        if rows.bad:
            self._held_back = samples
            raise CyclerError(_told(self._config.path, rows.bad))
        return samples

    def _new_ones(self, samples: CyclerSamples) -> CyclerSamples | None:
        stamps = samples.cycler_timestamp_ns
        if self._repeats and stamps.size:
            self._repeats = bool(stamps.min() <= self._newest_ns)
            self._given = [np.concatenate(self._given)]
            samples = _chosen(samples, ~np.isin(stamps, self._given[0]))
        if not samples.timestamp_ns.size:
            return None
        self._given.append(samples.cycler_timestamp_ns)
        self._newest_ns = max(self._newest_ns, int(samples.cycler_timestamp_ns.max()))
        return samples


def _chosen(samples: CyclerSamples, which: NDArray[np.bool_]) -> CyclerSamples:
    return CyclerSamples(**{field.name: read_only(getattr(samples, field.name)[which]) for field in fields(samples)})


def _text(line: bytes, *, is_first: bool = False) -> str:
    """UTF-8 with or without its mark, else Latin-1, which older cycler programs write."""
    try:
        return line.decode("utf-8-sig" if is_first else "utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _told(path: Path, bad: tuple[BadLine, ...]) -> str:
    first = bad[0]
    others = ", ".join(str(line.number) for line in bad[1:_NAMED_LINES])
    more = f" and {len(bad) - _NAMED_LINES} more" if len(bad) > _NAMED_LINES else ""
    rest = f"; also skipped: line{'s' if len(bad) > 2 else ''} {others}{more}" if others else ""
    return f"{path} line {first.number}: {first.why}; the line is skipped{rest}"

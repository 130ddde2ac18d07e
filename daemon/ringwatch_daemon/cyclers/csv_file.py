"""A cycler's text table that grows while the run goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.given_once import GivenOnce
from ringwatch_daemon.cyclers.growing_file import GrowingFile, Lines
from ringwatch_daemon.cyclers.layout import TableLayout
from ringwatch_daemon.cyclers.table import BadLine, Table
from ringwatch_daemon.cyclers.text_lines import text_from_line
from ringwatch_pipelines.cell.cycling import CyclerSamples

_NAMED_LINES = 3
HEAD_LINES = 400
"""Lines from which the layout of a table can be told."""

LayoutOf = Callable[[tuple[str, ...]], TableLayout]


@dataclass(frozen=True, slots=True)
class CsvCyclerConfig:
    """A cycler that writes a text table.

    Parameters
    ----------
    path
        May appear later, be appended to, be written again or be rotated.
    layout
        What the columns mean, or what tells it from the first lines.
    clock_offset_s
        Detector's clock minus cycler's clock.
    """

    path: Path
    layout: TableLayout | LayoutOf
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
    clock
        Tells when a file has stood still for so long that a last line without its end is a whole one.
    """

    def __init__(self, config: CsvCyclerConfig, *, block_bytes: int = 1 << 22, clock: Clock | None = None) -> None:
        self._config = config
        self._file = GrowingFile(config.path, block_bytes=block_bytes, clock=clock)
        self._clock_offset_ns = round(config.clock_offset_s * 1e9)
        self._table: Table | None = None
        self._layout: TableLayout | None = None
        self._given = GivenOnce()
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
            self._given.begins_again()
        if not block.lines or not self._below_header(block):
            return None
        return self._read(block)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _below_header(self, block: Lines) -> bool:
        """Whether the header is known, reading it from the first block."""
        if self._table is None:
            self._layout = layout = self._layout_of(block)
            if len(block.lines) >= layout.header_line:
                self._table = self._table_of(block, layout)
        return self._table is not None

    def _layout_of(self, block: Lines) -> TableLayout:
        layout = self._config.layout
        if isinstance(layout, TableLayout):
            return layout
        head = tuple(text_from_line(line, is_first=index == 0) for index, line in enumerate(block.lines[:HEAD_LINES]))
        try:
            return layout(head)
        except CyclerError as error:
            raise CyclerError(f"{self._config.path}: {error}") from error

    def _table_of(self, block: Lines, layout: TableLayout) -> Table:
        number = layout.header_line
        header = text_from_line(block.lines[number - 1], is_first=number == 1)
        if "\0" in header:
            raise CyclerError(f"{self._config.path} line {number}: expected text in UTF-8 or Latin-1, got NUL bytes")
        try:
            return Table(header, layout, clock_offset_ns=self._clock_offset_ns)
        except CyclerError as error:
            raise CyclerError(f"{self._config.path} line {number}: {error}") from error

    def _read(self, block: Lines) -> CyclerSamples | None:
        assert self._table is not None
        assert self._layout is not None
        skipped = self._layout.header_line if block.restarted else 0
        lines = [text_from_line(line) for line in block.lines[skipped:]]
        first = block.first_number + skipped
        try:
            rows = self._table.read(lines, first)
        except CyclerError as error:
            raise CyclerError(f"{self._config.path} from line {first} on: {error}") from error
        self._file.accept()
        samples = self._given.new_ones(rows.samples)
        said = [_told(self._config.path, rows.bad)] if rows.bad else []
        if rows.set_back is not None:
            number = first + rows.set_back.place
            said.append(f"{self._config.path} line {number}: {rows.set_back.text}")
        if said:
            self._held_back = samples
            raise CyclerError("; ".join(said))
        return samples


def _told(path: Path, bad: tuple[BadLine, ...]) -> str:
    first = bad[0]
    others = ", ".join(str(line.number) for line in bad[1:_NAMED_LINES])
    more = f" and {len(bad) - _NAMED_LINES} more" if len(bad) > _NAMED_LINES else ""
    rest = f"; also skipped: line{'s' if len(bad) > 2 else ''} {others}{more}" if others else ""
    return f"{path} line {first.number}: {first.why}; the line is skipped{rest}"

"""A cycler's file of a format that its content tells, whatever its name says."""

import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.core.ports import CyclerReader
from ringwatch_daemon.cyclers.biologic import MPR_MAGIC, samples_from_mpr
from ringwatch_daemon.cyclers.csv_file import CsvCycler, CsvCyclerConfig
from ringwatch_daemon.cyclers.declarations import Declarations, FileCyclerConfig
from ringwatch_daemon.cyclers.neware import NDA_MAGIC, NDAX_DATA, samples_from_nda, samples_from_ndax
from ringwatch_daemon.cyclers.optional import reading_a_whole
from ringwatch_daemon.cyclers.text_export import layout_from_lines
from ringwatch_daemon.cyclers.whole_file import WholeFileCycler
from ringwatch_daemon.cyclers.workbook import samples_from_workbook
from ringwatch_pipelines.cell.cycling import CyclerSamples

_SamplesFrom = Callable[[bytes, Declarations], CyclerSamples]
_MAGIC_BYTES = 64


def _samples_from_archive(content: bytes, declared: Declarations) -> CyclerSamples:
    with reading_a_whole(".ndax or Excel file"), zipfile.ZipFile(BytesIO(content)) as archive:
        parts = archive.namelist()
    if NDAX_DATA in parts:
        return samples_from_ndax(content, declared)
    if any(part.startswith("xl/") for part in parts):
        return samples_from_workbook(content, declared)
    raise CyclerError(f"expected an .ndax or Excel file, got an archive of {', '.join(parts)[:200] or 'nothing'}")


def _refused_database(content: bytes, declared: Declarations) -> CyclerSamples:  # noqa: ARG001 - as every other format
    raise CyclerError("expected an export of Arbin's data, got its database: export it as CSV or Excel")


def _refused_utf16(content: bytes, declared: Declarations) -> CyclerSamples:  # noqa: ARG001 - as every other format
    raise CyclerError("expected text in UTF-8 or Latin-1, got UTF-16: export or save it again")


_BINARY: tuple[tuple[bytes, _SamplesFrom], ...] = (
    (MPR_MAGIC, samples_from_mpr),
    (NDA_MAGIC, samples_from_nda),
    (b"PK\x03\x04", _samples_from_archive),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", samples_from_workbook),
    (b"\x00\x01\x00\x00Standard ", _refused_database),
    (b"\xff\xfe", _refused_utf16),
    (b"\xfe\xff", _refused_utf16),
)


class RecognisedFileCycler:
    """Reads a cycler's file of any known format.

    Text is followed line by line; other formats are read again whenever they have changed.

    Parameters
    ----------
    config
        Where the file is and what it does not tell.
    clock
        Tells when a file has stood still for so long that it is finished.
    """

    def __init__(self, config: FileCyclerConfig, *, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._reader: CyclerReader | None = None

    def poll(self) -> CyclerSamples | None:
        """New samples since the last call, or None.

        Raises
        ------
        CyclerError
            The file is empty, damaged or of no known format, or needs a declaration.
        """
        if self._reader is None:
            self._reader = self._open()
        return None if self._reader is None else self._reader.poll()

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()

    def _open(self) -> CyclerReader | None:
        path, declared = self._config.path, self._config.declared
        try:
            begins = _first_bytes(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CyclerError(f"{path} cannot be read: {error.strerror or error}") from error
        if not begins:
            raise CyclerError(f"{path}: expected a cycler's data, got an empty file")
        for magic, samples_from in _BINARY:
            if begins.startswith(magic):
                return WholeFileCycler(path, _with_declared(samples_from, declared))
        text = CsvCyclerConfig(path, partial(layout_from_lines, declared=declared), declared.clock_offset_s)
        return CsvCycler(text, clock=self._clock)


def _with_declared(samples_from: _SamplesFrom, declared: Declarations) -> Callable[[bytes], CyclerSamples]:
    return lambda content: samples_from(content, declared)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAGIC_BYTES)

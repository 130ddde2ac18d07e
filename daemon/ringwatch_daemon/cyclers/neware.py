"""Neware: binary ``.nda`` and ``.ndax``, and the CSV and Excel exports of its programs."""

import warnings
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import TableLayout
from ringwatch_daemon.cyclers.optional import library, reading_a_whole
from ringwatch_daemon.cyclers.sample_columns import charge_over_steps, samples_from_columns
from ringwatch_daemon.cyclers.stamps import utc_ns_from_wall_clock
from ringwatch_daemon.cyclers.text_family import StateNames, TextFamily, TimeNames, layout_from_family, names
from ringwatch_pipelines.cell.cycling import CyclerSamples

NDA_MAGIC = b"NEWARE"
NDAX_DATA = "data.ndc"
_TEST_INFO = "TestInfo.xml"
_BTS9_VERSIONS = (129, 130)
_VOLTAGE = names(r"(voltage|电压) ?[(/](?P<unit>m?v)\)?")
_CURRENT = names(r"(cur(rent)?|电流) ?[(/](?P<unit>[muμ]?a)\)?")
# The Chinese names are those of Neware and Landt alike.
FAMILY = TextFamily(
    name="Neware",
    marks=(names(r"data ?point|record( id| index|#)?|(数据|记录)(序?号)?"), _VOLTAGE, _CURRENT),
    times=(
        TimeNames(names("date|realtime|real time|absolute time|date ?time|(绝对|系统)时间|日期"), "stamp"),
        TimeNames(names("total time|总时间"), "duration"),
        TimeNames(names(r"(total|test) ?time ?\(s\)"), "elapsed"),
    ),
    voltage=_VOLTAGE,
    current=_CURRENT,
    cycle=names("cycle( id| index)?|循环(序?号)?"),
    step=names("step( id| index)?|工步(序?号)?"),
    # Some versions write currents without a sign.
    state=StateNames(names("step ?(type|name)|status|state|工步类型|状态"), names(".*(dchg|disch|放电).*|d_.*")),
)


def layout(lines: Sequence[str], declared: Declarations) -> TableLayout | None:
    """What the columns of an export mean, None where it is another format; capacities begin again and are left out."""
    return layout_from_family(FAMILY, lines, declared)


def samples_from_ndax(content: bytes, declared: Declarations) -> CyclerSamples:
    """All samples of an ``.ndax`` archive.

    Raises
    ------
    CyclerError
        It is truncated, damaged or empty, or its zone is not declared.
    """
    _check_archive(content)
    return _samples(_table(content, ".ndax"), declared)


def samples_from_nda(content: bytes, declared: Declarations) -> CyclerSamples:
    """All samples of an ``.nda`` file.

    Raises
    ------
    CyclerError
        It is truncated, damaged or empty, or its zone is not declared.
    """
    return _samples(_table(content, ".nda"), declared)


def _check_archive(content: bytes) -> None:
    """Every part is whole, and the description of the test is the text that it says it is."""
    with reading_a_whole(".ndax archive"), zipfile.ZipFile(BytesIO(content)) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise CyclerError(f"expected a whole .ndax archive, got one whose {damaged} fails its checksum")
        info = archive.read(_TEST_INFO) if _TEST_INFO in archive.namelist() else b""
    try:
        info.decode("gb2312")
    except UnicodeDecodeError as error:
        raise CyclerError(
            f"expected {_TEST_INFO} of the .ndax archive in GB2312, got byte {info[error.start]:#x} at {error.start}:"
            " the archive is damaged"
        ) from error


def _table(content: bytes, suffix: str) -> Any:
    """The rows, read from a copy: the library goes by the name, and the file may change meanwhile."""
    fastnda = library("fastnda", reads="Neware .nda and .ndax files")
    library("fastnda.ndax", reads="Neware .ndax files")  # here, where what an import changes is put right
    with TemporaryDirectory() as folder, reading_a_whole(f"{suffix} file"), warnings.catch_warnings():
        # It warns of files that it knows less well; what is used of them is checked by the recordings.
        warnings.simplefilter("ignore")
        copy = Path(folder) / f"copy{suffix}"
        copy.write_bytes(content)
        try:
            table = fastnda.read(copy, cycle_mode="raw")
        except IndexError as error:
            raise CyclerError(f"expected samples in the {suffix} file, got none") from error
        announced = _announced_rows(fastnda, copy)
    if table.height < announced:
        raise CyclerError(f"expected {announced} rows in the {suffix} file, got {table.height}: it is truncated")
    return table


def _announced_rows(fastnda: Any, path: Path) -> int:
    """How many rows the file says it holds, 0 where it does not say."""
    if path.suffix != ".nda":
        return 0
    try:
        told = fastnda.read_metadata(path)
    except (ArithmeticError, EOFError, LookupError, ValueError):
        # Of some versions it reads the rows only.
        return 0
    if told.get("num_datapoints") is None and told.get("nda_version") in _BTS9_VERSIONS:
        raise CyclerError("expected a whole .nda file, got one without the end that tells the number of its rows")
    return int(told.get("num_datapoints") or 0)


def _samples(table: Any, declared: Declarations) -> CyclerSamples:
    if declared.zone is None:
        raise CyclerError("Neware files tell the time of the computer's clock without a time zone: declare `zone`")
    if "unix_time_s" not in table.columns:
        raise CyclerError("expected the date of every row of a Neware file, got a file of a version that tells none")
    step = table["step_count"].to_numpy().astype(np.int64)
    charge_mAh = table["capacity_mAh"].to_numpy().astype(np.float64)
    # Float seconds since 1970 are good to a microsecond; the format counts the wall clock as if it were UTC.
    wall_ns = np.round(table["unix_time_s"].to_numpy().astype(np.float64) * 1e6).astype(np.int64) * 1000
    return samples_from_columns(
        cycler_timestamp_ns=utc_ns_from_wall_clock(wall_ns, zone=declared.zone),
        clock_offset_ns=declared.clock_offset_ns,
        voltage_V=table["voltage_V"].to_numpy(),
        current_A=1e-3 * table["current_mA"].to_numpy().astype(np.float64),
        charge_C=3.6 * charge_over_steps(charge=charge_mAh, step=step),
        cycle=table["cycle_count"].to_numpy(),
        step=step,
    )

"""Files that are read as a whole, Excel workbooks, and the linked files of one run."""

import os
from datetime import datetime, timedelta

import numpy as np
import pytest
from openpyxl import Workbook

from fakes.cycler_reading import drained, everything, reader_of, written
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.optional import library
from ringwatch_daemon.cyclers.sample_columns import samples_from_columns
from ringwatch_daemon.cyclers.stamps import utc_ns_from_wall_clock
from ringwatch_daemon.cyclers.whole_file import WholeFileCycler
from ringwatch_pipelines.cell.cycling import CyclerSamples

ARBIN = ("Data_Point", "Date_Time", "Test_Time(s)", "Cycle_Index", "Step_Index", "Current(A)", "Voltage(V)")
NOON = datetime(2024, 7, 1, 12)


def workbook(path, rows, *, sheets=1):
    book = Workbook()
    book.active.title = "Global_Info"
    book.active.append(["TEST REPORT"])
    book.create_sheet("StatisticByCycle_1").append(ARBIN)
    for sheet in range(sheets):
        page = book.create_sheet(f"Channel_1-008_{sheet + 1}")
        page.append(ARBIN)
        for row in range(sheet * rows // sheets, (sheet + 1) * rows // sheets):
            page.append([row + 1, NOON + timedelta(seconds=row), float(row), 1, 1 + sheet, 0.001, 3.0 + row / 1000])
    book.save(path)
    return path


def test_a_workbook_is_read_over_all_its_sheets(tmp_path):
    read = everything(workbook(tmp_path / "cell.xlsx", 100, sheets=2), zone="Europe/Berlin")
    assert read.said == ()
    order = np.argsort(read.samples.timestamp_ns)
    assert read.samples.voltage_V[order] == pytest.approx(3.0 + np.arange(100) / 1000)
    assert np.all(np.diff(read.samples.timestamp_ns[order]) == 10**9)
    assert set(read.samples.step.tolist()) == {1, 2}


def test_a_workbook_that_is_saved_again_gives_its_new_rows_only(tmp_path):
    path = workbook(tmp_path / "cell.xlsx", 10)
    reader = reader_of(path, zone="UTC")
    assert drained(reader).samples.timestamp_ns.size == 10
    assert drained(reader).samples.timestamp_ns.size == 0
    workbook(tmp_path / "new.xlsx", 14).replace(path)
    assert drained(reader).samples.voltage_V == pytest.approx([3.010, 3.011, 3.012, 3.013])
    reader.close()


def test_sheets_of_two_channels_are_no_series(tmp_path):
    book = Workbook()
    for name, sheet in (("Channel_1", book.active), ("Channel_2", book.create_sheet())):
        sheet.title = name
        sheet.append(ARBIN)
        for row in range(3):
            sheet.append([row + 1, NOON + timedelta(seconds=row), float(row), 1, 1, 0.001, 3.0])
    book.save(tmp_path / "cell.xlsx")
    read = everything(tmp_path / "cell.xlsx", zone="UTC")
    assert read.samples.timestamp_ns.size == 0
    assert "rows of one time in 'Channel_1' and 'Channel_2', as of two channels" in read.said[0]


def test_a_workbook_whose_clock_was_set_back_gives_a_sentence_and_then_its_rows(tmp_path):
    path = tmp_path / "cell.xlsx"
    book = Workbook()
    book.active.append(ARBIN)
    for row, minutes in enumerate((0, 10, 3, 13)):
        book.active.append([row + 1, NOON + timedelta(minutes=minutes), float(row), 1, 1, 0.001, 3.0])
    book.save(path)
    reader = reader_of(path, zone="UTC")
    read = drained(reader)
    assert read.samples.timestamp_ns.size == 4
    assert len(read.said) == 1
    assert "row 3: the stamps go back by 420 s" in read.said[0]
    os.utime(path, (1, 1))
    assert drained(reader).said == ()
    reader.close()


def test_a_row_of_a_workbook_that_is_no_data_gives_a_sentence(tmp_path):
    path = tmp_path / "cell.xlsx"
    book = Workbook()
    book.active.append(ARBIN)
    book.active.append([1, NOON, 0.0, 1, 1, 0.001, "three"])
    book.save(path)
    read = everything(path, zone="UTC")
    assert read.samples.timestamp_ns.size == 0
    assert "row 2: expected a number in column 'Voltage(V)', got 'three'" in read.said[0]


def test_a_workbook_without_a_cyclers_table_gives_a_sentence(tmp_path):
    path = tmp_path / "cell.xlsx"
    Workbook().save(path)
    assert "expected a cycler's table in one of the sheets" in everything(path, zone="UTC").said[0]


def counted(content: bytes) -> CyclerSamples:
    """One row a letter."""
    if not content.isalpha():
        raise CyclerError("expected letters")
    stamps = 10**18 + 10**9 * np.arange(len(content), dtype=np.int64)
    numbers = np.array(list(content), dtype=np.float64)
    return CyclerSamples(stamps, stamps, numbers, numbers, stamps, stamps, numbers)


def test_a_half_written_file_is_complained_of_only_when_it_stands_still(tmp_path):
    path = tmp_path / "cell"
    reader = WholeFileCycler(path, counted)
    assert reader.poll() is None
    path.write_bytes(b"ab?")
    assert reader.poll() is None
    path.write_bytes(b"abcd")
    assert reader.poll().voltage_V.tolist() == [97, 98, 99, 100]
    path.write_bytes(b"abcd ?")
    assert reader.poll() is None
    with pytest.raises(CyclerError, match="expected letters"):
        reader.poll()
    assert reader.poll() is None
    path.write_bytes(b"abcdef")
    assert reader.poll().voltage_V.tolist() == [101, 102]


def test_a_path_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(CyclerError, match="cannot be read"):
        reader_of(tmp_path).poll()


def test_linked_files_are_one_series_and_charge_goes_on_from_one_to_the_next(tmp_path):
    header = "EC-Lab ASCII FILE\nNb header lines : 4\nAcquisition started on : 07/01/2024 12:00:00.000\n"
    columns = "Ns\ttime/s\tEwe/V\tI/mA\t(Q-Qo)/mA.h\n"
    for technique, start_s in ((2, 0), (10, 100)):
        rows = "".join(f"{technique}\t{start_s + s}\t3.0\t1.0\t{s / 3600}\n" for s in range(3))
        written(tmp_path / f"cell_{technique}_C01.mpt", header + columns + rows)
    read = everything(tmp_path / "cell_*_C01.mpt", zone="UTC")
    assert read.said == ()
    assert read.samples.step.tolist() == [2, 2, 2, 10, 10, 10]
    assert np.isnan(read.samples.charge_C).tolist() == [False, False, False, True, False, False]


@pytest.mark.recordings
def test_linked_files_may_come_later_and_in_another_format(recordings, tmp_path):
    reader = reader_of(tmp_path / "run_*", zone="Europe/Berlin")
    assert reader.poll() is None
    biologic = recordings / "cycler" / "biologic"
    (tmp_path / "run_1.mpr").write_bytes((biologic / "gcpl.issue_149.mpr").read_bytes())
    assert drained(reader).samples.timestamp_ns.size == 132
    (tmp_path / "run_2.mpt").write_bytes((biologic / "mb.issue_95.de.mpt").read_bytes())
    os.utime(tmp_path / "run_2.mpt", (1_000_000_000, 1_000_000_000))
    assert drained(reader).samples.timestamp_ns.size == 33
    reader.close()


def test_a_missing_library_is_told_with_how_to_install_it():
    with pytest.raises(CyclerError, match=r"files of nobody are read with no_such_reader, .*ringwatch\[cyclers\]"):
        library("no_such_reader", reads="files of nobody")


def wall(*moment):
    return (datetime(*moment) - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000


def test_a_wall_clock_is_followed_through_the_repeated_hour():
    shown = np.array(
        [wall(2024, 10, 27, 1, 30), *(wall(2024, 10, 27, 2, m) for m in (0, 30, 59, 0, 30)), wall(2024, 10, 27, 3)]
    )
    utc = utc_ns_from_wall_clock(shown, zone="Europe/Berlin")
    assert (np.diff(utc) // (60 * 10**9)).tolist() == [30, 30, 29, 1, 30, 30]
    assert utc[0] == wall(2024, 10, 26, 23, 30)


def test_an_hour_that_no_clock_showed_is_not_placed():
    with pytest.raises(CyclerError, match="no clock in Europe/Berlin ever showed 2024-03-31 02:30:00"):
        utc_ns_from_wall_clock(np.array([wall(2024, 3, 31, 2, 30)]), zone="Europe/Berlin")


@pytest.mark.parametrize("stamp_ns", [0, 2**63 - 1])
def test_a_stamp_of_another_age_is_not_placed(stamp_ns):
    with pytest.raises(CyclerError, match="expected stamps from 1990 to 2200"):
        utc_ns_from_wall_clock(np.array([wall(2024, 7, 1), stamp_ns]), zone="Europe/Berlin")


@pytest.mark.parametrize(("voltage_V", "current_A"), [(23_260_789.0, 0.0), (3.7, -1e30)])
def test_what_no_cell_has_is_no_sample(voltage_V, current_A):
    one = np.ones(1, dtype=np.int64)
    with pytest.raises(CyclerError, match="the file is damaged"):
        samples_from_columns(
            cycler_timestamp_ns=one,
            clock_offset_ns=0,
            voltage_V=np.array([voltage_V]),
            current_A=np.array([current_A]),
            charge_C=np.array([np.nan]),
            cycle=None,
            step=None,
        )


def test_an_empty_series_needs_no_placing():
    assert utc_ns_from_wall_clock(np.empty(0, dtype=np.int64), zone="UTC").size == 0

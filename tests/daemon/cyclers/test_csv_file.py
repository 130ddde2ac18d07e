"""A cycler's text table that grows, is rotated, is foreign or is damaged."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.csv_file import CsvCycler, CsvCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn

LAYOUT = TableLayout(time=TimeColumn("time"), voltage=ValueColumn("U", "V"), current=ValueColumn("I", "mA"))
ROWS = ["2026-03-01T12:00:00Z,0.1,1.0", "2026-03-01T12:00:10Z,0.2,1.0", "2026-03-01T12:00:20Z,0.3,-1.0"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cell.csv"


@pytest.fixture
def cycler_of():
    opened = []

    def make(path, layout=LAYOUT, **more):
        block_bytes = more.pop("block_bytes", 1 << 20)
        opened.append(CsvCycler(CsvCyclerConfig(path, layout, **more), block_bytes=block_bytes))
        return opened[-1]

    yield make
    for cycler in opened:
        cycler.close()


def write(path: Path, *lines: str, end: str = "\n", mode: str = "w", encoding: str = "utf-8") -> None:
    with path.open(mode, encoding=encoding, newline="") as file:
        file.write("".join(line + end for line in lines))


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


def voltages(cycler) -> list[float]:
    """All that comes, over as many calls as it takes."""
    found: list[float] = []
    while (samples := cycler.poll()) is not None:
        found.extend(samples.voltage_V.tolist())
    return found


def utc_ns(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9


def with_time(**more) -> TableLayout:
    return TableLayout(time=TimeColumn("time", **more), voltage=ValueColumn("U", "V"))


def test_rows_come_once_with_units_applied(path, cycler_of):
    write(path, "time,U,I", *ROWS)
    cycler = cycler_of(path)
    samples = cycler.poll()
    assert samples.voltage_V.tolist() == [0.1, 0.2, 0.3]
    assert samples.current_A.tolist() == [1e-3, 1e-3, -1e-3]
    assert samples.timestamp_ns[0] == utc_ns(2026, 3, 1, 12)
    assert samples.cycle.tolist() == [-1, -1, -1]
    assert np.isnan(samples.charge_C).all()
    assert cycler.poll() is None


def test_no_file_and_an_empty_file_mean_no_data_yet(path, cycler_of):
    cycler = cycler_of(path)
    assert cycler.poll() is None
    path.touch()
    assert cycler.poll() is None
    write(path, "time,U,I", ROWS[0])
    assert voltages(cycler) == [0.1]


def test_a_half_written_last_line_is_not_data(path, cycler_of):
    write(path, "time,U,I", ROWS[0])
    append(path, "2026-03-01T12:00:10Z,3.7")
    cycler = cycler_of(path)
    assert voltages(cycler) == [0.1]
    append(path, "041,1\n")
    assert voltages(cycler) == [3.7041]


def test_a_half_written_header_is_waited_for(path, cycler_of):
    append(path, "time,U")
    cycler = cycler_of(path)
    assert cycler.poll() is None
    append(path, ",I\n" + ROWS[0] + "\n")
    assert voltages(cycler) == [0.1]


def test_a_table_written_again_gives_only_its_new_rows(path, cycler_of):
    write(path, "time,U,I", *ROWS[:2])
    cycler = cycler_of(path)
    assert voltages(cycler) == [0.1, 0.2]
    write(path, "time,U,I", *ROWS)
    assert voltages(cycler) == [0.3]
    append(path, "2026-03-01T12:00:30Z,0.4,0\n")
    assert voltages(cycler) == [0.4]


def test_a_table_replaced_by_a_longer_one_with_other_columns_is_read_anew(path, cycler_of, tmp_path):
    write(path, "time,U,I", *ROWS[:2])
    cycler = cycler_of(path)
    assert voltages(cycler) == [0.1, 0.2]
    other = tmp_path / "new"
    write(other, "I;U;time", "1;0.2;2026-03-01T12:00:10Z", "1;0.9;2026-03-01T12:05:00Z")
    other.replace(path)
    assert voltages(cycler) == [0.9]


def test_a_shorter_table_with_earlier_rows_gives_them(path, cycler_of):
    write(path, "time,U,I", *ROWS[1:])
    cycler = cycler_of(path)
    assert voltages(cycler) == [0.2, 0.3]
    write(path, "time,U,I", ROWS[0])
    assert voltages(cycler) == [0.1]


def test_a_rotated_table_is_read_to_its_end_before_the_new_one(path, cycler_of):
    write(path, "time,U,I", ROWS[0])
    cycler = cycler_of(path)
    assert voltages(cycler) == [0.1]
    append(path, ROWS[1] + "\n")
    path.rename(path.with_suffix(".1"))
    write(path, "time,U,I", ROWS[2])
    assert voltages(cycler) == [0.2, 0.3]


def test_a_line_that_is_no_data_is_told_and_the_rows_around_it_come(path, cycler_of):
    write(path, "time,U,I", ROWS[0], "2026-03-01T12:00:05Z,oops,1", "garbage", ROWS[1])
    cycler = cycler_of(path)
    with pytest.raises(CyclerError, match=r"cell\.csv line 3: expected a number in column 'U', got 'oops'.*line 4"):
        cycler.poll()
    assert voltages(cycler) == [0.1, 0.2]
    append(path, ROWS[2] + "\n")
    assert voltages(cycler) == [0.3]


@pytest.mark.parametrize("bad", ["inf", "1e999", "0x10", "1_000", "1.2.3", "--1", "1 2", "\u0663"])
def test_what_is_not_wholly_a_number_is_never_one(path, cycler_of, bad):
    write(path, "time,U,I", ROWS[0], f"2026-03-01T12:00:05Z,{bad},1")
    cycler = cycler_of(path)
    with pytest.raises(CyclerError, match="line 3"):
        cycler.poll()
    assert voltages(cycler) == [0.1]


def test_an_empty_value_is_not_a_number_and_not_an_error(path, cycler_of):
    write(path, "time,U,I", "2026-03-01T12:00:00Z,,1.0")
    samples = cycler_of(path).poll()
    assert np.isnan(samples.voltage_V[0])
    assert samples.current_A[0] == 1e-3


def test_wrong_columns_name_file_line_expected_and_found(path, cycler_of):
    write(path, "t,Ewe,I", "1,2,3")
    cycler = cycler_of(path)
    for _ in range(2):
        with pytest.raises(
            CyclerError, match=r"cell\.csv line 1: expected the columns 'time', 'U', 'I', found 't', 'Ewe'"
        ):
            cycler.poll()
    write(path, "time,U,I", ROWS[0])
    assert voltages(cycler) == [0.1]


def test_a_column_that_stands_there_twice_is_refused(path, cycler_of):
    write(path, "time,U,I,U", "2026-03-01T12:00:00Z,1,2,3")
    with pytest.raises(CyclerError, match="expected one column 'U', found 2"):
        cycler_of(path).poll()


def test_decimal_commas_are_found_where_they_are_certain(path, cycler_of):
    write(path, "time;U;I", "2026-03-01T12:00:00Z;3,7041;1,250", "2026-03-01T12:00:10Z;-0,5;1,0e1")
    samples = cycler_of(path).poll()
    assert samples.voltage_V.tolist() == [3.7041, -0.5]
    assert samples.current_A == pytest.approx([1.25e-3, 10e-3])


@pytest.mark.parametrize(
    "rows",
    [
        ["time;U;I", "2026-03-01T12:00:00Z;3,704;1"],
        ["time;U;I", "2026-03-01T12:00:00Z;1.234,5;1"],
        ["time;U;I", "2026-03-01T12:00:00Z;1,5;1.5"],
        ["time,U,I", '2026-03-01T12:00:00Z,"3,7041",1'],
    ],
)
def test_a_comma_that_can_be_read_in_two_ways_asks_for_a_declaration(path, cycler_of, rows):
    write(path, *rows)
    with pytest.raises(CyclerError, match=r"line 2 on: .*declare `decimal`"):
        cycler_of(path).poll()


def test_a_declared_decimal_comma_is_believed(path, cycler_of):
    layout = TableLayout(time=TimeColumn("time"), voltage=ValueColumn("U", "V"), decimal=",")
    write(path, "time;U", "2026-03-01T12:00:00Z;3,704", "2026-03-01T12:00:01Z;4.000")
    cycler = cycler_of(path, layout)
    with pytest.raises(CyclerError, match="line 3"):
        cycler.poll()
    assert voltages(cycler) == [3.704]


def test_decimal_commas_between_commas_are_an_error_and_no_number(path, cycler_of):
    write(path, "time,U,I", "2026-03-01T12:00:00Z,3,7041,1,0")
    cycler = cycler_of(path)
    with pytest.raises(CyclerError, match="expected 3 fields as in the header, got 5"):
        cycler.poll()
    assert voltages(cycler) == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-8"])
def test_marks_line_ends_and_encodings_of_other_systems_are_read(path, cycler_of, encoding):
    layout = TableLayout(time=TimeColumn("Zeit"), current=ValueColumn("Stärke/µA", "uA"), separator="\t")
    write(path, "Zeit\tStärke/µA\t", "2026-03-01T12:00:00Z\t65\t", end="\r\n", encoding=encoding)
    assert cycler_of(path, layout).poll().current_A.tolist() == [pytest.approx(65e-6)]


def test_utf_16_is_refused_in_one_sentence(path, cycler_of):
    write(path, "time,U,I", encoding="utf-16")
    append(path, "\n")
    with pytest.raises(CyclerError, match="expected text in UTF-8 or Latin-1"):
        cycler_of(path).poll()


def test_bytes_without_a_line_are_refused(path, cycler_of):
    path.write_bytes(b"x" * 5000)
    with pytest.raises(CyclerError, match="line 1: expected a line of text"):
        cycler_of(path, block_bytes=4096).poll()


def test_a_folder_in_place_of_the_table_is_a_clear_error(tmp_path, cycler_of):
    with pytest.raises(CyclerError, match="cannot be read"):
        cycler_of(tmp_path).poll()


def test_a_naive_stamp_needs_a_zone(path, cycler_of):
    write(path, "time,U,I", "2026-03-01 12:00:00,1,1")
    with pytest.raises(CyclerError, match="without a time zone, such as '2026-03-01 12:00:00': declare `zone`"):
        cycler_of(path).poll()


@pytest.mark.parametrize(("zone", "hour"), [("Europe/Berlin", 11), ("UTC", 12), ("-05:00", 17)])
def test_a_declared_zone_places_a_naive_stamp(path, cycler_of, zone, hour):
    write(path, "time,U", "2026-03-01 12:00:00,1")
    assert cycler_of(path, with_time(zone=zone)).poll().timestamp_ns[0] == utc_ns(2026, 3, 1, hour)


def test_in_the_hour_that_comes_twice_time_does_not_go_back(path, cycler_of):
    clock = ["01:30", "02:15", "02:45", "02:15", "02:45", "03:15"]
    write(path, "time,U", *(f"2026-10-25 {at}:00,1" for at in clock))
    stamps = cycler_of(path, with_time(zone="Europe/Berlin")).poll().timestamp_ns
    minutes = (stamps - utc_ns(2026, 10, 24, 23)) / 60e9
    assert minutes.tolist() == [30, 75, 105, 135, 165, 195]


def test_the_hour_that_never_was_is_refused(path, cycler_of):
    write(path, "time,U", "2026-03-29 02:30:00,1", "2026-03-29 03:30:00,2")
    cycler = cycler_of(path, with_time(zone="Europe/Berlin"))
    with pytest.raises(CyclerError, match="expected a time in column 'time'"):
        cycler.poll()
    assert voltages(cycler) == [2.0]


def test_a_pattern_reads_stamps_that_are_not_iso(path, cycler_of):
    write(path, "time;U", "01.03.2026 12:00:00;1,5")
    layout = with_time(zone="UTC", pattern="%d.%m.%Y %H:%M:%S")
    assert cycler_of(path, layout).poll().timestamp_ns[0] == utc_ns(2026, 3, 1, 12)


@pytest.mark.parametrize(("unit", "field"), [("s", "1772366400.25"), ("ms", "1772366400250")])
def test_epoch_time_is_read_in_its_unit(path, cycler_of, unit, field):
    write(path, "time,U", f"{field},1")
    stamp_ns = cycler_of(path, with_time(kind="epoch", unit=unit)).poll().timestamp_ns[0]
    assert stamp_ns == utc_ns(2026, 3, 1, 12) + 250_000_000


def test_a_time_in_the_wrong_unit_is_refused(path, cycler_of):
    write(path, "time,U", "1772366400250,1")
    with pytest.raises(CyclerError, match="expected a time"):
        cycler_of(path, with_time(kind="epoch")).poll()


def test_elapsed_time_counts_from_the_declared_start(path, cycler_of):
    write(path, "time,U", "0.5,1")
    layout = with_time(kind="elapsed", unit="h", start="2026-03-01T12:00:00+01:00")
    assert cycler_of(path, layout).poll().timestamp_ns[0] == utc_ns(2026, 3, 1, 11, 30)


def test_elapsed_time_without_a_start_is_refused(path, cycler_of):
    write(path, "time,U", "0.5,1")
    with pytest.raises(CyclerError, match="needs a declared `start`"):
        cycler_of(path, with_time(kind="elapsed")).poll()


def test_the_clock_offset_is_applied_once_and_both_clocks_are_kept(path, cycler_of):
    write(path, "time,U,I", ROWS[0])
    samples = cycler_of(path, clock_offset_s=-437.5).poll()
    assert samples.cycler_timestamp_ns[0] == utc_ns(2026, 3, 1, 12)
    assert samples.timestamp_ns[0] == utc_ns(2026, 3, 1, 12) - 437_500_000_000


def test_cycle_step_and_charge_are_taken_where_declared(path, cycler_of):
    layout = TableLayout(
        time=TimeColumn("time"), voltage=ValueColumn("U", "mV"), charge=ValueColumn("Q", "mAh"), cycle="n", step="s"
    )
    write(path, "time,U,Q,n,s", "2026-03-01T12:00:00Z,107,-2,3,4.0", "2026-03-01T12:00:01Z,107,-2,3.5,4")
    cycler = cycler_of(path, layout)
    with pytest.raises(CyclerError, match="line 3: expected a whole number in column 'n'"):
        cycler.poll()
    samples = cycler.poll()
    assert (samples.cycle.tolist(), samples.step.tolist()) == ([3], [4])
    assert samples.charge_C == pytest.approx([-7.2])
    assert samples.voltage_V == pytest.approx([0.107])


@pytest.mark.parametrize("unit", ["A", "mW", "", "V/cm"])
def test_a_unit_of_another_quantity_is_refused(path, cycler_of, unit):
    write(path, "time,U", "2026-03-01T12:00:00Z,1")
    layout = TableLayout(time=TimeColumn("time"), voltage=ValueColumn("U", unit))
    with pytest.raises(CyclerError, match="as the unit of the voltage"):
        cycler_of(path, layout).poll()


def test_a_header_below_a_preamble_is_found_by_its_declared_line(path, cycler_of):
    layout = TableLayout(time=TimeColumn("time"), voltage=ValueColumn("U", "V"), header_line=3)
    write(path, "My cycler", "channel,4", "time,U", "2026-03-01T12:00:00Z,1", "2026-03-01T12:00:01Z,x")
    cycler = cycler_of(path, layout)
    with pytest.raises(CyclerError, match="line 5"):
        cycler.poll()
    assert voltages(cycler) == [1.0]


def test_blank_lines_and_a_repeated_header_are_no_rows(path, cycler_of):
    write(path, "time,U,I", ROWS[0], "", "time,U,I", ROWS[1])
    assert voltages(cycler_of(path)) == [0.1, 0.2]


@given(cuts=st.lists(st.integers(1, 400), max_size=12), block_bytes=st.integers(64, 200))
def test_however_the_writing_is_cut_every_row_comes_exactly_once(cuts, block_bytes, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / "cell.csv"
    expected = [index / 8 for index in range(30)]
    text = "time,U\r\n" + "".join(f"2026-03-01T12:00:{index:02d}Z,{u}\r\n" for index, u in enumerate(expected))
    cycler = CsvCycler(CsvCyclerConfig(path, with_time()), block_bytes=block_bytes)
    found, position = [], 0
    for cut in [*cuts, len(text)]:
        append(path, text[position : position + cut])
        position += cut
        found += voltages(cycler)
    cycler.close()
    assert found == expected


def test_a_replaced_file_is_seen_by_what_it_holds_even_under_the_same_inode(path, cycler_of):
    write(path, "time,U,I", *ROWS[:2])
    cycler = cycler_of(path)
    voltages(cycler)
    inode = path.stat().st_ino
    write(path, "time,U,I", "2027-01-01T00:00:00Z,5,1", "2027-01-01T00:00:01Z,6,1", "2027-01-01T00:00:02Z,7,1")
    assert path.stat().st_ino == inode
    assert voltages(cycler) == [5.0, 6.0, 7.0]


@pytest.mark.parametrize(("separator", "header_line"), [("", 1), ("::", 1), (",", 0)])
def test_a_layout_that_cannot_be_is_refused(separator, header_line):
    with pytest.raises(CyclerError):
        TableLayout(
            time=TimeColumn("time"), voltage=ValueColumn("U", "V"), separator=separator, header_line=header_line
        )


def test_a_separator_at_the_end_of_the_header_or_of_the_rows_is_no_column(path, cycler_of):
    write(path, "time,U,I,", ROWS[0], ROWS[1] + ",")
    assert voltages(cycler_of(path)) == [0.1, 0.2]

"""Text exports of cyclers, told by their headers."""

import os
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import ManualClock
from fakes.cycler_reading import drained, everything, reader_of, written
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.text_lines import text_from_line
from ringwatch_daemon.cyclers.written_dates import pattern_of_stamps


def at(*moment):
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 10**9


BDF = """Test Time / s,Voltage / V,Current / A,Unix Time / s,Cycle Count / 1,Step Count / 1
0,0.107,0.001,1700000000.5,1,1
10,-0.107,-0.001,1700000010.5,1,2
"""
BDF_NAMES = """test_time_second,voltage_volt,current_ampere
0,3.0,0.5
1.5,3.1,0.5
"""
ARBIN = """Data_Point,Date_Time,Test_Time(s),Step_Time(s),Cycle_Index,Step_Index,Current(A),Voltage(V)
1,2024-07-01 12:00:00,0,0,1,1,-0.002,3.3
2,2024-07-01 12:00:10.500,10.5,10.5,1,2,0.002,3.4
"""
ARBIN_NEW = """Data Point,Date Time,Test Time (s),Step Time (s),Cycle Index,Step Index,Current (mA),Voltage (V)
1,13/07/2024 12:00:00,0,0,1,1,-2,3.3
2,13/07/2024 12:00:10,10,10,1,2,2,3.4
"""
NEWARE = """DataPoint,Cycle Index,Step Index,Step Type,Time,Total Time,Current(mA),Voltage(V),Capacity(mAh),Date
1,1,1,Rest,00:00:00,00:00:00,-2,3300E-3,0,2024-07-01 12:00:00
2,1,2,CC Chg,00:00:10,00:00:10,2,3.4,0,2024-07-01 12:00:10
"""
NEWARE_OLD = """Record ID\tCycle ID\tStep ID\tTime(h:min:s.ms)\tVoltage(V)\tCurrent(mA)\tRealtime
1\t1\t1\t0:00:00.000\t3.3\t-2\t2024-07-01 12:00:00
2\t1\t2\t0:00:10.000\t3.4\t2\t2024-07-01 12:00:10
"""
LANDT = """Record\tCycle-Index\tStep-Index\tTestTime/Sec\tCurrent/mA\tVoltage/V\tSysTime
1\t1\t1\t0\t-2\t3.3\t2024-07-01 12:00:00
2\t1\t2\t10\t2\t3.4\t2024-07-01 12:00:10
"""
LANDT_DURATIONS = """Record,Cycle,Step,TestTime,Current/uA,Voltage/mV
1,1,1,00:00:00.000,-2000,3300
2,1,2,00:00:10.500,2000,3400
"""
LANDT_NEW = """channel_index,cycle_index,step_index,date_time_iso_string,test_time_s,step_time_s,current_a,voltage_v
3,1,1,2024-07-01T12:00:00+02:00,0,0,-0.002,3.3
3,1,2,2024-07-01T12:00:10+02:00,10,10,0.002,3.4
"""
NEWARE_CHINESE = """数据序号,循环号,工步号,工步类型,时间,总时间,电流（μA）,电压（mV）,容量（Ah）,绝对时间
1,1,1,搁置,00:00:00,00:00:00,-2000,3300,0,2024-07-01 12:00:00
2,1,2,恒流充电,00:00:10,00:00:10,2000,3400,0,2024-07-01 12:00:10
"""
MACCOR = """Today's Date 04/03/2024
Rec\tCycle P\tCycle C\tStep\tTest Time\tStep Time\tCurrent [A]\tVoltage [V]\tMd\tES\tDPT Time
1\t0\t0\t1\t0d 00:00:00.00\t0d 00:00:00.00\t0.002\t3.3\tD\t0\t13-Jul-24 12:00:00 PM
2\t0\t0\t2\t0d 00:00:10.00\t0d 00:00:10.00\t0.002\t3.4\tC\t0\t13-Jul-24 12:00:10 PM
"""


@pytest.mark.parametrize(
    ("text", "declared", "seconds"),
    [
        (ARBIN, {"zone": "Europe/Berlin"}, 10.5),
        (ARBIN_NEW, {"zone": "Europe/Berlin"}, 10.0),
        (NEWARE, {"zone": "Europe/Berlin"}, 10.0),
        (NEWARE_OLD, {"zone": "Europe/Berlin"}, 10.0),
        (NEWARE_CHINESE, {"zone": "Europe/Berlin"}, 10.0),
        (LANDT, {"zone": "Europe/Berlin"}, 10.0),
        (LANDT_DURATIONS, {"start": "2024-07-01T10:00:00Z"}, 10.5),
        (LANDT_NEW, {}, 10.0),
        (MACCOR, {"zone": "Europe/Berlin", "pattern": "%d-%b-%y %I:%M:%S %p"}, 10.0),
    ],
)
def test_every_family_means_the_same_cell(tmp_path, text, declared, seconds):
    read = everything(written(tmp_path / "cell", text), **declared)
    assert read.said == ()
    samples = read.samples
    assert samples.current_A == pytest.approx([-0.002, 0.002])
    assert samples.voltage_V == pytest.approx([3.3, 3.4])
    assert samples.step.tolist() == [1, 2]
    day = 13 if text in {ARBIN_NEW, MACCOR} else 1
    assert samples.timestamp_ns[0] == at(2024, 7, day, 10)
    assert np.diff(samples.timestamp_ns) == [seconds * 1e9]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_names_are_read_as_their_programs_write_them(tmp_path, encoding):
    text = NEWARE_CHINESE.replace("μ", "m").replace("2000", "2").replace("\n", "\r\n")
    read = everything(written(tmp_path / "cell.csv", text, encoding=encoding), zone="Europe/Berlin")
    assert read.said == ()
    assert read.samples.current_A == pytest.approx([-0.002, 0.002])


def test_latin_letters_beyond_ascii_are_not_taken_for_chinese():
    for text in ("Current(µA)", "Temperatur/°C", "für Überprüfung", "Größe äö"):
        assert text_from_line(text.encode("latin-1")) == text


@pytest.mark.parametrize("state", ["D", " D ", "d", "DChg", "Discharge"])
def test_however_a_maccor_export_writes_discharge_the_current_is_negative(tmp_path, state):
    text = MACCOR.replace("\tD\t", f"\t{state}\t")
    read = everything(written(tmp_path / "cell", text), zone="Europe/Berlin", pattern="%d-%b-%y %I:%M:%S %p")
    assert read.samples.current_A == pytest.approx([-0.002, 0.002])


UNSIGNED = """DataPoint,Cycle Index,Step Index,{column},Time,Total Time,Current(mA),Voltage(V),Date
1,1,1,{discharge},00:00:00,00:00:00,2,3.3,2024-07-01 12:00:00
2,1,2,{charge},00:00:10,00:00:10,2,3.4,2024-07-01 12:00:10
"""


@pytest.mark.parametrize(
    ("column", "discharge", "charge"),
    [
        ("Step Type", "CC DChg", "CC Chg"),
        ("Step Type", "CCCV_DChg", "CCCV_Chg"),
        ("工步类型", "恒流放电", "恒流充电"),
        ("Status", "CC_Discharge", "Rest"),
    ],
)
def test_a_discharge_without_a_sign_is_negative_by_its_step(tmp_path, column, discharge, charge):
    text = UNSIGNED.format(column=column, discharge=discharge, charge=charge)
    read = everything(written(tmp_path / "cell", text), zone="Europe/Berlin")
    assert read.said == ()
    assert read.samples.current_A == pytest.approx([-0.002, 0.002])


def test_a_discharge_of_landt_without_a_sign_is_negative_by_its_state(tmp_path):
    text = LANDT_DURATIONS.replace("Voltage/mV", "Voltage/mV,State").replace("-2000,3300", "2000,3300,D_CC")
    text = text.replace("2000,3400", "2000,3400,C_CC")
    read = everything(written(tmp_path / "cell", text), start="2024-07-01T10:00:00Z")
    assert read.samples.current_A == pytest.approx([-0.002, 0.002])


def test_what_no_cycler_can_do_is_no_sample(tmp_path):
    read = everything(written(tmp_path / "cell.bdf", BDF.replace("-0.107", "37041")))
    assert read.samples.voltage_V.tolist() == [0.107]
    assert "line 3: expected at most 1000 V in column 'Voltage / V', got '37041'" in read.said[0]


def test_a_clock_that_is_set_back_is_told_with_its_line(tmp_path):
    rows = [
        f"{hour},{voltage}" for hour, voltage in (("02:58:00", 1), ("02:59:00", 2), ("02:00:00", 3), ("02:01:00", 4))
    ]
    table = "".join(
        f"{number},1,1,CC,0,0,0.002,{row.split(',')[1]},2024-10-27 {row.split(',')[0]}\n"
        for number, row in enumerate(rows, start=1)
    )
    path = written(tmp_path / "cell.csv", NEWARE.splitlines()[0].replace("Capacity(mAh),", "") + "\n" + table)
    read = everything(path, zone="+01:00")
    assert "line 4: the stamps go back by 3540 s" in read.said[0]
    assert read.samples.voltage_V.tolist() == [1, 2, 3, 4]
    read = everything(path, zone="Europe/Berlin")
    assert read.said == ()
    assert np.diff(read.samples.timestamp_ns).tolist() == [60 * 10**9] * 3


def test_battery_data_format_tells_utc_itself(tmp_path):
    read = everything(written(tmp_path / "cell.bdf", BDF))
    assert read.said == ()
    assert read.samples.timestamp_ns.tolist() == [1_700_000_000_500_000_000, 1_700_000_010_500_000_000]
    assert read.samples.voltage_V.tolist() == [0.107, -0.107]
    assert read.samples.cycle.tolist() == [1, 1]


MPT = """EC-Lab ASCII FILE
Nb header lines : 5
Acquisition started on : {start}

mode\tNs\ttime/s\tEwe/V\t<I>/mA\t
1\t1\t{first}\t3,3000000E+000\t-2,0000000E+000
1\t2\t{second}\t3,4000000E+000\t2,0000000E+000
"""


@pytest.mark.parametrize("start", ["07/01/2024 12:00:00.000", "07.01.2024 12:00:00", "07/01/2024 12:00:00,000"])
def test_ec_lab_writes_the_month_first_and_counts_from_the_start(tmp_path, start):
    text = MPT.format(start=start, first="0,000000000000000E+000", second="1,050000000000000E+001")
    read = everything(written(tmp_path / "cell", text, encoding="latin-1"), zone="Europe/Berlin")
    assert read.said == ()
    assert read.samples.timestamp_ns.tolist() == [at(2024, 7, 1, 10), at(2024, 7, 1, 10) + 10_500_000_000]
    assert read.samples.current_A.tolist() == [-0.002, 0.002]


def test_an_ec_lab_export_with_absolute_times_is_read_by_them(tmp_path):
    text = MPT.format(start="?", first="07/01/2024 12:00:00.000", second="07/01/2024 12:00:10.500")
    read = everything(written(tmp_path / "cell", text), zone="Europe/Berlin")
    assert read.samples.timestamp_ns.tolist() == [at(2024, 7, 1, 10), at(2024, 7, 1, 10) + 10_500_000_000]


def test_an_ec_lab_start_that_is_no_date_with_the_month_first_is_told(tmp_path):
    text = MPT.format(start="13/07/2024 12:00:00", first="0,0E+000", second="1,0E+001")
    assert "expected a start written month first" in everything(written(tmp_path / "cell", text), zone="UTC").said[0]


def test_a_count_from_the_start_needs_the_start(tmp_path):
    path = written(tmp_path / "cell.bdf", BDF_NAMES)
    assert "needs a declared `start`" in everything(path).said[0]
    read = everything(path, start="2024-07-01T10:00:00Z")
    assert read.samples.timestamp_ns.tolist() == [at(2024, 7, 1, 10), at(2024, 7, 1, 10) + 1_500_000_000]


def test_a_date_that_can_be_read_in_two_ways_is_not_read(tmp_path):
    text = ARBIN_NEW.replace("13/07/2024", "03/07/2024")
    path = written(tmp_path / "cell.csv", text)
    read = everything(path, zone="UTC")
    assert read.samples.timestamp_ns.size == 0
    assert "can be read in two ways: declare its `pattern`" in read.said[0]
    read = everything(path, zone="UTC", pattern="%d/%m/%Y %H:%M:%S")
    assert read.samples.timestamp_ns[0] == at(2024, 7, 3, 12)


def test_the_declared_offset_is_added_once(tmp_path):
    samples = everything(written(tmp_path / "cell.bdf", BDF), clock_offset_s=-437.0).samples
    assert set((samples.timestamp_ns - samples.cycler_timestamp_ns).tolist()) == {-437_000_000_000}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "got an empty file"),
        ("a,b,c\n1,2,3\n", "got one that begins 'a,b,c'"),
        ("EC-Lab ASCII FILE\nNb header lines : 81\nmode\n", "expected 81 header lines in an .mpt file, got 3 lines"),
        ("EC-Lab ASCII FILE\n\n", "expected the number of header lines"),
        ("\ufeffnothing\n", "got one that begins 'nothing'"),
    ],
)
def test_text_that_is_no_known_export_gives_a_sentence(tmp_path, text, sentence):
    read = everything(written(tmp_path / "cell.txt", text), zone="UTC")
    assert read.samples.timestamp_ns.size == 0
    assert sentence in read.said[0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("Record".encode("utf-16"), "got UTF-16"),
        (b"\x00\x01\x00\x00Standard Jet DB\x00", "got its database: export it as CSV or Excel"),
        (b"PK\x03\x04 and nothing else", "truncated, damaged or unknown"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old Excel", "truncated, damaged or unknown"),
    ],
)
def test_binary_that_is_no_known_format_gives_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "cell"
    path.write_bytes(content)
    read = everything(path, zone="UTC")
    assert read.samples.timestamp_ns.size == 0
    assert sentence in read.said[0]


@given(
    magic=st.sampled_from([b"", b"BIO-LOGIC MODULAR FILE\x1a", b"NEWARE", b"PK\x03\x04", b"EC-Lab ASCII FILE\n"]),
    rest=st.binary(max_size=400),
)
def test_no_bytes_bring_a_reader_down_or_make_it_invent_a_number(tmp_path_factory, magic, rest):
    path = tmp_path_factory.mktemp("bytes") / "cell"
    path.write_bytes(magic + rest)
    assert everything(path, zone="UTC").samples.timestamp_ns.size == 0


def test_an_export_that_grows_is_followed_line_by_line(tmp_path):
    header, first, second = NEWARE.splitlines(keepends=True)
    path = tmp_path / "cell.csv"
    reader = reader_of(path, zone="Europe/Berlin", clock=ManualClock(0))
    assert reader.poll() is None
    path.write_text(header + first)
    assert drained(reader).samples.step.tolist() == [1]
    with path.open("a") as file:
        file.write(second[:20])
        file.flush()
        assert drained(reader).samples.step.size == 0
        file.write(second[20:])
    assert drained(reader).samples.step.tolist() == [2]
    # Exported again, with one row more and other header lines above.
    other = tmp_path / "new"
    other.write_text("\n" + header + first + second + second.replace("12:00:10", "12:00:20"))
    other.replace(path)
    assert np.diff(drained(reader).samples.timestamp_ns).size == 0
    reader.close()


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 8, 12, 20, 40])
def test_a_file_that_is_cut_off_gives_its_whole_lines_and_a_sentence(tmp_path, cut):
    text = MPT.format(start="07/01/2024 12:00:00.000", first="0,0000000E+000", second="1,0500000E+001")
    text = text.replace("<I>/mA\t", "<I>/mA").replace("E+000\t\n", "E+000\n")
    path = written(tmp_path / "cell.mpt", text[: len(text) - 1 - cut])
    read = everything(path, zone="Europe/Berlin")
    whole = [-0.002, 0.002]
    assert read.samples.current_A.tolist() == whole[: read.samples.current_A.size]
    assert (read.samples.current_A.size, len(read.said)) == ((2, 0) if cut == 0 else (1, 1))
    assert all("line 7: expected the end of the last line" in said for said in read.said)


def test_half_a_line_that_stood_for_long_is_read_once_it_is_whole(tmp_path):
    path = written(tmp_path / "cell.csv", BDF.replace(",1,2\n", ",1,27\n")[:-2])
    reader = reader_of(path)
    assert drained(reader).samples.step.tolist() == [1, 2]
    reader.close()
    path = written(tmp_path / "other.csv", BDF[:-12])
    reader = reader_of(path)
    assert drained(reader).samples.step.tolist() == [1]
    written(path, BDF)
    assert drained(reader).samples.step.tolist() == [2]
    reader.close()


def test_a_last_line_without_its_end_is_taken_once_the_file_is_finished(tmp_path):
    path = tmp_path / "cell.csv"
    path.write_text(BDF.rstrip("\n"))
    # Its time of change lies ahead of the clock that stands: it may still be written.
    reader = reader_of(path)
    os.utime(path, (1_800_000_000, 1_800_000_000))
    assert drained(reader).samples.step.tolist() == [1]
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert drained(reader).samples.step.tolist() == [2]
    reader.close()


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.sampled_from("/.-"), st.booleans())
def test_a_pattern_that_is_told_reads_the_stamp_back(moment, mark, month_first):
    moment = moment.replace(microsecond=0)
    order = ("%m", "%d", "%Y") if month_first else ("%d", "%m", "%Y")
    written_as = moment.strftime(mark.join(order) + " %H:%M:%S")
    try:
        pattern = pattern_of_stamps([written_as])
    except CyclerError:
        assert moment.day <= 12
        assert moment.day != moment.month
    else:
        assert pattern is not None
        assert datetime.strptime(written_as, pattern) == moment


def test_a_known_day_settles_the_order_of_day_and_month():
    assert pattern_of_stamps(["12/11/2020 12:22:12"], known_day=(12, 11)) == "%m/%d/%Y %H:%M:%S"
    assert pattern_of_stamps(["12/11/2020 12:22:12"], known_day=(11, 12)) == "%d/%m/%Y %H:%M:%S"
    assert pattern_of_stamps(["12/31/2020 01:22:12 PM"]) == "%m/%d/%Y %I:%M:%S %p"

"""Tables that real cyclers wrote, and bytes that none ever would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.csv_file import CsvCycler, CsvCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn


def everything(path, layout):
    """All samples of a finished file, and what was said about it."""
    cycler, blocks, said = CsvCycler(CsvCyclerConfig(path, layout), block_bytes=1 << 20), [], []
    while True:
        try:
            samples = cycler.poll()
        except CyclerError as error:
            said.append(str(error))
            if len(said) > 1 and said[-1] == said[-2]:
                break
            continue
        if samples is None:
            break
        blocks.append(samples)
    cycler.close()
    return blocks, said


def column(blocks, name):
    return np.concatenate([getattr(block, name) for block in blocks])


def biologic(header_line):
    return TableLayout(
        time=TimeColumn("time/s", kind="elapsed", unit="s", start="2021-03-01T12:00:00Z"),
        voltage=ValueColumn("Ewe/V", "V"),
        current=ValueColumn("I/mA", "mA"),
        cycle="cycle number",
        step="Ns",
        header_line=header_line,
    )


@pytest.mark.recordings
def test_decimal_commas_of_a_german_export_give_the_voltages_of_the_english_one(recordings):
    folder = recordings / "cycler" / "biologic"
    german, said_of_german = everything(folder / "mb.issue_95.de.mpt", biologic(94))
    english, said_of_english = everything(folder / "mb.issue_95.mpt", biologic(93))
    assert said_of_german == said_of_english == []
    for name in ("timestamp_ns", "voltage_V", "current_A", "cycle", "step"):
        assert np.array_equal(column(german, name), column(english, name))
    assert 2.0 < column(german, "voltage_V").min() <= column(german, "voltage_V").max() < 4.5


@pytest.mark.recordings
def test_a_maccor_export_is_read_by_its_columns(recordings):
    path = recordings / "cycler" / "maccor" / "maccor_001.txt"
    layout = TableLayout(
        time=TimeColumn("DPt Time", pattern="%m/%d/%Y %H:%M:%S", zone="America/Chicago"),
        voltage=ValueColumn("Volts", "V"),
        current=ValueColumn("Amps", "A"),
        cycle="Cyc#",
        step="Step",
        header_line=4,
    )
    blocks, said = everything(path, layout)
    lines = [line for line in path.read_bytes().split(b"\n")[4:] if line.strip()]
    assert said == []
    assert column(blocks, "voltage_V").size == len(lines)
    assert column(blocks, "voltage_V")[0] == 3.4625


@given(rubbish=st.binary(max_size=400), header=st.booleans())
def test_no_bytes_bring_the_reader_down_or_make_it_invent_a_number(rubbish, header, tmp_path_factory):
    path = tmp_path_factory.mktemp("rubbish") / "cell.csv"
    path.write_bytes((b"time,U\n" if header else b"") + rubbish)
    layout = TableLayout(time=TimeColumn("time"), voltage=ValueColumn("U", "V"))
    blocks, _ = everything(path, layout)
    assert blocks == []


@given(
    lines=st.lists(
        st.one_of(
            st.sampled_from(
                ["2026-03-01T12:00:00Z,1.5", "2026-03-01T12:00:00Z,", ",1.5", ",,", '"', '"a,b",1', "\0,1"]
            ),
            st.text(st.sampled_from('0123456789.,;-+eE"TZ: \t\r'), max_size=30),
        ),
        max_size=12,
    )
)
def test_good_rows_survive_whatever_stands_between_them(lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed") / "cell.csv"
    good = [f"2026-03-02T12:00:{index:02d}Z,{index / 4}" for index in range(len(lines) + 1)]
    mixed = [line for pair in zip(good, [*lines, ""], strict=True) for line in pair]
    path.write_text("time,U\n" + "".join(line + "\n" for line in mixed), encoding="utf-8", newline="")
    layout = TableLayout(time=TimeColumn("time"), voltage=ValueColumn("U", "V"), decimal=".")
    blocks, _ = everything(path, layout)
    stamps = column(blocks, "timestamp_ns")
    kept = column(blocks, "voltage_V")[stamps >= 1_772_452_800 * 10**9]
    assert kept.tolist()[: len(good)] == [index / 4 for index in range(len(good))]

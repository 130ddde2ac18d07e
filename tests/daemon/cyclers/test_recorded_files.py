"""Every recorded cycler's file, and what comes of it."""

import zlib
from datetime import UTC, datetime

import numpy as np
import pytest

from fakes.cycler_reading import everything

pytestmark = pytest.mark.recordings

GOOD = {
    "cycler/biologic/Li_Li2B12H12_Li_symmetric_gcpl.mpr": (12057, "2017-12-23T11:21:57"),
    "cycler/biologic/gcpl.issue_149.mpr": (132, "2024-01-10T10:03:00"),
    "cycler/biologic/gcpl.issue_149.mpt": (132, "2024-01-10T10:03:00"),
    "cycler/biologic/mb.issue_95.mpr": (33, "2022-12-08T13:36:53"),
    "cycler/biologic/mb.issue_95.mpt": (33, "2022-12-08T13:36:53"),
    "cycler/biologic/mb.issue_95.de.mpt": (33, "2022-12-08T13:36:53"),
    "cycler/maccor/maccor_001.txt": (6704, "2020-12-11T11:22:12"),
    "cycler/neware/TestFile.nda": (6670, "2024-05-27T06:02:53"),
    "cycler/neware/test.ndax": (1464, "2024-02-01T19:24:23"),
    "series/operando_coincell_I11/Echem/cc8.ndax": (4647, "2025-07-02T17:08:11"),
}
SET_BACK = {"cycler/neware/TestFile.nda": "row 4916: the stamps go back by 165 s"}
"""The clock of one of the computers was set back while it recorded: its rows come, and a sentence with them."""
BAD = {
    "cycler/neware/empty.ndax": "expected samples, got a file without a single one",
    "cycler/neware/Unit27_Example_Corrupt.ndax": "got byte 0xf0 at 702: the archive is damaged",
}


def of(recordings, name):
    return everything(recordings / name, zone="Europe/Berlin")


def test_the_table_of_files_is_that_of_the_folder(recordings):
    there = {
        str(path.relative_to(recordings))
        for folder in ("cycler", "series/operando_coincell_I11/Echem")
        for path in (recordings / folder).rglob("*")
        if path.is_file()
    }
    assert there == GOOD.keys() | BAD.keys()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_gives_all_its_rows_and_says_only_what_is_true(recordings, name):
    rows, first = GOOD[name]
    read = of(recordings, name)
    samples = read.samples
    assert [SET_BACK[name] in said for said in read.said] == [True] * (name in SET_BACK)
    assert samples.timestamp_ns.size == rows
    begins = datetime.fromtimestamp(int(samples.timestamp_ns[0]) // 10**9, tz=UTC)
    assert begins.isoformat().removesuffix("+00:00") == first
    assert np.sum(np.diff(samples.timestamp_ns) < 0) == (name in SET_BACK)
    assert np.isfinite(samples.voltage_V).all()
    assert np.isfinite(samples.current_A).all()
    assert np.abs(samples.voltage_V).max() < 5.0


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gives_a_sentence_and_no_number(recordings, name):
    read = of(recordings, name)
    assert read.samples.timestamp_ns.size == 0
    assert len(read.said) == 1
    assert BAD[name] in read.said[0]


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_without_a_declared_zone_no_file_gives_a_number(recordings, name):
    read = everything(recordings / name)
    assert read.samples.timestamp_ns.size == 0
    assert name in BAD or "declare `zone`" in read.said[0]


@pytest.mark.parametrize(
    ("binary", "text"),
    [
        ("gcpl.issue_149.mpr", "gcpl.issue_149.mpt"),
        ("mb.issue_95.mpr", "mb.issue_95.mpt"),
        ("mb.issue_95.mpr", "mb.issue_95.de.mpt"),
    ],
)
def test_binary_and_text_of_one_run_agree(recordings, binary, text):
    one, other = (of(recordings, f"cycler/biologic/{name}").samples for name in (binary, text))
    assert np.abs(one.timestamp_ns - other.timestamp_ns).max() <= 1
    assert np.array_equal(one.step, other.step)
    # The text has eight digits of a single-precision number.
    for name, scale in (("voltage_V", 4.0), ("current_A", 0.1), ("charge_C", 0.4)):
        assert np.abs(getattr(one, name) - getattr(other, name)).max() < 1e-7 * scale


def test_decimal_commas_give_the_true_voltages(recordings):
    german, english = (
        of(recordings, f"cycler/biologic/{name}").samples for name in ("mb.issue_95.de.mpt", "mb.issue_95.mpt")
    )
    assert np.array_equal(german.voltage_V, english.voltage_V)
    assert german.voltage_V[-1] == pytest.approx(2.3260789)


def test_the_symmetric_lithium_cell_turns_every_twelve_hours(recordings):
    samples = of(recordings, "cycler/biologic/Li_Li2B12H12_Li_symmetric_gcpl.mpr").samples
    turns = np.flatnonzero(np.diff(np.sign(samples.current_A)))
    assert turns.size == 31
    hours = np.diff(samples.timestamp_ns[turns]) / 3.6e12
    assert hours == pytest.approx(12.0, abs=0.05)
    ends = samples.voltage_V[turns]
    assert np.abs(np.median(np.abs(ends))) == pytest.approx(0.107, abs=0.005)
    assert np.array_equal(np.sign(ends), np.sign(samples.current_A[turns]))
    # 11 microampere for twelve hours.
    assert np.abs(np.diff(samples.charge_C[turns])) == pytest.approx(11e-6 * 43200, rel=1e-3)


def test_a_current_without_sign_is_negative_in_discharge(recordings):
    samples = of(recordings, "cycler/maccor/maccor_001.txt").samples
    assert samples.current_A.min() < -10.0
    assert samples.current_A.max() == pytest.approx(1.50233)
    falling = (samples.current_A[1:-1] < -1.0) & (samples.current_A[:-2] < -1.0)
    assert np.mean(np.diff(samples.voltage_V)[:-1][falling] <= 0) > 0.95


@pytest.mark.parametrize("name", ["cycler/neware/TestFile.nda", "series/operando_coincell_I11/Echem/cc8.ndax"])
def test_the_charge_of_a_neware_file_is_the_integral_of_its_current(recordings, name):
    samples = of(recordings, name).samples
    elapsed_s = np.diff(samples.timestamp_ns) / 1e9
    integral = np.sum(0.5 * (samples.current_A[1:] + samples.current_A[:-1]) * elapsed_s)
    passed = np.sum(np.abs(samples.current_A[1:]) * elapsed_s)
    assert samples.charge_C[-1] - samples.charge_C[0] == pytest.approx(integral, abs=0.01 * passed)


def test_the_name_of_a_file_decides_nothing(recordings, tmp_path):
    for name in ("cycler/biologic/mb.issue_95.mpr", "cycler/neware/test.ndax", "cycler/neware/TestFile.nda"):
        other = tmp_path / "cell.txt"
        other.write_bytes((recordings / name).read_bytes())
        assert everything(other, zone="Europe/Berlin").samples.timestamp_ns.size == GOOD[name][0]


@pytest.mark.parametrize("share", [0.002, 0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize(
    "name",
    ["cycler/biologic/gcpl.issue_149.mpr", "cycler/neware/TestFile.nda", "cycler/neware/test.ndax"],
)
def test_a_truncated_binary_file_gives_a_sentence_or_all_its_rows(recordings, tmp_path, name, share):
    whole = (recordings / name).read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: int(share * len(whole))])
    read = everything(cut, zone="Europe/Berlin")
    if read.samples.timestamp_ns.size:
        # What is cut off may be no more than the tail behind the last row.
        assert read.samples.timestamp_ns.size == GOOD[name][0]
    else:
        assert len(read.said) == 1
        assert str(cut) in read.said[0]


def test_reading_a_neware_file_leaves_the_processes_own_unpacking_as_it_is(recordings):
    own = zlib.decompress, zlib.decompressobj
    assert of(recordings, "cycler/neware/test.ndax")
    assert (zlib.decompress, zlib.decompressobj) == own

"""The cycler's file grows with data time and writes the stamps that real cyclers write."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ringwatch_simulators.cell_model import CellModel, CellParameters
from ringwatch_simulators.cycler import Cycler
from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.errors import ScenarioError

START_NS = 1_700_000_000_000_000_000
HOUR_NS = 3600 * 10**9


def cycler(path, *, cell=None, go_on=False, **options):
    return Cycler(
        CellModel(cell or CellParameters()),
        start_ns=START_NS,
        begin_ns=START_NS - HOUR_NS,
        options=CyclerOptions(path=path, **options),
        go_on=go_on,
    )


def rows(path):
    header, *lines = path.read_text().splitlines()
    return header.split(","), [line.split(",") for line in lines]


def test_the_file_grows_by_whole_rows_up_to_the_data_time(tmp_path):
    path = tmp_path / "cell.csv"
    one = cycler(path, sample_s=600.0)
    assert one.advance(START_NS) == 7
    assert one.advance(START_NS) == 0
    one.advance(START_NS + 3 * HOUR_NS)
    header, lines = rows(path)
    assert header == ["time", "voltage_V", "current_A", "cycle", "step", "capacity_mAh"]
    assert len(lines) == 25
    assert float(lines[0][2]) == 0.0
    assert float(lines[-1][2]) == pytest.approx(0.785e-3)


def test_a_cycler_that_goes_on_neither_repeats_nor_skips_a_row(tmp_path):
    path, whole = tmp_path / "cell.csv", tmp_path / "whole.csv"
    cycler(path).advance(START_NS + HOUR_NS)
    cycler(path, go_on=True).advance(START_NS + 5 * HOUR_NS)
    cycler(whole).advance(START_NS + 5 * HOUR_NS)
    assert path.read_text() == whole.read_text()


def test_a_real_file_is_never_written_over_and_a_simulated_one_is_made_anew(tmp_path):
    path = tmp_path / "cell.csv"
    path.write_text("weeks of work")
    with pytest.raises(ScenarioError, match="move it away"):
        cycler(path, spares_foreign=True)
    assert path.read_text() == "weeks of work"
    path.unlink()
    cycler(path, spares_foreign=True).advance(START_NS)
    cycler(path, spares_foreign=True)
    assert len(path.read_text().splitlines()) == 1


def test_stamps_are_local_with_or_without_zone_on_the_cyclers_own_clock(tmp_path):
    zoned, naive = tmp_path / "zoned.csv", tmp_path / "naive.csv"
    cycler(zoned, zone="Europe/Berlin", clock_offset_s=10.0).advance(START_NS)
    cycler(naive, zone="Europe/Berlin", naive=True).advance(START_NS)
    with_zone = datetime.fromisoformat(rows(zoned)[1][0][0])
    without = datetime.fromisoformat(rows(naive)[1][0][0])
    assert with_zone.timestamp() == pytest.approx((START_NS - HOUR_NS) / 1e9 + 10.0)
    assert without.tzinfo is None
    assert without.replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp() == pytest.approx((START_NS - HOUR_NS) / 1e9)


def test_a_drifting_clock_gains_with_time(tmp_path):
    path = tmp_path / "cell.csv"
    cycler(path, clock_drift_ppm=100.0, sample_s=3600.0).advance(START_NS + 10 * HOUR_NS)
    lines = rows(path)[1]
    first, last = (datetime.fromisoformat(lines[at][0]).timestamp() for at in (1, -1))
    assert last - first == pytest.approx(36000.0 * (1 + 1e-4), abs=2e-3)


def test_a_cycler_may_write_a_row_on_both_sides_of_every_switch(tmp_path):
    path = tmp_path / "cell.csv"
    cell = CellParameters(rest_h=1.1, half_cycle_h=2.05, pause_h=0.35)
    cycler(path, cell=cell, rows_at_switches=True, sample_s=900.0).advance(START_NS + 6 * HOUR_NS)
    steps = [int(line[4]) for line in rows(path)[1]]
    hours = [(datetime.fromisoformat(line[0]).timestamp() - START_NS / 1e9) / 3600 for line in rows(path)[1]]
    assert hours == sorted(hours)
    turns = [(hours[at] + hours[at + 1]) / 2 for at in range(len(steps) - 1) if steps[at] != steps[at + 1]]
    assert turns == pytest.approx([1.1, 3.15, 3.5, 5.55, 5.9], abs=1e-6)
    assert list(dict.fromkeys(steps)) == [0, 1, 3, 2, 4]


def test_a_cycler_with_switches_and_noise_that_goes_on_writes_what_one_process_writes(tmp_path):
    path, whole = tmp_path / "cell.csv", tmp_path / "whole.csv"
    options = {"rows_at_switches": True, "noise_V": 1e-3, "cell": CellParameters(half_cycle_h=1.01, pause_h=0.1)}
    cycler(path, **options).advance(START_NS + 4 * HOUR_NS)
    cycler(path, go_on=True, **options).advance(START_NS + 9 * HOUR_NS)
    cycler(whole, **options).advance(START_NS + 9 * HOUR_NS)
    assert path.read_text() == whole.read_text()

"""The cycler's file grows with data time and writes the stamps that real cyclers write."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ringwatch_simulators.cell_model import CellModel, CellParameters
from ringwatch_simulators.cycler import Cycler, CyclerOptions

START_NS = 1_700_000_000_000_000_000
HOUR_NS = 3600 * 10**9


def cycler(path, **options):
    go_on = options.pop("go_on", False)
    return Cycler(
        CellModel(CellParameters()),
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

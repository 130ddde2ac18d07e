"""A simulated run of 340 h in short form: its short circuits, its onset, and its report against the truth."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from accuracy.cell_figures import (
    LIOH_H,
    CellRun,
    clock_figures,
    date_figures,
    null_run_figures,
    short_circuit_dates,
    shorted,
)
from accuracy.cell_runs import light_truths, write_run
from ringwatch_daemon.report import report
from ringwatch_simulators.cell_current import ShortCircuits

pytestmark = pytest.mark.slow
LIGHTS = 48
SOFT_H, HARD_H, HALF_H = 212.0, 287.0, 7.7
AT_H = 150.0


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A frame every seven hours; the report of the run, and what is true of each frame."""
    folder = tmp_path_factory.mktemp("cell")
    run = write_run(shorted(seed=4, frames=8 + LIGHTS), folder, burn_in_frames=12)
    report(run, folder / "report", at_h=[AT_H], formats=("svg",), console=Console(quiet=True))
    return folder / "report", light_truths(folder)


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def column(lines, name):
    return np.array([float(line[name] or "nan") for line in lines])


def pulls(lines, name, truth):
    """Measured minus true in stated sigmas."""
    value, sigma = column(lines, name), column(lines, f"sigma of {name}")
    return (value - truth) / sigma


def parameters(directory, name):
    found = [
        line for line in rows(directory / "parameters.csv") if (line["phase"], line["parameter"]) == ("lagp", name)
    ]
    return {line["asked for"]: line for line in found}


@pytest.mark.parametrize(("name", "key"), [("a", "a_seen_A"), ("c", "c_seen_A"), ("size", "size_nm")])
def test_lattice_and_size_in_the_table_agree_with_the_truth_within_their_errors(reported, name, key):
    directory, truths = reported
    told = parameters(directory, name)
    time_h = np.array([truth["time_h"] for truth in truths])
    true = np.array([truth[key] for truth in truths])
    first_h = time_h[0]
    for asked in ("start", f"{AT_H:g} h", "end"):
        line = told[asked]
        at = int(np.argmin(np.abs(time_h - first_h - float(line["time / h"]))))
        # A value is the mean of some frames around its time, over which the truth goes on.
        near = true[max(at - 3, 0) : at + 4]
        sigma = float(line["sigma"])
        assert near.min() - 5 * sigma < float(line["value"]) < near.max() + 5 * sigma, asked
        assert sigma < 0.01 * float(line["value"])


def test_the_report_shows_what_the_study_saw(reported):
    directory, _ = reported
    change = {
        name: float(parameters(directory, name)["end"]["change since the start / %"]) for name in ("a", "c", "size")
    }
    assert change["a"] == pytest.approx(-0.1, abs=0.012)
    assert change["c"] == pytest.approx(-0.1, abs=0.012)
    assert change["size"] == pytest.approx(-27.0, abs=2.0)
    ratio = rows(directory / "li_lines.csv")
    time_h = column(ratio, "time / h")
    assert np.nanmean(column(ratio, "(110)/(200)")[(time_h > 20) & (time_h < 100)]) == pytest.approx(12.0, abs=0.4)
    assert np.nanmean(column(ratio, "(110)/(200)")[time_h > 200]) == pytest.approx(7.2, abs=0.1)


def test_the_ratio_behind_its_figure_agrees_with_the_truth_within_its_error(reported):
    directory, truths = reported
    lines = rows(directory / "li_lines.csv")
    assert len(lines) == LIGHTS
    found = pulls(lines, "(110)/(200)", np.array([truth["ratio"] for truth in truths]))
    found = found[np.isfinite(found)]
    assert found.size > 0.8 * LIGHTS
    assert 0.7 < found.std() < 1.4
    assert abs(found.mean()) < 0.7


@pytest.mark.parametrize(("name", "key"), [("area (110)", "area_110"), ("area (200)", "area_200")])
def test_areas_behind_the_figures_are_those_of_the_truth_to_a_per_cent(reported, name, key):
    directory, truths = reported
    lines = rows(directory / "li_lines.csv")
    true = np.array([truth[key] for truth in truths])
    off = np.abs(column(lines, name) - true)
    allowed = 4.0 * column(lines, f"sigma of {name}") + 0.01 * true
    assert np.mean(off[np.isfinite(off)] < allowed[np.isfinite(off)]) > 0.97


def dates_h(directory):
    first_h = 0.5 * 300.0 / 3600.0
    return {line["kind"]: float(line["time / h"]) + first_h for line in rows(directory / "events.csv")}


def test_onset_and_short_circuits_are_dated_as_they_happened(reported):
    """The cycler's clock is 437 s and 35 ppm off, which is an eighth of an hour."""
    found = dates_h(reported[0])
    assert found["ONSET_LIOH"] == pytest.approx(LIOH_H, abs=8.0)
    assert found["SHORT_CIRCUIT_SOFT"] == pytest.approx(SOFT_H, abs=0.5)
    assert found["SHORT_CIRCUIT_HARD"] == pytest.approx(HARD_H, abs=0.5)


def test_the_resistance_falls_where_it_fell(reported):
    lines = rows(reported[0] / "resistance.csv")
    end_h, ohm = column(lines, "end / h"), column(lines, "resistance / ohm")
    before, soft, hard = (ohm[part] for part in (end_h < 205, (end_h > 225) & (end_h < 280), end_h > 300))
    assert soft.mean() / before[-4:].mean() == pytest.approx(0.6, abs=0.06)
    assert hard.mean() / before[-4:].mean() < 0.03


def test_a_short_circuit_at_the_very_end_of_a_half_cycle_is_dated_too(tmp_path):
    """Behind the part that its resistance is taken from."""
    begins_h = 2.0 + 20 * 8.05 + 7.5
    found = short_circuit_dates(3, ShortCircuits(hard_h=begins_h), tmp_path)
    date_h, sigma_h = found["SHORT_CIRCUIT_HARD"]
    assert date_h == pytest.approx(begins_h, abs=max(4 * sigma_h, 0.2))
    assert short_circuit_dates(4, ShortCircuits(), tmp_path) == {}


def test_the_table_of_the_accuracy_finds_what_is_wrong():
    right = CellRun(
        1, {"ONSET_LIOH": 120.5, "SHORT_CIRCUIT_SOFT": 213.0, "SHORT_CIRCUIT_HARD": 287.1}, -457.0, 20.0, -450.0
    )
    scenario = shorted(1, 2048)
    assert all(figure.met for figure in [*clock_figures([right]), *date_figures([right], scenario)])
    for wrong in (
        replace(right, offset_s=-500.0),
        replace(right, offset_sigma_s=2.0),
        replace(right, true_offset_s=-437.0 - 100.0),
    ):
        assert not all(figure.met for figure in clock_figures([right, wrong]))
    late = replace(right, dates_h={**right.dates_h, "SHORT_CIRCUIT_HARD": 297.0})
    assert [figure.met for figure in date_figures([late], scenario)] == [True, True, False]
    missing = replace(right, dates_h={})
    assert not any(figure.met for figure in date_figures([missing], scenario))
    assert null_run_figures([missing])[0].met
    assert not null_run_figures([right])[0].met

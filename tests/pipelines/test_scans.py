"""1-D scans: angles, bins, times and the fit on them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.synthetic_patterns import WAVELENGTH_M, Truth, lagp, lithium, pattern, recipe
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.patterns import pattern_from_sums
from ringwatch_pipelines.results import Refusal
from ringwatch_pipelines.scan_analysis import ScanAnalyser, ScanRecipe
from ringwatch_pipelines.scans import Scan, Sweep, axis_from_scan, measured_at_from_angle, sums_from_scan

HOUR_NS = 3600 * 10**9


def scan_of(two_theta_deg, intensity=None, sigma=None, **more):
    angles = np.asarray(two_theta_deg, dtype=np.float64)
    counts = np.full(angles.size, 100.0) if intensity is None else np.asarray(intensity, dtype=np.float64)
    told = {"unique_id": 1, "start_ns": 10**18, "end_ns": 10**18 + HOUR_NS, "received_ns": 0, "origin": "a.xye"} | more
    return Scan(two_theta_deg=angles, intensity=counts, sigma=sigma, **told)


def begun(first, **recipe):
    analyser = ScanAnalyser(ScanRecipe(wavelength_m=1e-10, **recipe))
    analyser.begin(first)
    return analyser


@given(
    start=st.floats(1.0, 20.0),
    step=st.floats(0.001, 0.1),
    kept=st.lists(st.booleans(), min_size=400, max_size=400),
    digits=st.integers(5, 8),
)
def test_every_point_stands_in_the_centre_of_its_own_bin(start, step, kept, digits):
    kept[0] = kept[-1] = kept[1] = True
    kept[20:300] = [True] * 280
    angles = np.round((start + step * np.arange(400))[np.array(kept)], digits)
    counts = np.arange(angles.size) + 1.0
    scan = scan_of(angles, counts, np.sqrt(counts))
    axis = axis_from_scan(scan)
    pattern = pattern_from_sums(sums=sums_from_scan(scan, axis=axis), axis=axis)
    measured = pattern.norm > 0
    assert np.array_equal(measured, kept)
    assert np.array_equal(pattern.intensity[measured], counts)
    assert pattern.sigma[measured] == pytest.approx(np.sqrt(counts))
    assert np.abs(axis.two_theta_deg[measured] - angles).max() < 0.05 * step + 10.0**-digits
    assert np.isnan(pattern.intensity[~measured]).all()


def test_a_scan_shifted_by_a_fraction_of_a_step_is_refused():
    analyser = begun(scan_of(np.arange(10, 20, 0.01)))
    shifted = analyser.analyse(scan_of(np.arange(10, 20, 0.01) + 0.004), timestamp_ns=0)
    assert shifted.refusal is Refusal.WRONG_SHAPE
    assert "expected points at steps of 0.01 degree as in the first scan" in shifted.text
    coarser = analyser.analyse(scan_of(np.arange(10, 20, 0.015)), timestamp_ns=0)
    assert coarser.refusal is Refusal.WRONG_SHAPE
    elsewhere = analyser.analyse(scan_of(np.arange(30, 40, 0.01)), timestamp_ns=0)
    assert "expected points at the angles of the run" in elsewhere.text


def test_points_beyond_the_first_scan_are_left_out_and_told_once():
    analyser = begun(scan_of(np.arange(10, 20, 0.01)))
    longer = scan_of(np.arange(9, 20, 0.01))
    first, second = (analyser.analyse(longer, timestamp_ns=0) for _ in range(2))
    assert [notice.kind for notice in first.notices] == ["SIGMA_OF_COUNTS", "POINTS_OUTSIDE"]
    assert "100 points beyond" in first.notices[1].text
    assert second.notices == ()
    assert first.pattern.intensity.size == 1000


@pytest.mark.parametrize(
    ("angles", "sentence"),
    [
        (np.arange(10, 10.1, 0.01), "at least 16 points, got 10"),
        (np.r_[np.arange(10, 20, 0.01), 19.0], "expected rising angles"),
        (np.r_[np.arange(10, 11, 0.01), np.nan], "expected finite angles"),
        (10 + np.cumsum(np.linspace(0.01, 0.012, 500)), "steps off"),
        (np.r_[np.arange(10, 10.1, 1e-4), 60.0], "at most 200000 steps"),
    ],
)
def test_a_scan_whose_angles_cannot_be_those_of_a_run_is_told(angles, sentence):
    with pytest.raises(PatternError, match=sentence):
        axis_from_scan(scan_of(angles))


def test_a_point_without_counts_is_known_to_about_one_count():
    counts = np.where(np.arange(100) == 50, 0.0, 400.0)
    scan = scan_of(10 + 0.01 * np.arange(100), counts)
    axis = axis_from_scan(scan)
    variance = sums_from_scan(scan, axis=axis).variance
    assert variance[50] == 1.0
    assert variance[0] == 400.0
    told = scan_of(scan.two_theta_deg, counts, np.where(counts > 0, 7.0, 0.0))
    assert sums_from_scan(told, axis=axis).variance[[0, 50]].tolist() == [49.0, 1.0]


def test_a_point_that_was_not_measured_is_an_empty_bin():
    counts = np.full(100, 5.0)
    counts[10] = np.nan
    scan = scan_of(10 + 0.01 * np.arange(100), counts)
    sums = sums_from_scan(scan, axis=axis_from_scan(scan))
    assert sums.norm[10] == 0.0
    assert np.sum(sums.norm) == 99.0


def test_the_monitor_divides_the_intensity():
    first = scan_of(10 + 0.01 * np.arange(100), monitor=500.0)
    analyser = begun(first, monitor_reference=1000.0)
    assert analyser.analyse(first, timestamp_ns=0).pattern.intensity == pytest.approx(200.0)
    untold = scan_of(first.two_theta_deg)
    assert analyser.analyse(untold, timestamp_ns=0).refusal is Refusal.NO_MONITOR


def test_low_angles_of_a_rising_scan_are_older():
    angles, span = np.array([10.0, 15.0, 20.0]), (10.0, 20.0)
    assert measured_at_from_angle(two_theta_deg=angles, span_deg=span, sweep=Sweep.RISING).tolist() == [0.0, 0.5, 1.0]
    assert measured_at_from_angle(two_theta_deg=angles, span_deg=span, sweep=Sweep.FALLING).tolist() == [1.0, 0.5, 0.0]
    assert measured_at_from_angle(two_theta_deg=angles, span_deg=span, sweep=Sweep.TOGETHER).tolist() == [0.5] * 3


def test_each_phase_is_measured_when_its_lines_are():
    two_lines = replace(recipe(lithium()), two_theta_range_deg=(2.0, 4.5))
    first = scan_of(np.linspace(2.0, 4.5, 251))
    analyser = ScanAnalyser(ScanRecipe(wavelength_m=two_lines.wavelength_m, fit=two_lines, sweep=Sweep.FALLING))
    analyser.begin(first)
    assert analyser.measured_at[[0, 125, 250]] == pytest.approx([1.0, 0.5, 0.0])
    [(name, share)] = analyser.phases_measured_at
    # Lines at 2.708 and 3.830 degree, of which the first is stronger: nearer to the end of a falling scan.
    assert name == "li"
    assert (4.5 - 3.830) / 2.5 < share < (4.5 - 2.708) / 2.5
    lines = analyser.lines_measured_at["li"]
    assert lines["110"] == pytest.approx((4.5 - 2.708) / 2.5, abs=1e-3)
    assert lines["200"] == pytest.approx((4.5 - 3.830) / 2.5, abs=1e-3)
    assert "211" not in lines


@pytest.mark.parametrize(("sweep", "sign"), [(Sweep.RISING, -1), (Sweep.FALLING, 1), (Sweep.TOGETHER, 0)])
def test_a_fitted_phase_knows_how_much_later_than_the_middle_its_lines_were_measured(sweep, sign):
    two_lines = replace(recipe(lithium()), two_theta_range_deg=(2.0, 4.5))
    first = scan_of(np.linspace(2.0, 4.5, 251))
    analyser = ScanAnalyser(ScanRecipe(wavelength_m=two_lines.wavelength_m, fit=two_lines, sweep=sweep))
    analyser.begin(first)
    later_s = analyser.analyse(first, timestamp_ns=first.timestamp_ns).tracked.measured_later_s("li")
    [(_, share)] = analyser.phases_measured_at
    assert later_s == pytest.approx((share - 0.5) * 3600.0)
    # The stronger line lies at 2.708 degree, in the lower half of the scan.
    assert np.sign(later_s) == sign
    at_once = scan_of(first.two_theta_deg, end_ns=first.start_ns)
    assert analyser.analyse(at_once, timestamp_ns=first.start_ns).tracked.measured_later_s("li") == 0.0


def test_a_scan_that_ends_before_it_starts_is_none():
    with pytest.raises(PatternError, match="cannot end 1 s before it starts"):
        scan_of(np.arange(20.0), end_ns=10**18 - 10**9)


def test_a_scan_known_at_one_moment_has_no_duration():
    assert np.isnan(scan_of(np.arange(20.0), end_ns=10**18).exposure_s)


def test_a_frame_among_scans_is_refused():
    analyser = begun(scan_of(10 + 0.01 * np.arange(100)))
    frame = Frame(unique_id=1, timestamp_ns=0, received_ns=0, exposure_s=1.0, image=np.zeros((4, 4)))
    assert analyser.analyse(frame, timestamp_ns=0).refusal is Refusal.WRONG_TYPE


def test_before_the_first_scan_there_are_no_angles():
    with pytest.raises(PatternError, match="not known before its first scan"):
        _ = ScanAnalyser(ScanRecipe(wavelength_m=1e-10)).axis


def test_the_fit_of_a_scan_recovers_the_truth_within_its_errors():
    truth = Truth()
    analyser = ScanAnalyser(ScanRecipe(wavelength_m=WAVELENGTH_M, fit=recipe(lagp(), lithium())))
    pulls = []
    for seed in range(3):
        made = pattern(truth, seed)
        scan = scan_of(made.two_theta_deg, made.intensity, made.sigma)
        if not seed:
            analyser.begin(scan)
        result = analyser.analyse(scan, timestamp_ns=0)
        assert result.notices == ()
        lattice = dict(result.tracked.phases[0].lattice)
        pulls += [(lattice[name].value - getattr(truth, name)) / lattice[name].sigma for name in "ac"]
    assert np.abs(pulls).max() < 4.0
    assert np.sqrt(np.mean(np.square(pulls))) < 2.0

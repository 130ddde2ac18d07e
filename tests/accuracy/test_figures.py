"""The table of ``make accuracy`` fails when errors are not what they say, and so does its short form here."""

from dataclasses import replace

import numpy as np
import pytest

from accuracy.courses import Course, Told, run_course
from accuracy.empty_cell import GROWN, hump_figures
from accuracy.figures import DEMANDS, FEWEST, Measured, figures_of, honest_figures, null_figures, table, watched
from accuracy.onset_figures import alarm_figures, null_run_figures
from ringwatch_simulators.scenario import SCENARIOS

FRAMES = 2000
SIGMA = {"ratio": 0.3, "a": 2e-5, "c": 5e-5, "c/a": 1e-5, "a_true": 5e-5, "size": 0.3, "strain": 4e-6}
TRUTH = {"ratio": 8.0, "a": 8.25, "c": 20.6, "c/a": 2.5, "a_true": 8.25, "size": 90.0, "strain": 4e-4}


def honest(random, *, sigma_by=1.0, shift_sigmas=0.0):
    """Every quantity as an honest analysis would measure it, or one that states its sigma or the truth wrongly."""
    measured = {}
    for demand in DEMANDS:
        sigma, truth = SIGMA.get(demand.name, 0.01), TRUTH.get(demand.name, 1.0)
        value = truth + sigma * random.standard_normal(FRAMES)
        stated = np.full(FRAMES, sigma * sigma_by)
        measured[demand.name] = Measured(value, stated, np.full(FRAMES, truth + shift_sigmas * sigma))
    return measured


def missed(figures):
    return {figure.quantity for figure in figures if figure.met is False}


def test_an_honest_analysis_meets_every_figure():
    assert missed(figures_of(honest(np.random.default_rng(1)))) == set()


def test_a_sigma_that_is_half_too_large_or_too_small_is_found():
    for factor in (1.5, 1 / 1.5):
        found = missed(figures_of(honest(np.random.default_rng(2), sigma_by=factor)))
        assert "Li (110)/(200), where (200) stands 10 sigmas high: within one sigma" in found


def test_a_truth_that_is_three_sigmas_off_is_found_in_ratio_and_lattice():
    found = missed(figures_of(honest(np.random.default_rng(3), shift_sigmas=3.0)))
    assert {"a as the nominal geometry sees it: bias", "a as the nominal geometry sees it: within one sigma"} <= found
    assert {
        "Li (110)/(200), where (200) stands 10 sigmas high: bias",
        "Li (110)/(200), where (200) stands 10 sigmas high: within one sigma",
    } <= found


def test_a_quantity_that_was_hardly_ever_measured_misses():
    measured = honest(np.random.default_rng(4))
    values = measured["size"].value.copy()
    values[FEWEST - 1 :] = np.nan
    measured["size"] = Measured(values, measured["size"].sigma, measured["size"].truth)
    assert missed(figures_of(measured)) == {"size: bias"}


def test_z_of_an_absent_phase_must_have_a_width_of_one():
    random = np.random.default_rng(5)
    for width, met in ((1.0, True), (1.5, False), (0.7, False)):
        absent = Measured(width * random.standard_normal(FRAMES), np.ones(FRAMES), np.zeros(FRAMES))
        measured = {"lioh": drawn(random), watched("lioh"): absent}
        assert null_figures("LiOH", measured, "lioh")[0].met is met


def drawn(random, *, sigma_by=1.0, shift_sigmas=0.0, frames=400):
    truth = np.full(frames, 5.0)
    return Measured(
        truth + 0.1 * random.standard_normal(frames) + 0.1 * shift_sigmas, np.full(frames, 0.1 * sigma_by), truth
    )


def test_errors_of_few_counts_must_be_what_they_say():
    random = np.random.default_rng(7)
    assert missed(honest_figures("a", drawn(random))) == set()
    for factor in (1.5, 1 / 1.5):
        assert missed(honest_figures("a", drawn(random, sigma_by=factor))) == {"a: within one sigma"}
    assert missed(honest_figures("a", drawn(random, shift_sigmas=3.0))) == {
        "a: bias, in its sigma",
        "a: within one sigma",
    }
    assert len(missed(honest_figures("a", drawn(random, frames=FEWEST - 1)))) == 2


def course_that_told(*onsets, z=None):
    z = np.random.default_rng(8).standard_normal(340) if z is None else z
    measured = {watched("lioh"): Measured(z, np.ones(z.size), np.zeros(z.size))}
    return Course(1, np.arange(z.size, dtype=float), measured, np.ones(z.size), 0, onsets)


def test_an_onset_must_be_told_once_in_time_and_with_its_date():
    good = Told("lioh", alarm_h=124.0, date_h=119.0, sigma_h=1.0)
    assert missed(alarm_figures([course_that_told(good)], "lioh", within_h=6.0, dated_to_h=3.0)) == set()
    for told in (
        (),
        (good, good),
        (replace(good, alarm_h=127.0),),
        (replace(good, alarm_h=100.0),),
        (replace(good, date_h=116.0),),
    ):
        assert missed(alarm_figures([course_that_told(*told)], "lioh", within_h=6.0, dated_to_h=3.0))


def test_a_false_alarm_misses_and_so_does_noise_that_would_raise_some():
    assert missed(null_run_figures([course_that_told()], "lioh", runs=30)) == set()
    false = Told("lioh", alarm_h=50.0, date_h=49.0, sigma_h=1.0)
    assert missed(null_run_figures([course_that_told(false)], "lioh", runs=30))
    wandering = 4.0 * np.sin(np.arange(340) / 30.0) + np.random.default_rng(9).standard_normal(340)
    assert missed(null_run_figures([course_that_told(z=wandering)], "lioh", runs=30))


def test_a_hump_is_judged_where_it_has_grown():
    truth = np.linspace(0.0, 7.0, 1000)
    error = np.where(truth > GROWN * 7.0, 1.06, 0.5)
    for factor, met in ((error, False), (np.where(error < 1.0, 0.5, 1.04), True)):
        assert hump_figures(Measured(truth * factor, np.full(1000, 0.3), truth))[0].met is met


def test_the_table_says_what_was_missed():
    text = table(figures_of(honest(np.random.default_rng(6), shift_sigmas=3.0)))
    assert "MISSED" in text
    assert "met" in text


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Forty frames of a quarter of the rings, with every fault of a real detector."""
    response = replace(SCENARIOS["full"].response, beam_stop_deg=0.0, bad_pixels=100, zingers=1.0)
    scenario = replace(SCENARIOS["small"], frames=44, darks=4, response=response, seed=8)
    return run_course(scenario, tmp_path_factory.mktemp("course"))


@pytest.mark.parametrize("name", ["a", "c", "110", "lioh"])
def test_errors_on_simulated_frames_are_those_that_are_stated(course, name):
    """Forty pulls of width 1: their spread lies within 0.7 to 1.4, their mean within 0.6, at four sigmas."""
    measured = course.measured[name]
    assert course.unfitted == 0
    assert 0.7 < measured.pulls.std() < 1.4
    assert abs(measured.pulls.mean()) < 0.65
    wide = Measured(measured.value, measured.sigma / 2.0, measured.truth)
    assert not 0.7 < wide.pulls.std() < 1.4
    shifted = Measured(measured.value, measured.sigma, measured.truth + 3.0 * measured.sigma)
    assert abs(shifted.pulls.mean()) > 2.0

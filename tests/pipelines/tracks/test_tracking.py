from dataclasses import replace

import numpy as np
import pytest
from scipy.special import voigt_profile
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import (
    WAVELENGTH_M,
    Truth,
    axis_deg,
    intensity,
    lagp,
    lioh,
    lithium,
    noisy,
    pattern,
    recipe,
)
from ringwatch_daemon.core.columns import columns_from_tracked, fixed_tables_from_tracked, values_from_tracked
from ringwatch_pipelines.crystals.phases import PhaseRole, Site, phase_from_cell
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit.pattern_fit import Hump
from ringwatch_pipelines.patterns import Pattern
from ringwatch_pipelines.results import FitState, PeakState
from ringwatch_pipelines.tracks.tracking import TrackerState, blank_tracked, track

RECIPE = recipe(lagp(), lithium(), lioh(), hump=Hump(two_theta_deg=2.2, fwhm_deg=0.7))
REPORTED = (("lagp", ("113",)),)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def after_one_frame():
    state, _, tracked = track(TrackerState(), pattern(Truth(), 0), RECIPE)
    assert tracked.fit_state is FitState.CONVERGED
    return state


def lattice_of(tracked):
    return dict(tracked.phases[0].lattice)


def with_intensity(original: Pattern, intensity_of_bins) -> Pattern:
    return Pattern(original.two_theta_deg, intensity_of_bins, original.sigma, original.norm)


def test_a_fit_leaves_its_curves_over_the_bins_of_its_pattern_and_noise_besides(after_one_frame):
    one = pattern(Truth(), 1)
    _, fit, tracked = track(after_one_frame, one, RECIPE)
    counted = np.isfinite(tracked.curves.model)
    assert np.array_equal(one.two_theta_deg[counted], fit.counted_two_theta_deg)
    left = ((one.intensity - tracked.curves.model) / one.sigma)[counted]
    assert left @ left == pytest.approx(fit.chi_square * fit.degrees_of_freedom, rel=1e-6)
    lines = (tracked.curves.model - tracked.curves.background)[counted]
    assert lines.max() > 20.0 * one.sigma[counted].max()
    assert lines.min() > -one.sigma[counted].max()
    empty = with_intensity(one, np.full(one.intensity.size, np.nan))
    assert track(after_one_frame, empty, RECIPE)[2].curves is None


BAD_PATTERNS = {
    "empty": lambda good: with_intensity(good, np.full(good.intensity.size, np.nan)),
    "dark": lambda good: with_intensity(good, np.zeros(good.intensity.size)),
    "half read out": lambda good: with_intensity(good, np.where(good.two_theta_deg > 3.0, 0.0, good.intensity)),
    "upside down": lambda good: with_intensity(good, good.intensity[::-1].copy()),
    "infinite": lambda good: with_intensity(good, np.full(good.intensity.size, np.inf)),
    "negative": lambda good: with_intensity(good, -good.intensity),
    "no lines": lambda good: noisy(np.full(good.intensity.size, 400.0), good.sigma, 7),
    "absurd sigma": lambda good: Pattern(good.two_theta_deg, good.intensity, 1e-12 * good.sigma, good.norm),
    "spikes": lambda good: with_intensity(good, np.where(np.arange(good.intensity.size) % 37, good.intensity, 1e7)),
}


def test_a_series_follows_a_shrinking_lattice():
    state = TrackerState()
    for frame in range(10):
        truth = replace(Truth(), a=8.257 * (1.0 - 1e-4 * frame), size_nm=60.0 - 2.0 * frame)
        state, fit, tracked = track(state, pattern(truth, frame), RECIPE)
        a = lattice_of(tracked)["a"]
        assert tracked.fit_state is FitState.CONVERGED
        assert abs(a.value - truth.a) < 5.0 * a.sigma
        assert abs(tracked.phases[0].size_nm.value - truth.size_nm) < 5.0 * tracked.phases[0].size_nm.sigma
        if frame:
            assert fit.iterations <= 8


def test_peak_shifts_are_relative_to_the_configured_lattice():
    truth = replace(Truth(), a=8.257 * 0.999, c=20.632 * 0.999)
    _, _, tracked = track(TrackerState(), pattern(truth, 1), RECIPE)
    peaks = tracked.phases[0].peaks
    theta = np.radians(peaks.two_theta_deg / 2.0)
    expected = np.degrees(2.0 * np.tan(theta) * 1e-3)
    np.testing.assert_allclose(peaks.shift_deg, expected, rtol=0.02)
    assert np.all(peaks.two_theta_errors_deg < 1e-4)


@pytest.mark.parametrize("kind", list(BAD_PATTERNS))
def test_a_bad_frame_does_no_harm_to_the_next(after_one_frame, kind):
    bad = BAD_PATTERNS[kind](pattern(Truth(), 1))
    good = pattern(Truth(), 2)
    state, _, _ = track(after_one_frame, bad, RECIPE)
    _, _, after_bad = track(state, good, RECIPE)
    _, _, undisturbed = track(after_one_frame, good, RECIPE)
    assert after_bad.fit_state is FitState.CONVERGED
    assert lattice_of(after_bad)["a"] == lattice_of(undisturbed)["a"]
    assert after_bad.phases[1].ratio == undisturbed.phases[1].ratio


@pytest.mark.parametrize("kind", list(BAD_PATTERNS))
def test_a_bad_first_frame_does_no_harm_either(kind):
    state, _, _ = track(TrackerState(), BAD_PATTERNS[kind](pattern(Truth(), 1)), RECIPE)
    _, _, tracked = track(state, pattern(Truth(), 2), RECIPE)
    a = lattice_of(tracked)["a"]
    assert tracked.fit_state is FitState.CONVERGED
    assert abs(a.value - 8.257) < 5.0 * a.sigma


def test_a_frame_with_half_the_counts_is_followed(after_one_frame):
    dim = 0.5 * intensity(Truth())
    _, _, tracked = track(after_one_frame, noisy(dim, np.sqrt(dim / 2000.0), 3), RECIPE)
    a = lattice_of(tracked)["a"]
    assert abs(a.value - 8.257) < 5.0 * a.sigma
    assert tracked.chi_square == pytest.approx(1.0, abs=0.25)


def test_a_sudden_change_of_the_lattice_is_found_by_a_cold_start(after_one_frame):
    truth = replace(Truth(), a=8.257 * 1.008, c=20.632 * 1.008)
    _, _, tracked = track(after_one_frame, pattern(truth, 4), RECIPE)
    a = lattice_of(tracked)["a"]
    assert abs(a.value - truth.a) < 5.0 * a.sigma


def test_a_lasting_misfit_becomes_the_new_normal(after_one_frame):
    strange = intensity(Truth()) + 40.0 * np.exp(-(((axis_deg() - 3.05) / 0.01) ** 2))
    state = after_one_frame
    for frame in range(4):
        state, _, tracked = track(state, noisy(strange, np.sqrt(strange / 2000.0), frame), RECIPE)
        assert tracked.chi_square > 2.0
    assert state.misfits == 0
    assert state.chi_square > 2.0


@pytest.mark.parametrize("kind", ["half read out", "spikes"])
def test_a_frame_unlike_those_before_is_an_outlier_without_values(after_one_frame, kind):
    _, _, tracked = track(after_one_frame, BAD_PATTERNS[kind](pattern(Truth(), 1)), RECIPE)
    assert tracked.fit_state is FitState.OUTLIER
    assert tracked.chi_square > 100.0
    numbers = values_from_tracked(replace(tracked, chi_square=np.nan)).values()
    assert all(isinstance(value, str) or np.all(np.isnan(value)) for value in numbers)


def test_a_model_that_never_described_the_sample_is_a_misfit_with_values():
    strange = intensity(Truth()) + 1000.0 * np.exp(-(((axis_deg() - 3.05) / 0.02) ** 2))
    state = TrackerState()
    for frame in range(3):
        state, fit, tracked = track(state, noisy(strange, np.sqrt(strange / 2000.0), frame), RECIPE)
        assert tracked.fit_state is FitState.MISFIT
        assert fit.iterations < 30
        assert lattice_of(tracked)["a"].value == pytest.approx(8.257, rel=1e-3)
    assert state.misfits == 0


def test_outliers_that_last_become_misfits_with_values(after_one_frame):
    strange = intensity(Truth()) + 1000.0 * np.exp(-(((axis_deg() - 3.05) / 0.02) ** 2))
    state, states = after_one_frame, []
    for frame in range(5):
        state, _, tracked = track(state, noisy(strange, np.sqrt(strange / 2000.0), frame), RECIPE)
        states.append(tracked.fit_state)
    assert states == [FitState.OUTLIER] * 2 + [FitState.MISFIT] * 3


def test_a_free_phase_that_is_absent_does_not_slow_the_series_down():
    nickel = phase_from_cell(
        name="ni",
        role=PhaseRole.FREE,
        cell=(3.5238, 3.5238, 3.5238, 90, 90, 90),
        space_group="F m -3 m",
        d_min_A=1.2,
        wavelength_m=WAVELENGTH_M,
    )
    both, state = recipe(lagp(), nickel), TrackerState()
    for frame in range(6):
        state, fit, tracked = track(state, pattern(replace(Truth(), li_110=0.0, li_200=0.0), frame), both)
        assert [phase.state for phase in tracked.phases] == [PeakState.PRESENT, PeakState.ABSENT]
        assert np.isnan(dict(tracked.phases[1].lattice)["a"].value)
        assert state.misfits == 0
    assert dict(zip(fit.layout.shapes.names, state.parameters[fit.layout.linear :], strict=True))["ni.a"] == 3.5238


@pytest.mark.parametrize(("shift", "area"), [(0.002, 0.3), (0.008, 1.0), (0.01, 0.3), (-0.01, 1.0)])
def test_a_free_phase_that_appears_late_and_elsewhere_is_found(shift, area):
    nickel = phase_from_cell(
        name="ni",
        role=PhaseRole.FREE,
        cell=(3.5238, 3.5238, 3.5238, 90, 90, 90),
        space_group="F m -3 m",
        d_min_A=1.2,
        wavelength_m=WAVELENGTH_M,
        sites=(Site("Ni", 0, 0, 0),),
    )
    both, state, true = recipe(lagp(), lithium(), nickel), TrackerState(), 3.5238 * (1.0 + shift)
    theta = np.arcsin(WAVELENGTH_M * 1e10 / 2.0 * np.sqrt((nickel.reflections.hkl**2).sum(axis=1)) / true)
    angles, areas = np.degrees(2.0 * theta), area / 100.0 * nickel.reflections.relative_intensity
    lines = sum(a * voigt_profile(axis_deg() - x, 0.0085, 0.006) for x, a in zip(angles, areas, strict=True))
    for frame in range(5):
        expected = intensity(Truth()) + (lines if frame >= 3 else 0.0)
        state, _, tracked = track(state, noisy(expected, np.sqrt(expected / 2000.0), frame), both)
    a = dict(tracked.phases[2].lattice)["a"]
    assert tracked.phases[2].state is PeakState.PRESENT
    assert abs(a.value - true) < 4.0 * a.sigma


def test_a_series_without_the_sample_is_ready_when_it_comes():
    state, level = TrackerState(), np.full(axis_deg().size, 400.0)
    for frame in range(6):
        state, _, tracked = track(state, noisy(level, np.sqrt(level / 2000.0), frame), RECIPE)
        assert tracked.phases[0].state is PeakState.ABSENT
    assert state.parameters is None
    for frame in range(2):
        state, _, tracked = track(state, pattern(replace(Truth(), a=8.2575), frame), RECIPE)
    a = lattice_of(tracked)["a"]
    assert abs(a.value - 8.2575) < 5.0 * a.sigma


def test_tracking_does_not_change_the_state_it_was_given(after_one_frame):
    before = after_one_frame.parameters.copy()
    track(after_one_frame, pattern(replace(Truth(), a=8.25), 5), RECIPE)
    np.testing.assert_array_equal(after_one_frame.parameters, before)


def test_another_axis_is_fitted_from_a_cold_start(after_one_frame):
    whole = pattern(Truth(), 6)
    part = Pattern(
        *(np.asarray(array)[100:] for array in (whole.two_theta_deg, whole.intensity, whole.sigma, whole.norm))
    )
    _, _, tracked = track(after_one_frame, part, RECIPE)
    a = lattice_of(tracked)["a"]
    assert abs(a.value - 8.257) < 5.0 * a.sigma


def test_the_blank_lists_every_column_that_a_fit_fills(after_one_frame):
    blank = blank_tracked(RECIPE, FitState.NOT_FITTED)
    _, _, tracked = track(after_one_frame, pattern(Truth(), 8), RECIPE)
    columns = columns_from_tracked(blank, reported=REPORTED)
    filled, empty = values_from_tracked(tracked), values_from_tracked(blank)
    for column in columns:
        if column.path == "lagp/intensity_113":
            assert np.isfinite(filled[column.path])
        assert column.path in filled
        assert column.path in empty
        assert np.size(filled[column.path]) == max(column.peaks, 1)
        assert np.size(empty[column.path]) == max(column.peaks, 1)
    np.testing.assert_array_equal(fixed_tables_from_tracked(blank)[0].values, tracked.phases[0].peaks.hkl)


def test_the_blank_has_states_and_no_numbers():
    blank = blank_tracked(RECIPE, FitState.TOO_FEW_COUNTS)
    values = values_from_tracked(blank)
    assert blank.fit_state is FitState.TOO_FEW_COUNTS
    for value in values.values():
        if isinstance(value, str):
            assert value in {PeakState.UNDETERMINED, FitState.TOO_FEW_COUNTS}
        else:
            assert np.all(np.isnan(value))


def test_a_line_that_has_no_intensity_of_its_own_cannot_be_reported():
    with pytest.raises(PhaseError, match="cannot report the line 012"):
        blank_tracked(
            replace(recipe(replace(lagp(), reported_lines=("012",))), two_theta_range_deg=(2.0, 5.0)),
            FitState.NOT_FITTED,
        )


def test_states_say_what_is_there():
    _, _, tracked = track(TrackerState(), pattern(replace(Truth(), lioh=3.0), 9), RECIPE)
    solid, metal, hydroxide = tracked.phases
    assert {solid.state, metal.state, hydroxide.state} == {PeakState.PRESENT}
    assert metal.ratio_state is PeakState.PRESENT
    assert [line.label for line in metal.lines] == ["110", "200", "211"]
    assert hydroxide.z > 10.0
    assert hydroxide.upper_limit > hydroxide.amount.value

"""Frame in, result out: darks, monitor, sums, fit and texture as one, and always the same."""

from dataclasses import replace

import numpy as np
import pytest

from fakes.quarter_rings import (
    BINNING,
    OFFSET,
    RANGE_DEG,
    SHAPE,
    TRUTH,
    dark,
    expected_counts,
    geometry,
    light,
    stamp_ns,
)
from fakes.synthetic_patterns import lagp, lithium, recipe
from ringwatch_daemon.core.columns import values_from_tracked
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.errors import CorrectionError, PhaseError
from ringwatch_pipelines.frames import DetectorConditions
from ringwatch_pipelines.reduction.cadence import Cadence
from ringwatch_pipelines.reduction.corrections import Corrections, Dark
from ringwatch_pipelines.reduction.frame_quality import LightWatch
from ringwatch_pipelines.reduction.ring_check import RingCheckRecipe
from ringwatch_pipelines.results import FitState, PeakState, Refusal
from ringwatch_pipelines.tracks.line_texture import TextureRecipe

FIT = replace(recipe(lagp(), lithium()), two_theta_range_deg=RANGE_DEG)
PATTERNS_ONLY = Recipe(geometry=geometry(), corrections=Corrections(solid_angle=False), binning=BINNING)
FITTED = replace(PATTERNS_ONLY, fit=FIT, texture=(TextureRecipe(FIT.phases[1], "110", 0.06),))


def analysed(analyser, *frames):
    return [analyser.analyse(frame, timestamp_ns=frame.timestamp_ns) for frame in frames]


def last_of(recipe_, *frames):
    return analysed(Analyser(recipe_), *frames)[-1]


def assert_identical(one, other):
    for name in ("raw", "dark", "norm", "variance"):
        np.testing.assert_array_equal(getattr(one.sums, name), getattr(other.sums, name))
    np.testing.assert_array_equal(one.pattern.intensity, other.pattern.intensity)
    values, others = values_from_tracked(one.tracked), values_from_tracked(other.tracked)
    assert values.keys() == others.keys()
    for path, value in values.items():
        np.testing.assert_array_equal(value, others[path], err_msg=path)


def ring_check(distance_m):
    lines, _ = FIT.phases[0].lattice.two_theta_deg(hkl=FIT.phases[0].reflections.hkl, wavelength_m=FIT.wavelength_m)
    strengths = FIT.phases[0].reflections.relative_intensity
    return replace(PATTERNS_ONLY, geometry=geometry(distance_m), ring_check=RingCheckRecipe("lagp", lines, strengths))


def spots_on_lithium_110():
    """(rows, columns) ten times the line's own counts in 3 of the 90 degrees."""
    line = expected_counts() - expected_counts(replace(TRUTH, li_110=0.0))
    row, column = np.indices(SHAPE)
    azimuth_deg = np.degrees(np.arctan2(row, column))
    return np.where(np.abs(azimuth_deg - 40.0) < 1.5, 10 * line, 0.0).astype(np.uint16)


# darks


def test_the_mean_of_the_darks_is_taken_off_and_named():
    frames = [dark(1, 90), dark(2, 110), light(3)]
    results = analysed(Analyser(PATTERNS_ONLY), *frames)
    assert [result.dark_index for result in results] == [0, 0, 0]
    assert results[0].pattern is None
    known = replace(PATTERNS_ONLY, darks=(Dark(np.full(SHAPE, 100.0)),))
    np.testing.assert_array_equal(results[2].pattern.intensity, last_of(known, light(3)).pattern.intensity)
    assert [notice.kind for notice in results[2].notices] == ["DARK"]


def test_a_dark_lowers_every_bin_by_its_counts():
    with_dark, without = last_of(PATTERNS_ONLY, dark(1), light(2)), last_of(PATTERNS_ONLY, light(2))
    assert without.dark_index == -1
    np.testing.assert_allclose(without.pattern.intensity - with_dark.pattern.intensity, OFFSET, rtol=1e-9)


def test_a_frame_without_a_valid_dark_is_refused_where_one_is_required_and_taken_once_there_is_one():
    analyser = Analyser(replace(PATTERNS_ONLY, dark_required=True))
    before, _, after = analysed(analyser, light(1), dark(2), light(3))
    assert (before.refusal, before.pattern) == (Refusal.BEFORE_FIRST_DARK, None)
    assert after.refusal is None


def test_a_dark_under_another_exposure_is_refused_with_the_difference():
    long = DetectorConditions(exposure_s=10.0, gain="1", trigger_mode="Internal")
    result = last_of(replace(PATTERNS_ONLY, dark_required=True), dark(1, conditions=long), light(2))
    assert result.refusal is Refusal.NO_VALID_DARK
    assert "exposure 10 s against 1 s" in result.text


def test_no_dark_is_taken_off_where_the_detector_took_its_own_and_that_is_told_once():
    analyser = Analyser(replace(PATTERNS_ONLY, dark_required=True))
    frames = [light(number, offset_subtracted=True) for number in (2, 3)]
    _, first, second = analysed(analyser, dark(1), *frames)
    assert (first.refusal, first.dark_index) == (None, -1)
    assert not first.sums.dark.any()
    assert [(notice.kind, notice.standing) for notice in first.notices] == [("OFFSET_SUBTRACTED", True)]
    assert second.notices == ()


def test_a_dark_with_holes_is_refused_and_the_one_before_it_stays():
    holed = np.full(SHAPE, 100.0, dtype=np.float32)
    holed[3, 3] = np.nan
    _, bad, good = analysed(Analyser(PATTERNS_ONLY), dark(1), dark(2, image=holed), light(3))
    assert bad.refusal is Refusal.NOT_FINITE
    assert (good.refusal, good.dark_index) == (None, 0)


def test_a_known_dark_of_another_shape_is_refused_before_the_run():
    with pytest.raises(CorrectionError, match=r"the dark from dark.tif must have the detector's shape \(400, 400\)"):
        replace(PATTERNS_ONLY, darks=(Dark(np.ones((3, 3)), origin="dark.tif"),))


# monitor


def test_twice_the_beam_with_twice_the_monitor_gives_the_same_intensity():
    monitored = replace(PATTERNS_ONLY, monitor_reference=2.0)
    one = last_of(monitored, light(1, monitor=2.0))
    doubled = light(1, monitor=4.0, image=light(1, monitor=2.0).image * np.uint32(2))
    np.testing.assert_allclose(last_of(monitored, doubled).pattern.intensity, one.pattern.intensity, rtol=1e-12)


@pytest.mark.parametrize(
    ("monitor", "refusal", "text"),
    [
        (float("nan"), Refusal.NO_MONITOR, "expected a monitor value with frame 1, got none from a panel"),
        (float("inf"), Refusal.NO_MONITOR, "expected a monitor value with frame 1, got inf from a panel"),
        (0.0, Refusal.NO_BEAM, "the monitor of frame 1 reads 0: no beam"),
        (-3.0, Refusal.NO_BEAM, "the monitor of frame 1 reads -3: no beam"),
    ],
)
def test_a_frame_without_beam_by_its_monitor_is_refused(monitor, refusal, text):
    result = last_of(replace(PATTERNS_ONLY, monitor_reference=1.0), replace(light(1), monitor=monitor))
    assert (result.refusal, result.text) == (refusal, text)


def test_without_a_reference_nobody_asks_for_the_monitor():
    assert last_of(PATTERNS_ONLY, replace(light(1), monitor=float("nan"))).refusal is None


# shapes and types


def test_a_frame_of_another_shape_is_refused():
    result = last_of(PATTERNS_ONLY, light(1, image=np.ones((3, 4), dtype=np.uint16)))
    assert result.refusal is Refusal.WRONG_SHAPE
    assert result.text == "expected a frame of (400, 400) (rows, columns), got (3, 4) from a panel"


@pytest.mark.parametrize("dtype", [np.complex64, np.bool_, np.uint64, "datetime64[s]"])
@pytest.mark.parametrize("make", [light, dark])
def test_a_frame_without_countable_numbers_is_refused(dtype, make):
    result = last_of(PATTERNS_ONLY, make(1, image=np.ones(SHAPE).astype(np.int64).astype(dtype)))
    if dtype is np.uint64 and make is dark:
        assert result.dark_index == 0
    else:
        assert result.refusal is Refusal.WRONG_TYPE


@pytest.mark.parametrize("dtype", [np.uint16, ">u2", np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_counts_of_any_other_type_give_the_same_pattern(dtype):
    frame = light(1)
    other = replace(frame, image=frame.image.astype(dtype))
    one, two = last_of(PATTERNS_ONLY, frame), last_of(PATTERNS_ONLY, other)
    np.testing.assert_allclose(two.pattern.intensity, one.pattern.intensity, rtol=1e-12)


# sums


def test_a_cadence_fits_the_exact_sum_of_its_frames():
    analyser = Analyser(replace(FITTED, cadence=Cadence(frames=2)))
    _, first, second, third = analysed(analyser, dark(1), light(2), light(3), light(4))
    states = [result.tracked.fit_state for result in (first, second, third)]
    assert states == [FitState.SUMMED, FitState.CONVERGED, FitState.SUMMED]
    assert first.pattern is not None
    assert np.isnan(first.tracked.phases[0].lattice[0][1].value)
    added = light(2).image.astype(np.uint32) + light(3).image
    whole = last_of(FITTED, dark(1, image=np.full(SHAPE, 2 * OFFSET)), light(2, image=added))
    np.testing.assert_array_equal(first.sums.raw + second.sums.raw, whole.sums.raw)
    assert first.sums.raw.dtype == np.int64
    assert second.sums.frames == 1


def test_two_summed_frames_halve_the_variance_of_the_lattice():
    one = last_of(FITTED, dark(1), light(2)).tracked.phases[0].lattice[0][1]
    two = (
        last_of(replace(FITTED, cadence=Cadence(frames=2)), dark(1), light(2), light(3)).tracked.phases[0].lattice[0][1]
    )
    assert two.sigma**2 / one.sigma**2 == pytest.approx(0.5, rel=0.1)


# fit and texture


def test_lattice_and_ratio_of_a_frame_are_those_of_its_truth():
    result = last_of(FITTED, dark(1), light(2))
    lagp_track, lithium_track = result.tracked.phases
    assert result.tracked.fit_state is FitState.CONVERGED
    for name, estimate in lagp_track.lattice:
        assert abs(estimate.value - getattr(TRUTH, name)) < 5 * estimate.sigma + 5e-5 * estimate.value
    assert lithium_track.state is PeakState.PRESENT
    assert lithium_track.ratio.value == pytest.approx(TRUTH.li_110 / TRUTH.li_200, abs=5 * lithium_track.ratio.sigma)


def test_spots_on_a_ring_are_seen_in_its_texture():
    smooth, spotty = light(2), light(2, image=light(2).image + spots_on_lithium_110())
    (even,) = last_of(FITTED, dark(1), smooth).tracked.texture
    (uneven,) = last_of(FITTED, dark(1), spotty).tracked.texture
    assert even.label == "110"
    assert abs(even.spot_fraction.value) < 0.06
    assert uneven.spot_fraction.value > even.spot_fraction.value + 0.1
    assert uneven.smooth.value == pytest.approx(even.smooth.value, rel=0.1)


def test_without_a_fit_there_are_patterns_and_nothing_else():
    analyser = Analyser(PATTERNS_ONLY)
    (result,) = analysed(analyser, light(1))
    assert result.tracked.fit_state is FitState.NOT_FITTED
    assert result.tracked.phases == analyser.blank().phases == ()
    assert np.isfinite(result.pattern.intensity).sum() > 400


def test_the_same_frames_always_give_the_same_bits():
    frames = [dark(1), *(light(number) for number in range(2, 6))]
    once, again = analysed(Analyser(FITTED), *frames), analysed(Analyser(FITTED), *frames)
    for one, other in zip(once[1:], again[1:], strict=True):
        assert_identical(one, other)


BAD_FRAMES = {
    "no counts": light(4, image=np.full(SHAPE, OFFSET, dtype=np.uint16)),
    "nothing but holes": light(4, image=np.full(SHAPE, np.nan)),
    "saturated": light(4, image=np.full(SHAPE, 65535, dtype=np.uint16)),
    "another shape": light(4, image=np.ones((3, 4), dtype=np.uint16)),
    "another type": light(4, image=np.ones(SHAPE, dtype=np.complex64)),
}


@pytest.mark.parametrize("bad", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_a_bad_frame_leaves_the_next_result_as_it_would_be_without_it(bad):
    limited = replace(FITTED, corrections=Corrections(solid_angle=False, saturation_counts=65000))
    good = [dark(1), light(2), light(3)]
    untouched = last_of(limited, *good, light(5))
    after_bad = analysed(Analyser(limited), *good, bad, light(5))
    assert after_bad[-2].refusal or after_bad[-2].tracked.fit_state is FitState.TOO_FEW_COUNTS
    assert_identical(after_bad[-1], untouched)


def noisy(number, seed):
    return light(number, image=np.random.default_rng(seed).poisson(expected_counts()).astype(np.uint16))


def test_the_image_of_the_frame_before_under_another_id_and_time_is_no_data():
    watched = replace(PATTERNS_ONLY, light_watch=LightWatch())
    results = analysed(Analyser(watched), *(noisy(number, seed) for number, seed in ((2, 1), (3, 2), (4, 2), (5, 1))))
    assert [result.refusal for result in results] == [None, None, Refusal.REPEATED, None]


def test_a_frame_that_differs_by_one_count_from_the_one_before_is_data():
    image = noisy(2, 1).image
    other = image.copy()
    other[SHAPE[0] // 2, SHAPE[1] // 2] += 1
    assert last_of(PATTERNS_ONLY, light(2, image=image), light(3, image=other)).refusal is None


def test_frames_without_counts_are_alike_by_chance():
    nothing = np.full(SHAPE, OFFSET, dtype=np.uint16)
    assert last_of(PATTERNS_ONLY, light(2, image=nothing), light(3, image=nothing)).refusal is not Refusal.REPEATED


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fit": None}, "cannot be followed without a fit"),
        ({"texture": (TextureRecipe(lithium(), "310", 0.06),)}, "has no line 310"),
        ({"fit": replace(FIT, two_theta_range_deg=(2.9, 4.9))}, "the fit has no line 110 of a phase li"),
    ],
)
def test_a_texture_that_cannot_be_followed_is_refused_before_the_run(changes, sentence):
    with pytest.raises(PhaseError, match=sentence):
        Analyser(replace(FITTED, **changes))


def test_a_reported_line_outside_the_fit_is_refused_before_the_run():
    elsewhere = replace(FIT, two_theta_range_deg=(2.4, 4.9))
    with pytest.raises(PhaseError, match="113"):
        Analyser(replace(PATTERNS_ONLY, fit=elsewhere))


def test_the_blank_has_every_phase_and_texture_of_a_result():
    analyser = Analyser(FITTED)
    (_, result) = analysed(analyser, dark(1), light(2))
    assert values_from_tracked(analyser.blank()).keys() == values_from_tracked(result.tracked).keys()


# calibration


@pytest.mark.parametrize(("distance_m", "wrong"), [(1.6, False), (1.61, True)])
def test_the_rings_are_tested_with_the_first_frame_and_a_wrong_calibration_stands(distance_m, wrong):
    analyser = Analyser(ring_check(distance_m))
    _, first, second = analysed(analyser, dark(1), light(2), light(3))
    (notice,) = [notice for notice in first.notices if notice.kind == "RING_SELF_TEST"]
    assert notice.standing is wrong
    assert ("FAILED" in notice.text) is wrong
    assert second.notices == ()


def test_a_frame_is_analysed_at_the_time_that_the_ledger_settled():
    analyser = Analyser(replace(PATTERNS_ONLY, dark_required=True))
    analyser.analyse(dark(1), timestamp_ns=stamp_ns(10))
    early = analyser.analyse(light(2), timestamp_ns=stamp_ns(9))
    assert early.refusal is Refusal.BEFORE_FIRST_DARK
    assert analyser.analyse(light(2), timestamp_ns=stamp_ns(11)).refusal is None

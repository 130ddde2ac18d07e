"""A bad frame is never fitted as data, and the good one after it is not harmed."""

from dataclasses import replace

import numpy as np
import pytest

from accuracy.courses import START_NS, beamline_recipe, live_frame, results
from ringwatch_pipelines.analysis import Analyser
from ringwatch_pipelines.frames import DetectorConditions
from ringwatch_pipelines.reduction.frame_quality import LightWatch
from ringwatch_pipelines.reduction.lag import Lag
from ringwatch_pipelines.results import FitState, Refusal
from ringwatch_simulators.detector_response import Mishap, MishapKind
from ringwatch_simulators.scenario import SyntheticFrames, scenario_named

REASONS = {
    MishapKind.DUMP: Refusal.NO_BEAM,
    MishapKind.SHUTTER: Refusal.NO_BEAM,
    MishapKind.HALF: Refusal.PARTIAL_EXPOSURE,
    MishapKind.FIRST: Refusal.PARTIAL_EXPOSURE,
    MishapKind.TRUNCATED: Refusal.TRUNCATED,
}
FRAMES, BAD = 12, 7


def simulated(frames=FRAMES, light=1.0, mishaps=(), response=None, cell=None):
    scenario = scenario_named("small", frames=frames, light=light, seed=3)
    scenario = replace(scenario, mishaps=mishaps, cell=replace(scenario.cell, **(cell or {})))
    return SyntheticFrames(replace(scenario, response=replace(scenario.response, **(response or {}))), START_NS)


def outcomes(folder, frames, **changes):
    recipe = replace(beamline_recipe(folder, frames), **changes)
    return {truth.unique_id - 1: result for truth, result in results(Analyser(recipe), frames) if not truth.dark}


def refusals(found):
    return {index: result.refusal for index, result in found.items() if result.refusal is not None}


def peak_values(result):
    lagp = result.tracked.phases[0]
    return np.array([estimate.value for _, estimate in lagp.lattice])


@pytest.mark.parametrize("light", [1.0, 0.1])
@pytest.mark.parametrize("kind", MishapKind)
def test_a_bad_frame_is_refused_and_the_next_one_is_as_good_as_without_it(kind, light, tmp_path):
    bad = outcomes(tmp_path, simulated(light=light, mishaps=(Mishap(BAD, kind),)))
    good = outcomes(tmp_path, simulated(light=light))
    assert refusals(bad) == {BAD: REASONS[kind]}
    assert str(BAD + 1) in bad[BAD].text
    assert refusals(good) == {}
    assert bad[BAD + 1].tracked.fit_state is FitState.CONVERGED
    sigma = np.array([estimate.sigma for _, estimate in good[BAD + 1].tracked.phases[0].lattice])
    assert np.all(np.abs(peak_values(bad[BAD + 1]) - peak_values(good[BAD + 1])) < 0.1 * sigma)


def test_a_truncated_first_frame_is_told_by_the_dark(tmp_path):
    frames = simulated()
    first = frames.scenario.darks
    frames = simulated(mishaps=(Mishap(first, MishapKind.TRUNCATED),))
    assert refusals(outcomes(tmp_path, frames)) == {first: Refusal.TRUNCATED}


def test_no_good_frame_is_refused_with_a_hundredth_of_the_counts_and_a_drifting_dark(tmp_path):
    frames = simulated(frames=20, light=0.01, response={"block_drift_adu": 4.0, "zingers": 5.0})
    assert refusals(outcomes(tmp_path, frames)) == {}


def test_another_sample_is_data(tmp_path):
    frames, other = simulated(), simulated(cell={"lagp_area": 12.0, "background_counts": 80.0, "copper_share": 2.0})
    analyser = Analyser(beamline_recipe(tmp_path, frames))
    for index in range(FRAMES):
        shown = frames if index < BAD else other
        result = analyser.analyse(live_frame(shown, index), timestamp_ns=frames.truth(index).timestamp_ns)
        assert result.refusal is None


def test_another_exposure_is_data_and_less_beam_for_good_is_data_from_the_third_frame_on(tmp_path):
    frames, dim = simulated(), simulated(light=0.4)
    recipe = replace(beamline_recipe(tmp_path, frames), dark_required=False)
    found = {}
    for conditions in (DetectorConditions(exposure_s=60.0), DetectorConditions(exposure_s=24.0)):
        analyser = Analyser(recipe)
        for index in range(frames.scenario.darks, FRAMES):
            frame = live_frame(frames if index < BAD else dim, index)
            if index >= BAD:
                frame = replace(frame, conditions=conditions, exposure_s=conditions.exposure_s)
            result = analyser.analyse(frame, timestamp_ns=frame.timestamp_ns)
            found.setdefault(conditions.exposure_s, []).append(result.refusal)
    good = BAD - frames.scenario.darks
    assert found[24.0] == [None] * (FRAMES - frames.scenario.darks)
    assert found[60.0] == [None] * good + [Refusal.PARTIAL_EXPOSURE] * 2 + [None] * (FRAMES - BAD - 2)


def test_frames_after_a_poor_first_one_are_data_and_first_frames_can_be_left_out(tmp_path):
    frames = simulated()
    first = frames.scenario.darks
    poor = simulated(mishaps=(Mishap(first, MishapKind.FIRST),))
    assert refusals(outcomes(tmp_path, poor)) == {}
    left_out = outcomes(tmp_path, poor, light_watch=LightWatch(first_frames=1))
    assert refusals(left_out) == {first: Refusal.FIRST_FRAME}


def test_lag_is_taken_off_all_areas(tmp_path):
    frames = simulated(response={"lag": (0.05, 0.02)})
    clean, raw, corrected = (
        outcomes(tmp_path, shown, lag=lag)[FRAMES - 1]
        for shown, lag in ((simulated(), Lag()), (frames, Lag()), (frames, Lag((0.05, 0.02))))
    )
    areas = [result.tracked.phases[0].peaks.area[0] for result in (clean, raw, corrected)]
    smooth = [result.tracked.texture[0].smooth.value for result in (clean, corrected)]
    error = clean.tracked.phases[0].peaks.area_errors[0]
    assert areas[1] > areas[0] + 10 * error
    assert areas[2] == pytest.approx(areas[0], abs=error)
    assert smooth[1] == pytest.approx(smooth[0], abs=clean.tracked.texture[0].smooth.sigma, nan_ok=True)
    np.testing.assert_array_equal(corrected.sums.raw, raw.sums.raw)

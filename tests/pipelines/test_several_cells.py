"""Cells that take turns in the beam have the tracks that each would have alone, at one detector."""

from dataclasses import replace

import numpy as np
import pytest

from fakes.quarter_rings import BINNING, TRUTH, dark, geometry, light
from fakes.remembered_analysis import FIT, analysed
from fakes.remembered_analysis import PLAIN as RECIPE
from ringwatch_daemon.core.columns import values_from_tracked
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.reduction.corrections import Corrections
from ringwatch_pipelines.reduction.lag import Lag
from ringwatch_pipelines.reduction.ring_check import RingCheckRecipe
from ringwatch_pipelines.results import FitState, Refusal
from ringwatch_pipelines.several_cells import SeveralCells

PATTERNS_ONLY = Recipe(geometry=geometry(), corrections=Corrections(solid_angle=False), binning=BINNING)
FRESH = TRUTH
AGED = replace(TRUTH, a=TRUTH.a * 0.9992, size_nm=45.0, li_110=45.0)
DARKS = [dark(1), dark(2)]
IN_TURNS = [
    light(number, cell="fresh" if number % 2 else "aged", truth=FRESH if number % 2 else AGED)
    for number in range(3, 11)
]


def assert_identical(one, other):
    np.testing.assert_array_equal(one.pattern.intensity, other.pattern.intensity)
    np.testing.assert_array_equal(one.pattern.sigma, other.pattern.sigma)
    values, others = values_from_tracked(one.tracked), values_from_tracked(other.tracked)
    assert values.keys() == others.keys()
    for path, value in values.items():
        np.testing.assert_array_equal(value, others[path], err_msg=path)


def only(name, frames, results):
    return [result for frame, result in zip(frames, results, strict=True) if frame.cell == name]


def test_in_turns_each_cell_has_bit_for_bit_the_tracks_that_it_has_alone():
    frames = [*DARKS, *IN_TURNS]
    together = analysed(SeveralCells({"fresh": RECIPE, "aged": RECIPE}), frames)
    for name in ("fresh", "aged"):
        own = [*DARKS, *(frame for frame in IN_TURNS if frame.cell == name)]
        alone = analysed(Analyser(RECIPE), own)[len(DARKS) :]
        for one, other in zip(only(name, frames, together), alone, strict=True):
            assert_identical(one, other)
    states = [result.tracked.fit_state for result in together[len(DARKS) :]]
    assert states == [*[FitState.SUMMED] * 2, *[FitState.CONVERGED] * 2] * 2


def test_their_lattices_are_told_apart():
    results = analysed(SeveralCells({"fresh": RECIPE, "aged": RECIPE}), [*DARKS, *IN_TURNS])
    for result, truth in zip(results[-2:], (FRESH, AGED), strict=True):
        a = dict(result.tracked.phases[0].lattice)["a"]
        assert abs(a.value - truth.a) < 4 * a.sigma


def test_the_residual_image_is_that_of_the_frame_before_whichever_cell_it_showed():
    lagging = replace(PATTERNS_ONLY, lag=Lag((0.03, 0.01)), light_watch=None)
    frames = [*DARKS, *IN_TURNS]
    together = analysed(SeveralCells({"fresh": lagging, "aged": lagging}), frames)
    one_detector = analysed(Analyser(lagging), frames)
    for one, other in zip(together[2:], one_detector[2:], strict=True):
        np.testing.assert_array_equal(one.pattern.intensity, other.pattern.intensity)
        np.testing.assert_array_equal(one.pattern.sigma, other.pattern.sigma)
    without = analysed(SeveralCells({"fresh": PATTERNS_ONLY, "aged": PATTERNS_ONLY}), frames)
    assert not np.array_equal(together[3].pattern.intensity, without[3].pattern.intensity, equal_nan=True)


def test_a_cell_with_half_the_light_of_the_other_is_no_partial_exposure():
    thin = replace(TRUTH, li_110=10.0, li_200=1.5, lagp_113=100.0, background=50.0)
    frames = [
        *DARKS,
        *(
            light(number, cell="thick" if number % 2 else "thin", truth=TRUTH if number % 2 else thin)
            for number in range(3, 9)
        ),
    ]
    assert Refusal.PARTIAL_EXPOSURE in [result.refusal for result in analysed(Analyser(PATTERNS_ONLY), frames)]
    in_turns = analysed(SeveralCells({"thick": PATTERNS_ONLY, "thin": PATTERNS_ONLY}), frames)
    assert {result.refusal for result in in_turns} == {None}


@pytest.mark.parametrize("told", ["", "'shelf 3'", "'fresh then aged'"])
def test_a_frame_whose_cell_nobody_knows_is_refused_and_harms_no_other(told):
    stray = light(99, cell=told)
    frames = [*DARKS, *IN_TURNS[:3], stray, *IN_TURNS[3:]]
    results = analysed(SeveralCells({"fresh": RECIPE, "aged": RECIPE}), frames)
    refused = results.pop(5)
    assert refused.refusal is Refusal.UNKNOWN_CELL
    assert "fresh, aged" in refused.text
    assert (told or "nothing") in refused.text
    undisturbed = analysed(SeveralCells({"fresh": RECIPE, "aged": RECIPE}), [*DARKS, *IN_TURNS])
    for one, other in zip(results[2:], undisturbed[2:], strict=True):
        assert_identical(one, other)


def test_a_dark_belongs_to_the_detector_whichever_cell_is_in_the_beam():
    needed = replace(PATTERNS_ONLY, dark_required=True)
    frames = [dark(1, cell="'shelf 3'"), light(2, cell="aged"), dark(3, level=130, cell="aged"), light(4, cell="fresh")]
    results = analysed(SeveralCells({"fresh": needed, "aged": needed}), frames)
    assert [result.refusal for result in results] == [None] * 4
    assert [result.dark_index for result in results] == [0, 0, 1, 1]


def test_cells_may_have_different_phases_and_the_run_has_the_columns_of_all():
    pellet = replace(RECIPE, fit=replace(FIT, phases=FIT.phases[:1]), texture=())
    several = SeveralCells({"cell": RECIPE, "pellet": pellet})
    assert [phase.name for phase in several.blank().phases] == ["lagp", "li"]
    assert [texture.label for texture in several.blank().texture] == ["110"]
    frames = [*DARKS, *(light(number, cell="cell" if number < 5 else "pellet") for number in range(3, 7))]
    results = analysed(several, frames)
    assert [phase.name for phase in results[3].tracked.phases] == ["lagp", "li"]
    assert [phase.name for phase in results[5].tracked.phases] == ["lagp"]
    alone = analysed(Analyser(pellet), [*DARKS, *frames[4:]])
    assert_identical(results[5], alone[3])


def test_with_a_residual_image_all_cells_follow_the_same_lines_around_their_rings():
    lagging = replace(RECIPE, lag=Lag((0.03,)))
    with pytest.raises(PhaseError, match="cell and pellet differ"):
        SeveralCells({"cell": lagging, "pellet": replace(lagging, texture=())})


def test_the_rings_of_each_cell_are_checked_once_since_each_stands_in_its_own_place():
    phase = FIT.phases[0]
    lines, _ = phase.lattice.two_theta_deg(hkl=phase.reflections.hkl, wavelength_m=FIT.wavelength_m)
    check = RingCheckRecipe("lagp", lines, phase.reflections.relative_intensity)
    checking = replace(PATTERNS_ONLY, geometry=geometry(1.45), ring_check=check)
    several = SeveralCells({"fresh": checking, "aged": checking})
    results = analysed(several, [*DARKS, *IN_TURNS[:4]])
    told = [[notice.kind for notice in result.notices if "RING" in notice.kind] for result in results[2:]]
    assert told == [["RING_SELF_TEST"], ["RING_SELF_TEST"], [], []]
    assert not several.needs_images


def test_what_is_remembered_is_bounded_however_many_darks_the_cells_see():
    pellet = replace(PATTERNS_ONLY, dark_required=True)
    several = SeveralCells({"cell": PATTERNS_ONLY, "pellet": pellet})
    for number in range(0, 40, 2):
        name = "cell" if number % 4 else "pellet"
        analysed(several, [dark(number + 1, level=100 + number), light(number + 2, cell=name)])
    assert len(several.memory().memory.darks.kept) == 2
    assert all(not memory.darks.kept for _, memory in several.memory().waiting)

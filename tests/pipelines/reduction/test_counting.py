"""What a frame tells by itself, counted elsewhere: the analysis says the same of it, bit for bit."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from fakes.quarter_rings import BINNING, RANGE_DEG, SHAPE, dark, geometry, light
from fakes.synthetic_patterns import lagp, lithium, recipe
from ringwatch_daemon.core.columns import values_from_tracked
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.frames import FrameKind
from ringwatch_pipelines.reduction.corrections import Corrections, VarianceKind, VarianceModel
from ringwatch_pipelines.reduction.counting import NO_IMAGE, with_counts
from ringwatch_pipelines.reduction.lag import Lag
from ringwatch_pipelines.reduction.ring_check import RingCheckRecipe
from ringwatch_pipelines.results import Refusal
from ringwatch_pipelines.tracks.line_texture import TextureRecipe

FIT = replace(recipe(lagp(), lithium()), two_theta_range_deg=RANGE_DEG)
SATURATION = 900.0


def recipe_with(**changes) -> Recipe:
    corrections = Corrections(solid_angle=False, saturation_counts=SATURATION)
    fitted = Recipe(
        geometry=geometry(),
        corrections=corrections,
        binning=BINNING,
        fit=FIT,
        texture=(TextureRecipe(FIT.phases[1], "110", 0.06),),
        lag=Lag((0.03, 0.01)),
    )
    return replace(fitted, **changes)


def spoilt(frame):
    """The frame with saturated pixels everywhere, in the windows of lines too."""
    image = frame.image.copy()
    image.ravel()[::97] = 65535
    return replace(frame, image=image)


def uneven(frame):
    """The dark with rows that do not hold one value only, which would be blank ones."""
    return replace(frame, image=(frame.image + np.arange(SHAPE[1]) % 2).astype(frame.image.dtype))


def run_of_frames():
    broken = replace(light(6), image=np.where(np.arange(SHAPE[0])[:, None] > 40, light(6).image, np.uint16(0)))
    return [uneven(dark(1, 90)), uneven(dark(2, 110)), light(3), spoilt(light(4)), uneven(dark(5)), broken, light(7)]


def counted_elsewhere(analyser, frame):
    """Counted on one thread, and brought over as bytes."""
    counter = pickle.loads(pickle.dumps(analyser.counter.on_one_thread()))
    counts = pickle.loads(pickle.dumps(counter.count(frame.image, frame.kind)))
    stays = frame.kind is FrameKind.LIGHT and not analyser.needs_images
    return with_counts(replace(frame, image=NO_IMAGE) if stays else frame, counts)


def assert_the_same(one, other):
    assert (one.refusal, one.text, one.dark_index, one.saturated_pixels) == (
        other.refusal,
        other.text,
        other.dark_index,
        other.saturated_pixels,
    )
    assert [notice.text for notice in one.notices] == [notice.text for notice in other.notices]
    if one.sums is None:
        assert other.sums is None
        return
    for name in ("raw", "dark", "norm", "variance"):
        np.testing.assert_array_equal(getattr(one.sums, name), getattr(other.sums, name))
    values, others = values_from_tracked(one.tracked), values_from_tracked(other.tracked)
    for path, value in values.items():
        np.testing.assert_array_equal(value, others[path], err_msg=path)


@pytest.mark.parametrize(("splitting", "kind"), [("none", VarianceKind.DETECTOR), ("bbox", VarianceKind.POISSON)])
def test_frames_that_were_counted_elsewhere_give_the_same_bits(splitting, kind):
    corrections = replace(recipe_with().corrections, variance=VarianceModel(gain=1.5, kind=kind))
    made = recipe_with(binning=replace(BINNING, splitting=splitting), corrections=corrections)
    whole, parted = Analyser(made), Analyser(made)
    results = [whole.analyse(frame, timestamp_ns=frame.timestamp_ns) for frame in run_of_frames()]
    for frame, expected in zip(run_of_frames(), results, strict=True):
        counted = counted_elsewhere(parted, frame)
        assert_the_same(expected, parted.analyse(counted, timestamp_ns=frame.timestamp_ns))
    assert results[3].saturated_pixels > 100
    assert results[5].refusal is Refusal.TRUNCATED
    assert sum(result.pattern is not None for result in results) == 3


def test_images_are_needed_until_the_rings_were_looked_at():
    lines, _ = FIT.phases[0].lattice.two_theta_deg(hkl=FIT.phases[0].reflections.hkl, wavelength_m=FIT.wavelength_m)
    strengths = FIT.phases[0].reflections.relative_intensity
    analyser = Analyser(recipe_with(ring_check=RingCheckRecipe("lagp", lines, strengths)))
    assert analyser.needs_images
    (notice,) = analyser.analyse(counted_elsewhere(analyser, light(1)), timestamp_ns=light(1).timestamp_ns).notices
    assert notice.kind == "RING_SELF_TEST"
    assert not analyser.needs_images


def test_an_image_that_is_needed_and_was_left_behind_is_not_taken_for_an_empty_one():
    analyser = Analyser(recipe_with())
    frame = replace(light(1), image=NO_IMAGE)
    assert analyser.analyse(frame, timestamp_ns=frame.timestamp_ns).refusal is Refusal.WRONG_SHAPE


@pytest.mark.parametrize(
    ("image", "refusal"),
    [
        (np.zeros((8, 8), np.uint16), Refusal.WRONG_SHAPE),
        (np.zeros(SHAPE, np.complex64), Refusal.WRONG_TYPE),
        (np.zeros(SHAPE, np.uint64), Refusal.WRONG_TYPE),
    ],
)
def test_a_frame_that_cannot_be_counted_is_refused_in_the_same_words(image, refusal):
    frame = replace(light(1), image=image)
    results = [
        analyser.analyse(given(analyser, frame), timestamp_ns=frame.timestamp_ns)
        for analyser, given in (
            (Analyser(recipe_with()), lambda _, each: each),
            (Analyser(recipe_with()), counted_elsewhere),
        )
    ]
    assert [result.refusal for result in results] == [refusal, refusal]
    assert results[0].text == results[1].text

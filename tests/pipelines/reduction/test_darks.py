"""The darks of a run: averaged exactly, chosen by conditions, kept within bounds."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.small_detector import small_geometry
from ringwatch_pipelines.frames import DetectorConditions, Frame, FrameKind
from ringwatch_pipelines.reduction.corrections import Corrections, Dark
from ringwatch_pipelines.reduction.darks import KEPT_ALIKE, DarkStore, DarkSumsOf
from ringwatch_pipelines.reduction.integration import Binning, build_operator
from ringwatch_pipelines.results import Refusal

SHAPE = (2, 3)
ONE_SECOND = DetectorConditions(exposure_s=1.0)
TEN_SECONDS = DetectorConditions(exposure_s=10.0)


def frame(image, conditions=ONE_SECOND, unique_id=1) -> Frame:
    image = np.asarray(image, dtype=np.uint16) * np.ones(SHAPE, dtype=np.uint16)
    return Frame(unique_id, 0, 0, 1.0, image, origin="13PE1", kind=FrameKind.DARK, conditions=conditions)


def chosen(store: DarkStore, conditions=ONE_SECOND, timestamp_ns=10**6):
    return store.choose(frame(0, conditions), timestamp_ns=timestamp_ns)


def test_without_a_dark_the_frame_came_before_the_first():
    assert chosen(DarkStore()).refusal is Refusal.BEFORE_FIRST_DARK


@given(st.lists(arrays(np.uint16, SHAPE), min_size=1, max_size=9))
def test_darks_that_follow_each_other_are_averaged_exactly(images):
    store = DarkStore()
    indices = {store.take(frame(image), timestamp_ns=number) for number, image in enumerate(images)}
    dark = chosen(store).dark
    assert indices == {0}
    assert dark.frames == len(images)
    total = np.sum([image.astype(np.int64) for image in images], axis=0)
    np.testing.assert_array_equal(dark.image, total / len(images))


def test_the_average_does_not_change_the_frames_it_is_made_of():
    first = frame(100)
    store = DarkStore()
    store.take(first, timestamp_ns=0)
    store.take(frame(200), timestamp_ns=1)
    assert chosen(store).dark.image.max() == 150
    assert first.image.max() == 100


def test_a_light_frame_ends_a_series_and_the_next_dark_begins_another():
    store = DarkStore()
    store.take(frame(100), timestamp_ns=0)
    assert chosen(store).index == 0
    assert store.take(frame(300), timestamp_ns=1) == 1
    choice = chosen(store)
    assert (choice.index, choice.dark.image.max(), choice.dark.frames) == (1, 300, 1)


def test_a_dark_under_other_conditions_is_another_dark():
    store = DarkStore()
    assert store.take(frame(100, ONE_SECOND), timestamp_ns=0) == 0
    assert store.take(frame(900, TEN_SECONDS), timestamp_ns=1) == 1
    assert chosen(store, ONE_SECOND).dark.image.max() == 100
    assert chosen(store, TEN_SECONDS).dark.image.max() == 900


def test_a_dark_of_other_conditions_is_refused_with_the_difference():
    store = DarkStore()
    store.take(frame(100, TEN_SECONDS, unique_id=7), timestamp_ns=0)
    choice = chosen(store, ONE_SECOND)
    assert (choice.dark, choice.index, choice.refusal) == (None, -1, Refusal.NO_VALID_DARK)
    assert choice.text.endswith("the newest one, from frames 7 ff. of 13PE1, differs in exposure 10 s against 1 s")


def test_a_dark_taken_after_a_frame_is_not_used_for_it():
    store = DarkStore()
    store.take(frame(100), timestamp_ns=50)
    assert chosen(store, timestamp_ns=20).refusal is Refusal.BEFORE_FIRST_DARK


def test_darks_known_beforehand_keep_their_index_and_a_newer_one_goes_before_them():
    known = (Dark(np.full(SHAPE, 5.0)), Dark(np.full(SHAPE, 6.0)))
    store = DarkStore(known)
    assert chosen(store).dark is known[1]
    assert store.take(frame(100), timestamp_ns=3) == 2
    assert chosen(store).index == 2
    assert chosen(store, timestamp_ns=2).dark is known[1]


def test_in_a_long_run_only_the_newest_of_like_darks_are_kept_under_their_own_index():
    store = DarkStore([Dark(np.full(SHAPE, 5.0), ONE_SECOND)])
    store.take(frame(900, TEN_SECONDS), timestamp_ns=1)
    for number in range(2, 50):
        assert store.take(frame(number), timestamp_ns=number) == number
        choice = chosen(store, timestamp_ns=number)
        assert (choice.index, choice.dark.image.max()) == (number, number)
    assert len(store._kept) == 1 + 1 + KEPT_ALIKE
    assert chosen(store, TEN_SECONDS).index == 1
    assert chosen(store, timestamp_ns=48).index == 48
    assert chosen(store, timestamp_ns=30).index == 0


def test_the_sums_of_a_dark_are_worked_out_once():
    geometry = small_geometry()
    operator = build_operator(geometry=geometry, corrections=Corrections(), binning=Binning(bins=20))
    sums_of = DarkSumsOf(operator)
    dark = Dark(np.ones(geometry.shape))
    assert sums_of(None) is None
    assert sums_of(dark) is sums_of(replace(dark))
    assert sums_of(Dark(np.full(geometry.shape, 2.0))).sums.sum() == 2 * sums_of(dark).sums.sum()

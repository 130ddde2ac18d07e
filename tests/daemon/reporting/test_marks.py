"""Averages of neighbouring frames, and what they say of their errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.reporting.marks import MOST_MARKS, grouping_from_rows


def rows(count):
    return np.arange(count, dtype=np.int64)


@given(st.integers(0, 3000), st.integers(1, 400))
def test_every_frame_stands_in_one_mark_and_marks_are_of_one_size(count, most):
    sizes = grouping_from_rows(rows(count), most=most).sizes
    assert sizes.sum() == count
    assert sizes.size == min(count, most)
    assert not sizes.size or sizes.max() - sizes.min() <= 1


def test_a_long_run_has_few_marks():
    assert grouping_from_rows(rows(100_000)).starts.size == MOST_MARKS


def test_a_mark_of_one_frame_is_that_frame():
    marks = grouping_from_rows(rows(3)).mean(np.array([1.0, np.nan, 3.0]), np.array([0.1, 0.1, 0.3]))
    assert marks.value.tolist() == pytest.approx([1.0, np.nan, 3.0], nan_ok=True)
    assert marks.sigma.tolist() == pytest.approx([0.1, np.nan, 0.3], nan_ok=True)
    assert marks.frames.tolist() == [1, 0, 1]


def test_a_better_frame_weighs_more_and_the_error_shrinks():
    marks = grouping_from_rows(rows(2), most=1).mean(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert marks.value[0] == pytest.approx((1.0 + 2.0 / 4) / 1.25)
    assert marks.sigma[0] == pytest.approx(1.25**-0.5)


def test_the_mean_agrees_with_the_truth_within_its_error():
    random = np.random.default_rng(1)
    sigma = random.uniform(0.5, 3.0, 24_000)
    marks = grouping_from_rows(rows(24_000)).mean(7.0 + sigma * random.standard_normal(24_000), sigma)
    pulls = (marks.value - 7.0) / marks.sigma
    assert np.std(pulls) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(pulls)) < 0.25


def test_the_ratio_of_weak_lines_is_not_biased_by_averaging():
    random = np.random.default_rng(2)
    above, below = 7.2 + random.standard_normal(24_000), 1.0 + 0.3 * random.standard_normal(24_000)
    ratio = above / below
    sigma = np.hypot(1.0, ratio * 0.3) / np.abs(below)
    marks = grouping_from_rows(rows(24_000)).ratio(ratio, sigma, below)
    assert np.mean(marks.value) == pytest.approx(7.2, rel=0.01)
    assert np.std((marks.value - 7.2) / marks.sigma) == pytest.approx(1.0, abs=0.25)
    assert abs(np.mean(ratio) / 7.2 - 1) > 0.05


def test_what_is_not_seen_has_an_upper_limit():
    marks = grouping_from_rows(rows(3)).mean(np.array([-1.0, 1.0, 9.0]), np.ones(3))
    assert marks.seen.tolist() == [False, False, True]
    assert marks.limit.tolist() == pytest.approx([1.645, 2.645, 10.645])


def test_a_turn_of_the_current_inside_a_mark_is_noticed():
    grouping = grouping_from_rows(rows(4), most=2)
    assert grouping.common(np.array([3, 3, 3, 4])).tolist() == pytest.approx([3.0, np.nan], nan_ok=True)


def test_nothing_gives_nothing():
    grouping = grouping_from_rows(rows(0))
    assert grouping.mean(np.empty(0), np.empty(0)).value.size == 0
    assert grouping.plain(np.empty(0)).size == 0

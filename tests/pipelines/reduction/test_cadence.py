"""Frames summed before the fit: exactly, and never for longer than asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.patterns import BinSums
from ringwatch_pipelines.reduction.cadence import NS_PER_S, Cadence, FrameSum

START_NS = 1_790_000_000 * NS_PER_S


def sums(raw) -> BinSums:
    raw = np.asarray(raw, dtype=np.int64)
    return BinSums(raw=raw, dark=raw * 0.5, norm=np.ones(raw.size), variance=raw * 1.5)


def completed(cadence: Cadence, seconds) -> list[int | None]:
    """Frames of the sum that each frame completes, None where it completes none."""
    adder = FrameSum(cadence)
    wholes = [adder.add(sums([1, 2]), timestamp_ns=START_NS + round(second * NS_PER_S)) for second in seconds]
    return [None if whole is None else whole.frames for whole in wholes]


def test_by_default_each_frame_stands_for_itself():
    frame = sums([3, 4])
    assert FrameSum(Cadence()).add(frame, timestamp_ns=START_NS) is frame


def test_a_sum_is_complete_with_its_last_frame_and_the_next_begins_anew():
    assert completed(Cadence(frames=3), range(7)) == [None, None, 3, None, None, 3, None]


def test_a_cadence_in_time_is_complete_with_the_frame_that_reaches_it():
    assert completed(Cadence(seconds=2.0), [0, 1, 2, 2.5, 4, 4.5]) == [None, None, 3, None, None, 3]


def test_a_gap_longer_than_the_cadence_closes_the_sum():
    assert completed(Cadence(seconds=2.0), [0, 3600]) == [None, 2]


def test_a_clock_that_steps_back_closes_the_sum():
    assert completed(Cadence(seconds=2.0), [0, -3600, -3599, -3598]) == [None, 2, None, None]


@given(arrays(np.int64, (5, 8), elements=st.integers(0, 2**45)))
def test_what_is_added_are_integers_so_the_sum_is_exact(frames):
    adder = FrameSum(Cadence(frames=len(frames)))
    whole = None
    for number, raw in enumerate(frames):
        whole = adder.add(sums(raw), timestamp_ns=START_NS + number)
    assert whole.raw.dtype == np.int64
    assert whole.raw.tolist() == [sum(column) for column in zip(*frames.tolist(), strict=True)]
    assert whole.norm.tolist() == [5.0] * 8
    assert whole.frames == 5


def test_sums_of_other_bins_cannot_be_added():
    adder = FrameSum(Cadence(frames=2))
    adder.add(sums([1, 2]), timestamp_ns=START_NS)
    with pytest.raises(PatternError, match="sums of 2 bins cannot be added to sums of 3 bins"):
        adder.add(sums([1, 2, 3]), timestamp_ns=START_NS)

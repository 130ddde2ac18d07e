"""From one clock to the other and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_pipelines.cell.clock import ClockRelation

START_NS = 1_700_000_000_000_000_000


@given(
    offset_s=st.floats(-1e5, 1e5),
    drift_ppm=st.floats(-300, 300),
    later_s=st.integers(-10_000_000, 10_000_000),
)
def test_there_and_back_is_the_same_time_to_a_microsecond(offset_s, drift_ppm, later_s):
    relation = ClockRelation(offset_s, drift_ppm, START_NS)
    cycler_ns = np.array([START_NS + later_s * 10**9])
    back_ns = relation.cycler_from_detector_ns(relation.detector_from_cycler_ns(cycler_ns))
    assert abs(int(back_ns[0] - cycler_ns[0])) <= 1000


def test_the_reference_decides_nothing():
    one = ClockRelation(-437.0, -35.0, START_NS)
    other = one.at(START_NS + 10**15)
    stamps = START_NS + np.arange(5) * 10**14
    assert other.offset_s == pytest.approx(-437.0 - 35.0)
    assert np.abs(one.detector_from_cycler_ns(stamps) - other.detector_from_cycler_ns(stamps)).max() <= 1


def test_without_a_drift_stamps_are_moved_exactly():
    stamps = np.array([1, 2**60])
    assert ClockRelation(1.5).detector_from_cycler_ns(stamps).tolist() == [1_500_000_001, 2**60 + 1_500_000_000]

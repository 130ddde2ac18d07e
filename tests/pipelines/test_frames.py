"""A frame and its conditions; sums in bins and the pattern they make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.frames import DetectorConditions, read_only
from ringwatch_pipelines.patterns import BinSums, Pattern, RadialAxis, pattern_from_sums

TAKEN = DetectorConditions(exposure_s=1.0, gain="high", trigger_mode="Internal")
CONDITIONS = st.builds(
    DetectorConditions,
    exposure_s=st.one_of(st.none(), st.sampled_from([0.5, 1.0, 1.0005, 2.0])),
    gain=st.one_of(st.none(), st.sampled_from(["low", "high"])),
    trigger_mode=st.one_of(st.none(), st.sampled_from(["Internal", "External"])),
)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (DetectorConditions(1.0009, "high", "Internal"), ""),
        (DetectorConditions(1.002, "high", "Internal"), "exposure 1 s against 1.002 s"),
        (DetectorConditions(1.0, "low", "Internal"), "gain high against low"),
        (DetectorConditions(1.0, "high", "External"), "trigger_mode Internal against External"),
        (DetectorConditions(), ""),
    ],
)
def test_conditions_name_the_first_in_which_they_differ(other, sentence):
    assert TAKEN.disagreement(other) == sentence


@given(CONDITIONS, CONDITIONS)
def test_disagreement_is_mutual_and_never_with_oneself(one, other):
    assert bool(one.disagreement(other)) == bool(other.disagreement(one))
    assert one.disagreement(one) == ""


def test_what_is_read_only_cannot_be_written_and_its_source_can():
    source = np.zeros(3)
    view = read_only(source)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0
    source[0] = 2.0
    assert view[0] == 2.0


def test_a_pattern_is_counts_less_dark_by_normalisation_and_an_empty_bin_is_nan():
    sums = BinSums(
        raw=np.array([110, 0, 90]),
        dark=np.array([10.0, 0.0, 100.0]),
        norm=np.array([2.0, 0.0, 5.0]),
        variance=np.array([16.0, 0.0, 25.0]),
    )
    pattern = pattern_from_sums(sums=sums, axis=RadialAxis(np.array([1.0, 2.0, 3.0, 4.0])))
    np.testing.assert_array_equal(pattern.two_theta_deg, [1.5, 2.5, 3.5])
    np.testing.assert_array_equal(pattern.intensity, [50.0, np.nan, -2.0])
    np.testing.assert_array_equal(pattern.sigma, [2.0, np.nan, 1.0])
    assert not pattern.intensity.flags.writeable


def test_arrays_of_several_lengths_make_no_pattern():
    with pytest.raises(PatternError, match="four arrays of one length"):
        Pattern(np.zeros(3), np.zeros(3), np.zeros(2), np.zeros(3))

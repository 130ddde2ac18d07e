"""What the benchmark of `reprocess` makes of its timings."""

import pytest

from benchmarks.reprocess_speed import ANALYSIS, METHODS, READING, WHOLE, WITH_FIT, WRITING, _ratios


def ratios(*, reading: float, analysis: float, writing: float, whole: float, cores: int = 2) -> dict[str, float]:
    scripts = dict(zip(METHODS, (80.0, 60.0, 90.0), strict=True))
    found = {READING: reading, ANALYSIS: analysis, WRITING: writing, WHOLE: whole, WITH_FIT: 150.0, **scripts}
    return {ratio.text: ratio.value for ratio in _ratios(found, cores=cores)}


@pytest.mark.parametrize(
    ("stages", "perfect"),
    [
        ({"reading": 4.0, "analysis": 15.0, "writing": 1.0}, 15.0),  # the analysis keeps its order
        ({"reading": 30.0, "analysis": 5.0, "writing": 5.0}, 20.0),  # two cores share all of it
        ({"reading": 2.0, "analysis": 3.0, "writing": 9.0}, 9.0),  # the disk is the limit
    ],
)
def test_a_perfect_overlap_is_as_long_as_its_longest_stage_or_its_share_of_the_cores(stages, perfect):
    found = ratios(**stages, whole=25.0)
    assert found["speed of a perfect overlap that is reached"] == pytest.approx(perfect / 25.0)
    assert found["times faster than its stages one after the other"] == pytest.approx(sum(stages.values()) / 25.0)


def test_the_fastest_script_is_the_one_that_counts():
    found = ratios(reading=1.0, analysis=1.0, writing=1.0, whole=10.0)
    assert found["times faster than the fastest pyFAI script, which fits nothing"] == pytest.approx(6.0)
    assert found[f"times faster than the {WITH_FIT}"] == pytest.approx(15.0)

"""The table of the benchmarks."""

import itertools

from benchmarks.measuring import BURST, Ratio, Report, Timing, medians, table


def test_every_task_is_timed_and_its_first_call_of_a_burst_is_not():
    calls = itertools.count()
    timings = medians({"a": lambda: next(calls), "b": lambda: None}, rounds=2)
    assert next(calls) == 2 * (BURST + 1)
    assert set(timings) == {"a", "b"}
    assert all(timing.median_s >= 0 for timing in timings.values())


def test_the_table_says_what_is_missed():
    ratios = (
        Ratio("fast enough", 12.0, at_least=10.0),
        Ratio("too slow", 9.0, at_least=10.0),
        Ratio("too long", 2.0, at_most=1.5),
        Ratio("told only", 3.0),
    )
    text = table(Report("Title", (Timing("one", 0.001),), ratios))
    assert [ratio.met for ratio in ratios] == [True, False, False, True]
    assert "1.00 ms" in text
    assert text.count("MISSED") == 2
    assert text.count("met") == 1

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.dashboard.series import BLOCKS, CAPACITY, Series, sparkline


def series(values: list[float]) -> Series:
    grown = Series()
    for value in values:
        grown = grown.with_value(value)
    return grown


def test_a_long_series_stays_bounded_and_keeps_its_course() -> None:
    curve = series([float(index) for index in range(10_000)]).curve()
    assert CAPACITY // 2 <= len(curve) <= CAPACITY + 1
    assert list(curve) == sorted(curve)
    assert curve[0] < 100
    assert curve[-1] > 9900


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=700))
def test_no_value_is_lost_from_the_means(values: list[float]) -> None:
    grown = series(values)
    total = math.fsum(mean * grown.stretch for mean in grown.means) + grown.waiting_sum
    assert len(grown.means) * grown.stretch + grown.waiting == len(values)
    assert total == pytest.approx(math.fsum(values), abs=1e-3)


def test_a_stretch_without_a_value_is_a_hole_and_not_a_zero() -> None:
    assert sparkline(series([1.0, math.nan, 2.0]).curve(), 10) == f"{BLOCKS[0]} {BLOCKS[-1]}"


def test_a_level_curve_is_drawn_in_the_middle() -> None:
    assert set(sparkline((3.5,) * 5, 10)) <= set(BLOCKS[3:5])


def test_nothing_is_drawn_of_nothing() -> None:
    assert sparkline((), 10) == ""
    assert sparkline((1.0,), 0) == ""


@given(st.lists(st.floats(), min_size=1, max_size=300), st.integers(1, 150))
def test_a_sparkline_fills_its_width_and_no_more(values: list[float], width: int) -> None:
    line = sparkline(tuple(values), width)
    assert len(line) == min(len(values), width)
    assert set(line) <= set(BLOCKS + " ")

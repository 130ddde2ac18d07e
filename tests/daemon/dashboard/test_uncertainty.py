import math
import re
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ringwatch_daemon.dashboard.uncertainty import value_with_uncertainty


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (8.257021, 3.1e-5, "8.25702(3)"),
        (20.63214, 8e-4, "20.6321(8)"),
        (5.432, 0.123, "5.43(12)"),
        (5.432, 0.196, "5.4(2)"),
        (5.432, 0.194, "5.43(19)"),
        (-0.001, 0.12, "0.00(12)"),
        (1234.0, 56.0, "1230(60)"),
        (103.97, 12.0, "104(12)"),
        (1.2e-7, 4e-9, "1.20(4)e-7"),
        (0.0, 3e9, "0(3)e9"),
        (3.5, 0.0, "3.5"),
        (3.5, math.nan, "3.5"),
        (math.nan, 0.1, "-"),
        (math.inf, 0.1, "-"),
    ],
)
def test_a_value_is_written_as_crystallographers_write_it(value: float, sigma: float, text: str) -> None:
    assert value_with_uncertainty(value, sigma) == text


def parsed(text: str) -> tuple[Decimal, Decimal, Decimal]:
    """Value, sigma and the worth of one unit of the last digit."""
    found = re.fullmatch(r"(-?\d+)(?:\.(\d+))?\((\d+)\)(?:e(-?\d+))?", text)
    assert found is not None, text
    decimals, exponent = len(found[2] or ""), int(found[4] or 0)
    unit = Decimal(1).scaleb(exponent - decimals)
    return Decimal(f"{found[1]}.{found[2] or '0'}").scaleb(exponent), int(found[3]) * unit, unit


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(value=finite, sigma=st.floats(min_value=1e-300, allow_infinity=False))
def test_what_is_written_lies_within_the_rounding_of_value_and_sigma(value: float, sigma: float) -> None:
    assume(sigma > abs(value) * 1e-15)
    written, error, unit = parsed(value_with_uncertainty(value, sigma))
    # Sigma rounds to 2 to 19 units of the last place kept, so half a unit is at most a quarter of it.
    assert abs(error - Decimal(sigma)) <= Decimal(sigma) * Decimal("0.257")
    assert abs(written - Decimal(value)) <= max(unit, Decimal(sigma) * Decimal("0.257"))


@given(value=finite, sigma=finite)
def test_any_two_numbers_have_a_short_text_without_spaces(value: float, sigma: float) -> None:
    text = value_with_uncertainty(value, sigma)
    assert 0 < len(text) <= 40
    assert " " not in text

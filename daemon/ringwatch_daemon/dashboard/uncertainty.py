"""Numbers with their uncertainty, as crystallographers write them."""

import math
from decimal import Decimal

NO_VALUE = "-"

_RELATIVE_RESOLUTION = 1e-15
_PLAIN_EXPONENTS = range(-4, 7)


def value_with_uncertainty(value: float, sigma: float) -> str:
    """Write a value with one sigma of its last digits in parentheses, as in ``8.25702(3)``.

    Sigma keeps one or two digits, 2 to 19 in units of the last place (the rule of 19 of the
    International Union of Crystallography); very large and small numbers get an exponent, as in
    ``1.20(4)e-7``.

    Parameters
    ----------
    value
        Written as ``-`` where it is not finite.
    sigma
        One standard deviation; the value stands alone where it is not finite, not positive, or
        below the resolution of the number.
    """
    if not math.isfinite(value):
        return NO_VALUE
    if not math.isfinite(sigma) or sigma <= abs(value) * _RELATIVE_RESOLUTION:
        return f"{value:.6g}"
    leading = Decimal(max(abs(value), sigma)).adjusted()
    exponent = 0 if leading in _PLAIN_EXPONENTS else leading
    text = _in_parentheses(Decimal(value).scaleb(-exponent), Decimal(sigma).scaleb(-exponent))
    return f"{text}e{exponent}" if exponent else text


def _in_parentheses(value: Decimal, sigma: Decimal) -> str:
    place = (sigma / Decimal("1.95")).adjusted()
    rounded = value.quantize(Decimal(1).scaleb(place)) + 0  # adding zero takes the sign off a negative zero
    digits = sigma.scaleb(-place).quantize(Decimal(1))
    return f"{rounded:f}({digits.scaleb(max(place, 0)):f})"

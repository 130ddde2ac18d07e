"""The Voigt profile with its derivatives, compiled, and sums of many of them.

The profile is the real part of the Faddeeva function w. Near the centre w is Weideman's rational
approximation (1994, SIAM J. Numer. Anal. 31, 1497), further out its asymptotic series; together they
hold 1e-6 of the profile's value down to 1e-6 of its maximum, and much further where there is a Lorentzian part.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.compiled import compiled
from ringwatch_pipelines.patterns import FloatArray

_FWHM_PER_SIGMA = math.sqrt(8.0 * math.log(2.0))
_GAUSSIAN_END = 6.0
"""Half widths from which on a Gaussian is nothing."""
_TERMS = 32
_NEAR = 8.0
"""|z| from which the asymptotic series is used."""
_AWAY = 40.0
"""Half widths from which on a line is its tail: value and slope by the Lorentzian width, no others."""

Shape = tuple[float, float, float]
"""Centre, standard deviation of the Gaussian part, half width of the Lorentzian part."""

_SQRT_2 = math.sqrt(2.0)
_SQRT_PI = math.sqrt(math.pi)
_SQRT_2PI = math.sqrt(2.0 * math.pi)


def _weideman_coefficients(terms: int) -> tuple[float, FloatArray]:
    """The scale L and the polynomial's coefficients, lowest power first."""
    points = 2 * terms
    scale = math.sqrt(terms / _SQRT_2)
    nodes = scale * np.tan(np.arange(-points + 1, points) * np.pi / (2 * points))
    sampled = np.concatenate([[0.0], np.exp(-(nodes**2)) * (scale**2 + nodes**2)])
    spectrum = np.real(np.fft.fft(np.fft.fftshift(sampled))) / (2 * points)
    return scale, np.ascontiguousarray(spectrum[1 : terms + 1])


_SCALE, _COEFFICIENTS = _weideman_coefficients(_TERMS)


@compiled
def _near(x: FloatArray, span: tuple[int, int], shape: Shape, out: FloatArray) -> None:
    """Fill `out` (4, bins) with value and slopes by centre, sigma and half width."""
    centre, sigma, hwhm = shape
    unit = 1.0 / (sigma * _SQRT_2)
    height = 1.0 / (sigma * _SQRT_2PI)
    y = hwhm * unit
    first, last = span
    angle, p, q = x[first:last], out[0, first:last], out[1, first:last]
    by_sigma, by_hwhm = out[2, first:last], out[3, first:last]
    # Powers outside and bins inside, in real arithmetic: the compiler uses vector instructions.
    c, d = by_sigma, by_hwhm
    for i in range(angle.size):
        u = (angle[i] - centre) * unit
        below = 1.0 / ((_SCALE + y) ** 2 + u * u)
        c[i], d[i] = (_SCALE**2 - y * y - u * u) * below, 2.0 * _SCALE * u * below
        p[i], q[i] = _COEFFICIENTS[_TERMS - 1], 0.0
    for k in range(_TERMS - 2, -1, -1):
        term = _COEFFICIENTS[k]
        for i in range(angle.size):
            p[i], q[i] = p[i] * c[i] - q[i] * d[i] + term, p[i] * d[i] + q[i] * c[i]
    for i in range(angle.size):
        u = (angle[i] - centre) * unit
        below = 1.0 / ((_SCALE + y) ** 2 + u * u)
        a, b = (_SCALE + y) * below, u * below  # 1 / (L - iz)
        # w = 2 p / (L - iz)^2 + 1 / (sqrt(pi) (L - iz)); w' = 2 i / sqrt(pi) - 2 z w
        square_re, square_im = 2.0 * (a * a - b * b), 4.0 * a * b
        w_re = p[i] * square_re - q[i] * square_im + a / _SQRT_PI
        w_im = p[i] * square_im + q[i] * square_re + b / _SQRT_PI
        slope_re, slope_im = -2.0 * (u * w_re - y * w_im), 2.0 / _SQRT_PI - 2.0 * (u * w_im + y * w_re)
        p[i], q[i] = height * w_re, -height * unit * slope_re
        by_sigma[i] = -height / sigma * (w_re + u * slope_re - y * slope_im)
        by_hwhm[i] = -height * unit * slope_im


@compiled
def _far(x: FloatArray, span: tuple[int, int], shape: Shape, out: FloatArray) -> None:
    """As `_near`, by ``w = i / (sqrt(pi) z) (1 + s / 2 + 3 s^2 / 4 + ...)``, ``s = 1 / z^2``, in real arithmetic."""
    centre, sigma, hwhm = shape
    unit = 1.0 / (sigma * _SQRT_2)
    height = 1.0 / (sigma * _SQRT_2PI)
    y = hwhm * unit
    # One-dimensional slices counted from 0 let the compiler use vector instructions: five times as fast.
    first, last = span
    angle, value, by_centre = x[first:last], out[0, first:last], out[1, first:last]
    by_sigma, by_hwhm = out[2, first:last], out[3, first:last]
    for i in range(angle.size):
        u = (angle[i] - centre) * unit
        inverse = 1.0 / (u * u + y * y)
        a, b = u * inverse, -y * inverse
        c, d = a * a - b * b, 2.0 * a * b
        # tail = s / 2 + 3 s^2 / 4 + 15 s^3 / 8 + ... + 10395 s^6 / 64, by Horner
        p, q = 162.421875 * c + 29.53125, 162.421875 * d
        p, q = p * c - q * d + 6.5625, p * d + q * c
        p, q = p * c - q * d + 1.875, p * d + q * c
        p, q = p * c - q * d + 0.75, p * d + q * c
        p, q = p * c - q * d + 0.5, p * d + q * c
        tail_re, tail_im = p * c - q * d, p * d + q * c
        # w = i (a + ib) (1 + tail) / sqrt(pi); w' = -2 i tail / sqrt(pi)
        w_re = -(a * tail_im + b * (1.0 + tail_re)) / _SQRT_PI
        slope_re, slope_im = 2.0 * tail_im / _SQRT_PI, -2.0 * tail_re / _SQRT_PI
        value[i] = height * w_re
        by_centre[i] = -height * unit * slope_re
        by_sigma[i] = -height / sigma * (w_re + u * slope_re - y * slope_im)
        by_hwhm[i] = -height * unit * slope_im


@compiled
def _profile(x: FloatArray, span: tuple[int, int], shape: Shape, out: FloatArray) -> None:
    centre, sigma, hwhm = shape
    reach_square = 2.0 * (_NEAR * sigma) ** 2 - hwhm * hwhm
    reach = math.sqrt(reach_square) if reach_square > 0.0 else 0.0
    first = max(span[0], int(np.searchsorted(x, centre - reach)))
    last = min(span[1], int(np.searchsorted(x, centre + reach)))
    _far(x, (span[0], first), shape, out)
    _near(x, (first, last), shape, out)
    _far(x, (last, span[1]), shape, out)


def voigt(*, x: FloatArray, centre: float, sigma: float, hwhm: float) -> FloatArray:
    """Voigt profile of unit area and its slopes.

    Parameters
    ----------
    x
        (bins,) ascending, in any one unit.
    sigma
        Standard deviation of the Gaussian part, above 0.
    hwhm
        Half width at half maximum of the Lorentzian part, 0 or more.

    Returns
    -------
    ndarray
        (4, bins): value, and its derivatives by centre, sigma and hwhm.
    """
    out = np.empty((4, x.size))
    _profile(x, (0, x.size), (centre, sigma, hwhm), out)
    return out


@compiled
def _add_pseudo_voigt(x: FloatArray, shape: Shape, out: FloatArray) -> None:
    """Add to `out` (bins,) the pseudo-Voigt profile of the widths of a Voigt profile.

    Thompson, Cox & Hastings 1987, J. Appl. Cryst. 20, 79.
    """
    centre, sigma, hwhm = shape
    gauss, lorentz = _FWHM_PER_SIGMA * sigma, 2.0 * hwhm
    terms = gauss**5 + 2.69269 * gauss**4 * lorentz + 2.42843 * gauss**3 * lorentz**2
    terms += 4.47163 * gauss**2 * lorentz**3 + 0.07842 * gauss * lorentz**4 + lorentz**5
    half = 0.5 * terms**0.2
    ratio = 0.5 * lorentz / half
    part = 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3
    tail, square = part * half / math.pi, half * half
    unit = -math.log(2.0) / square
    height = (1.0 - part) * math.sqrt(math.log(2.0) / math.pi) / half
    first = int(np.searchsorted(x, centre - _GAUSSIAN_END * half))
    last = int(np.searchsorted(x, centre + _GAUSSIAN_END * half))
    for i in range(x.size):
        out[i] += tail / ((x[i] - centre) ** 2 + square)
    for i in range(first, last):
        out[i] += height * math.exp(unit * (x[i] - centre) ** 2)


def pseudo_voigt(*, x: FloatArray, centre: float, sigma: float, hwhm: float) -> FloatArray:
    """(bins,) pseudo-Voigt profile of unit area, as `voigt` takes its widths."""
    out = np.zeros(x.size)
    _add_pseudo_voigt(x, (centre, sigma, hwhm), out)
    return out


@compiled
def _tail(x: FloatArray, span: tuple[int, int], shape: Shape, out: FloatArray) -> None:
    """Value and slope by half width, rows 0 and 3: a Lorentzian, which a Gaussian widens by its second derivative."""
    centre, sigma, hwhm = shape
    widening, square = 3.0 * sigma * sigma, hwhm * hwhm
    first, last = span
    angle, value, by_hwhm = x[first:last], out[0, first:last], out[3, first:last]
    for i in range(angle.size):
        u = angle[i] - centre
        inverse = 1.0 / (u * u + square)
        lorentz = hwhm * inverse / math.pi
        value[i] = lorentz * (1.0 + widening * inverse)
        by_hwhm[i] = (u * u - square) * inverse * inverse / math.pi


@compiled
def add_lines(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    design: FloatArray,
    angle: FloatArray,
    lines: FloatArray,
    rows: NDArray[np.int64],
    slopes: FloatArray,
    mixing: float,
    mixing_row: int,
) -> None:
    """Add every line, and its slopes by the parameters that move or widen it, to a design matrix.

    A line is ``(1 - mixing) Voigt + mixing pseudo-Voigt``. The slopes by place and width are those of the Voigt, which
    the pseudo-Voigt's equal to a per cent.

    Parameters
    ----------
    design
        (parameters, bins) is added to.
    angle
        (bins,) scattering angle, ascending.
    lines
        (lines, 5) centre, sigma, hwhm, the line's share in its linear parameter, and the value of that parameter.
    rows
        (lines, 3 + free) rows of the linear parameter, of those that set sigma and hwhm, and of the lattice parameters;
        -1 for none.
    slopes
        (lines, 2 + free) slopes of sigma, of hwhm and of the centre by those parameters.
    mixing, mixing_row
        Part of the pseudo-Voigt, and its row; -1 for Voigt profiles alone.
    """
    bins = angle.size
    profile, other = np.empty((4, bins)), np.empty(bins)
    for j in range(len(lines)):
        shape = (lines[j, 0], lines[j, 1], lines[j, 2])
        reach = _AWAY * (0.5 * _FWHM_PER_SIGMA * shape[1] + shape[2])
        first = int(np.searchsorted(angle, shape[0] - reach))
        last = int(np.searchsorted(angle, shape[0] + reach))
        _tail(angle, (0, first), shape, profile)
        _profile(angle, (first, last), shape, profile)
        _tail(angle, (last, bins), shape, profile)
        area = lines[j, 3] * lines[j, 4]
        if mixing_row >= 0:
            other[:] = -profile[0]
            _add_pseudo_voigt(angle, shape, other)
            _add_row(design, rows[j, 0], (0, bins), other, lines[j, 3] * mixing)
            _add_row(design, mixing_row, (0, bins), other, area)
        _add_row(design, rows[j, 0], (0, bins), profile[0], lines[j, 3])
        _add_row(design, rows[j, 1], (first, last), profile[2], area * slopes[j, 0])
        _add_row(design, rows[j, 2], (0, bins), profile[3], area * slopes[j, 1])
        for k in range(3, rows.shape[1]):
            _add_row(design, rows[j, k], (first, last), profile[1], area * slopes[j, k - 1])


@compiled
def _add_row(design: FloatArray, row: int, span: tuple[int, int], values: FloatArray, factor: float) -> None:
    if row < 0 or factor == 0.0:
        return
    target, added = design[row, span[0] : span[1]], values[span[0] : span[1]]
    for i in range(added.size):
        target[i] += factor * added[i]

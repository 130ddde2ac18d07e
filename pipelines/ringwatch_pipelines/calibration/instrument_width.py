"""The instrument's width against angle, from a calibrant.

Caglioti's polynomial for the Gaussian part and ``X / cos + Y tan`` for the Lorentzian part are fitted to the whole
pattern; a term that the data do not support stays 0. The width of a bin is not part of the result: a bin spreads
a line by the variance ``width^2 / 12``, which the model adds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.calibration.line_profiles import LinesFit, Stretch, WidthLaw, fit_lines
from ringwatch_pipelines.fit.peak_widths import InstrumentProfile, fwhm_from_size, fwhm_from_strain, fwhm_from_voigt
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray, Pattern
from ringwatch_pipelines.quantities import FWHM_PER_SIGMA

TERMS = ("u_deg2", "v_deg2", "w_deg2", "x_deg", "y_deg")
_GAUSSIAN = 3
REACH_FWHM = 12.0
"""How far the bins of a line reach on each side: a Lorentzian part is told by its tails."""
_BINS_A_BACKGROUND_TERM_FWHM = 12.0
_MOST_BACKGROUND_TERMS = 12
_LEAST_SIGNIFICANCE = 10.0
"""Area over its error from which a line counts."""
_WORTH_OF_A_TERM = 12.0
"""Chi-square, in units of the reduced one, that a term must gain: three and a half sigmas."""
_MERGED_FWHM = 0.15


@dataclass(frozen=True, slots=True)
class KnownBroadening:
    """What the calibrant itself adds to the width, from its certificate.

    Parameters
    ----------
    size_nm
        Crystallite size; infinite for a line position standard.
    strain
        Microstrain.
    """

    size_nm: float = float("inf")
    strain: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class InstrumentWidth:
    """The instrument's width, or why it cannot be told.

    Parameters
    ----------
    profile
        None where it cannot be told.
    terms
        Those of `TERMS` that were fitted; the others are 0.
    covariance
        (terms, terms) in the order of `terms`, widened by the reduced chi-square where that is above 1.
    chi_square
        Reduced.
    two_theta_deg, fwhm_deg, fwhm_sigma_deg
        (lines,) each line's own full width at half maximum with its error; bin width, size and strain taken out.
    bin_width_deg
        Of the pattern it was measured in.
    text
        One sentence.
    """

    profile: InstrumentProfile | None
    terms: tuple[str, ...]
    covariance: FloatArray
    chi_square: float
    two_theta_deg: FloatArray
    fwhm_deg: FloatArray
    fwhm_sigma_deg: FloatArray
    bin_width_deg: float
    text: str

    def sigma(self, term: str) -> float:
        """One standard deviation of a term; 0 for one that was not fitted."""
        if term not in self.terms:
            return 0.0
        index = self.terms.index(term)
        return float(np.sqrt(self.covariance[index, index]))


def fit_instrument_width(
    *,
    pattern: Pattern,
    lines_two_theta_deg: FloatArray,
    fwhm_guess_deg: float,
    wavelength_m: float,
    broadening: KnownBroadening | None = None,
) -> InstrumentWidth:
    """Fit the instrument's width to a pattern of a calibrant.

    Parameters
    ----------
    pattern
        In bins of equal width, without pixel splitting.
    lines_two_theta_deg
        (lines,) where the refined geometry puts them, ascending.
    fwhm_guess_deg
        To start from.
    broadening
        Of the calibrant; none where it is not given.
    """
    bin_deg = float(np.median(np.diff(pattern.two_theta_deg)))
    sample = broadening or KnownBroadening()
    lines = _merged(lines_two_theta_deg, _MERGED_FWHM * fwhm_guess_deg)
    for _ in range(2):
        stretches = _stretches(pattern, lines, fwhm_guess_deg)
        seen = _with_bins(stretches, lines.size)
        if seen.sum() < 2:
            return _untold(bin_deg, f"{int(seen.sum())} lines lie on filled bins, but two are needed")
        lines = lines[seen]
        problem = _Problem(_stretches(pattern, lines, fwhm_guess_deg), lines, bin_deg, wavelength_m, sample)
        plain = problem.fit(("w_deg2",), {"w_deg2": fwhm_guess_deg**2})
        strong = plain.area > _LEAST_SIGNIFICANCE * np.sqrt(plain.spread) * plain.area_sigma
        if strong.sum() < 2:
            return _untold(bin_deg, f"{int(strong.sum())} lines stand out, but two are needed")
        if strong.all():
            break
        lines = lines[strong]
    terms, best = _supported_terms(problem, plain)
    return _result(problem, terms, best, bin_deg)


def _untold(bin_deg: float, reason: str) -> InstrumentWidth:
    nothing = read_only(np.zeros(0))
    text = f"the instrument's width cannot be told: {reason}"
    return InstrumentWidth(None, (), read_only(np.zeros((0, 0))), np.nan, nothing, nothing, nothing, bin_deg, text)


def _merged(lines_two_theta_deg: FloatArray, nearest_deg: float) -> FloatArray:
    """Lines nearer to each other than a part of their width are taken as one."""
    group = np.cumsum(np.diff(lines_two_theta_deg, prepend=-np.inf) > nearest_deg) - 1
    return np.asarray(np.bincount(group, weights=lines_two_theta_deg) / np.bincount(group))


def _with_bins(stretches: tuple[Stretch, ...], lines: int) -> NDArray[np.bool_]:
    seen = np.zeros(lines, dtype=np.bool_)
    for stretch in stretches:
        seen[stretch.lines] = True
    return seen


def _stretches(pattern: Pattern, lines: FloatArray, fwhm_deg: float) -> tuple[Stretch, ...]:
    """Bins within reach of a line, cut where no line reaches; a line must have its core filled."""
    x = pattern.two_theta_deg
    counted = np.isfinite(pattern.intensity) & (pattern.sigma > 0)
    distance = np.abs(x[:, np.newaxis] - lines).min(axis=1)
    inside = np.flatnonzero(counted & (distance <= REACH_FWHM * fwhm_deg))
    found = []
    for run in np.split(inside, np.flatnonzero(np.diff(x[inside]) > fwhm_deg) + 1):
        if run.size < 12:
            continue
        low, high = x[run[0]], x[run[-1]]
        mine = np.flatnonzero((lines > low + 1.5 * fwhm_deg) & (lines < high - 1.5 * fwhm_deg))
        terms = min(2 + int((high - low) / (2 * _BINS_A_BACKGROUND_TERM_FWHM * fwhm_deg)), _MOST_BACKGROUND_TERMS)
        if mine.size and run.size > terms + 2 * mine.size:
            found.append(Stretch(x[run], pattern.intensity[run], 1.0 / pattern.sigma[run], mine, terms))
    return tuple(found)


class _Problem:
    """Fits any choice of terms to the same lines."""

    def __init__(
        self,
        stretches: tuple[Stretch, ...],
        lines: FloatArray,
        bin_deg: float,
        wavelength_m: float,
        sample: KnownBroadening,
    ) -> None:
        self.stretches, self.lines = stretches, lines
        theta = np.deg2rad(lines) / 2.0
        self._basis = np.column_stack(
            [np.tan(theta) ** 2, np.tan(theta), np.ones_like(theta), 1.0 / np.cos(theta), np.tan(theta)]
        )
        strain = fwhm_from_strain(strain=sample.strain, two_theta_deg=lines)
        self.square_fixed = strain**2 + FWHM_PER_SIGMA**2 * bin_deg**2 / 12.0
        self.lorentz_fixed = fwhm_from_size(size_nm=sample.size_nm, two_theta_deg=lines, wavelength_m=wavelength_m)

    def columns(self, terms: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Columns of the basis: Gaussian and Lorentzian ones."""
        chosen = sorted(TERMS.index(term) for term in terms)
        return [index for index in chosen if index < _GAUSSIAN], [index for index in chosen if index >= _GAUSSIAN]

    def fit(self, terms: tuple[str, ...], start: dict[str, float]) -> LinesFit:
        squares, lorentz = self.columns(terms)
        law = WidthLaw(self._basis[:, squares], self.square_fixed, self._basis[:, lorentz], self.lorentz_fixed)
        first = np.array([start.get(TERMS[index], 0.0) for index in (*squares, *lorentz)])
        return self._fit(law, first)

    def fit_each(self, profile: InstrumentProfile) -> LinesFit:
        """A Gaussian width for every line, with the Lorentzian part of the profile."""
        size = self.lines.size
        law = WidthLaw(
            np.eye(size),
            self.square_fixed,
            np.zeros((size, 0)),
            self.lorentz_fixed + 2.0 * profile.hwhm_deg(self.lines),
        )
        return self._fit(law, (FWHM_PER_SIGMA * profile.sigma_deg(self.lines)) ** 2)

    def _fit(self, law: WidthLaw, start: FloatArray) -> LinesFit:
        width = float(np.median(np.sqrt(law.square_fixed + law.square_basis @ start[: law.square_basis.shape[1]])))
        return fit_lines(
            stretches=self.stretches, two_theta_deg=self.lines, law=law, start=start, largest_shift_deg=2.0 * width
        )


def _supported_terms(problem: _Problem, plain: LinesFit) -> tuple[tuple[str, ...], LinesFit]:
    """W alone, then the term that gains most as long as one gains enough, then without those that lost their worth."""
    terms: tuple[str, ...] = ("w_deg2",)
    best = plain
    while True:
        more = [tuple(name for name in TERMS if name in (*terms, term)) for term in TERMS if term not in terms]
        better = _best(problem, more, _values(problem, terms, best))
        if better is None or best.chi_square - better[1].chi_square < _WORTH_OF_A_TERM * better[1].spread:
            break
        terms, best = better
    while True:
        fewer = [tuple(name for name in terms if name != term) for term in terms if term != "w_deg2"]
        simpler = _best(problem, fewer, _values(problem, terms, best))
        if simpler is None or simpler[1].chi_square - best.chi_square > _WORTH_OF_A_TERM * best.spread:
            return terms, best
        terms, best = simpler


def _best(
    problem: _Problem, choices: list[tuple[str, ...]], start: dict[str, float]
) -> tuple[tuple[str, ...], LinesFit] | None:
    """The choice of terms that fits best among those that make a possible profile."""
    # A Lorentzian part that starts at 0 has no slope that would let it grow.
    hint = {"x_deg": 0.1 * float(np.sqrt(start["w_deg2"]))}
    trials = [(terms, problem.fit(terms, hint | start)) for terms in choices]
    usable = [trial for trial in trials if trial[1].converged and _is_profile(problem, *trial)]
    return min(usable, key=lambda trial: trial[1].chi_square, default=None)


def _values(problem: _Problem, terms: tuple[str, ...], fit: LinesFit) -> dict[str, float]:
    squares, lorentz = problem.columns(terms)
    return {TERMS[index]: float(value) for index, value in zip((*squares, *lorentz), fit.coefficients, strict=True)}


def _is_profile(problem: _Problem, terms: tuple[str, ...], fit: LinesFit) -> bool:
    values = _values(problem, terms, fit)
    theta = np.deg2rad(problem.lines) / 2.0
    square = values.get("u_deg2", 0.0) * np.tan(theta) ** 2 + values.get("v_deg2", 0.0) * np.tan(theta)
    return values["w_deg2"] > 0.0 and bool(np.all(square + values["w_deg2"] > 0.0))


def _result(problem: _Problem, terms: tuple[str, ...], best: LinesFit, bin_deg: float) -> InstrumentWidth:
    values = _values(problem, terms, best)
    if not _is_profile(problem, terms, best):
        return _untold(bin_deg, "the lines are no wider than a bin")
    profile = InstrumentProfile(**values)
    each = problem.fit_each(profile)
    hwhm = profile.hwhm_deg(problem.lines)
    square = np.maximum(each.coefficients, 1e-300)
    fwhm = fwhm_from_voigt(sigma=np.sqrt(square) / FWHM_PER_SIGMA, hwhm=hwhm)
    # Olivero's formula has d fwhm / d square = 1 / (2 (fwhm - 0.5346 lorentz)).
    slope = 0.5 / np.maximum(fwhm - 0.5346 * 2.0 * hwhm, 1e-12)
    error = np.sqrt(np.diagonal(each.covariance) * each.spread) * slope
    return InstrumentWidth(
        profile=profile,
        terms=terms,
        covariance=read_only(best.covariance * best.spread),
        chi_square=best.chi_square / max(best.degrees_of_freedom, 1),
        two_theta_deg=read_only(problem.lines),
        fwhm_deg=read_only(np.where(each.coefficients > 0.0, fwhm, np.nan)),
        fwhm_sigma_deg=read_only(error),
        bin_width_deg=bin_deg,
        text=f"{problem.lines.size} lines support {', '.join(term.split('_')[0].upper() for term in terms)}",
    )


Curve = Callable[[FloatArray], FloatArray]


def fwhm_curve(profile: InstrumentProfile) -> Curve:
    """Full width at half maximum of an instrument against two_theta in degree."""

    def fwhm_deg(two_theta_deg: FloatArray) -> FloatArray:
        return fwhm_from_voigt(sigma=profile.sigma_deg(two_theta_deg), hwhm=profile.hwhm_deg(two_theta_deg))

    return fwhm_deg

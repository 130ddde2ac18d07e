"""The clocks from what the cell's charge does to the fitted tracks.

Each track is a slow curve and a part that follows the charge ``Q`` of the cycler, with offset and drift unknown:

    y(t) = slow(t) + (k0 + k1 t) Q(t - offset - drift (t - reference)) + noise

Slow curve and ``k`` are linear and are projected out (Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413); offset and
drift follow from Gauss-Newton steps with ``dy/d offset = -k I``, the current; the drift has the prior of `clock`.
Their covariance takes the noise as it is, correlated between frames and between tracks: ``H^-1 S H^-1`` with the
long-run covariance S of the scores (Newey & West 1987, Econometrica 55, 703), and never less than the tracks' own
errors make it.

What the lattice lags behind the charge cannot be told from an offset.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

from ringwatch_pipelines.cell.clock import (
    MOST_DRIFT_PPM,
    NS_PER_S,
    USUAL_DRIFT_PPM,
    ClockEstimate,
    ClockMethod,
    ClockReading,
    ClockRelation,
    IntArray,
)
from ringwatch_pipelines.patterns import FloatArray

_FEWEST_FRAMES = 40
_FEWEST_HALF_CYCLES = 4
_FRAMES_A_HALF_CYCLE = 4.0
_KNOT_HALF_CYCLES = 8.0
"""The slow curve must not follow the breathing: a knot each four cycles."""
_MOST_KNOTS = 40
_TRIED = 49
_STEPS = 30
_SMALL_S = 0.01
_LEAST_SIGNIFICANCE = 5.0
_BY_CHANCE = 2.0
_PRIOR = np.diag([0.0, (1e6 / USUAL_DRIFT_PPM) ** 2])
_MOST_FRAMES = 6000
_GROUPS_A_HALF_CYCLE = 48
_OUTLIER_SIGMAS = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A fitted quantity over the frames, (frames,) each; NaN where there is none."""

    name: str
    value: FloatArray
    sigma: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ChargeCourse:
    """The cycler's charge on its own clock, (samples,) each, in the order of time.

    Parameters
    ----------
    cycler_ns
        Strictly ascending.
    current_A
        At the samples.
    charge_C
        Net charge since the first sample; what passed in a gap is missing.
    gap
        Whether nothing is known between a sample and the next one.
    half_cycles
        How many there are.
    half_cycle_s
        Their median length, from turn to turn.
    switch_s
        How well a switch is dated by the samples around it: the median distance of the two.
    """

    cycler_ns: IntArray
    current_A: FloatArray
    charge_C: FloatArray
    gap: np.ndarray[tuple[int], np.dtype[np.bool_]]
    half_cycles: int
    half_cycle_s: float
    switch_s: float

    def at(self, cycler_ns: IntArray) -> tuple[FloatArray, FloatArray]:
        """Charge and current at times of the cycler, NaN outside of the samples and in gaps."""
        left = np.searchsorted(self.cycler_ns, cycler_ns, side="right") - 1
        known = (left >= 0) & (left < self.cycler_ns.size - 1)
        left = np.clip(left, 0, self.cycler_ns.size - 2)
        known &= ~self.gap[left]
        apart_ns = self.cycler_ns[left + 1] - self.cycler_ns[left]
        slope = (self.charge_C[left + 1] - self.charge_C[left]) / apart_ns
        charge = self.charge_C[left] + slope * (cycler_ns - self.cycler_ns[left])
        return np.where(known, charge, np.nan), np.where(known, slope * NS_PER_S, np.nan)


def aliasing_warning(*, timestamp_ns: IntArray, half_cycle_s: float) -> str | None:
    """One sentence where the frames are too far apart to follow the cycle, or always fall on the same phase of it."""
    cadence_s = float(np.median(np.diff(np.sort(timestamp_ns)))) / NS_PER_S
    if cadence_s * _FRAMES_A_HALF_CYCLE <= half_cycle_s:
        return None
    turns = cadence_s / half_cycle_s
    near = f", {turns:.2f} half-cycles" if turns > 0.5 else ""
    return (
        f"frames alias the cycle: they are {cadence_s:.0f} s apart{near}, and half-cycles are {half_cycle_s:.0f} s "
        f"long; {_FRAMES_A_HALF_CYCLE:.0f} frames a half-cycle are needed"
    )


def clock_from_breathing(
    *, timestamp_ns: IntArray, tracks: tuple[Track, ...], charge: ChargeCourse, declared: ClockRelation
) -> ClockReading:
    """Offset and drift from the charge that the tracks follow.

    Parameters
    ----------
    timestamp_ns
        (frames,) UTC on the detector's clock, at mid-exposure.
    declared
        Where the search begins. Since nobody knows whether a track grows or shrinks with the charge, only
        offsets less than half a half-cycle away from it can be told.
    """
    if timestamp_ns.size < _FRAMES_A_HALF_CYCLE:
        return ClockReading(None, f"{timestamp_ns.size} frames are too few to tell the clocks from")
    if charge.half_cycles < _FEWEST_HALF_CYCLES:
        return ClockReading(None, f"{charge.half_cycles} half-cycles are too few to tell the clocks from")
    if np.ptp(timestamp_ns) <= 0:
        return ClockReading(None, "frames at one time only tell nothing of the clocks")
    warning = aliasing_warning(timestamp_ns=timestamp_ns, half_cycle_s=charge.half_cycle_s)
    if warning is not None:
        return ClockReading(None, warning, (warning,))
    fit = _prepared(timestamp_ns, tracks, charge, declared)
    if fit is None:
        return ClockReading(None, f"fewer than {_FEWEST_FRAMES} frames have both tracks and charge")
    try:
        return fit.reading()
    except np.linalg.LinAlgError:
        return ClockReading(None, "the frames do not tell offset and drift apart from the slow course of the tracks")


def _prepared(
    timestamp_ns: IntArray, tracks: tuple[Track, ...], charge: ChargeCourse, declared: ClockRelation
) -> "_BreathingFit | None":
    """The fit on frames whose charge is known wherever the search may go."""
    reach_ns = round(0.5 * charge.half_cycle_s * NS_PER_S)
    known = timestamp_ns > 0
    for shift_ns in (-reach_ns, 0, reach_ns):
        known &= np.isfinite(charge.at(declared.cycler_from_detector_ns(timestamp_ns + shift_ns))[0])
    stamps = timestamp_ns[known]
    if stamps.size < _FEWEST_FRAMES or np.ptp(stamps) <= 0:
        return None
    order = np.argsort(stamps, kind="stable")
    tracks = tuple(Track(track.name, track.value[known][order], track.sigma[known][order]) for track in tracks)
    stamps, tracks = _grouped(stamps[order], tracks, charge.half_cycle_s)
    slow = _slow_curves(stamps, charge.half_cycle_s)
    fits = (_TrackFit.of(track, slow) for track in tracks)
    usable = tuple(fit for fit in fits if fit is not None)
    return _BreathingFit(stamps, usable, charge, declared) if usable else None


def _grouped(stamps: IntArray, tracks: tuple[Track, ...], half_cycle_s: float) -> tuple[IntArray, tuple[Track, ...]]:
    """Weighted means of neighbours in time, where frames are many more than the breathing needs."""
    if stamps.size <= _MOST_FRAMES:
        return stamps, tracks
    group = (stamps - stamps[0]) // round(half_cycle_s * NS_PER_S / _GROUPS_A_HALF_CYCLE)
    _, group = np.unique(group, return_inverse=True)
    middle = stamps[0] + np.rint(np.bincount(group, stamps - stamps[0]) / np.bincount(group)).astype(np.int64)
    return middle, tuple(_group_means(track, group) for track in tracks)


def _group_means(track: Track, group: IntArray) -> Track:
    known = np.isfinite(track.value) & np.isfinite(track.sigma) & (track.sigma > 0)
    weight = np.where(known, 1.0 / np.where(known, track.sigma, 1.0) ** 2, 0.0)
    total = np.bincount(group, weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(group, weight * np.where(known, track.value, 0.0)) / total
        return Track(track.name, mean, 1.0 / np.sqrt(total))


def _slow_curves(stamps: IntArray, half_cycle_s: float) -> FloatArray:
    """(frames, terms) cubic B-splines over the run."""
    time_s = (stamps - stamps[0]) / NS_PER_S
    length_s = float(time_s[-1])
    spans = int(np.clip(length_s / (_KNOT_HALF_CYCLES * half_cycle_s), 1, _MOST_KNOTS))
    inner = np.linspace(0.0, length_s, spans + 1)
    knots = np.concatenate([[0.0] * 3, inner, [length_s] * 3])
    return np.asarray(BSpline.design_matrix(time_s, knots, 3).toarray())


@dataclass(frozen=True, slots=True, eq=False)
class _TrackFit:
    """One track: weighted values and weights (frames,), 0 where there is none; slow curves, basis (frames, terms)."""

    weighted: FloatArray
    weight: FloatArray
    slow: FloatArray
    basis: FloatArray

    @classmethod
    def of(cls, track: Track, slow: FloatArray) -> "_TrackFit | None":
        value, sigma = track.value, track.sigma
        known = np.isfinite(value) & np.isfinite(sigma) & (sigma > 0)
        if np.count_nonzero(known) < _FEWEST_FRAMES:
            return None
        weight = np.where(known, 1.0 / np.where(known, sigma, 1.0), 0.0)
        value = np.where(known, value, 0.0)
        rest = _without(weight * value, weight[:, None] * slow)
        spread = 1.4826 * float(np.median(np.abs(rest[known])))
        # A fit that went astray must not decide; the breathing itself is part of the spread here.
        weight = np.where(np.abs(rest) > _OUTLIER_SIGMAS * max(spread, 1.0), 0.0, weight)
        return cls(weight * value, weight, slow, _basis(weight[:, None] * slow))

    def residual(self, charge: FloatArray, time: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weighted residual (frames,), how much a change of the charge changes the track (frames,), linear columns."""
        columns = self.weight[:, None] * np.column_stack([self.slow, charge, charge * time])
        basis = _basis(columns)
        response = np.linalg.lstsq(columns, self.weighted, rcond=None)[0][-2:]
        return self.weighted - basis @ (basis.T @ self.weighted), response[0] + response[1] * time, basis

    def explained(self, charge: FloatArray) -> float:
        """How much chi-square falls when the track follows the charge."""
        follows = self.weight * charge
        follows = follows - self.basis @ (self.basis.T @ follows)
        size = float(follows @ follows)
        return float(follows @ self.weighted) ** 2 / size if size > 0.0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _BreathingFit:
    """All tracks together."""

    stamps: IntArray
    tracks: tuple[_TrackFit, ...]
    charge: ChargeCourse
    declared: ClockRelation

    def reading(self) -> ClockReading:
        reference_ns = int(self.declared.cycler_from_detector_ns(self.stamps[[0, -1]]).mean())
        start = self.declared.at(reference_ns)
        shift_s, explained = self._coarse(start)
        # Of every track that does not follow, noise explains a little, and more at the best of many offsets.
        beyond = explained - _BY_CHANCE * len(self.tracks)
        if beyond < _LEAST_SIGNIFICANCE**2:
            seen = np.sqrt(max(beyond, 0.0))
            text = f"no track follows the charge: {seen:.1f} sigma, {_LEAST_SIGNIFICANCE:.0f} are needed"
            return ClockReading(None, text)
        relation = ClockRelation(start.offset_s + shift_s, start.drift_ppm, reference_ns)
        for _ in range(_STEPS):
            scores, hessian = self._normal(relation)
            before = np.array([0.0, 1e-6 * (relation.drift_ppm - start.drift_ppm)])
            step = np.linalg.solve(hessian + _PRIOR, scores.sum(axis=0) - _PRIOR @ before)
            step[0] = np.clip(step[0], -0.1 * self.charge.half_cycle_s, 0.1 * self.charge.half_cycle_s)
            relation = ClockRelation(relation.offset_s + step[0], relation.drift_ppm + 1e6 * step[1], reference_ns)
            if abs(step[0]) < _SMALL_S:
                break
        return self._told(relation, start)

    def _coarse(self, start: ClockRelation) -> tuple[float, float]:
        """The offset from the declared one that explains most, and how much."""
        reach_s = 0.5 * self.charge.half_cycle_s
        tried_s = np.linspace(-reach_s, reach_s, _TRIED)
        explained = [self._explained(start, shift_s) for shift_s in tried_s]
        best = int(np.argmax(explained))
        return float(tried_s[best]), float(explained[best])

    def _explained(self, start: ClockRelation, shift_s: float) -> float:
        relation = ClockRelation(start.offset_s + shift_s, start.drift_ppm, start.reference_ns)
        charge, _ = self._charge_at(relation)
        return sum(track.explained(charge) for track in self.tracks)

    def _charge_at(self, relation: ClockRelation) -> tuple[FloatArray, FloatArray]:
        """Charge in units of its spread, and its change with time, (frames,) each."""
        charge, current = self.charge.at(relation.cycler_from_detector_ns(self.stamps))
        scale = float(np.nanstd(charge)) or 1.0
        middle = float(np.nanmean(charge))
        return np.nan_to_num((charge - middle) / scale), np.nan_to_num(current / scale)

    def _normal(self, relation: ClockRelation) -> tuple[FloatArray, FloatArray]:
        """Scores (frames, 2) and Hessian (2, 2) of the offset in s and the drift as a plain number."""
        charge, rate = self._charge_at(relation)
        since_s = (relation.cycler_from_detector_ns(self.stamps) - relation.reference_ns) / NS_PER_S
        time = since_s / max(float(np.abs(since_s).max()), 1.0)
        hessian, scores = np.zeros((2, 2)), np.zeros((self.stamps.size, 2))
        for track in self.tracks:
            residual, response, basis = track.residual(charge, time)
            moved = -track.weight * response * rate
            slopes = np.column_stack([moved, moved * since_s])
            slopes = slopes - basis @ (basis.T @ slopes)
            hessian += slopes.T @ slopes
            scores += slopes * residual[:, None]
        return scores, hessian

    def _told(self, relation: ClockRelation, start: ClockRelation) -> ClockReading:
        reach_s = 0.5 * self.charge.half_cycle_s
        scores, hessian = self._normal(relation)
        variance = np.diagonal(_covariance(hessian, scores))
        offset_sigma_s = float(np.hypot(np.sqrt(variance[0]), self.charge.switch_s / np.sqrt(12.0)))
        if not (
            abs(relation.offset_s - start.offset_s) <= reach_s
            and abs(relation.drift_ppm - start.drift_ppm) <= MOST_DRIFT_PPM
        ):
            return ClockReading(None, "the tracks follow the charge, but no offset near the declared one fits best")
        if not offset_sigma_s < 0.5 * reach_s:
            return ClockReading(None, f"the tracks tell the offset to {offset_sigma_s:.0f} s only")
        drift_sigma_ppm = 1e6 * float(np.sqrt(variance[1]))
        support = int(self.stamps.size)
        return ClockReading(ClockEstimate(relation, offset_sigma_s, drift_sigma_ppm, ClockMethod.BREATHING, support))


def _covariance(hessian: FloatArray, scores: FloatArray) -> FloatArray:
    """The long-run covariance of the scores between the inverse Hessians; no variance below the Hessian's own."""
    inverse = np.linalg.inv(hessian + _PRIOR)
    count = len(scores)
    lags = int(np.ceil(0.5 * np.sqrt(count)))
    spread = scores.T @ scores
    for lag in range(1, lags + 1):
        product = scores[lag:].T @ scores[:-lag]
        spread += (1.0 - lag / (lags + 1.0)) * (product + product.T)
    robust = inverse @ (spread + _PRIOR) @ inverse
    grown = np.sqrt(np.maximum(np.diagonal(robust) / np.diagonal(inverse), 1.0))
    return np.asarray(grown[:, None] * inverse * grown[None, :])


def _basis(columns: FloatArray) -> FloatArray:
    """Orthonormal columns that span the same space, however dependent the given ones are."""
    left, size, _ = np.linalg.svd(columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-300), full_matrices=False)
    return np.asarray(left[:, size > 1e-10 * size[0]])


def _without(values: FloatArray, columns: FloatArray) -> FloatArray:
    basis = _basis(columns)
    return values - basis @ (basis.T @ values)

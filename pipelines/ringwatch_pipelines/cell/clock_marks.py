"""The clocks from a mark that both see: each switch lies between two frames and between two samples.

A frame before the switch at detector time ``t0``, one after it at ``t1``, samples around it at ``s0`` and ``s1`` of the
cycler: then ``t0 - s1 < offset + drift (s - reference) < t1 - s0``. Where the frames fall has nothing to do with the
switches, so every offset that no switch forbids is as likely as any other, and every drift as usual as clocks have it;
mean and standard deviation are those of what is left. A switch that fits nowhere (a glitch of the mark) costs
likelihood and not the estimate.
"""

from dataclasses import dataclass

import numpy as np

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

_FEWEST = 2
_GRID = 121
_ZOOMS = 5
_ODDS_OF_A_GLITCH = 1e-3
_FAR_LIKELIER = 1e-6
_SHARE_EXPLAINED = 0.5
_NARROWED = 0.6
_MANY = 6
_MOST_FRAMES = 1000
_MOST_CYCLER = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Switches:
    """When a two-valued signal changed, each (switches,).

    Parameters
    ----------
    before_ns, after_ns
        Last reading before it and first one after it.
    rises
        Whether the signal went up.
    """

    before_ns: IntArray
    after_ns: IntArray
    rises: np.ndarray[tuple[int], np.dtype[np.bool_]]

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.before_ns.size)

    def of(self, which: slice) -> "Switches":
        """Some of them."""
        return Switches(self.before_ns[which], self.after_ns[which], self.rises[which])


def switches_from_signal(
    *, timestamp_ns: IntArray, signal: FloatArray, threshold: float | None = None, longest_s: float = np.inf
) -> Switches:
    """Where a signal crosses a threshold.

    Parameters
    ----------
    timestamp_ns, signal
        (readings,) in the order of time; NaN where nothing was read.
    threshold
        Half-way between the 5th and the 95th percentile where it is not given.
    longest_s
        Readings further apart than this tell of no switch between them.
    """
    known = np.isfinite(signal)
    stamps, values = timestamp_ns[known], signal[known]
    if values.size < _FEWEST:
        return Switches(stamps[:0], stamps[:0], np.zeros(0, dtype=np.bool_))
    if threshold is None:
        threshold = float(np.mean(np.percentile(values, (5.0, 95.0))))
    high = values > threshold
    at = np.flatnonzero(high[1:] != high[:-1])
    at = at[stamps[at + 1] - stamps[at] <= longest_s * NS_PER_S]
    return Switches(stamps[at], stamps[at + 1], high[at + 1])


def clock_from_switches(
    *, frames: Switches, cycler: Switches, declared: ClockRelation, search_s: float
) -> ClockReading:
    """Offset and drift from switches that the frames and the cycler saw.

    Parameters
    ----------
    frames
        On the detector's clock.
    cycler
        On the cycler's own clock.
    declared
        Where the search begins; of relations that fit equally well the nearest to it is taken.
    search_s
        How far the offset may lie from the declared one.
    """
    if frames.count < _FEWEST or cycler.count < _FEWEST:
        text = f"two switches of the mark are needed: the frames show {frames.count}, the cycler {cycler.count}"
        return ClockReading(None, text)
    frames, cycler = _newest(frames, cycler, declared, search_s)
    if cycler.count > _MOST_CYCLER or cycler.count < _FEWEST:
        text = f"the cycler switches {cycler.count} times around the newest {frames.count} switches of the mark"
        return ClockReading(None, text)
    reference_ns = int(np.mean(frames.before_ns // 2 + frames.after_ns // 2)) - round(declared.offset_s * NS_PER_S)
    bounds = _bounds(frames, cycler, declared.at(reference_ns), search_s)
    pairs = _pairs(bounds)
    if pairs.size < _SHARE_EXPLAINED * min(frames.count, cycler.count):
        text = (
            f"only {pairs.size} of {frames.count} switches of the mark fit the cycler's with one offset within "
            f"{search_s:.0f} s of the declared one"
        )
        return ClockReading(None, text)
    chosen = bounds.of(pairs)
    mean, covariance = _posterior(chosen)
    relation = ClockRelation(declared.at(reference_ns).offset_s + mean[0], declared.drift_ppm + mean[1], reference_ns)
    sigma = np.sqrt(np.diagonal(covariance))
    estimate = ClockEstimate(relation, float(sigma[0]), float(sigma[1]), ClockMethod.MARK, int(pairs.size))
    return ClockReading(estimate, warnings=_warnings(chosen, estimate))


def _newest(frames: Switches, cycler: Switches, declared: ClockRelation, search_s: float) -> tuple[Switches, Switches]:
    """The newest switches of a mark that switches all the time, and those of the cycler around them."""
    frames = frames.of(slice(max(frames.count - _MOST_FRAMES, 0), None))
    reach_ns = round(search_s * NS_PER_S)
    first_ns, last_ns = int(frames.before_ns[0]) - reach_ns, int(frames.after_ns[-1]) + reach_ns
    seen_ns = declared.detector_from_cycler_ns(cycler.before_ns)
    near = np.flatnonzero((seen_ns > first_ns) & (seen_ns < last_ns))
    return frames, cycler.of(slice(near[0], near[-1] + 1) if near.size else slice(0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Bounds:
    """What pairs of switches allow: ``low < offset + drift since < high``, relative to the declared relation."""

    low_s: FloatArray
    high_s: FloatArray
    since_s: FloatArray
    frame_switch: IntArray

    def of(self, pairs: IntArray) -> "_Bounds":
        return _Bounds(self.low_s[pairs], self.high_s[pairs], self.since_s[pairs], self.frame_switch[pairs])


def _bounds(frames: Switches, cycler: Switches, declared: ClockRelation, search_s: float) -> _Bounds:
    """Of every pair of switches in one direction that may be one."""
    before_ns, after_ns = (declared.detector_from_cycler_ns(ns) for ns in (cycler.before_ns, cycler.after_ns))
    low_s = (frames.before_ns[:, None] - after_ns[None, :]) / NS_PER_S
    high_s = (frames.after_ns[:, None] - before_ns[None, :]) / NS_PER_S
    near = (frames.rises[:, None] == cycler.rises[None, :]) & (low_s < search_s) & (high_s > -search_s)
    first, second = np.nonzero(near)
    middle_ns = cycler.before_ns + (cycler.after_ns - cycler.before_ns) // 2
    since_s = np.asarray((middle_ns[second] - declared.reference_ns) / NS_PER_S, dtype=np.float64)
    return _Bounds(low_s[near], high_s[near], since_s, first.astype(np.int64))


def _pairs(bounds: _Bounds) -> IntArray:
    """The pairs that one offset explains, each switch of the frames once: most of them, then the nearest offset."""
    slack_s = 1e-6 * MOST_DRIFT_PPM * np.abs(bounds.since_s)
    low_s, high_s = bounds.low_s - slack_s, bounds.high_s + slack_s
    edges = np.unique(np.concatenate([low_s, high_s, [0.0]]))
    tried_s = np.append(0.5 * (edges[1:] + edges[:-1]), 0.0)
    inside = np.searchsorted(np.sort(low_s), tried_s) - np.searchsorted(np.sort(high_s), tried_s)
    best_s = min(tried_s[inside == inside.max()], key=abs)
    at = np.flatnonzero((low_s < best_s) & (high_s > best_s))
    off_s = np.abs(0.5 * (bounds.low_s + bounds.high_s)[at] - best_s)
    nearest_first = at[np.argsort(off_s, kind="stable")]
    _, first = np.unique(bounds.frame_switch[nearest_first], return_index=True)
    return nearest_first[first]


def _posterior(bounds: _Bounds) -> tuple[FloatArray, FloatArray]:
    """Mean (2,) and covariance (2, 2) of offset in s and drift in ppm, on a grid that closes in on them."""
    slack_s = 1e-6 * MOST_DRIFT_PPM * float(np.abs(bounds.since_s).max())
    offset = (float(bounds.low_s.min()) - slack_s, float(bounds.high_s.max()) + slack_s)
    drift = (-MOST_DRIFT_PPM, MOST_DRIFT_PPM)
    for _ in range(_ZOOMS):
        offsets_s, drifts_ppm = np.linspace(*offset, _GRID), np.linspace(*drift, _GRID)
        weight = _likelihood(bounds, offsets_s, drifts_ppm)
        of_offset, of_drift = weight.sum(axis=1), weight.sum(axis=0)
        smaller = _around(offsets_s, of_offset), _around(drifts_ppm, of_drift)
        if smaller == (offset, drift):
            break
        offset, drift = smaller
    grid = np.stack(np.meshgrid(offsets_s, drifts_ppm, indexing="ij")).reshape(2, -1)
    share = weight.ravel() / weight.sum()
    mean = grid @ share
    apart = grid - mean[:, None]
    # A cell of the grid is as wide as its step, however few of them are left.
    steps = np.array([offsets_s[1] - offsets_s[0], drifts_ppm[1] - drifts_ppm[0]])
    return mean, (apart * share) @ apart.T + np.diag(steps**2 / 12.0)


def _likelihood(bounds: _Bounds, offsets_s: FloatArray, drifts_ppm: FloatArray) -> FloatArray:
    """(offsets, drifts), not normalised."""
    violated = np.zeros((offsets_s.size, drifts_ppm.size))
    for low_s, high_s, since_s in zip(bounds.low_s, bounds.high_s, bounds.since_s, strict=True):
        shift_s = offsets_s[:, None] + 1e-6 * since_s * drifts_ppm[None, :]
        violated += (shift_s <= low_s) | (shift_s >= high_s)
    usual = np.exp(-0.5 * (drifts_ppm / USUAL_DRIFT_PPM) ** 2)
    return np.asarray(_ODDS_OF_A_GLITCH ** (violated - violated.min()) * usual)


def _around(values: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """The stretch of `values` that has weight, and one step on either side."""
    there = np.flatnonzero(weight > _FAR_LIKELIER * weight.max())
    return float(values[max(there[0] - 1, 0)]), float(values[min(there[-1] + 1, values.size - 1)])


def _warnings(bounds: _Bounds, estimate: ClockEstimate) -> tuple[str, ...]:
    widths_s = bounds.high_s - bounds.low_s
    alone_s = float(np.median(widths_s)) / np.sqrt(12.0)
    if estimate.support >= _MANY and estimate.offset_sigma_s > _NARROWED * alone_s:
        text = (
            f"frames alias the cycle: all {estimate.support} switches fall between frames at about the same place, so "
            "that together they tell hardly more than one of them"
        )
        return (text,)
    return ()

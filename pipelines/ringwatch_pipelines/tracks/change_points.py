"""When a new phase appears: an alarm while the run goes on, and a date with its uncertainty.

``z = value / sigma`` is standardised on the first frames, with the lag-1 correlation in its width: noise that is
correlated by rho wanders as far as white noise that is wider by ``sqrt((1 + rho) / (1 - rho))``; further frames without
a rise make the width surer. Then a one-sided
cumulative sum ``S = max(0, S + z - k)`` alarms above `h` (Page 1954, Biometrika 41, 100), and the laws by which
layers grow, laid through the frames up to the alarm, date the onset.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, logsumexp

from ringwatch_pipelines.errors import RingwatchError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray

LEAST_SCALE = 0.8
"""z has an expected width of 1; burn-in frames that happen to scatter less must not make the test more eager."""

_OVERSHOOT = 1.166
_QUADRATURE = 21
_HISTORY = 512
_LEARNING = 256
"""Frames from which the width of z is learned."""
_DATES = 400

_GROWTH_POWERS = (0.5, 1.0)
"""Of time: a layer grows with its root where diffusion through it decides, evenly where the reaction at its face does
(Deal & Grove 1965, J. Appl. Phys. 36, 3770)."""

_ONE_SIGMA = (0.1587, 0.8413)


@dataclass(frozen=True, slots=True)
class OnsetRule:
    """How an onset is looked for.

    Parameters
    ----------
    threshold
        `h`, from `threshold_from_false_alarm_rate`.
    reference
        `k`: half the smallest shift of the standardised z that is looked for.
    burn_in
        Frames at the start of the run on which z is standardised.
    """

    threshold: float
    reference: float = 1.0
    burn_in: int = 40

    def __post_init__(self) -> None:
        if self.burn_in < 10 or self.threshold <= 0 or self.reference <= 0:
            raise RingwatchError(
                "an onset rule needs 10 frames of burn-in and a positive threshold and reference, "
                f"got {self.burn_in}, {self.threshold:g} and {self.reference:g}"
            )


@dataclass(frozen=True, slots=True)
class Onset:
    """The first appearance of something.

    Parameters
    ----------
    time_h, sigma_h
        When it began, by its growth, with one standard deviation.
    alarm_h
        When the alarm was raised.
    """

    time_h: float
    sigma_h: float
    alarm_h: float


def _no_history() -> FloatArray:
    return read_only(np.empty((0, 3)))


@dataclass(frozen=True, slots=True, eq=False)
class OnsetState:
    """What one onset test remembers; bounded however long the run.

    Parameters
    ----------
    frames
        Frames with a value so far.
    mean, scale
        Of z over the burn-in; NaN before its end. The scale, which forty frames tell to 20 % only, is learned on while
        nothing rises; the mean is not, so that what creeps in slowly does not become what is usual.
    cusum
        The cumulative sum.
    fired
        The alarm was raised; it never is again.
    history
        (frames, 3) time in hours, value, sigma; older frames are averaged in pairs when there are many.
    """

    rule: OnsetRule
    frames: int = 0
    mean: float = float("nan")
    scale: float = float("nan")
    cusum: float = 0.0
    fired: bool = False
    history: FloatArray = field(default_factory=_no_history)


def onset_step(state: OnsetState, *, value: float, sigma: float, time_h: float) -> tuple[OnsetState, Onset | None]:
    """Take in the next frame.

    Parameters
    ----------
    value, sigma
        Amount of the phase, or area of the line; skipped where they are not finite or sigma is not positive.
    time_h
        Time of the frame since any fixed moment.

    Returns
    -------
    state, onset
        The onset with the frame that raises the alarm, once a run; else None.
    """
    if state.fired or not (np.isfinite([value, sigma, time_h]).all() and sigma > 0):
        return state, None
    history = read_only(_bounded(np.concatenate([state.history, [[time_h, value, sigma]]])))
    state = replace(state, frames=state.frames + 1, history=history)
    if state.frames < state.rule.burn_in:
        return state, None
    if state.frames == state.rule.burn_in:
        mean, scale = _standard(history[:, 1] / history[:, 2])
        return replace(state, mean=mean, scale=scale), None
    z = (value / sigma - state.mean) / state.scale
    cusum = max(0.0, state.cusum + z - state.rule.reference)
    if cusum <= state.rule.threshold:
        learns = cusum == 0.0 and state.frames <= _LEARNING
        scale = _standard(history[:, 1] / history[:, 2])[1] if learns else state.scale
        return replace(state, cusum=cusum, scale=scale), None
    date_h, sigma_h = date_from_growth(time_h=history[:, 0], value=history[:, 1], sigma=history[:, 2] * state.scale)
    return replace(state, cusum=cusum, fired=True, history=_no_history()), Onset(date_h, sigma_h, time_h)


def threshold_from_false_alarm_rate(
    *, rate_per_run: float, frames_per_run: int, reference: float = 1.0, burn_in: int = 40
) -> float:
    """The threshold `h` at which a run without an onset alarms with a given probability.

    The mean length of a run without an onset is ``(exp(2 k b) - 1 - 2 k b) / (2 k^2)`` frames, ``b = h + 1.166``
    (Siegmund 1985, Sequential Analysis, eq. 2.57), and alarms come as a Poisson process. The burn-in knows the
    mean of z to ``1 / sqrt(n)`` and its width, correlation included, to ``sqrt(1.5 / n)``: the probability is
    averaged over both, which is what raises `h` above the value for a known mean. As the width is learned on, fewer
    alarms come: asked for 0.5 % in 372 frames, noise gives 0.03 %, and 0.08 % with neighbours correlated by 0.3.

    Parameters
    ----------
    rate_per_run
        Probability of a false alarm in a whole run, as 0.01.
    frames_per_run
        Fitted frames of a run, the burn-in included.
    reference
        `k`.
    burn_in
        Frames on which z is standardised.
    """
    if not 0 < rate_per_run < 1 or frames_per_run <= burn_in:
        raise RingwatchError(
            "expected a false-alarm rate between 0 and 1 and a run longer than its burn-in, "
            f"got {rate_per_run:g} and {frames_per_run} frames after {burn_in}"
        )
    nodes, weights = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
    shift = nodes[:, None] / np.sqrt(burn_in)
    width = np.maximum(np.exp(nodes[None, :] * np.sqrt(1.5 / burn_in)), LEAST_SCALE)
    weight = np.outer(weights, weights) / weights.sum() ** 2
    frames = frames_per_run - burn_in

    def excess(threshold: float) -> float:
        length = _mean_run_length(reference * width - shift, threshold * width)
        return float(np.sum(weight * -np.expm1(-frames / length))) - rate_per_run

    return float(brentq(excess, 0.1, 100.0, xtol=1e-4))


def date_from_growth(*, time_h: FloatArray, value: FloatArray, sigma: FloatArray) -> tuple[float, float]:
    """The time at which a level begins to rise, and one standard deviation.

    The rise after a date follows its root or is even, either as likely; the level, and how much has grown at the last
    frame, are integrated out over flat priors, the latter above 0. The median of what that makes of a flat prior of
    the date is given, with half the width of its central 68 %, and with a date anywhere between two frames.

    Parameters
    ----------
    time_h, value, sigma
        (frames,) the last frame may be the first of the rise.
    """
    first_h, last_h = float(time_h.min()), float(time_h.max())
    if not last_h > first_h:
        return last_h, 0.0
    # Finer over the last frames, where the onset mostly is.
    recent_h = np.sort(time_h)[-min(60, time_h.size)]
    dates = np.union1d(*(np.linspace(start, last_h, _DATES, endpoint=False) for start in (first_h, recent_h)))
    laws = [_log_likelihood(dates, power, time_h=time_h, value=value, sigma=sigma) for power in _GROWTH_POWERS]
    likelihood = logsumexp(laws, axis=0)
    below = np.cumsum(np.exp(likelihood - likelihood.max()) * np.gradient(dates))
    low_h, date_h, high_h = np.interp([_ONE_SIGMA[0], 0.5, _ONE_SIGMA[1]], below / below[-1], dates)
    # Between two frames nothing was seen: an onset need not be a rise there.
    between_h = float(np.median(np.diff(np.sort(time_h))))
    return float(date_h), float(np.sqrt(((high_h - low_h) / 2.0) ** 2 + between_h**2 / 12.0))


def _log_likelihood(
    dates: FloatArray, power: float, *, time_h: FloatArray, value: FloatArray, sigma: FloatArray
) -> FloatArray:
    """(dates,) of a level that rises from each date on with a power of time; both heights are integrated out.

    With the rise ``r``, 1 at the last frame, and weighted sums less those of the means, the height is normal about
    ``r v / r r`` with variance ``1 / r r``; above 0 its integral is ``exp(u^2 / 2) Phi(u) / sqrt(r r)``.
    """
    weight = 1.0 / sigma**2
    rise = np.maximum(time_h[None, :] - dates[:, None], 0.0) ** power / (time_h.max() - dates[:, None]) ** power
    mean = (rise @ weight) / weight.sum()
    square = np.maximum((rise**2) @ weight - weight.sum() * mean**2, 1e-300)
    u = rise @ (weight * (value - (weight @ value) / weight.sum())) / np.sqrt(square)
    return np.asarray(0.5 * u**2 + log_ndtr(u) - 0.5 * np.log(square))


def _standard(z: FloatArray) -> tuple[float, float]:
    """Mean of z and the width of white noise that wanders as far."""
    deviation = z - z.mean()
    variance = float(deviation @ deviation) / (z.size - 1)
    rho = float(deviation[1:] @ deviation[:-1]) / max(float(deviation @ deviation), 1e-300)
    # An estimate of rho from few frames is low by (1 + 3 rho) / n (Kendall 1954, Biometrika 41, 403). One standard
    # error is added, since a correlation that was missed multiplies false alarms, and one too many delays a bit.
    rho += (1 + 3 * rho) / z.size + z.size**-0.5
    rho = min(max(rho, 0.0), 0.9)
    return float(z.mean()), max(float(np.sqrt(variance * (1 + rho) / (1 - rho))), LEAST_SCALE)


def _mean_run_length(reference: FloatArray, threshold: FloatArray) -> FloatArray:
    drift = np.where(np.abs(reference) < 1e-3, 1e-3, reference)
    exponent = np.minimum(2 * drift * (threshold + _OVERSHOOT), 600.0)
    return np.asarray((np.expm1(exponent) - exponent) / (2 * drift**2))


def _bounded(history: FloatArray) -> FloatArray:
    """Average the older half in pairs once there are too many."""
    if len(history) <= _HISTORY:
        return history
    half = len(history) // 4 * 2
    old = history[:half].reshape(-1, 2, 3)
    weight = old[:, :, 2] ** -2
    total = weight.sum(axis=1)
    time_h, value = ((old[:, :, column] * weight).sum(axis=1) / total for column in (0, 1))
    return np.concatenate([np.stack([time_h, value, total**-0.5], axis=1), history[half:]])

"""Frames that are no data: no beam, part of an exposure, part of the rows. Told by their own counts.

A frame is held against the average of the good ones before it. Both patterns u (not divided by the monitor) and R
lose their smooth part, so that an offset of the dark or a change of the background does not count, and
``u' = s R'`` gives the light ``s`` that the rings are made of::

    s < 0.05 m, and little light between the rings     no beam, whatever the monitor m says
    0.05 m <= s < 0.85 m, the rings of the same shape  part of an exposure

where the same shape means ``u' - s R'`` within the noise and 3 % of the rings, in the median. A sample that changes,
changes the shape, and is data. Less light for good, as behind an absorber, is data from the third such frame on. More
light than before is always data: it is rather the frames before that were poor.
Where the rings cannot be told from noise (sigma of s above 5 %), nothing is said.

A readout that broke off leaves rows of one and the same value at one end of the frame.

Photons never fall twice in the same way: a frame with the counts of the one before it is that one once more, whatever
its id and its time say.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.frames import DetectorConditions, Frame, read_only
from ringwatch_pipelines.patterns import BinSums, FloatArray
from ringwatch_pipelines.reduction.corrections import Dark
from ringwatch_pipelines.reduction.folds import Counts
from ringwatch_pipelines.results import Refusal

NO_LIGHT, PART_LIGHT = 0.05, 0.85
"""Light of the rings, relative to the frames before, below which a frame has none or only a part."""

LEAST_BROKEN = 0.04
"""Part of the rows that must be blank at one end."""

_SMOOTH_BINS = 61
_MOST_SIGMA = 0.05
_ALIKE = 0.03
_MOST_CHI_SQUARE = 3.0
_MEDIAN_CHI_SQUARE = 0.455
_RING_SIGMAS = 5.0
_NO_WHOLE_LIGHT = 0.3
_BLIND_MONITOR = 0.02
_SETTLED = 3
_FORGETTING = 0.25
_SAMPLED_ROWS = 128
_LEAST_TOLD_BINS = 16
"""So many bins must hold counts: of a few photons, two frames may show the same by chance."""


@dataclass(frozen=True, slots=True, eq=False)
class QualityState:
    """What good frames leave to judge the next one by.

    Parameters
    ----------
    reference, variance
        (bins,) average pattern at monitor 1 and its variance; None before the first good frame.
    conditions
        Under which it was taken.
    poor, poor_light
        Frames in a row with a part of the light, and how much light the last had.
    """

    reference: FloatArray | None = None
    variance: FloatArray | None = None
    conditions: DetectorConditions = field(default_factory=DetectorConditions)
    poor: int = 0
    poor_light: float = float("nan")


@dataclass(frozen=True, slots=True)
class LightWatch:
    """Which frames are no data.

    Parameters
    ----------
    first_frames
        So many light frames at the start are never data, as where a panel's first readout is known to be bad.
    """

    first_frames: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a frame is data.

    Parameters
    ----------
    refusal, text
        Why not, and one sentence; None and empty where it is.
    light_known
        What fell on the detector is what the frame shows, so that its residual image can be told.
    """

    refusal: Refusal | None = None
    text: str = ""
    light_known: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class JudgeState:
    """What the frames so far leave to the judge of the next one.

    Parameters
    ----------
    frames
        Light frames so far.
    usual
        Part of the rows that is blank in good frames; None while unknown.
    """

    quality: QualityState = field(default_factory=QualityState)
    frames: int = 0
    usual: float | None = None


class LightJudge:
    """Judges the frames of one run, in order.

    Parameters
    ----------
    watch
        None to take every frame as data.
    """

    def __init__(self, watch: LightWatch | None) -> None:
        self._watch = watch
        self._state = QualityState()
        self._frames = 0
        self._usual: float | None = None
        self._last: Counts | None = None

    @property
    def state(self) -> JudgeState:
        """What another judge needs to go on from here."""
        return JudgeState(self._state, self._frames, self._usual)

    def recall(self, state: JudgeState) -> None:
        """Go on where another judge was."""
        self._state, self._frames, self._usual = state.quality, state.frames, state.usual

    @property
    def watches(self) -> bool:
        """Whether it looks at frames at all."""
        return self._watch is not None

    def readout(self, blank: float, dark: Dark | None) -> Verdict:
        """Whether the frame was read out whole; called first, for every light frame.

        Without a dark the first frame of a run says which rows are blank as a rule, in gaps or for want of counts.

        Parameters
        ----------
        blank
            `broken_rows` of the frame.
        """
        if self._watch is None:
            return Verdict()
        self._frames += 1
        if self._frames <= self._watch.first_frames:
            text = f"it is among the first {self._watch.first_frames} after the start, which are configured to be bad"
            return Verdict(Refusal.FIRST_FRAME, text, light_known=False)
        if self._usual is None:
            self._usual = blank if dark is None else broken_rows(dark.image)
        verdict = judge_readout(blank, self._usual)
        if verdict.refusal is None:
            self._usual = max(self._usual, blank)
        return verdict

    def repetition(self, counts: Counts, *, blank: float) -> Verdict:
        """Whether these are the counts of the light frame before, once more.

        Parameters
        ----------
        blank
            `broken_rows` of the frame; one that holds a single value all over has nothing to be known by.
        """
        if self._watch is None or not blank < 1.0:
            return Verdict()
        last, self._last = self._last, counts
        if last is None or not _same_counts(last, counts):
            return Verdict()
        return Verdict(Refusal.REPEATED, "its counts are those of the frame before, in every bin", light_known=False)

    def light(self, frame: Frame, sums: BinSums, *, monitor: float) -> Verdict:
        """Whether the beam was there for all of the exposure."""
        if self._watch is None:
            return Verdict()
        self._state, verdict = judge_light(self._state, sums, monitor=monitor, conditions=frame.conditions)
        return verdict


def _same_counts(one: Counts, other: Counts) -> bool:
    return (
        np.array_equal(one.raw, other.raw)
        and np.array_equal(one.raw_squares, other.raw_squares)
        and int(np.count_nonzero(one.raw)) >= _LEAST_TOLD_BINS
    )


def broken_rows(image: NDArray[Any]) -> float:
    """Part of the rows, from either end, that hold one and the same value all along.

    Parameters
    ----------
    image
        (rows, columns); every 16th row of a large one is looked at.
    """
    step = max(1, image.shape[0] // _SAMPLED_ROWS)
    sampled = image[::step]
    alive = np.flatnonzero(np.any(sampled != sampled[:, :1], axis=1))
    if alive.size == 0:
        return 1.0
    ends = max(int(alive[0]), sampled.shape[0] - 1 - int(alive[-1]))
    return float(ends / sampled.shape[0])


def judge_readout(blank: float, usual: float) -> Verdict:
    """Whether all rows were read out.

    Parameters
    ----------
    blank, usual
        `broken_rows` of the frame, and of good ones.
    """
    if blank - usual < LEAST_BROKEN:
        return Verdict()
    text = f"{blank:.0%} of the rows at one end hold one value only: the readout broke off"
    return Verdict(Refusal.TRUNCATED, text, light_known=False)


def judge_light(
    state: QualityState, sums: BinSums, *, monitor: float, conditions: DetectorConditions
) -> tuple[QualityState, Verdict]:
    """Whether the beam was there for all of the exposure.

    Parameters
    ----------
    sums
        Of the frame, dark and lag taken off.
    monitor
        Relative to its reference, as in `sums.norm`.

    Returns
    -------
    state, verdict
    """
    filled = sums.norm > 0
    scale = np.where(filled, monitor / np.where(filled, sums.norm, 1.0), np.nan)
    light, variance = (sums.raw - sums.dark) * scale, sums.variance * scale**2
    known = state.reference is not None and not state.conditions.disagreement(conditions)
    if not known or state.reference is None or state.variance is None:
        return _restarted(light / monitor, variance / monitor**2, conditions), Verdict()
    found = _rings(light, variance, state.reference, state.variance)
    if _has_no_light(found, monitor):
        text = f"the rings show {found.share:.1%} of the light of the frames before, the monitor {monitor:.1%}: no beam"
        return replace(state, poor=0), Verdict(Refusal.NO_BEAM, text)
    if not found.sigma < _MOST_SIGMA * monitor:
        return state, Verdict()
    share, alike = found.share, found.alike
    if share < PART_LIGHT * monitor and alike:
        return _poorer(state, light / monitor, variance / monitor**2, share / monitor)
    return _averaged(state, light / monitor, variance / monitor**2, alike=alike), Verdict()


def _poorer(
    state: QualityState, pattern: FloatArray, variance: FloatArray, share: float
) -> tuple[QualityState, Verdict]:
    again = abs(share - state.poor_light) < 0.1 * share
    poor = state.poor + 1 if again else 1
    if poor >= _SETTLED:
        return _restarted(pattern, variance, state.conditions), Verdict()
    text = f"the rings show {share:.0%} of the light that the monitor and the frames before tell: part of an exposure"
    return replace(state, poor=poor, poor_light=share), Verdict(Refusal.PARTIAL_EXPOSURE, text)


def _restarted(pattern: FloatArray, variance: FloatArray, conditions: DetectorConditions) -> QualityState:
    return QualityState(read_only(pattern), read_only(variance), conditions)


def _averaged(state: QualityState, pattern: FloatArray, variance: FloatArray, *, alike: bool) -> QualityState:
    if not alike or state.reference is None or state.variance is None:
        return _restarted(pattern, variance, state.conditions)
    keep = 1.0 - _FORGETTING
    mean = keep * state.reference + _FORGETTING * pattern
    spread = keep**2 * state.variance + _FORGETTING**2 * variance
    return replace(state, reference=read_only(mean), variance=read_only(spread), poor=0, poor_light=float("nan"))


@dataclass(frozen=True, slots=True)
class _Rings:
    """Light of the rings relative to the reference with its sigma, whether the shape is the same, and all light."""

    share: float
    sigma: float
    alike: bool
    whole: float


def _has_no_light(found: _Rings, monitor: float) -> bool:
    """No rings where they would be seen, or a monitor that reads next to nothing; and no light between them."""
    would_be_seen = monitor > 1.0 / _MOST_SIGMA * found.sigma or monitor < _BLIND_MONITOR
    no_rings = found.share < NO_LIGHT * monitor + 3.0 * found.sigma
    return would_be_seen and no_rings and found.whole < _NO_WHOLE_LIGHT


def _rings(light: FloatArray, variance: FloatArray, reference: FloatArray, reference_variance: FloatArray) -> _Rings:
    """Compare a frame with the reference.

    The noise of the reference would make the share too low; its own part of the square is taken off.
    """
    counts = np.isfinite(light) & np.isfinite(reference) & (variance > 0) & (reference_variance > 0)
    rings, ours = _without_smooth(reference[counts]), _without_smooth(light[counts])
    # The reference's weights: by those of the frame itself, bins with few counts would weigh most.
    weight = 1.0 / reference_variance[counts]
    square = float(weight @ rings**2) - float(counts.sum())
    whole = float(np.sum(light[counts])) / max(float(np.sum(reference[counts])), np.finfo(float).tiny)
    if square <= 0.0:
        return _Rings(float("nan"), float("inf"), alike=False, whole=whole)
    share = float(weight @ (rings * ours)) / square
    noise = variance[counts] + share**2 * reference_variance[counts]
    sigma = float(np.sqrt(weight**2 @ (rings**2 * noise))) / square
    high = rings**2 > _RING_SIGMAS**2 * reference_variance[counts]
    misfit = (ours - share * rings)[high] ** 2 / (noise + (_ALIKE * share * rings) ** 2)[high]
    alike = misfit.size > 0 and float(np.median(misfit)) < _MEDIAN_CHI_SQUARE * _MOST_CHI_SQUARE
    return _Rings(share, sigma, alike, whole)


def _without_smooth(values: FloatArray) -> FloatArray:
    """(bins,) less their mean over some 60 bins: what is left are rings."""
    width = min(_SMOOTH_BINS, values.size)
    total = np.concatenate([[0.0], np.cumsum(values)])
    low = np.clip(np.arange(values.size) - width // 2, 0, None)
    high = np.clip(np.arange(values.size) + width // 2 + 1, None, values.size)
    return np.asarray(values - (total[high] - total[low]) / (high - low))

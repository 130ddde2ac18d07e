"""Frame in, result out: the one path of live, replayed and reprocessed frames.

counts in bins -> dark and lag -> pattern -> sum over the cadence -> whole-pattern fit -> tracks -> texture.

The first step needs no other frame: `Analyser.counter` may do it beforehand, wherever the frames are.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np

from ringwatch_pipelines.analysis_memory import AnalyserMemory
from ringwatch_pipelines.analysis_recipe import Recipe
from ringwatch_pipelines.fit.fit_layout import layout_from_recipe
from ringwatch_pipelines.frames import Frame, FrameKind
from ringwatch_pipelines.patterns import BinSums, FloatArray, RadialAxis, pattern_from_sums
from ringwatch_pipelines.reduction.cadence import FrameSum
from ringwatch_pipelines.reduction.corrections import Dark, DarkChoice
from ringwatch_pipelines.reduction.counting import CountedFrame, FrameCounter, FrameCounts
from ringwatch_pipelines.reduction.darks import DarkStore, DarkSumsOf
from ringwatch_pipelines.reduction.drift_correction import DriftCorrection
from ringwatch_pipelines.reduction.frame_notices import FrameNotices, RingCheck
from ringwatch_pipelines.reduction.frame_quality import LightJudge, Verdict
from ringwatch_pipelines.reduction.integration import build_block_operator, build_operator
from ringwatch_pipelines.reduction.lag import LagMemory
from ringwatch_pipelines.reduction.operators import Integrated, IntegrationOperator
from ringwatch_pipelines.reduction.ring_check import ring_notices
from ringwatch_pipelines.results import FitState, FrameResult, Refusal, TextureTrack, Tracked
from ringwatch_pipelines.scans import Measured, Scan
from ringwatch_pipelines.tracks.line_texture import LineTexture, line_of_layout
from ringwatch_pipelines.tracks.onsets import OnsetWatch
from ringwatch_pipelines.tracks.tracking import TrackerState, blank_tracked, track

__all__ = ["Analyser", "Recipe"]


class Analyser:
    """Analyses the frames of one run, in order.

    It remembers what the order decides: darks seen, the sum of the cadence, the tracks.

    Raises
    ------
    RingwatchError
        The recipe asks for something that its geometry or its fit does not have.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._operator = build_operator(
            geometry=recipe.geometry, corrections=recipe.corrections, binning=recipe.binning, store=recipe.store
        )
        self._darks = DarkStore(recipe.darks)
        self._dark_sums_of = DarkSumsOf(self._operator)
        self._sum = FrameSum(recipe.cadence)
        self._tracker = TrackerState()
        self._textures = tuple(
            LineTexture(
                line,
                geometry=recipe.geometry,
                corrections=recipe.corrections,
                axis=self.axis,
                lag=recipe.lag,
                store=recipe.store,
            )
            for line in recipe.texture
        )
        self._lag = LagMemory(recipe.lag)
        self._judge = LightJudge(recipe.light_watch)
        self._drift = _drift_correction(recipe, self._operator)
        self._counter = FrameCounter(
            self._operator,
            tuple(texture.operator for texture in self._textures),
            watches_rows=self._judge.watches,
            blocks=None if self._drift is None else self._drift.operator,
            zingers=recipe.zingers,
        )
        self._blank = _blank(recipe)
        self._onsets = OnsetWatch(recipe.onset)
        self._notices = FrameNotices(_ring_check(recipe, self.axis), shape=recipe.geometry.shape)

    @property
    def axis(self) -> RadialAxis:
        """Bins of every pattern."""
        return self._operator.axis

    @property
    def norm(self) -> FloatArray:
        """(bins,) normalisation at monitor 1."""
        return self._operator.norm

    @property
    def counter(self) -> FrameCounter:
        """Counts frames, for a source that hands them over as `CountedFrame`; the results are the same."""
        return self._counter

    @property
    def needs_images(self) -> bool:
        """Whether the next light frames have to bring their images, counted or not; once false, it stays so."""
        return not self._notices.rings_checked

    def blank(self, fit_state: FitState = FitState.NOT_FITTED) -> Tracked:
        """The tracks of a frame that was not fitted: every phase, line and peak, without values."""
        return replace(self._blank, fit_state=fit_state)

    def memory(self) -> AnalyserMemory:
        """What the frames so far leave to the next one."""
        tracker = self._tracker
        sums, began_ns = self._sum.begun
        return AnalyserMemory(
            darks=self._darks.memory(),
            parameters=tracker.parameters,
            chi_square=tracker.chi_square,
            misfits=tracker.misfits,
            sums=sums,
            sum_began_ns=began_ns,
            textures=tuple(texture.begun for texture in self._textures),
            onsets=self._onsets.memory,
            lags=tuple(lag.state for lag in self._lags),
            judge=self._judge.state,
            told_dark=self._notices.told_dark,
            told_offset=self._notices.told_offset,
            rings_checked=self._notices.rings_checked,
        )

    def recall(self, memory: AnalyserMemory) -> None:
        """Go on where another analyser of the same recipe was."""
        self._darks.recall(memory.darks)
        self._sum.resume(memory.sums, memory.sum_began_ns)
        for texture, sums in zip(self._textures, memory.textures, strict=True):
            texture.resume(sums)
        if self._recipe.fit is not None:
            self._tracker = TrackerState(
                layout=self._tracker.layout or layout_from_recipe(self._recipe.fit),
                two_theta_deg=None if memory.parameters is None else self.axis.mean_two_theta_deg,
                parameters=memory.parameters,
                chi_square=memory.chi_square,
                misfits=memory.misfits,
            )
        self._onsets.recall(memory.onsets)
        for lag, state in zip(self._lags, memory.lags, strict=True):
            lag.recall(state)
        self._judge.recall(memory.judge)
        self._notices.recall(
            told_dark=memory.told_dark, told_offset=memory.told_offset, rings_checked=memory.rings_checked
        )

    def analyse(self, frame: Measured, *, timestamp_ns: int) -> FrameResult:
        """Analyse the next frame of the run.

        Parameters
        ----------
        frame
            Dark or light, counted already or not.
        timestamp_ns
            UTC at mid-exposure, as the ledger settled it.

        Returns
        -------
        FrameResult
            A frame that cannot be used is a refusal with one sentence.

        Raises
        ------
        RingwatchError
            A contract is broken; poor data are told in the result.
        """
        if isinstance(frame, Scan):
            text = f"expected a frame of a detector, got a scan from {frame.origin}"
            return FrameResult(refusal=Refusal.WRONG_TYPE, text=text)
        return self._refuse_image(frame) or self._analyse_image(frame, timestamp_ns)

    def _refuse_image(self, frame: Frame) -> FrameResult | None:
        image = frame.counts if isinstance(frame, CountedFrame) else frame.image
        shape = self._recipe.geometry.shape
        if image.shape != shape:
            text = f"expected a frame of {shape} (rows, columns), got {image.shape} from {frame.origin}"
            return FrameResult(refusal=Refusal.WRONG_SHAPE, text=text)
        if image.dtype.kind not in "uif":
            text = f"expected real numbers, got {image.dtype} from {frame.origin}"
            return FrameResult(refusal=Refusal.WRONG_TYPE, text=text)
        return None

    def _analyse_image(self, frame: Frame, timestamp_ns: int) -> FrameResult:
        if frame.kind is FrameKind.DARK:
            return self._take_dark(frame, timestamp_ns)
        return self._refuse_monitor(frame) or self._analyse_light(frame, timestamp_ns)

    def _take_dark(self, frame: Frame, timestamp_ns: int) -> FrameResult:
        if not np.isfinite(frame.image).all():
            text = f"expected finite counts in a dark, got NaN or infinity from {frame.origin}"
            return FrameResult(refusal=Refusal.NOT_FINITE, text=text)
        for lag in self._lags:
            lag.without_light(unique_id=frame.unique_id)
        return FrameResult(dark_index=self._darks.take(frame, timestamp_ns=timestamp_ns))

    def _analyse_light(self, frame: Frame, timestamp_ns: int) -> FrameResult:
        choice = self._dark_for(frame, timestamp_ns)
        if choice.refusal is not None:
            return FrameResult(refusal=choice.refusal, text=choice.text)
        counts = frame.counts if isinstance(frame, CountedFrame) else self._counter.count(frame.image)
        integrated = self._integrated(frame, counts, choice.dark)
        if isinstance(integrated, FrameResult):
            return integrated
        notices = self._notices.of(frame, choice)
        self._follow_lines(frame, counts, choice.dark)
        tracked = self._track(integrated, timestamp_ns)
        return FrameResult(
            sums=integrated.sums,
            pattern=pattern_from_sums(sums=integrated.sums, axis=self.axis),
            tracked=tracked,
            dark_index=choice.index,
            saturated_pixels=integrated.saturated_pixels,
            notices=notices + self._onsets.take(tracked, timestamp_ns=timestamp_ns),
        )

    def _dark_for(self, frame: Frame, timestamp_ns: int) -> DarkChoice:
        choice = self._darks.choose(frame, timestamp_ns=timestamp_ns)
        # Taking a dark off twice would be worse than not at all.
        without = frame.offset_subtracted or (choice.dark is None and not self._recipe.dark_required)
        return DarkChoice(None) if without else choice

    def _integrated(self, frame: Frame, counts: FrameCounts, dark: Dark | None) -> Integrated | FrameResult:
        """The frame in bins with all corrections, or why it is no data."""
        verdict = self._judge.readout(counts.blank, dark)
        if verdict.refusal is not None:
            return self._refused(frame, verdict)
        if counts.pattern is None:
            return FrameResult(refusal=Refusal.WRONG_TYPE, text=counts.problem)
        verdict = self._judge.repetition(counts.pattern, blank=counts.blank)
        if verdict.refusal is not None:
            return self._refused(frame, verdict)
        integrated = self._operator.corrected(
            counts.pattern, dark=self._dark_sums_of(dark), monitor=self._monitor(frame)
        )
        if not integrated.sums.norm.any():
            text = f"not one pixel of frame {frame.unique_id} from {frame.origin} can be used"
            return FrameResult(refusal=Refusal.NOT_FINITE, text=text)
        sums = self._without_drift(frame, integrated.sums, counts, dark)
        sums = self._lag.taken_off(sums, unique_id=frame.unique_id, photon_variance=integrated.photon_variance)
        verdict = self._judge.light(frame, sums, monitor=self._monitor(frame))
        if verdict.refusal is not None:
            return self._refused(frame, verdict)
        return replace(integrated, sums=sums)

    def _without_drift(self, frame: Frame, sums: BinSums, counts: FrameCounts, dark: Dark | None) -> BinSums:
        if self._drift is None or counts.blocks is None or dark is None:
            return sums
        return self._drift.taken_off(sums, counts.blocks, dark=dark, monitor=self._monitor(frame))

    def _refused(self, frame: Frame, verdict: Verdict) -> FrameResult:
        """No data; a part of it may be seen again in the next frame."""
        for lag in self._lags[verdict.light_known :]:
            lag.unknown(unique_id=frame.unique_id)
        return FrameResult(refusal=verdict.refusal, text=f"frame {frame.unique_id}: {verdict.text}")

    @property
    def _lags(self) -> tuple[LagMemory, ...]:
        return (self._lag, *(texture.lag for texture in self._textures))

    def _follow_lines(self, frame: Frame, counts: FrameCounts, dark: Dark | None) -> None:
        for texture, window in zip(self._textures, counts.windows, strict=True):
            texture.add(window, dark=dark, monitor=self._monitor(frame), unique_id=frame.unique_id)

    def _track(self, integrated: Integrated, timestamp_ns: int) -> Tracked:
        whole = self._sum.add(integrated.sums, timestamp_ns=timestamp_ns)
        if whole is None:
            return self.blank(FitState.SUMMED)
        return self._fit(whole)

    def _fit(self, sums: BinSums) -> Tracked:
        # Taken out before the fit: should it fail, the next frame's texture is that of the next frame.
        textures = [(texture, texture.take_sums()) for texture in self._textures]
        if self._recipe.fit is None:
            return self.blank()
        pattern = pattern_from_sums(sums=sums, axis=self.axis)
        pattern = replace(pattern, two_theta_deg=self.axis.mean_two_theta_deg)
        self._tracker, fit, tracked = track(self._tracker, pattern, self._recipe.fit)
        return replace(tracked, texture=tuple(texture.track(fit, seen) for texture, seen in textures))

    def _monitor(self, frame: Frame) -> float:
        reference = self._recipe.monitor_reference
        return 1.0 if reference is None else frame.monitor / reference

    def _refuse_monitor(self, frame: Frame) -> FrameResult | None:
        if self._recipe.monitor_reference is None or 0.0 < frame.monitor < math.inf:
            return None
        if not math.isfinite(frame.monitor):
            came = "none" if math.isnan(frame.monitor) else f"{frame.monitor:g}"
            text = f"expected a monitor value with frame {frame.unique_id}, got {came} from {frame.origin}"
            return FrameResult(refusal=Refusal.NO_MONITOR, text=text)
        text = f"the monitor of frame {frame.unique_id} reads {frame.monitor:g}: no beam"
        return FrameResult(refusal=Refusal.NO_BEAM, text=text)


def _ring_check(recipe: Recipe, axis: RadialAxis) -> RingCheck | None:
    if recipe.ring_check is None:
        return None
    return partial(
        ring_notices,
        recipe=recipe.ring_check,
        geometry=recipe.geometry,
        corrections=recipe.corrections,
        axis=axis,
        store=recipe.store,
    )


def _drift_correction(recipe: Recipe, operator: IntegrationOperator) -> DriftCorrection | None:
    if recipe.blocks is None:
        return None
    blocks = build_block_operator(
        geometry=recipe.geometry,
        corrections=recipe.corrections,
        axis=operator.axis,
        blocks=recipe.blocks,
        store=recipe.store,
    )
    return DriftCorrection(blocks, fold=operator.fold, variance=recipe.corrections.variance)


def _blank(recipe: Recipe) -> Tracked:
    """Tracks without values; proves that the fit has every line that is to be reported or followed."""
    if recipe.fit is None:
        return Tracked(FitState.NOT_FITTED)
    layout = layout_from_recipe(recipe.fit)
    for line in recipe.texture:
        line_of_layout(layout, phase=line.phase.name, label=line.label)
    textures = tuple(TextureTrack(line.label) for line in recipe.texture)
    return replace(blank_tracked(recipe.fit, FitState.NOT_FITTED), texture=textures)

"""Frame in, result out: the one path of live, replayed and reprocessed frames.

counts in bins -> dark and lag -> pattern -> sum over the cadence -> whole-pattern fit -> tracks -> texture.

The first step needs no other frame: `Analyser.counter` may do it beforehand, wherever the frames are.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ringwatch_pipelines.analysis_memory import AnalyserMemory
from ringwatch_pipelines.errors import CorrectionError, PhaseError
from ringwatch_pipelines.fit.fit_layout import layout_from_recipe
from ringwatch_pipelines.fit.pattern_fit import FitRecipe
from ringwatch_pipelines.frames import Frame, FrameKind
from ringwatch_pipelines.patterns import BinSums, FloatArray, RadialAxis, pattern_from_sums
from ringwatch_pipelines.reduction.array_store import ArrayStore, NothingKept
from ringwatch_pipelines.reduction.block_offsets import ReadoutBlocks
from ringwatch_pipelines.reduction.cadence import Cadence, FrameSum
from ringwatch_pipelines.reduction.corrections import Corrections, Dark
from ringwatch_pipelines.reduction.counting import CountedFrame, FrameCounter, FrameCounts
from ringwatch_pipelines.reduction.darks import DarkStore, DarkSumsOf
from ringwatch_pipelines.reduction.drift_correction import DriftCorrection
from ringwatch_pipelines.reduction.frame_quality import LightJudge, LightWatch, Verdict
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import Binning, build_block_operator, build_operator
from ringwatch_pipelines.reduction.lag import Lag, LagMemory
from ringwatch_pipelines.reduction.operators import Integrated, IntegrationOperator
from ringwatch_pipelines.reduction.ring_check import RingCheckRecipe, ring_notices
from ringwatch_pipelines.reduction.zingers import ZingerRule
from ringwatch_pipelines.results import FitState, FrameResult, Notice, Refusal, TextureTrack, Tracked
from ringwatch_pipelines.scans import Measured, Scan
from ringwatch_pipelines.tracks.change_points import OnsetRule
from ringwatch_pipelines.tracks.line_texture import LineTexture, TextureRecipe, line_of_layout
from ringwatch_pipelines.tracks.onsets import OnsetWatch
from ringwatch_pipelines.tracks.tracking import TrackerState, blank_tracked, track


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Recipe:
    """Everything that decides a result, besides the frames.

    Parameters
    ----------
    darks
        Known before the run.
    dark_required
        Refuse a light frame for which no dark is valid.
    monitor_reference
        Monitor value at which intensities are left as they are; None where there is no monitor.
    fit
        None to make patterns only.
    texture
        Lines whose azimuthal distribution is followed; each belongs to a phase of the fit.
    ring_check
        Rings that must lie where the calibration says; None to take the calibration as it is.
    onset
        How the first appearance of a minor phase is looked for; None to look for none.
    lag
        Residual image of earlier frames, to be taken off.
    light_watch
        Which frames are refused for their light; None to take every frame.
    blocks
        Readout blocks whose offsets drift; None to take the dark as it is.
    zingers
        Struck pixels to leave out; None for none.
    store
        Remembers what takes long to work out of the geometry; no result depends on it.
    """

    geometry: Geometry
    corrections: Corrections
    binning: Binning
    darks: tuple[Dark, ...] = ()
    dark_required: bool = False
    monitor_reference: float | None = None
    cadence: Cadence = field(default_factory=Cadence)
    fit: FitRecipe | None = None
    texture: tuple[TextureRecipe, ...] = ()
    ring_check: RingCheckRecipe | None = None
    onset: OnsetRule | None = None
    lag: Lag = field(default_factory=Lag)
    light_watch: LightWatch | None = field(default_factory=LightWatch)
    blocks: ReadoutBlocks | None = None
    zingers: ZingerRule | None = None
    store: ArrayStore = field(default_factory=NothingKept)

    def __post_init__(self) -> None:
        for dark in self.darks:
            if dark.image.shape != self.geometry.shape:
                raise CorrectionError(
                    f"the dark from {dark.origin} must have the detector's shape {self.geometry.shape}, "
                    f"got {dark.image.shape}"
                )
        if self.texture and self.fit is None:
            raise PhaseError(f"the texture of {self.texture[0].label} cannot be followed without a fit")


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
        self._rings_checked = recipe.ring_check is None
        self._told_offset = False
        self._told_dark = -1

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
        return not self._rings_checked

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
            told_dark=self._told_dark,
            told_offset=self._told_offset,
            rings_checked=self._rings_checked,
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
        self._told_dark, self._told_offset = memory.told_dark, memory.told_offset
        self._rings_checked = memory.rings_checked

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
        choice = self._darks.choose(frame, timestamp_ns=timestamp_ns)
        if frame.offset_subtracted:
            # Taking a dark off twice would be worse than not at all.
            dark, dark_index = None, -1
        elif choice.dark is None and self._recipe.dark_required:
            return FrameResult(refusal=choice.refusal, text=choice.text)
        else:
            dark, dark_index = choice.dark, choice.index
        counts = frame.counts if isinstance(frame, CountedFrame) else self._counter.count(frame.image)
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
        integrated = replace(integrated, sums=sums)
        verdict = self._judge.light(frame, integrated.sums, monitor=self._monitor(frame))
        if verdict.refusal is not None:
            return self._refused(frame, verdict)
        notices = self._notices(frame, dark, dark_index)
        self._follow_lines(frame, counts, dark)
        tracked = self._track(integrated, timestamp_ns)
        return FrameResult(
            sums=integrated.sums,
            pattern=pattern_from_sums(sums=integrated.sums, axis=self.axis),
            tracked=tracked,
            dark_index=dark_index,
            saturated_pixels=integrated.saturated_pixels,
            notices=notices + self._onsets.take(tracked, timestamp_ns=timestamp_ns),
        )

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

    def _notices(self, frame: Frame, dark: Dark | None, dark_index: int) -> tuple[Notice, ...]:
        notices: list[Notice] = []
        if dark is not None and dark_index != self._told_dark:
            self._told_dark = dark_index
            text = f"dark {dark_index} is taken off: mean of {dark.frames} from {dark.origin}, sha256 {dark.checksum}"
            notices.append(Notice("DARK", text))
        if frame.offset_subtracted and not self._told_offset:
            self._told_offset = True
            text = "the detector takes its own dark off its frames; no other dark is taken off, counts below it are cut"
            notices.append(Notice("OFFSET_SUBTRACTED", text, standing=True))
        if not self._rings_checked and frame.image.shape == self._recipe.geometry.shape:
            notices.extend(self._check_rings(frame, dark))
        return tuple(notices)

    def _check_rings(self, frame: Frame, dark: Dark | None) -> tuple[Notice, ...]:
        recipe = self._recipe
        assert recipe.ring_check is not None
        self._rings_checked = True
        return ring_notices(
            frame.image,
            recipe=recipe.ring_check,
            geometry=recipe.geometry,
            corrections=recipe.corrections,
            axis=self.axis,
            dark=dark,
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

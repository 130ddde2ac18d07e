"""Scan in, result out: the same fit and tracks as for frames, without an integration before them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ringwatch_pipelines.cell.timeline import BoolArray
from ringwatch_pipelines.crystals.phases import Phase, label_from_hkl
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.patterns import BinSums, FloatArray, RadialAxis, pattern_from_sums
from ringwatch_pipelines.reduction.cadence import Cadence, FrameSum
from ringwatch_pipelines.results import FitState, FrameResult, Notice, Refusal, Tracked
from ringwatch_pipelines.scans import (
    Measured,
    Scan,
    Sweep,
    axis_from_scan,
    measured_at_from_angle,
    points_outside,
    sums_from_scan,
)
from ringwatch_pipelines.tracks.change_points import OnsetRule
from ringwatch_pipelines.tracks.onsets import OnsetWatch
from ringwatch_pipelines.tracks.tracking import TrackerState, blank_tracked, track


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ScanRecipe:
    """Everything that decides a result, besides the scans.

    Parameters
    ----------
    wavelength_m
        Wavelength of the beam.
    monitor_reference
        Monitor value at which intensities are left as they are; None where there is no monitor.
    fit
        None to take the patterns as they are.
    sweep
        Which angles of a scan are older.
    onset
        How the first appearance of a minor phase is told; None to look for none.
    """

    wavelength_m: float
    monitor_reference: float | None = None
    cadence: Cadence = field(default_factory=Cadence)
    fit: FitRecipe | None = None
    onset: OnsetRule | None = None
    sweep: Sweep = Sweep.RISING


class ScanAnalyser:
    """Analyses the scans of one run, in order, on the angles of the first."""

    def __init__(self, recipe: ScanRecipe) -> None:
        self._recipe = recipe
        self._axis: RadialAxis | None = None
        self._norm: FloatArray | None = None
        self._sum = FrameSum(recipe.cadence)
        self._tracker = TrackerState()
        self._onsets = OnsetWatch(recipe.onset)
        self._told: set[str] = set()
        self._phase_times: tuple[tuple[str, float], ...] = ()

    def begin(self, scan: Scan) -> None:
        """Take the angles of the run from its first scan.

        Raises
        ------
        PatternError
            Its points are too few, or not of equal steps.
        """
        axis = axis_from_scan(scan)
        self._norm = sums_from_scan(scan, axis=axis).norm
        self._axis = axis

    @property
    def axis(self) -> RadialAxis:
        """Bins of every pattern, known from the first scan on."""
        if self._axis is None:
            raise PatternError("the angles of a run of scans are not known before its first scan")
        return self._axis

    @property
    def norm(self) -> FloatArray:
        """(bins,) points of the first scan in each bin."""
        if self._norm is None:
            raise PatternError("the angles of a run of scans are not known before its first scan")
        return self._norm

    @property
    def measured_at(self) -> FloatArray:
        """(bins,) when within a scan each bin is measured: 0 at its start, 1 at its end."""
        return self._measured_at(self.axis.two_theta_deg)

    @property
    def phases_measured_at(self) -> tuple[tuple[str, float], ...]:
        """The same for each phase: the mean over its lines, by their reference intensities."""
        fit = self._recipe.fit
        return () if fit is None else tuple((phase.name, self._phase_at(phase, fit)) for phase in fit.phases)

    @property
    def lines_measured_at(self) -> Mapping[str, Mapping[str, float]]:
        """The same for each line that lies in the scan, by its phase and its Miller indices written together."""
        fit = self._recipe.fit
        return {} if fit is None else {phase.name: self._lines_at(phase, fit) for phase in fit.phases}

    def _phase_at(self, phase: Phase, fit: FitRecipe) -> float:
        two_theta_deg, seen = self._lines_of(phase, fit)
        weight = phase.reflections.relative_intensity * seen
        return float(np.average(self._measured_at(two_theta_deg), weights=weight)) if weight.any() else 0.5

    def _lines_at(self, phase: Phase, fit: FitRecipe) -> dict[str, float]:
        two_theta_deg, seen = self._lines_of(phase, fit)
        times = self._measured_at(two_theta_deg).tolist()
        lines = zip(phase.reflections.hkl, times, seen, strict=True)
        return {label_from_hkl(hkl): at for hkl, at, inside in lines if inside}

    @staticmethod
    def _lines_of(phase: Phase, fit: FitRecipe) -> tuple[FloatArray, BoolArray]:
        """(lines,) angles of the configured lattice, and which of them the fit sees."""
        two_theta_deg, _ = phase.lattice.two_theta_deg(hkl=phase.reflections.hkl, wavelength_m=fit.wavelength_m)
        low_deg, high_deg = fit.two_theta_range_deg
        seen = (two_theta_deg >= low_deg) & (two_theta_deg <= high_deg) & (phase.reflections.relative_intensity > 0)
        return two_theta_deg, seen

    def _measured_at(self, two_theta_deg: FloatArray) -> FloatArray:
        angles = self.axis.two_theta_deg
        span_deg = (float(angles[0]), float(angles[-1]))
        return measured_at_from_angle(two_theta_deg=two_theta_deg, span_deg=span_deg, sweep=self._recipe.sweep)

    def blank(self, fit_state: FitState = FitState.NOT_FITTED) -> Tracked:
        """The tracks of a scan that was not fitted: every phase, line and peak, without values."""
        return Tracked(fit_state) if self._recipe.fit is None else blank_tracked(self._recipe.fit, fit_state)

    def analyse(self, frame: Measured, *, timestamp_ns: int) -> FrameResult:
        """Analyse the next scan of the run.

        Parameters
        ----------
        frame
            A scan.
        timestamp_ns
            UTC at the middle of the scan, as the ledger settled it.

        Returns
        -------
        FrameResult
            A scan that cannot be used is a refusal with one sentence.
        """
        if isinstance(frame, Frame):
            text = f"expected a scan, got a frame of {frame.image.shape} (rows, columns) from {frame.origin}"
            return FrameResult(refusal=Refusal.WRONG_TYPE, text=text)
        monitor = self._monitor(frame)
        if not 0.0 < monitor < math.inf:
            text = f"expected a monitor value with scan {frame.unique_id}, got {frame.monitor:g} from {frame.origin}"
            return FrameResult(refusal=Refusal.NO_MONITOR, text=text)
        try:
            sums = sums_from_scan(frame, axis=self.axis, monitor=monitor)
        except PatternError as error:
            return FrameResult(refusal=Refusal.WRONG_SHAPE, text=str(error))
        tracked = replace(self._track(sums, timestamp_ns), later_s=self._later_s(frame))
        return FrameResult(
            sums=sums,
            pattern=pattern_from_sums(sums=sums, axis=self.axis),
            tracked=tracked,
            notices=self._notices(frame) + self._onsets.take(tracked, timestamp_ns=timestamp_ns),
        )

    def _track(self, sums: BinSums, timestamp_ns: int) -> Tracked:
        whole = self._sum.add(sums, timestamp_ns=timestamp_ns)
        if whole is None:
            return self.blank(FitState.SUMMED)
        if self._recipe.fit is None:
            return self.blank()
        pattern = pattern_from_sums(sums=whole, axis=self.axis)
        self._tracker, _, tracked = track(self._tracker, pattern, self._recipe.fit)
        return tracked

    def _later_s(self, scan: Scan) -> tuple[tuple[str, float], ...]:
        """How much later than the middle of the scan each phase was measured; where only one moment is known, then."""
        if not np.isfinite(scan.exposure_s):
            return ()
        self._phase_times = self._phase_times or self.phases_measured_at
        return tuple((name, (share - 0.5) * scan.exposure_s) for name, share in self._phase_times)

    def _monitor(self, scan: Scan) -> float:
        reference = self._recipe.monitor_reference
        return 1.0 if reference is None else scan.monitor / reference

    def _notices(self, scan: Scan) -> tuple[Notice, ...]:
        notices = []
        if scan.sigma is None and "SIGMA" not in self._told:
            self._told.add("SIGMA")
            text = f"no sigma stands beside the intensities of {scan.origin}: they are taken as counts"
            notices.append(Notice("SIGMA_OF_COUNTS", text, standing=True))
        outside = points_outside(scan, self.axis)
        if outside and "OUTSIDE" not in self._told:
            self._told.add("OUTSIDE")
            text = f"{outside} points beyond the angles of the first scan are left out of {scan.origin}"
            notices.append(Notice("POINTS_OUTSIDE", text))
        return tuple(notices)

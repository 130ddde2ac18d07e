"""Records of a made-up run, as the stages of the daemon would hand them to a sink."""

from dataclasses import replace

import numpy as np

from ringwatch_daemon.core.columns import columns_from_tracked, fixed_tables_from_tracked
from ringwatch_daemon.core.records import (
    CellStateUpdate,
    CyclingSamples,
    Event,
    FrameRecord,
    FrameState,
    Provenance,
    QueueLevel,
    RunStart,
    RunStop,
    Status,
    Totals,
)
from ringwatch_pipelines.cell.cycling import CellState, Coupling, CyclerSamples
from ringwatch_pipelines.patterns import Pattern, RadialAxis
from ringwatch_pipelines.results import (
    Estimate,
    FitState,
    FrameResult,
    FreePhaseTrack,
    LinePhaseTrack,
    LineTrack,
    PeakState,
    PeakTable,
    ReferencePhaseTrack,
    TextureTrack,
    Tracked,
)

START_NS = 1_790_000_000_000_000_000
FRAME_NS = 1_000_000_000
REPORTED = (("lagp", ("113", "104")),)
HKL = np.array([[0, 1, 2], [1, 0, 4], [1, 1, 3]], dtype=np.int32)

PROVENANCE = (
    Provenance("sample/name", "Li | LAGP | Li"),
    Provenance("sample/temperature", 298.15, "K"),
    Provenance("instrument/name", "a beamline"),
    Provenance("instrument/source/name", "a synchrotron"),
    Provenance("instrument/source/type", "Synchrotron X-ray Source"),
    Provenance("instrument/source/probe", "x-ray"),
    Provenance("instrument/monochromator/wavelength", 0.1173, "angstrom"),
    Provenance("instrument/monochromator/energy", 105.7, "keV"),
    Provenance("instrument/detector/name", "13PE1:"),
    Provenance("instrument/detector/shape", np.array([2048, 2048], dtype=np.int64)),
    Provenance("solid_angle_applied", value=True),
    Provenance("polarization_applied", value=True),
    Provenance("monitor_applied", value=False),
    Provenance("reduction/input/mask_sha256", "ab" * 32),
    Provenance("reduction/input/configuration", "[detector]\nprefix = '13PE1:'\n" * 40),
    Provenance("reduction/input/polarization_factor", 0.99),
    Provenance("reduction/versions/numpy", "2.4.6"),
)


def tracked(value: float = 1.0, *, state: FitState = FitState.CONVERGED, peaks: int = 3) -> Tracked:
    """Tracks whose every number derives from `value`."""
    estimate = Estimate(value, 0.01 * abs(value))
    present = PeakState.PRESENT
    row = np.full(peaks, value)
    hkl = np.array([[index // 25, index // 5 % 5, index % 5] for index in range(peaks)], dtype=np.int32)
    hkl[: len(HKL)] = HKL[:peaks]
    table = PeakTable(hkl, row, row / 100, row / 1000, row * 2, row / 50, row / 3)
    lines = tuple(LineTrack(label, estimate, present, 2 * value) for label in ("110", "200", "211"))
    return Tracked(
        fit_state=state,
        chi_square=value,
        phases=(
            FreePhaseTrack("lagp", present, (("a", estimate), ("c", estimate)), estimate, estimate, table),
            LinePhaseTrack("li", present, (("a", estimate),), lines, estimate, present, ("110", "200")),
            ReferencePhaseTrack("lioh", PeakState.ABSENT, estimate, value, value),
        ),
        hump=estimate,
        texture=(TextureTrack("110", estimate, estimate, estimate),),
    )


def run_start(*, run_id: str = "run_one", bins: int = 64, peaks: int = 3) -> RunStart:
    """The start of a run with `bins` bins and every kind of column."""
    blank = tracked(float("nan"), state=FitState.NOT_FITTED, peaks=peaks)
    return RunStart(
        run_id=run_id,
        started_ns=START_NS,
        axis=RadialAxis(np.linspace(1.0, 5.0, bins + 1)),
        norm=np.linspace(100.0, 200.0, bins),
        columns=columns_from_tracked(blank, reported=REPORTED),
        provenance=PROVENANCE,
        fixed_tables=fixed_tables_from_tracked(blank),
    )


def pattern(row: int, *, bins: int = 64) -> Pattern:
    """A pattern that tells its row in every bin but the first, which is empty."""
    intensity = np.full(bins, float(row))
    intensity[0] = np.nan
    sigma = np.sqrt(intensity + 1)
    return Pattern(np.linspace(1.0, 5.0, bins), intensity, sigma, np.full(bins, 100.0))


def frame_record(row: int, *, bins: int = 64, peaks: int = 3) -> FrameRecord:
    """A frame that was processed; its numbers tell its row."""
    return FrameRecord(
        row=row,
        unique_id=row + 1000,
        timestamp_ns=START_NS + row * FRAME_NS,
        received_ns=START_NS + row * FRAME_NS + 5_000_000,
        exposure_s=0.5,
        monitor=1.0e5,
        state=FrameState.PROCESSED,
        reason="",
        text="",
        result=FrameResult(pattern=pattern(row, bins=bins), tracked=tracked(float(row + 1), peaks=peaks), dark_index=0),
        cell=CellState(voltage_V=0.1 * row, current_A=1e-3, cycle=1, half_cycle=2, step=3, state=Coupling.KNOWN),
    )


def lost_record(row: int, *, reason: str = "GAP_IN_ID") -> FrameRecord:
    """A frame that never came."""
    return replace(
        frame_record(row),
        state=FrameState.LOST,
        reason=reason,
        text="the detector counted it, nobody saw it",
        exposure_s=float("nan"),
        monitor=float("nan"),
        result=None,
        cell=CellState(state=Coupling.AFTER_LAST_SAMPLE),
    )


def cycling_samples(first: int = 0, count: int = 5) -> CyclingSamples:
    """Samples `first` to `first + count` of the cycler, 10 s apart."""
    index = np.arange(first, first + count, dtype=np.int64)
    stamps = START_NS + index * 10 * FRAME_NS
    return CyclingSamples(
        CyclerSamples(
            timestamp_ns=stamps,
            cycler_timestamp_ns=stamps - 2 * FRAME_NS,
            voltage_V=0.1 * index,
            current_A=np.full(count, 1e-3),
            cycle=np.ones(count, dtype=np.int64),
            step=index,
            charge_C=index * 0.01,
        )
    )


def cell_state_update(*rows: int) -> CellStateUpdate:
    """States that came late for `rows`; the voltage tells the row."""
    states = tuple(CellState(voltage_V=float(row), half_cycle=row, state=Coupling.KNOWN) for row in rows)
    return CellStateUpdate(np.array(rows, dtype=np.int64), states)


def event(row: int = -1, kind: str = "GAP") -> Event:
    """Something to see, without an uncertainty."""
    return Event(START_NS + row * FRAME_NS, row, kind, "one frame is missing before this one")


def status(announced: int = 1) -> Status:
    """A healthy daemon with one queue."""
    return Status(
        timestamp_ns=START_NS,
        source_state="CONNECTED",
        source_text="13PE1:Pva1:Image",
        totals=totals(announced),
        queues=(QueueLevel("frames", 1, 2, 64, 0),),
    )


def totals(announced: int) -> Totals:
    """Totals of a run that lost one frame."""
    return Totals(announced, announced - 1, 0, 1, (("GAP_IN_ID", 1),))


def run_stop(announced: int = 1) -> RunStop:
    """The end of a run that lost one frame."""
    return RunStop(START_NS + 3600 * FRAME_NS, "asked to stop", totals(announced), ("RING_SELF_TEST_FAILED",))

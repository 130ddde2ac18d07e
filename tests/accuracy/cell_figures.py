"""What the cell's side finds in simulated runs: the cycler's clock, short circuits, onsets, and what it must reach."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from accuracy.cell_runs import write_run
from accuracy.courses import START_NS
from accuracy.figures import Figure
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.cyclers.csv_file import CsvCycler, CsvCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn
from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.clock import ClockRelation
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_simulators.cell_current import ShortCircuits
from ringwatch_simulators.cell_model import CellModel
from ringwatch_simulators.cycler import Cycler
from ringwatch_simulators.scenario import Scenario, scenario_named

NS_PER_H = 3.6e12
LIOH_H = 120.0
LAYOUT = TableLayout(
    time=TimeColumn("time"), voltage=ValueColumn("voltage_V", "V"), current=ValueColumn("current_A", "A"), step="step"
)
SHORTS = {"SHORT_CIRCUIT_SOFT": "soft_h", "SHORT_CIRCUIT_HARD": "hard_h"}


@dataclass(frozen=True, slots=True)
class CellRun:
    """What one run found: dates in hours by the kind of the event, and the last clock with its truth."""

    seed: int
    dates_h: dict[str, float]
    offset_s: float = np.nan
    offset_sigma_s: float = np.nan
    true_offset_s: float = np.nan


def shorted(seed: int, frames: int) -> Scenario:
    """The full course with both short circuits and a cycler whose clock is wrong."""
    return replace(scenario_named("shorted", seed=seed), frames=frames, darks=8)


def sound(seed: int, frames: int) -> Scenario:
    """The same cell without a short circuit and without a new phase."""
    scenario = shorted(seed, frames)
    cell = replace(scenario.cell, shorts=ShortCircuits(), lioh_share=0.0, alpo4_share=0.0, hump_counts=0.0)
    return replace(scenario, cell=cell)


def measured_run(scenario: Scenario, burn_in_frames: int = 40) -> CellRun:
    """Simulate and analyse a run, with its clock measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_run(scenario, Path(folder), cycler='clock = "measured"', burn_in_frames=burn_in_frames)
        with h5py.File(path) as file:
            return _run_from_file(scenario, file["entry"])


def _run_from_file(scenario: Scenario, entry: h5py.Group) -> CellRun:
    kinds = [kind.decode() for kind in entry["events/kind"][()]]
    hours = ((entry["events/timestamp_ns"][()] - START_NS) / NS_PER_H).tolist()
    dates_h = {kind: hour for kind, hour in zip(kinds, hours, strict=True) if kind.startswith(("ONSET", "SHORT"))}
    clock = entry["cycling/clock"]
    if not clock["offset_s"].size:
        return CellRun(scenario.seed, dates_h)
    reference_ns, offset_s, sigma_s = (clock[name][-1] for name in ("reference_ns", "offset_s", "offset_s_errors"))
    true_s = true_clock(scenario).at(int(reference_ns)).offset_s
    return CellRun(scenario.seed, dates_h, float(offset_s), float(sigma_s), true_s)


def true_clock(scenario: Scenario) -> ClockRelation:
    """From the cycler's clock to the detector's: the inverse of ``cycler = data + offset + drift (data - start)``."""
    options = scenario.cycler
    ahead_ns = round(options.clock_offset_s * 1e9)
    drift = 1e-6 * options.clock_drift_ppm
    return ClockRelation(-options.clock_offset_s, -1e6 * drift / (1.0 + drift), START_NS + ahead_ns)


def clock_figures(runs: list[CellRun]) -> list[Figure]:
    """How far off the measured clocks are, and whether their errors hold."""
    error_s = np.array([run.offset_s - run.true_offset_s for run in runs])
    pulls = error_s / np.array([run.offset_sigma_s for run in runs])
    told = ", ".join(f"{error:+.0f}" for error in error_s)
    within = bool(np.all(np.abs(pulls) < 3.0))
    return [
        Figure(
            "clock: measured less true offset", f"{told} s", "within 40 s", met=bool(np.all(np.abs(error_s) < 40.0))
        ),
        Figure("clock: the same in stated sigmas", ", ".join(f"{pull:+.1f}" for pull in pulls), "within 3", met=within),
    ]


def date_figures(runs: list[CellRun], scenario: Scenario) -> list[Figure]:
    """Onset and short circuits of full runs against the truth."""
    shorts = scenario.cell.shorts
    half_h = scenario.cell.half_cycle_h
    assert shorts.soft_h is not None
    assert shorts.hard_h is not None
    return [
        _date("LiOH: date less its onset", runs, "ONSET_LIOH", LIOH_H, 3.0),
        _date("soft short circuit: date less truth", runs, "SHORT_CIRCUIT_SOFT", shorts.soft_h, 2.0 * half_h),
        _date("hard short circuit: date less truth", runs, "SHORT_CIRCUIT_HARD", shorts.hard_h, 1.1 * half_h),
    ]


def null_run_figures(runs: list[CellRun]) -> list[Figure]:
    """Nothing may be found where nothing is."""
    found = [f"{run.seed}: {kind}" for run in runs for kind in run.dates_h]
    return [Figure(f"events in {len(runs)} null runs", ", ".join(found) or "none", "none", met=not found)]


def _date(name: str, runs: list[CellRun], kind: str, true_h: float, most_h: float) -> Figure:
    errors_h = [run.dates_h.get(kind, np.inf) - true_h for run in runs]
    told = ", ".join(f"{error:+.2f}" for error in errors_h)
    return Figure(name, f"{told} h", f"to {most_h:.1f} h", met=all(abs(error) <= most_h for error in errors_h))


def short_circuit_dates(seed: int, shorts: ShortCircuits, folder: Path) -> dict[str, tuple[float, float]]:
    """What the cycler's file alone tells: date and sigma in hours by the kind of the event."""
    scenario = scenario_named("shorted", seed=seed)
    cell = replace(scenario.cell, shorts=shorts)
    path = folder / f"{seed}.csv"
    options = replace(scenario.cycler, path=path, seed=seed, clock_offset_s=0.0, clock_drift_ppm=0.0)
    cycler = Cycler(CellModel(cell), start_ns=START_NS, begin_ns=START_NS, options=options)
    cycler.advance(START_NS + int(cell.duration_h * NS_PER_H))
    timeline = Timeline(max_gap_s=3600.0)
    coupler, watch = Coupler(timeline, area_cm2=cell.area_cm2), CellWatch(timeline)
    reader = CsvCycler(CsvCyclerConfig(path, LAYOUT), clock=SystemClock())
    found = {}
    while (samples := reader.poll()) is not None:
        coupler.take_samples(samples)
        for notice in watch.look():
            assert notice.timestamp_ns is not None
            found[notice.kind] = ((notice.timestamp_ns - START_NS) / NS_PER_H, notice.sigma_h)
    reader.close()
    return found


def short_circuit_figures(seeds: range) -> list[Figure]:
    """Many cyclers' files: short circuits at random times, and as many without."""
    random = np.random.default_rng(5)
    half_h = scenario_named("shorted").cell.half_cycle_h
    errors: dict[str, list[float]] = {kind: [] for kind in SHORTS}
    false = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            shorts = random_shorts(random)
            found = short_circuit_dates(seed, shorts, Path(folder))
            for kind, name in SHORTS.items():
                errors[kind].append((found.get(kind, (np.inf, 0.0))[0] - getattr(shorts, name)) / half_h)
            false += len(short_circuit_dates(1000 + seed, ShortCircuits(), Path(folder)))
    limits = {"SHORT_CIRCUIT_SOFT": 2.0, "SHORT_CIRCUIT_HARD": 1.1}
    figures = [
        Figure(
            f"{len(seeds)} cells: {kind.lower().replace('_', ' ')}, furthest date",
            f"{np.abs(errors[kind]).max():.2f} half-cycles",
            f"within {limit}",
            met=bool(np.abs(errors[kind]).max() <= limit),
        )
        for kind, limit in limits.items()
    ]
    return [*figures, Figure(f"{len(seeds)} sound cells: short circuits", f"{false}", "none", met=false == 0)]


def random_shorts(random: np.random.Generator) -> ShortCircuits:
    """A soft and a hard short circuit at any time and of any depth."""
    soft_h = float(random.uniform(60.0, 230.0))
    return ShortCircuits(
        soft_h=soft_h,
        hard_h=soft_h + float(random.uniform(25.0, 80.0)),
        soft_share=float(random.uniform(0.4, 0.7)),
        hard_share=float(random.uniform(0.005, 0.04)),
        flicker=float(random.uniform(0.0, 0.05)),
    )

"""`reprocess` of full-size frames, against its own stages one by one, and against plain scripts around pyFAI.

Beginnings are left out everywhere: the operator is built, the rings are checked and the first fit is cold once a run.
"""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import fabio
import h5py
import numpy as np
import pyFAI
from fabio.tifimage import TifImage
from rich.console import Console
from threadpoolctl import threadpool_limits

from benchmarks.lmfit_model import LmfitModel
from benchmarks.measuring import Ratio, Report, Timing
from fakes.beamlines import lagp_beamline_without_metadata
from ringwatch_daemon.app import carry_out
from ringwatch_daemon.composition.frame_sources import file_source
from ringwatch_daemon.composition.recipes import recipe_from_settings
from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.core.records import FrameRecord, Record
from ringwatch_daemon.offline import reprocess
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sources.frame_reading import FrameReading, Stretch
from ringwatch_daemon.sources.read_ahead import ReadingThreads
from ringwatch_pipelines.analysis import Analyser
from ringwatch_pipelines.fit.fit_bins import bins_from_pattern
from ringwatch_pipelines.fit.pattern_fit import fit_pattern, layout_from_recipe
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.patterns import Pattern
from ringwatch_pipelines.reduction.counting import with_counts
from ringwatch_simulators.supply import Exposure

FRAMES, WARM = 192, 12
ROUNDS = 3
OVERLAP_AT_LEAST, PYFAI_AT_LEAST = 0.8, 8.0
READING, ANALYSIS, WRITING, WHOLE = (
    "reading and counting",
    "analysis in order",
    "writing the file",
    "ringwatch reprocess",
)
METHODS = {
    "pyFAI script, CSR, no splitting": ("no", "csr", "cython"),
    "pyFAI script, histogram, no splitting": ("no", "histogram", "cython"),
    "pyFAI script, its default (CSR, bounding boxes)": ("bbox", "csr", "cython"),
}
WITH_FIT = "pyFAI script, CSR, no splitting, fitted with lmfit"
FITTED = 24
"""Frames that the script with lmfit gets: it takes so long."""


class Listener:
    """A sink that keeps what it hears, and when each frame came."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.times_s: list[float] = []

    def accept(self, record: Record) -> None:
        self.records.append(record)
        if isinstance(record, FrameRecord):
            self.times_s.append(time.perf_counter())

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is held."""


class Work:
    """Files of a changing cell on a full-size panel, with all that reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration, frames = lagp_beamline_without_metadata(folder, "lagp-demo")
        darks = frames.scenario.darks
        for index in (0, *range(darks, darks + FRAMES)):
            name = f"light_{index:04d}.tif" if index else "dark.tif"
            TifImage(data=frames.frame(Exposure(index, 60.0)).image).write(str(folder / name))
        self.files = sorted(folder.glob("light_*.tif"))
        self.settings = load_settings(self.configuration)
        self.recipe = recipe_from_settings(self.settings)

    def whole(self) -> Iterator[float]:
        """When each frame was through the whole program."""
        heard = Listener()
        plan = RunPlan(
            settings=self.settings,
            configuration=self.configuration.read_text(encoding="utf-8"),
            source=file_source(self.settings, tuple(map(str, self.files))),
            overflow=Overflow.WAIT,
            output=self.folder / "run.h5",
            overwrite=True,
            publish=False,
            watchers=(heard,),
            readers=ReadingThreads,
        )
        carry_out(plan, stop=Event())
        self.heard = heard.records
        yield from heard.times_s

    def reading(self) -> Iterator[float]:
        """When each file was read and counted, by one thread."""
        reading = FrameReading(counter=self.analyser().counter.on_one_thread())
        for file in self.files:
            reading.read(Stretch(str(file)), keep_images=False)
            yield time.perf_counter()

    def analysis(self) -> Iterator[float]:
        """When each counted frame was analysed."""
        analyser = self.analyser()
        counter = analyser.counter.on_one_thread()
        frames = []
        for number, file in enumerate(self.files):
            image = fabio.open(str(file)).data
            frame = Frame(number, number * 10**9, 0, 60.0, image)
            frames.append(with_counts(frame, counter.count(image)))
        for frame in frames:
            analyser.analyse(frame, timestamp_ns=frame.timestamp_ns)
            yield time.perf_counter()

    def writing(self) -> Iterator[float]:
        """When each row was written; `whole` has run before."""
        sink = NexusFile(path=self.folder / "rows.h5", overwrite=True)
        for record in self.heard:
            sink.accept(record)
            sink.flush()
            if isinstance(record, FrameRecord):
                yield time.perf_counter()
        sink.close()

    def analyser(self) -> Analyser:
        """A new one; nothing is left from another round."""
        return Analyser(self.recipe)

    def by_pyfai(self, method: tuple[str, str, str]) -> Iterator[float]:
        """When each file was integrated and written by what a user of pyFAI would write, without any fit."""
        integrator = pyFAI.load(str(self.folder / "geometry.poni"))
        mask, dark = (fabio.open(str(self.folder / name)).data for name in ("mask.edf", "dark.tif"))
        binning = self.settings.binning
        with h5py.File(self.folder / "pyfai.h5", "w") as output:
            rows = [output.create_dataset(name, (FRAMES, binning.bins), dtype="f4") for name in ("I", "I_errors")]
            for number, file in enumerate(self.files):
                result = integrator.integrate1d_ng(
                    fabio.open(str(file)).data,
                    binning.bins,
                    unit="2th_deg",
                    radial_range=(binning.two_theta_min_deg, binning.two_theta_max_deg),
                    method=method,
                    mask=mask,
                    dark=dark,
                    polarization_factor=self.settings.geometry.polarization,
                    error_model="poisson",
                )
                rows[0][number], rows[1][number] = result.intensity, result.sigma
                yield time.perf_counter()

    def by_pyfai_and_lmfit(self) -> Iterator[float]:
        """As `by_pyfai`, and each pattern fitted with the model of the daemon, from the fit of the one before."""
        layout = layout_from_recipe(self.recipe.fit)
        with h5py.File(self.folder / "pyfai.h5", "r") as patterns:
            intensity, sigma = (patterns[name][:FITTED] for name in ("I", "I_errors"))
        angle = self.analyser().axis.mean_two_theta_deg
        rows = [
            Pattern(angle, *map(np.float64, row), np.ones(angle.size)) for row in zip(intensity, sigma, strict=True)
        ]
        found = fit_pattern(pattern=rows[0], layout=layout).parameters
        for row, _ in zip(rows, self.by_pyfai(METHODS["pyFAI script, CSR, no splitting"]), strict=False):
            bins = bins_from_pattern(pattern=row, recipe=layout.recipe)
            found = LmfitModel(layout, bins, start=found).shape_only()
            yield time.perf_counter()


def frame_s(times: Callable[[], Iterator[float]]) -> float:
    """Time from frame to frame, once warm: the slope of all, as some come in batches."""
    stamps = list(times())[WARM:]
    return float(np.polyfit(np.arange(len(stamps)), stamps, deg=1)[0])


@contextmanager
def work() -> Iterator[Work]:
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, user_api="blas"):
        yield Work(Path(folder))


def require_same_result(done: Work) -> None:
    """What is timed is what the command does."""
    list(done.whole())
    console = Console(file=io.StringIO())
    output = done.folder / "command.h5"
    files = list(map(str, done.files))
    reprocess(done.configuration, files, output, overwrite=True, stop=Event(), console=console)
    with h5py.File(output) as one, h5py.File(done.folder / "run.h5") as other:
        for name in ("azint1d/I", "tracking/lagp/a", "tracking/li/ratio"):
            if one[f"entry/{name}"][()].tobytes() != other[f"entry/{name}"][()].tobytes():
                raise AssertionError(f"the two runs differ in {name}")


def measure(rounds: int) -> Report:
    """Time everything in turn, round after round."""
    with work() as done:
        require_same_result(done)
        tasks = {WHOLE: done.whole, READING: done.reading, ANALYSIS: done.analysis, WRITING: done.writing}
        tasks |= {name: lambda method=method: done.by_pyfai(method) for name, method in METHODS.items()}
        tasks[WITH_FIT] = done.by_pyfai_and_lmfit
        found = {name: [] for name in tasks}
        for _ in range(min(rounds, ROUNDS)):
            for name, task in tasks.items():
                found[name].append(frame_s(task))
    medians = {name: statistics.median(values) for name, values in found.items()}
    title = f"{FRAMES} TIFFs of 2048 x 2048 uint16, reprocessed with the phases of the example, ms a frame"
    timings = tuple(Timing(name, median_s) for name, median_s in medians.items())
    return Report(title, timings, _ratios(medians, cores=len(os.sched_getaffinity(0))))


def _ratios(found: dict[str, float], *, cores: int) -> tuple[Ratio, ...]:
    one_by_one_s = found[READING] + found[ANALYSIS] + found[WRITING]
    # Frames are read side by side; analysed and written, they keep their order.
    perfect_s = max(found[ANALYSIS], found[WRITING], one_by_one_s / cores)
    fastest_s = min(found[name] for name in METHODS)
    return (
        Ratio("speed of a perfect overlap that is reached", perfect_s / found[WHOLE], at_least=OVERLAP_AT_LEAST),
        Ratio("times faster than its stages one after the other", one_by_one_s / found[WHOLE]),
        *(
            Ratio(f"times faster than the {name}", found[name] / found[WHOLE])
            for name in METHODS
            if found[name] > fastest_s
        ),
        Ratio("times faster than the fastest pyFAI script, which fits nothing", fastest_s / found[WHOLE]),
        Ratio(f"times faster than the {WITH_FIT}", found[WITH_FIT] / found[WHOLE], at_least=PYFAI_AT_LEAST),
    )

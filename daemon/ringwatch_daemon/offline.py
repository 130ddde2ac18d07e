"""Recorded frames: analysed straight from their files, or served by the simulated IOC first."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event as StopRequest
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ringwatch_daemon.app import carry_out
from ringwatch_daemon.composition.expected_beamline import pv_arguments, write_expected_beamline
from ringwatch_daemon.composition.frame_sources import file_source, live_source
from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.core.errors import DetectorError, InputFileError, SettingsError, StoppedError
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.core.records import Event, FrameRecord, Record, RunStop
from ringwatch_daemon.local_beamline import SimulatedBeamline, free_ports
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.sources.dask_readers import DaskCluster
from ringwatch_daemon.sources.folders import files_of
from ringwatch_daemon.sources.pva import put
from ringwatch_daemon.sources.read_ahead import ReadersOf, ReadingThreads

CONNECT_WITHIN_S = 30.0
FRAME_WITHIN_S = 20.0
"""Longest time between two frames of a replay, unless it is slower by itself."""
LOOK_S = 0.1
TOLD_EVENTS = frozenset({"CYCLER", "FILE_TIME", "CLOCK_OFF", "CLOCK_APPLIED", "CLOCK_WARNING"})
"""Events that somebody who waits for the results has to hear of: they decide what the results are worth."""


def reprocess(
    config: Path,
    frames: list[str],
    output: Path,
    *,
    dask: str | None = None,
    overwrite: bool,
    stop: StopRequest,
    console: Console,
) -> None:
    """Analyse recorded frames from their files.

    Parameters
    ----------
    dask
        Address of a scheduler whose workers read and count the frames; None for threads of this process.

    Raises
    ------
    RingwatchError
        The configuration or the frames cannot be used, nothing was processed, or a stop came before the last frame.
    """
    settings = load_settings(config)
    if dask is not None and settings.scan is not None:
        raise SettingsError(f"--dask {dask}: workers read frames of a detector, but the configuration is for scans")
    source = file_source(settings, tuple(frames))
    with _readers(dask) as readers, _Progress(console, "reprocessing", expected=lambda: source.expected) as progress:
        plan = RunPlan(
            settings=settings,
            configuration=config.read_text(encoding="utf-8"),
            source=source,
            overflow=Overflow.WAIT,
            output=output,
            overwrite=overwrite,
            publish=False,
            watchers=(progress,),
            readers=readers,
        )
        carry_out(plan, stop=stop, on_ready=progress.start)
    if stop.is_set() and progress.came < source.expected:
        kept = f"what came before is in {output}" if progress.came else "so there is no file"
        raise StoppedError(f"stopped after {progress.came} of {source.expected} frames, as asked: {kept}")
    progress.summarise(output)


@contextmanager
def _readers(dask: str | None) -> Iterator[ReadersOf]:
    if dask is None:
        yield ReadingThreads
        return
    with DaskCluster(dask) as cluster:
        yield cluster.readers


def replay(
    config: Path,
    frames: list[str],
    output: Path,
    *,
    protocol: str | None,
    rate_Hz: float,
    overwrite: bool,
    stop: StopRequest,
    console: Console,
) -> None:
    """Serve recorded frames by the simulated IOC, on free loopback ports, and take them over EPICS.

    Raises
    ------
    RingwatchError
        The configuration or the frames cannot be used, or not every frame arrived.
    """
    settings = load_settings(config)
    if protocol is not None:
        detector = settings.detector.model_copy(update={"protocol": protocol})
        settings = settings.model_copy(update={"detector": detector})
    ports = free_ports()
    # The EPICS libraries read their environment when they are first used, which is after this.
    os.environ.update(ports.client_environment())
    served = [file for path in frames for file in files_of(path)]  # in the very order of `reprocess`
    names = pv_arguments(settings.detector)
    arguments = (*names, "--start-paused", "--rate", f"{rate_Hz:g}", "--frames", *served)
    with SimulatedBeamline(*arguments, ports=ports) as beamline:
        expected = int(beamline.wait_ready()["frames"])
        with _Progress(console, "replaying", total=expected, stop=stop) as progress:
            acquisition = _Acquisition(
                f"{settings.detector.prefix}{settings.detector.camera}Acquire",
                progress=progress,
                expected=expected,
                patience_s=max(FRAME_WITHIN_S, 3.0 / rate_Hz),
                stop=stop,
            )
            plan = RunPlan(
                settings=settings,
                configuration=config.read_text(encoding="utf-8"),
                source=live_source(settings),
                overflow=Overflow.DROP_NEWEST,
                output=output,
                overwrite=overwrite,
                publish=False,
                tell=acquisition.tell,
                watchers=(progress,),
            )
            with acquisition:
                carry_out(plan, stop=stop, on_ready=progress.start)
    if acquisition.problem is not None:
        raise acquisition.problem
    progress.summarise(output)


def simulator_arguments(config: Path, frames: list[str]) -> list[str]:
    """Arguments with which the simulated beamline is the one that `config` expects; its truth goes beside the runs.

    Raises
    ------
    RingwatchError
        The configuration expects nothing over EPICS, or what cannot be simulated.
    """
    settings = load_settings(config)
    names = pv_arguments(settings.detector)
    if frames:
        return [*names, "--frames", *frames]
    facts = settings.run.directory / f"{settings.run.name}-simulated.json"
    write_expected_beamline(settings, facts)
    return [*names, "--beamline", str(facts), "--truth", str(facts.with_suffix(".truth.jsonl"))]


class _Acquisition:
    """Starts the acquisition once the daemon is connected, and ends the run when frames stay away.

    Parameters
    ----------
    expected
        Frames that will be served.
    patience_s
        Longest time without another frame.
    """

    def __init__(
        self, acquire_pv: str, *, progress: "_Progress", expected: int, patience_s: float, stop: StopRequest
    ) -> None:
        self._acquire_pv = acquire_pv
        self._progress = progress
        self._expected = expected
        self._patience_s = patience_s
        self._stop = stop
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._work, name="acquisition", daemon=True)
        self.problem: DetectorError | None = None

    def tell(self, connected: bool, _: str) -> None:
        if connected:
            self._connected.set()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._acquire()
        except DetectorError as error:
            self.problem = error
        self._stop.set()

    def _acquire(self) -> None:
        if not self._happens_within(CONNECT_WITHIN_S, self._connected.is_set):
            raise DetectorError(f"no connection to the simulated beamline came up within {CONNECT_WITHIN_S:g} s")
        if self._stop.is_set():
            return
        put(self._acquire_pv, 1)
        while not self._stop.is_set():
            seen = self._progress.frames
            if not self._happens_within(self._patience_s, partial(self._came_after, seen)):
                raise DetectorError(f"{self._expected} frames were served, but only {self._progress.frames} arrived")

    def _came_after(self, seen: int) -> bool:
        return self._progress.frames > seen

    def _happens_within(self, seconds: float, happened: Callable[[], bool]) -> bool:
        """Whether it happened, or a stop made it needless."""
        deadline_s = time.monotonic() + seconds
        while not happened() and time.monotonic() < deadline_s:
            if self._stop.wait(LOOK_S):
                return True
        return happened()


class _Rate(ProgressColumn):
    """Frames a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


class _Progress:
    """A sink that counts frames on a progress bar, and asks to stop after the last one.

    Parameters
    ----------
    total
        Frames that will come.
    expected
        The same where it becomes known on the way.
    stop
        Set after the last frame of `total`.
    """

    def __init__(
        self,
        console: Console,
        what: str,
        *,
        total: int | None = None,
        expected: Callable[[], int] | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self._console = console
        self._total = total
        self._expected = expected
        self._stop = stop
        self._states: Counter[str] = Counter()
        self._flags: tuple[str, ...] = ()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(what, total=total if expected is None else expected())
        self.frames = 0

    def accept(self, record: Record) -> None:
        match record:
            case FrameRecord():
                self.frames += 1
                self._states[record.state.lower()] += 1
                self._bar.update(self._task, completed=self.came, total=self._expected and self._expected())
                if record.text:
                    name = f"frame {record.unique_id}"
                    text = record.text if record.text.startswith(name) else f"{name}: {record.text}"
                    self._bar.console.print(text, markup=False)
                if self._stop is not None and self.frames == self._total:
                    self._stop.set()
            case Event() if record.kind in TOLD_EVENTS:
                self._bar.console.print(record.text, markup=False, highlight=False, soft_wrap=True)
            case RunStop():
                self._flags = record.flags

    @property
    def came(self) -> int:
        """Frames that were there, unlike those that only a gap told of."""
        return self.frames - self._states["lost"]

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """The bar ends with the block that it was made for."""

    def start(self) -> None:
        """Show the bar; before this, an error has the terminal for itself."""
        self._bar.start()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def summarise(self, output: Path) -> None:
        """Say what became of the frames and where the file is.

        Raises
        ------
        InputFileError
            There was no frame at all, or not one that could be used.
        """
        if not self.frames:
            raise InputFileError("not a single frame came, so there is no file")
        states = ", ".join(f"{self._states[state]} {state}" for state in ("processed", "rejected", "lost"))
        self._console.print(f"{self.frames} frames: {states}; {output}", markup=False, highlight=False, soft_wrap=True)
        for flag in self._flags:
            self._console.print(f"flagged: {flag}", markup=False, highlight=False, soft_wrap=True)
        if not self._states["processed"]:
            raise InputFileError(f"not one of {self.frames} frames could be used; {output} says why of each")

"""Recorded frames: analysed straight from their files, or served by the simulated IOC first."""

import os
import threading
from collections import Counter
from pathlib import Path
from threading import Event as StopRequest
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ringwatch_daemon.app import RunPlan, carry_out, file_source, live_source
from ringwatch_daemon.core.errors import DetectorError, InputFileError
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.core.records import FrameRecord, Record, RunStop
from ringwatch_daemon.local_beamline import SimulatedBeamline, free_ports
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.sources.folders import files_of
from ringwatch_daemon.sources.pva import put

LAST_FRAME_WAIT_S = 20.0


def reprocess(config: Path, frames: list[str], output: Path, *, stop: StopRequest, console: Console) -> None:
    """Analyse recorded frames from their files.

    Raises
    ------
    RingwatchError
        The configuration or the frames cannot be used, or nothing was processed.
    """
    settings = load_settings(config)
    with _Progress(console, "reprocessing") as progress:
        plan = RunPlan(
            settings=settings,
            configuration=config.read_text(encoding="utf-8"),
            source=file_source(settings, tuple(frames)),
            overflow=Overflow.WAIT,
            output=output,
            overwrite=True,
            publish=False,
            watchers=(progress,),
        )
        carry_out(plan, stop=stop)
    progress.summarise(output)


def replay(
    config: Path,
    frames: list[str],
    output: Path,
    *,
    protocol: str | None,
    rate_Hz: float,
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
    prefix = settings.detector.prefix
    served = [file for path in frames for file in files_of(path)]  # in the very order of `reprocess`
    arguments = ("--prefix", prefix, "--start-paused", "--rate", f"{rate_Hz:g}", "--frames", *served)
    with SimulatedBeamline(*arguments, ports=ports) as beamline:
        expected = int(beamline.wait_ready()["frames"])
        with _Progress(console, "replaying", total=expected, stop=stop) as progress:
            acquisition = _Acquisition(f"{prefix}{settings.detector.camera}Acquire", progress, stop)
            plan = RunPlan(
                settings=settings,
                configuration=config.read_text(encoding="utf-8"),
                source=live_source(settings),
                overflow=Overflow.DROP_NEWEST,
                output=output,
                overwrite=True,
                publish=False,
                tell=acquisition.tell,
                watchers=(progress,),
            )
            with acquisition:
                carry_out(plan, stop=stop)
    progress.summarise(output)
    if acquisition.gave_up:
        raise DetectorError(f"{expected} frames were served, but only {progress.frames} arrived")


def simulator_arguments(config: Path, frames: list[str]) -> list[str]:
    """Arguments with which the simulated beamline is the one that `config` expects."""
    settings = load_settings(config)
    arguments = ["--prefix", settings.detector.prefix]
    if frames:
        return [*arguments, "--frames", *frames]
    arguments += ["--scenario", "lagp-demo"]
    cycler = settings.cycler
    if cycler.kind == "csv" and cycler.file is not None:
        arguments += ["--cycler-csv", str(cycler.file)]
    return arguments


class _Acquisition:
    """Starts the acquisition once the daemon is connected, and ends the run when frames stay away."""

    def __init__(self, acquire_pv: str, progress: "_Progress", stop: StopRequest) -> None:
        self._acquire_pv = acquire_pv
        self._progress = progress
        self._stop = stop
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._work, name="acquisition", daemon=True)
        self.gave_up = False

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
        while not self._connected.wait(0.1):
            if self._stop.is_set():
                return
        put(self._acquire_pv, 1)
        seen = -1
        while self._progress.frames > seen:
            seen = self._progress.frames
            if self._stop.wait(LAST_FRAME_WAIT_S):
                return
        self.gave_up = True
        self._stop.set()


class _Progress:
    """A sink that counts frames on a progress bar, and asks to stop after the last one."""

    def __init__(
        self, console: Console, what: str, *, total: int | None = None, stop: StopRequest | None = None
    ) -> None:
        self._console = console
        self._total = total
        self._stop = stop
        self._states: Counter[str] = Counter()
        self._flags: tuple[str, ...] = ()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._bar.add_task(what, total=total)
        self.frames = 0

    def accept(self, record: Record) -> None:
        match record:
            case FrameRecord():
                self.frames += 1
                self._states[record.state.lower()] += 1
                self._bar.update(self._task, completed=self.frames)
                if record.text:
                    self._bar.console.print(f"frame {record.unique_id}: {record.text}", markup=False)
                if self._stop is not None and self.frames == self._total:
                    self._stop.set()
            case RunStop():
                self._flags = record.flags

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """The bar ends with the block that it was made for."""

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def summarise(self, output: Path) -> None:
        """Say what became of the frames and where the file is.

        Raises
        ------
        InputFileError
            There was no frame at all.
        """
        if not self.frames:
            raise InputFileError("not a single frame came, so there is no file")
        states = ", ".join(f"{self._states[state]} {state}" for state in ("processed", "rejected", "lost"))
        self._console.print(f"{self.frames} frames: {states}; {output}", markup=False, highlight=False, soft_wrap=True)
        for flag in self._flags:
            self._console.print(f"flagged: {flag}", markup=False, highlight=False, soft_wrap=True)

"""The daemon in its own process, the simulated detector in another, and a subscriber that notes when what came."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import zmq

from ringwatch_daemon.client import Subscription, subscribe
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.daemon_process import DaemonProcess
from ringwatch_daemon.examples import CONFIGURATION, copy_example
from ringwatch_daemon.local_beamline import SimulatedBeamline, free_ports, free_tcp_pair
from ringwatch_daemon.sources.pva import put
from ringwatch_simulators.scenario import SyntheticFrames
from ringwatch_simulators.scenario_catalogue import scenario_named
from ringwatch_simulators.supply import Exposure

PREFIX = "13PE1:"
FRAMES, COURSE_FRAMES, CONTINUOUS = 8, 20_000, 2
OTHER_PLUGIN = {"pva": "image1:", "ca": "Pva1:"}
SETTLE_S, DRAIN_S = 2.0, 3.0
START_HZ, START_WITHIN_S = 10.0, 120.0
NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Published:
    """A frame's result as the subscriber got it.

    Parameters
    ----------
    received_ns
        When the daemon had the frame, UTC nanoseconds since 1970.
    heard_ns
        When the subscriber had the result.
    """

    unique_id: int
    fitted: bool
    received_ns: int
    heard_ns: int

    @property
    def latency_s(self) -> float:
        """From the arrival of the frame to its published result."""
        return (self.heard_ns - self.received_ns) / NS_PER_S


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one stretch of frames at one rate gave.

    Parameters
    ----------
    asked_hz
        Frames a second that the detector was set to.
    frames
        Their results, without the first two seconds.
    lost
        Frames that the daemon knows it has not got, and those that nobody told of.
    processor_s
        Of the detector's process and the daemon's, a frame: what counts on a machine that has other things to do too.
    """

    asked_hz: float
    frames: tuple[Published, ...]
    lost: int
    processor_s: float

    @property
    def rate_hz(self) -> float:
        """Results a second."""
        heard = [frame.heard_ns for frame in self.frames]
        return (len(heard) - 1) / ((heard[-1] - heard[0]) / NS_PER_S)

    def latency_s(self, percent: float) -> float:
        """A percentile of the latency."""
        return float(np.percentile([frame.latency_s for frame in self.frames], percent))

    @property
    def sustained(self) -> bool:
        """Nothing lost, every frame fitted, the rate kept, and no queue that grows."""
        later = self.frames[len(self.frames) // 2 :]
        first = np.median([frame.latency_s for frame in self.frames[: len(self.frames) // 2]])
        grown = np.median([frame.latency_s for frame in later]) - first
        fitted = all(frame.fitted for frame in self.frames)
        return not self.lost and fitted and self.rate_hz > 0.97 * self.asked_hz and grown < 2.0 / self.asked_hz


class Listener(threading.Thread):
    """Follows the stream and keeps what it tells of frames."""

    def __init__(self, messages: Subscription) -> None:
        super().__init__(daemon=True)
        self._messages = messages
        self.frames: list[Published] = []
        self.lost: list[int] = []
        self._fitted = threading.Event()

    def first_fit(self) -> Published:
        """The first frame with a fit; waits for it."""
        if not self._fitted.wait(START_WITHIN_S):
            raise AssertionError(f"no result came within {START_WITHIN_S:g} s")
        return next(frame for frame in self.frames if frame.fitted)

    def run(self) -> None:
        with suppress(zmq.ZMQError):  # the sockets are closed under it at the end
            for message in self._messages:
                self._take(message, time.time_ns())

    def _take(self, message: StreamMessage, now_ns: int) -> None:
        data = message.data
        if message.kind != "frame.tracking":
            return
        if data["state"] == "LOST":
            self.lost.append(data["unique_id"])
            return
        fitted = data["values"].get("li/ratio") is not None
        self.frames.append(Published(data["unique_id"], fitted, data["received_ns"], now_ns))
        if fitted:
            self._fitted.set()


class Rig:
    """A beamline that is set to one rate after the other.

    Parameters
    ----------
    start_s
        From the command to the first published result.
    """

    def __init__(self, listener: Listener, start_s: float) -> None:
        self._listener = listener
        self.start_s = start_s

    def stretch(self, rate_hz: float, seconds: float) -> Stretch:
        """Frames at a rate for so many seconds, and what became of them."""
        first, lost = len(self._listener.frames), len(self._listener.lost)
        used_s = _processor_s()
        _acquire(rate_hz)
        time.sleep(SETTLE_S + seconds)
        put(f"{PREFIX}cam1:Acquire", 0)
        self.wait_for_silence()
        frames = self._listener.frames[first:]
        settled = [one for one in frames if one.received_ns - frames[0].received_ns > SETTLE_S * NS_PER_S]
        ids = [one.unique_id for one in frames]
        untold = ids[-1] - ids[0] + 1 - len(set(ids))
        lost = max(untold, len(self._listener.lost) - lost)
        return Stretch(rate_hz, tuple(settled), lost, (_processor_s() - used_s) / len(frames))

    def wait_for_silence(self) -> None:
        """Until no result has come for a while."""
        seen, since_s = -1, time.monotonic()
        while time.monotonic() - since_s < DRAIN_S:
            if len(self._listener.frames) != seen:
                seen, since_s = len(self._listener.frames), time.monotonic()
            time.sleep(0.1)


@contextmanager
def rig(protocol: str, folder: Path) -> Iterator[Rig]:
    """A daemon and a detector of full size on this machine, over ``pva`` or ``ca``."""
    frames = _frames(folder / "frames.h5")
    configuration = _configuration(folder / protocol, protocol, endpoint := free_tcp_pair(), folder / "dark.h5")
    ports = free_ports()
    arguments = ["--prefix", PREFIX, "--frames", str(frames), "--in-memory", "--loop", "--start-paused", "--rate", "1"]
    os.environ.update(ports.client_environment())
    with ExitStack() as parts:
        beamline = parts.enter_context(SimulatedBeamline(*arguments, ports=ports))
        beamline.wait_ready()
        put(f"{PREFIX}{OTHER_PLUGIN[protocol]}EnableCallbacks", 0)
        put(f"{PREFIX}cam1:ImageMode", CONTINUOUS)
        _acquire(START_HZ)
        began_ns = time.time_ns()
        parts.enter_context(DaemonProcess(configuration, folder / f"{protocol}.h5"))
        listener = Listener(parts.enter_context(subscribe(endpoint)))
        listener.start()
        first = listener.first_fit()
        put(f"{PREFIX}cam1:Acquire", 0)
        ready = Rig(listener, (first.heard_ns - began_ns) / NS_PER_S)
        ready.wait_for_silence()
        yield ready


def _processor_s() -> float:
    """Processor time that the processes started from here have used so far."""
    ticks = 0
    for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="ascii").split():
        fields = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _acquire(rate_hz: float) -> None:
    for name in ("AcquireTime", "AcquirePeriod"):
        put(f"{PREFIX}cam1:{name}", 1.0 / rate_hz)
    put(f"{PREFIX}cam1:Acquire", 1)


def _frames(path: Path) -> Path:
    """Rendered frames of the demonstration in one file, and their dark in another beside it.

    They follow each other in the middle of a long course, as those of a fast detector do: the cell hardly changes.
    """
    if not path.exists():
        supply = SyntheticFrames(scenario_named("lagp-demo", frames=COURSE_FRAMES), 0)
        first = supply.scenario.darks + COURSE_FRAMES // 2
        lights = np.stack([supply.frame(Exposure(first + number, 60.0)).image for number in range(FRAMES)])
        for name, data in ((path, lights), (path.with_name("dark.h5"), supply.frame(Exposure(0, 60.0)).image)):
            with h5py.File(name, "w") as file:
                file["frames"] = data
    return path


def _configuration(folder: Path, protocol: str, endpoint: str, dark: Path) -> Path:
    copy_example(folder)
    path = folder / CONFIGURATION
    text = path.read_text(encoding="utf-8")
    text = text.replace('protocol = "pva"', f'protocol = "{protocol}"').replace("tcp://127.0.0.1:5606", endpoint)
    text = text.replace("[run]\n", f'[run]\ncache = "{dark.with_name("cache").as_posix()}"\n')
    text = text.replace('[detector.monitor]\nattribute = "IonChamber"\nreference = 1.0\n', "")
    path.write_text(f'{text}\n[dark]\nfiles = ["{dark.as_posix()}"]\n', encoding="utf-8")
    return path

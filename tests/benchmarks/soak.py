"""A program: the real path of a run over many small frames, with the memory that the process has on the way.

``soak.py FRAMES FIRST`` prints ``frames rss_bytes`` after `FIRST` frames and at ten more places to the end.
"""

import itertools
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.beamlines import write_plain_beamline
from ringwatch_daemon.app import carry_out
from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import FrameRecord, Record
from ringwatch_daemon.local_beamline import free_tcp_pair
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.frames import Frame, read_only

SHAPE = (64, 64)
PIXEL_M = 1.5e-3
FRAME_NS = 66_666_667
START_NS = 1_790_000_000_000_000_000
DIFFERENT = 64
"""So many different images take turns."""
SUMMED = 15
"""Frames to a fit, which would otherwise take most of the time."""
SAMPLE_EVERY = 15
"""Frames between two samples of the cycler."""
HALF_CYCLE_SAMPLES = 600
HISTORY_MIB = 0.25
"""Filled by the first hundreds of these small frames; the default takes some thousand of full size."""
PAGE_BYTES = 4096

PHASES = """
[[phases]]
name = "li"
role = "lines"
space_group = "I m -3 m"
lattice = { a_A = 3.5100 }
lines = [{ hkl = [1, 1, 0] }, { hkl = [2, 0, 0] }]
ratio = ["110", "200"]
lattice_prior_relative = 2e-3
size_nm = 300.0
texture = ["110"]

[[phases]]
name = "lioh"
role = "reference"
space_group = "P 4/n m m"
lattice = { a_A = 3.546, c_A = 4.334 }
"""
CYCLER = """kind = "csv"
file = "cycler.csv"
[cycler.table]
time = { column = "time", kind = "stamp", zone = "UTC" }
voltage = { column = "voltage_V", unit = "V" }
current = { column = "current_A", unit = "A" }
cycle = "cycle"
step = "step"
"""


def beamline(folder: Path) -> Path:
    """A small panel, two lines, a cell that is charged and discharged, and a stream."""
    sections = {
        "cycler": CYCLER,
        "sample": "area_cm2 = 0.785\nsymmetric = true",
        "stream": f'endpoint = "{free_tcp_pair()}"\nhistory_MiB = {HISTORY_MIB}',
        "binning": "bins = 64",
        "summing": f"frames = {SUMMED}",
        "onset": "expected_frames = 1000000",
        "spool": "quota_GiB = false",
        "fit": "two_theta_min_deg = 1.5\ntwo_theta_max_deg = 6.0\nbackground_terms = 4\n"
        "texture_half_window_deg = 0.4\n[fit.instrument]\nw_deg2 = 0.3466",
    }
    configuration = write_plain_beamline(folder, shape=SHAPE, pixel_m=PIXEL_M, sections=sections)
    with configuration.open("a") as text:
        text.write(PHASES)
    return configuration


class MadeFrames:
    """A source that brings frames as fast as they are taken, and writes the cycler's file beside them."""

    def __init__(self, frames: int, cycler: Path) -> None:
        self._frames = frames
        self._cycler = cycler

    def run(self, intake: FrameIntake, stop: threading.Event) -> None:
        images = itertools.cycle(_images())
        intake.connection(connected=True, text="made here")
        with self._cycler.open("w", buffering=1) as cycler:
            cycler.write("time,voltage_V,current_A,cycle,step\n")
            for number in range(self._frames):
                if stop.is_set():
                    return
                stamp_ns = START_NS + number * FRAME_NS
                if number % SAMPLE_EVERY == 0:
                    cycler.write(_sample(number // SAMPLE_EVERY, stamp_ns))
                intake.frame(
                    Frame(
                        unique_id=number + 1,
                        timestamp_ns=stamp_ns,
                        received_ns=stamp_ns + FRAME_NS,
                        exposure_s=0.06,
                        image=next(images),
                        origin="made here",
                    )
                )


class LookAt:
    """A sink that calls `look` with the number of frames after so many of them."""

    def __init__(self, places: Iterable[int], look: Callable[[int], None]) -> None:
        self._places = frozenset(places)
        self._look = look

    def accept(self, record: Record) -> None:
        if isinstance(record, FrameRecord) and record.row + 1 in self._places:
            self._look(record.row + 1)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Nothing is open."""


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def _images() -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    rows, columns = np.indices(SHAPE)
    radius_m = PIXEL_M * np.hypot(rows - SHAPE[0] / 2, columns - SHAPE[1] / 2)
    two_theta_deg = np.degrees(np.arctan(radius_m / 0.5))
    mean = np.full(SHAPE, 400.0)
    for place_deg, height in ((3.463, 90.0), (4.897, 30.0)):
        mean += height * np.exp(-0.5 * ((two_theta_deg - place_deg) / 0.25) ** 2)
    return [read_only(generator.poisson(mean).astype(np.uint16)) for _ in range(DIFFERENT)]


def _sample(number: int, stamp_ns: int) -> str:
    half_cycle = number // HALF_CYCLE_SAMPLES
    current_A = 1e-3 if half_cycle % 2 == 0 else -1e-3
    stamp = np.datetime64(stamp_ns, "ns")
    return f"{stamp},{180 * current_A:.6f},{current_A},{half_cycle // 2},{half_cycle}\n"


def soak(folder: Path, *, frames: int, watcher: LookAt) -> None:
    """Carry out a run of `frames` in `folder`."""
    configuration = beamline(folder)
    (folder / "cycler.csv").touch()
    plan = RunPlan(
        settings=load_settings(configuration),
        configuration=configuration.read_text(),
        source=MadeFrames(frames, folder / "cycler.csv"),
        overflow=Overflow.WAIT,
        output=folder / "run.h5",
        watchers=(watcher,),
        resumable=True,
    )
    carry_out(plan, stop=threading.Event())


def main(frames: str, first: str) -> None:
    """Tell the memory on the way to so many frames."""
    places = [int(first), *np.linspace(int(first), int(frames), 11, dtype=int)[1:].tolist()]
    watcher = LookAt(places, lambda count: print(count, resident_bytes(), flush=True))
    with tempfile.TemporaryDirectory(prefix="ringwatch-soak-") as folder:
        soak(Path(folder), frames=int(frames), watcher=watcher)


if __name__ == "__main__":
    main(*sys.argv[1:])

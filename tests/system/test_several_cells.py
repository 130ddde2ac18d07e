"""Two cells take turns in the beam of a simulated beamline: a daemon, a kill, a late cycler and a stream."""

import json
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from fakes.ioc import IocHandle, free_ports, running_ioc
from fakes.service import assert_whole, rows, serving, wait_until
from fakes.streams import heard_in_background
from ringwatch_daemon.examples import CONFIGURATION, example_folder
from ringwatch_daemon.local_beamline import free_tcp_pair
from ringwatch_simulators.database import IMAGE_MODES
from ringwatch_simulators.scenario import SyntheticFrames, scenario_named, write_beamline_files

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

AHEAD_H = 250.0
FRAMES, FIRST, UNNAMED = 26, 11, 13
CELLS = """
[[cells]]
name = "fresh"
value = "A1"
sample = { name = "Li | LAGP | Li, fresh", area_cm2 = 0.785, symmetric = true }
cycler = { kind = "csv", file = "cycler-A1.csv", table = { cycle = "cycle", step = "step" } }

[[cells]]
name = "aged"
value = "A2"
sample = { name = "Li | LAGP | Li, aged", area_cm2 = 0.785 }
cycler = { kind = "csv", file = "late.csv", table = { cycle = "cycle", step = "step" } }
"""


def write_beamline(folder: Path, endpoint: str) -> Path:
    """The example beamline in front of a small panel, with two cells in place of one."""
    write_beamline_files(folder, SyntheticFrames(scenario_named("small"), start_ns=10**18))
    text = example_folder().joinpath(CONFIGURATION).read_text()
    text = text[: text.index("[cycler]")] + f'[stream]\nendpoint = "{endpoint}"\n' + CELLS
    for old, new in (
        ("mask.edf.gz", "mask.edf"),
        ("background_terms = 10 ", "background_terms = 24 "),
        ('background_file = "empty_cell.xy"', ""),
        ('texture = ["110"]', ""),
        ('prefix = "13PE1:"', 'prefix = "13PE1:"\ncell_attribute = "Cell"'),
    ):
        assert old in text
        text = text.replace(old, new)
    configuration = folder / CONFIGURATION
    configuration.write_text(text)
    return configuration


def acquire(ioc: IocHandle, frames: int) -> None:
    """Let the detector take so many frames more."""
    ioc.put("cam1:ImageMode", IMAGE_MODES.index("Multiple"))
    ioc.put("cam1:NumImages", frames)
    ioc.put("cam1:Acquire", 1)


def column(file: h5py.File, path: str) -> np.ndarray:
    values = file[f"entry/{path}"][()]
    return np.char.decode(values) if values.dtype.kind == "S" else values


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Frames of both cells through a daemon that is killed in their midst; one cell's cycler arrives at the end."""
    folder = tmp_path_factory.mktemp("cells")
    ports, endpoint, output = free_ports(), free_tcp_pair(), folder / "run.h5"
    configuration = write_beamline(folder, endpoint)
    served = [
        *("--scenario", "small", "--count", str(FRAMES), "--rate", "4", "--start-paused", "--unnamed", str(UNNAMED)),
        *("--cell", "A1", "--cell", f"A2@{AHEAD_H}", "--cycler-csv", str(folder / "cycler-{cell}.csv")),
        *("--truth", str(folder / "truth.jsonl")),
    ]
    with heard_in_background(endpoint) as heard, running_ioc(*served, ports=ports) as ioc:
        with serving(configuration, output, ports.client_environment()) as daemon:
            daemon.wait_heard("STATUS=connected")
            acquire(ioc, FIRST)
            daemon.wait_rows(lambda ids: ids[-1] >= FIRST, "the first frames")
            daemon.send(signal.SIGKILL)
            daemon.wait_end()
        with serving(configuration, output, ports.client_environment()) as daemon:
            daemon.wait_heard("STATUS=connected")
            wait_until(lambda: any(message.data.get("kind") == "RESUMED" for message in list(heard)), "the run goes on")
            acquire(ioc, FRAMES - FIRST)
            daemon.wait_rows(lambda ids: ids[-1] >= FRAMES, "the last frame")
            (folder / "late.csv").write_bytes((folder / "cycler-A2.csv").read_bytes())
            assert daemon.stop() == 0, daemon.log
    truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    return folder, output, {one["unique_id"]: one for one in truth}, heard


def test_every_frame_has_its_row_and_the_cell_that_it_shows(run):
    _, output, truth, _ = run
    assert_whole(output)
    with h5py.File(output) as file:
        ids, names = column(file, "frames/unique_id"), column(file, "frames/cell")
        states, reasons = column(file, "frames/state"), column(file, "frames/reason")
    expected = {"A1": "fresh", "A2": "aged"}
    for unique_id, name, state, reason in zip(ids, names, states, reasons, strict=True):
        if unique_id == UNNAMED + 1 and state != "LOST":
            assert (name, state, reason) == ("", "REJECTED", "UNKNOWN_CELL")
        elif state == "PROCESSED":
            assert name == expected[truth[int(unique_id)]["cell_name"]]
    assert ids.tolist() == list(range(1, FRAMES + 1))
    # What was in the file at the kill may not have been counted there yet.
    assert set(reasons[states == "LOST"]) <= {"DAEMON_DOWN"}
    assert (states == "LOST").sum() <= 2


def test_each_cell_has_its_own_tracks_through_the_kill(run):
    _, output, truth, _ = run
    with h5py.File(output) as file:
        names, ids = column(file, "frames/cell"), column(file, "frames/unique_id")
        fitted = column(file, "tracking/fit_state") == "CONVERGED"
        a, sigma = column(file, "tracking/lagp/a"), column(file, "tracking/lagp/a_errors")
    true_a = np.array([truth[int(unique_id)]["a_seen_A"] for unique_id in ids])
    for name in ("fresh", "aged"):
        own = fitted & (names == name)
        assert own.sum() >= 4
        pulls = (a[own] - true_a[own]) / sigma[own]
        assert np.abs(pulls).max() < 5.0
    fresh, aged = (np.median(a[fitted & (names == name)]) for name in ("fresh", "aged"))
    assert fresh - aged > 30 * np.median(sigma[fitted])


def test_the_cycler_that_came_late_has_changed_the_frames_of_its_cell_and_no_other(run):
    _, output, truth, heard = run
    with h5py.File(output) as file:
        names, ids = column(file, "frames/cell"), column(file, "frames/unique_id")
        coupled = column(file, "cycling/at_frame/state")
        current_A = column(file, "cycling/at_frame/current_A")
        samples, of = column(file, "cycling/timestamp_ns"), column(file, "cycling/cell")
    light = np.array([not truth[int(unique_id)]["dark"] for unique_id in ids])
    for name in ("fresh", "aged"):
        own = light & (names == name) & (coupled == "KNOWN")
        assert own.sum() >= 4
        for unique_id, measured_A in zip(ids[own], current_A[own], strict=True):
            assert measured_A == pytest.approx(truth[int(unique_id)]["current_A"], abs=2e-4)
        assert (np.diff(samples[of == name]) > 0).all()
    assert (coupled[names == ""] != "KNOWN").all()
    late = [message for message in heard if message.kind == "cycling.at_frame"]
    rows_of = {"fresh": set(np.flatnonzero(names == "fresh")), "aged": set(np.flatnonzero(names == "aged"))}
    assert {message.data["cell_name"] for message in late} >= {"aged"}
    for message in late:
        assert set(dict(message.arrays)["rows"].tolist()) <= rows_of[message.data["cell_name"]]


def test_the_stream_says_of_which_cell_it_tells(run):
    _, output, _, heard = run
    told = {message.frame: message for message in heard if message.kind == "frame.tracking"}
    with h5py.File(output) as file:
        names = column(file, "frames/cell")
        assert list(file["entry/cells"]) == ["aged", "fresh"]
        assert file["entry/cells/aged/name"][()].decode() == "Li | LAGP | Li, aged"
    assert next(message for message in heard if message.kind == "run.start").data["cells"] == ["fresh", "aged"]
    assert len(told) >= len(rows(output)) - 2
    assert all(message.data.get("cell_name", "") == names[row] for row, message in told.items())

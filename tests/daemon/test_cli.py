"""The commands: exit codes that mean something, one sentence for an error, never a traceback."""

import logging
import os
import signal
import subprocess
import sys

import fabio
import h5py
import numpy as np
import pytest

from fakes.configurations import SHAPE, configuration
from ringwatch_daemon.cli import main

COMMANDS = ("serve", "reprocess", "replay", "simulate", "watch", "check", "init", "demo")


@pytest.fixture(autouse=True)
def own_process():
    """Give back what a command takes of its process: signal handlers and log handlers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    log_handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = log_handlers
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(-1)


@pytest.fixture
def frames(tmp_path):
    """Two frames of the small panel."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2):
        image = np.random.default_rng(number).poisson(200, SHAPE).astype(np.uint16)
        fabio.edfimage.EdfImage(data=image, header={"time": f"2026-11-22T10:00:0{number}Z"}).write(
            str(folder / f"frame{number}.edf")
        )
    return folder


def complaint_of(capsys, *arguments) -> tuple[int, str]:
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def small(tmp_path, *parts):
    return configuration(tmp_path, "[binning]\nbins = 20", *parts)


def test_reprocess_makes_a_file_and_says_what_became_of_the_frames(tmp_path, frames, capsys):
    code, told = complaint_of(capsys, "reprocess", small(tmp_path), frames, "-o", tmp_path / "run.h5")
    assert code == 0
    assert "2 frames: 2 processed, 0 rejected, 0 lost" in told
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["entry/azint1d/I"].shape == (2, 20)
        assert file["entry/ledger/stopped"][()].decode() == "the source ended"


def test_a_file_that_is_there_is_replaced_only_on_demand(tmp_path, frames, capsys):
    output = tmp_path / "run.h5"
    output.write_text("somebody's notes")
    call = ("reprocess", small(tmp_path), frames, "-o", output)
    code, told = complaint_of(capsys, *call)
    assert code == 2
    assert told.startswith(f"ringwatch: expected a file that is not there yet, but {output} is")
    assert output.read_text() == "somebody's notes"
    assert complaint_of(capsys, *call, "--overwrite")[0] == 0
    assert h5py.is_hdf5(output)


def test_frames_that_all_are_refused_are_a_failure_and_the_file_says_why(tmp_path, frames, capsys):
    config = small(tmp_path, "[detector.monitor]\nattribute = 'I0'")
    code, told = complaint_of(capsys, "reprocess", config, frames, "-o", tmp_path / "run.h5")
    assert code == 2
    assert "not one of 2 frames could be used" in told
    with h5py.File(tmp_path / "run.h5") as file:
        assert set(file["entry/frames/reason"][()]) == {b"NO_MONITOR"}


def test_a_file_that_is_no_frame_is_rejected_and_the_others_are_not(tmp_path, frames, capsys):
    (frames / "frame3.edf").write_bytes(b"\x00garbage" * 50)
    code, told = complaint_of(capsys, "reprocess", small(tmp_path), frames, "-o", tmp_path / "run.h5")
    assert code == 0
    assert "3 frames: 2 processed, 1 rejected, 0 lost" in told


WRONG_CALLS = {
    "no configuration": ("check", "none.toml"),
    "no frames": ("reprocess", "beamline.toml", "nothing/*.tif", "-o", "run.h5"),
    "a cluster that is not there": ("reprocess", "beamline.toml", "frames", "-o", "run.h5", "--dask", "127.0.0.1:1"),
    "a cluster without a port": ("reprocess", "beamline.toml", "frames", "-o", "run.h5", "--dask", "nowhere"),
    "a folder as output": ("reprocess", "beamline.toml", "frames", "-o", "frames", "--overwrite"),
    "an output below a file": ("reprocess", "beamline.toml", "frames", "-o", "beamline.toml/run.h5"),
    "an output below a file, served": ("serve", "beamline.toml", "-o", "beamline.toml/run.h5"),
    "a simulation without configuration": ("simulate", "none.toml"),
    "a replay without configuration": ("replay", "none.toml", "frames", "-o", "run.h5"),
    "an example over something": ("init", "frames"),
    "an example over a file": ("init", "beamline.toml"),
    "an example below a file": ("init", "beamline.toml/example"),
}


@pytest.mark.parametrize("call", WRONG_CALLS.values(), ids=WRONG_CALLS.keys())
def test_a_wrong_call_is_told_in_one_sentence_and_code_2(tmp_path, frames, monkeypatch, capsys, call):
    monkeypatch.chdir(tmp_path)
    small(tmp_path)
    code, told = complaint_of(capsys, *call)
    assert code == 2
    last = told.strip().splitlines()[-1]
    assert last.startswith("ringwatch: expected ")
    assert "Traceback" not in told


def test_a_wrong_setting_is_code_2(tmp_path, capsys):
    code, told = complaint_of(capsys, "check", configuration(tmp_path, "[binning]\nbinz = 3"))
    assert (code, told) == (2, f"ringwatch: {tmp_path}/beamline.toml: binning.binz: there is no such setting\n")


@pytest.mark.parametrize(
    "call", [("bogus",), ("check",), ("reprocess", "a.toml", "b.tif"), ("replay", "a", "b", "-o", "c", "--rate", "0")]
)
def test_a_call_that_lacks_something_is_code_2(call, capsys):
    code, told = complaint_of(capsys, *call)
    assert code == 2
    assert told.startswith("Usage: ringwatch")


def test_a_stream_that_cannot_be_opened_is_a_failure(tmp_path, capsys):
    code, told = complaint_of(capsys, "serve", small(tmp_path, '[stream]\nendpoint = "tcp://nowhere.invalid:5606"'))
    assert code == 1
    assert told.startswith("ringwatch: ")


def test_a_publisher_that_nobody_runs_is_a_failure(capsys):
    code, told = complaint_of(capsys, "watch", "tcp://127.0.0.1:9", "--timeout", "0.2")
    assert code == 1
    assert told.startswith("ringwatch: ")


def test_the_example_can_be_written_and_checked(tmp_path, capsys):
    assert main(["init", str(tmp_path / "beamline")]) == 0
    with (tmp_path / "beamline" / "beamline.toml").open("a") as file:
        file.write('[result_pvs]\nprefix = "RW1:"\n')
    assert main(["check", str(tmp_path / "beamline" / "beamline.toml")]) == 0
    told = capsys.readouterr().out
    assert "RW1:... over PVA" in told
    assert "beamline.toml can be used" in told
    assert "lines 110, 200, 211, each free in sign" in told
    assert {"beamline.toml", "geometry.poni", "schema.json"} <= {
        path.name for path in (tmp_path / "beamline").iterdir()
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_is_for_within_a_line(command, capsys):
    assert main(["--help"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  {command} ")]
    assert line.endswith(".")
    assert not line.endswith("..")
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: ringwatch {command}")


def test_the_program_itself_ends_with_the_code_and_the_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ringwatch_daemon", "check", "none.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert (
        done.stderr
        == "ringwatch: expected a configuration in none.toml, but it cannot be read: No such file or directory\n"
    )


def test_importing_the_daemon_warns_of_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import ringwatch_daemon.app"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")

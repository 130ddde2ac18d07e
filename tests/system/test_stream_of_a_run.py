"""The stream of a whole run, and what the cycler's late file does to it."""

import signal
import subprocess
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from fakes.beamlines import write_plain_beamline
from fakes.ioc import free_ports, running_ioc
from fakes.service import PROGRAM, assert_whole, serving, wait_until
from ringwatch_daemon.client import subscribe
from ringwatch_daemon.local_beamline import free_tcp_pair

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

COUNTING = ("--shape", "64x64", "--start-paused", "--rate", "20", "--count", "60")


def test_who_joins_in_the_middle_hears_the_run_from_its_start_to_its_end_without_a_hole(tmp_path):
    ports, endpoint = free_ports(), free_tcp_pair()
    configuration = write_plain_beamline(tmp_path, shape=(64, 64), endpoint=endpoint)
    with (
        serving(configuration, tmp_path / "run.h5", ports.client_environment()) as daemon,
        running_ioc(*COUNTING, ports=ports) as ioc,
    ):
        daemon.wait_heard("STATUS=connected")
        ioc.put("cam1:Acquire", 1)
        daemon.wait_rows(lambda ids: ids.size >= 20, "the first third of the run")
        watcher = subprocess.Popen([*PROGRAM, "watch", endpoint], stdout=subprocess.PIPE, text=True)
        with subscribe(endpoint, timeout_s=60.0) as subscription:
            heard = [next(subscription)]
            daemon.wait_rows(lambda ids: ids[-1] == 60, "the last frame")
            daemon.send(signal.SIGTERM)
            while heard[-1].kind != "run.stop":
                heard.append(next(subscription))
            assert subscription.missed == 0
        assert daemon.wait_end() == 0
        said, _ = watcher.communicate(timeout=60.0)
    assert watcher.returncode == 0
    assert heard[0].kind == "run.start"
    assert [message.seq for message in heard] == list(range(len(heard)))
    assert [message.frame for message in heard if message.kind == "frame.tracking"] == list(range(60))
    assert heard[-1].data["totals"]["processed"] == 60
    assert said.startswith("run run since ")
    assert "run ended" in said


def stamp(time_ns):
    return datetime.fromtimestamp(time_ns / 1e9, tz=UTC).isoformat()


def cell_states(path):
    with h5py.File(path) as file:
        group = file["entry/cycling/at_frame"]
        return {name: item[()] for name, item in group.items() if isinstance(item, h5py.Dataset)}


def test_a_cycler_s_file_that_comes_late_fills_in_the_frames_that_it_covers_and_no_other(tmp_path):
    ports = free_ports()
    cycler = 'kind = "csv"\nfile = "cycler.csv"\ntable.cycle = "cycle"'
    configuration = write_plain_beamline(tmp_path, shape=(64, 64), sections={"cycler": cycler})
    with (
        serving(configuration, tmp_path / "run.h5", ports.client_environment()) as daemon,
        running_ioc(*COUNTING, ports=ports) as ioc,
    ):
        daemon.wait_heard("STATUS=connected")
        ioc.put("cam1:Acquire", 1)
        daemon.wait_rows(lambda ids: ids[-1] == 60, "the last frame")
        with h5py.File(daemon.output) as file:
            frame_ns = file["entry/frames/timestamp_ns"][()]
        assert np.isnan(cell_states(daemon.output)["voltage_V"]).all()
        table = tmp_path / "cycler.csv"
        first, last = frame_ns[9], frame_ns[39]  # the cycler was switched on late, and copied early
        table.write_text(
            f"time,voltage_V,current_A,cycle\n{stamp(first + 1000)},0.25,0.001,3\n{stamp(last + 1000)},0.25,0.001,3\n"
        )
        wait_until(lambda: np.isfinite(cell_states(daemon.output)["voltage_V"]).sum() >= 30, "frames to be filled in")
        early = cell_states(daemon.output)
        with table.open("a") as file:
            file.write(f"{stamp(frame_ns[59] + 10**9)},0.5,0.001,3\n")
        wait_until(lambda: np.isfinite(cell_states(daemon.output)["voltage_V"]).sum() >= 50, "the rest to be filled in")
        assert daemon.stop() == 0
    assert_whole(daemon.output)
    final = cell_states(daemon.output)
    known = early["state"] == b"KNOWN"
    np.testing.assert_array_equal(np.flatnonzero(known), np.arange(10, 40))
    assert (early["voltage_V"][known] == 0.25).all()
    assert (early["cycle"][known] == 3).all()
    assert set(early["state"][:10]) == {b"BEFORE_FIRST_SAMPLE"}
    assert np.isnan(early["voltage_V"][~known]).all()
    for name, values in final.items():
        np.testing.assert_array_equal(values[:40], early[name][:40], err_msg=name)
    assert set(final["state"][40:]) == {b"KNOWN"}
    assert (np.diff(final["voltage_V"][40:]) > 0).all()

"""However a daemon ends: what is in the file is whole, and nothing is left behind."""

import random
import signal
import time
from contextlib import contextmanager

import h5py
import numpy as np
import pytest

from fakes.beamlines import write_plain_beamline
from fakes.ioc import free_ports, running_ioc
from fakes.service import assert_whole, row_aligned, serving

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

COUNTING = ("--shape", "64x64", "--start-paused", "--rate", "50", "--count", "100000")


@contextmanager
def daemon_of(tmp_path, ports):
    configuration = write_plain_beamline(tmp_path, shape=(64, 64))
    with serving(configuration, tmp_path / "run.h5", ports.client_environment()) as daemon:
        yield daemon


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_daemon_that_never_had_a_detector_ends_when_asked_and_leaves_no_file(tmp_path, number):
    with daemon_of(tmp_path, free_ports()) as daemon:
        daemon.wait_heard("READY=1")
        assert daemon.stop(number) == 0
        assert daemon.left_behind() == []
    assert not daemon.output.exists()


@pytest.mark.parametrize(("number", "after_s"), [(signal.SIGTERM, 0.05), (signal.SIGINT, 0.6), (signal.SIGINT, 1.5)])
def test_a_daemon_that_is_asked_to_end_while_it_starts_does_so_and_leaves_nothing(tmp_path, number, after_s):
    with daemon_of(tmp_path, free_ports()) as daemon:
        time.sleep(after_s)
        daemon.send(number)
        time.sleep(0.05)
        # By the signal itself, in its own words or in those of shells, before the daemon listens; then as any other.
        assert daemon.stop(number) in {0, -number, 128 + number}
        assert "Traceback" not in daemon.log
        assert daemon.left_behind() == []
    assert not daemon.output.exists()


@pytest.mark.parametrize(("number", "frames"), [(signal.SIGINT, 0), (signal.SIGTERM, 20)])
def test_a_connected_daemon_drains_and_closes_its_file_when_asked_once_or_twice(tmp_path, number, frames):
    ports = free_ports()
    with daemon_of(tmp_path, ports) as daemon, running_ioc(*COUNTING, ports=ports) as ioc:
        daemon.wait_heard("STATUS=connected")
        if frames:
            ioc.put("cam1:Acquire", 1)
            daemon.wait_rows(lambda ids: ids.size >= frames, f"{frames} frames")
            daemon.send(signal.SIGINT)
        assert daemon.stop(number) == 0
        assert "Traceback" not in daemon.log
        assert daemon.left_behind() == []
    if frames:
        assert assert_whole(daemon.output)["processed"] >= frames
    else:
        assert not daemon.output.exists()


def test_a_daemon_that_is_killed_leaves_a_file_that_opens_and_whose_rows_are_whole(tmp_path):
    ports = free_ports()
    with daemon_of(tmp_path, ports) as daemon, running_ioc(*COUNTING, ports=ports) as ioc:
        daemon.wait_heard("STATUS=connected")
        ioc.put("cam1:Acquire", 1)
        daemon.wait_rows(lambda ids: ids.size >= 10, "ten frames")
        time.sleep(random.uniform(0.0, 1.0))
        daemon.send(signal.SIGKILL)
        assert daemon.wait_end() == -signal.SIGKILL
        assert daemon.left_behind() == []
    with h5py.File(daemon.output) as file:
        # Datasets are flushed one after the other: beyond the shortest lie rows of a batch that was cut off.
        whole = min(item.shape[0] for item in row_aligned(file).values())
        assert whole >= 10
        ids = file["entry/frames/unique_id"][:whole]
        processed = file["entry/frames/state"][:whole] == b"PROCESSED"
        assert set(file["entry/frames/state"][:whole][~processed]) <= {b"LOST"}
        np.testing.assert_array_equal(np.isfinite(file["entry/azint1d/I"][:whole]).any(axis=1), processed)
    np.testing.assert_array_equal(ids, np.arange(ids[0], ids[0] + whole))

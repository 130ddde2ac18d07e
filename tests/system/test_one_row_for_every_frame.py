"""Whatever happens to the IOC, the network or the daemon: every announced frame ends in exactly one row."""

import signal
import time
from contextlib import contextmanager

import pytest

from fakes.beamlines import write_plain_beamline
from fakes.ioc import free_ports, running_ioc
from fakes.service import assert_whole, rows, serving, texts, wait_until

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

SHAPE = (256, 256)
COUNTING = ("--shape", "256x256", "--start-paused")
OUTAGE_S = 1.5
RATE_HZ = 40
SEEN, COUNTED = 19, 21
"""Frames of the first IOC that go out, and that its counter tells of before it hangs."""
DROPPED = ("--fault", "drop@20", "--fault", "drop@21", "--fault", "stall@22:60")
HEARD_WITHIN_S = 4.0
"""So long the counter's newest value may be on its way; well below the time after which it names frames by itself."""
FRAMES = 200


@contextmanager
def beamline(tmp_path, protocol, *arguments):
    """A counting detector with a daemon connected to it."""
    ports = free_ports()
    configuration = write_plain_beamline(tmp_path, shape=SHAPE, protocol=protocol)
    with (
        serving(configuration, tmp_path / "run.h5", ports.client_environment()) as daemon,
        running_ioc(*COUNTING, *arguments, ports=ports) as ioc,
    ):
        daemon.wait_heard("STATUS=connected")
        yield daemon, ioc


@pytest.mark.parametrize("protocol", ["pva", "ca"])
def test_an_ioc_that_is_killed_and_comes_back_counts_anew_and_no_frame_of_either_is_forgotten(tmp_path, protocol):
    with beamline(tmp_path, protocol, "--rate", str(RATE_HZ), "--count", "1000", *DROPPED) as (daemon, ioc):
        ioc.put("cam1:Acquire", 1)
        daemon.wait_rows(lambda ids: ids[-1] == SEEN, "frames of the first IOC")
        wait_until(lambda: ioc.get("cam1:ArrayCounter_RBV") == COUNTED, "the frames that nobody sees")
        time.sleep(HEARD_WITHIN_S)
        ioc.kill()
        with running_ioc("--shape", "256x256", "--rate", str(RATE_HZ), "--count", "30", ports=ioc.ports):
            daemon.wait_rows(lambda ids: list(ids).count(1) == 2 and ids[-1] == 30, "the last frame of the second IOC")
            assert daemon.stop() == 0
    told = rows(daemon.output)
    ids = [number for number, _, _ in told]
    restart = len(ids) - 30
    assert ids[:restart] == list(range(1, COUNTED + 1))
    assert ids[restart:] == list(range(1, 31))
    assert [reason for _, _, reason in told[SEEN:restart]] == ["IOC_RESTARTED"] * (COUNTED - SEEN)
    assert {reason for _, state, reason in told[restart:] if state == "LOST"} <= {
        "IOC_RESTARTED",
        "GAP_IN_ID",
        "MISPAIRED",
    }
    assert {state for _, state, _ in told} <= {"PROCESSED", "LOST"}
    assert "DISCONNECTED" in texts(daemon.output, "kind")
    assert "COUNTER_RESET" in texts(daemon.output, "kind")
    assert_whole(daemon.output)


@pytest.mark.parametrize("protocol", ["pva", "ca"])
def test_an_outage_and_a_frozen_daemon_cost_frames_but_no_row(tmp_path, protocol):
    faults = ("--fault", f"disconnect@20:{OUTAGE_S}")
    with beamline(tmp_path, protocol, "--rate", str(RATE_HZ), "--count", str(FRAMES), *faults) as (daemon, ioc):
        ioc.put("cam1:Acquire", 1)
        daemon.wait_rows(lambda ids: ids[-1] > 20, "frames after the outage")
        daemon.send(signal.SIGSTOP)
        time.sleep(2.0)
        daemon.send(signal.SIGCONT)
        daemon.wait_rows(lambda ids: ids[-1] == FRAMES, "the last frame")
        assert ioc.get("cam1:ArrayCounter_RBV") == FRAMES
        assert daemon.stop() == 0
    told = rows(daemon.output)
    assert sorted(number for number, _, _ in told) == list(range(1, FRAMES + 1))
    reasons = {number: reason for number, state, reason in told if state != "PROCESSED"}
    assert {reasons.get(number) for number in range(21, 21 + int(RATE_HZ * OUTAGE_S))} == {"DISCONNECTED"}
    assert set(reasons.values()) <= {"DISCONNECTED", "GAP_IN_ID", "QUEUE_FULL", "MISPAIRED"}
    assert FRAMES not in reasons
    assert any(number not in reasons for number in range(1, 21))
    assert_whole(daemon.output)

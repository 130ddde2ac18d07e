"""A machine without memory for a while: the daemon goes on, or the next one does, and no frame is forgotten."""

import resource
import time
from pathlib import Path

import pytest

from fakes.beamlines import write_plain_beamline
from fakes.ioc import free_ports, running_ioc
from fakes.service import Daemon, assert_whole, rows, serving

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

COUNTING = ("--shape", "256x256", "--start-paused", "--rate", "20", "--count", "100000")
WITHOUT_S = 2.0
CUT_SHORT = 1


def take_memory_away(daemon: Daemon) -> None:
    """Whatever it asks for from now on is refused, until it is given back or the process ends."""
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_AS)
    pages = Path(f"/proc/{daemon.pid}/statm").read_text(encoding="ascii").split()[0]
    resource.prlimit(daemon.pid, resource.RLIMIT_AS, (int(pages) * resource.getpagesize(), hard))
    end_s = time.monotonic() + WITHOUT_S
    while time.monotonic() < end_s and not daemon.has_ended:
        time.sleep(0.05)
    if not daemon.has_ended:
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("protocol", ["pva", "ca"])
def test_a_daemon_that_gets_no_memory_for_a_while_is_deaf_for_so_long_and_no_longer(tmp_path, protocol):
    ports, output = free_ports(), tmp_path / "run.h5"
    configuration = write_plain_beamline(tmp_path, shape=(256, 256), protocol=protocol)
    with running_ioc(*COUNTING, ports=ports) as ioc:
        with serving(configuration, output, ports.client_environment()) as daemon:
            daemon.wait_heard("STATUS=connected")
            ioc.put("cam1:Acquire", 1)
            daemon.wait_rows(lambda ids: ids.size >= 20, "twenty frames")
            take_memory_away(daemon)
            counted = ioc.get("cam1:ArrayCounter_RBV")
            if not daemon.has_ended:
                daemon.wait_rows(lambda ids: ids[-1] > counted, "frames that came afterwards")
                assert daemon.stop() == 0
            else:
                assert daemon.wait_end() == CUT_SHORT
        if not has_ended_well(output):
            with serving(configuration, output, ports.client_environment()) as daemon:
                daemon.wait_rows(lambda ids: ids[-1] > counted, "frames that came afterwards")
                assert daemon.stop() == 0
    ids = [number for number, _, _ in rows(output)]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert assert_whole(output)["processed"] >= 20


def has_ended_well(output: Path) -> bool:
    """Whether the run has ended properly; one that was cut off left what it needs to be resumed."""
    return not output.with_name(output.stem + ".resume").exists()

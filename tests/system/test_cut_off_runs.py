"""Daemons that are killed: the next one goes on with the run, and nothing that was published is missing."""

import random
import signal
import threading
import time

import h5py
import pytest

from fakes.beamlines import write_plain_beamline
from fakes.ioc import free_ports, running_ioc
from fakes.service import assert_whole, rows, serving, texts
from ringwatch_daemon.client import GAP, subscribe
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.local_beamline import free_tcp_pair
from ringwatch_daemon.sinks.run_parts import MOST_PARTS, parts_there

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

COUNTING = ("--shape", "64x64", "--start-paused", "--rate", "40", "--count", "100000")
KILLS = 2


class Listener:
    """Hears a stream through all deaths of its publisher."""

    def __init__(self, endpoint: str) -> None:
        self._messages = subscribe(endpoint)
        self.heard: list[StreamMessage] = []
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        for message in self._messages:
            self.heard.append(message)
            if message.topic == "run.stop":
                return

    def frames(self) -> list[StreamMessage]:
        return [message for message in list(self.heard) if message.kind == "frame.tracking"]

    def wait_end(self) -> None:
        self._thread.join(60.0)
        assert not self._thread.is_alive()
        self._messages.close()


def wait_frames(listener: Listener, count: int) -> None:
    end_s = time.monotonic() + 90.0
    while len(listener.frames()) < count:
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_daemon_killed_again_and_again_goes_on_with_its_run_and_misses_nothing_that_it_published(tmp_path):
    ports, endpoint = free_ports(), free_tcp_pair()
    configuration = write_plain_beamline(
        tmp_path, shape=(64, 64), endpoint=endpoint, sections={"run": "part_rows = 50"}
    )
    output = tmp_path / "run.h5"
    listener = Listener(endpoint)
    with running_ioc(*COUNTING, ports=ports) as ioc:
        for start in range(KILLS + 1):
            with serving(configuration, output, ports.client_environment()) as daemon:
                daemon.wait_heard("STATUS=connected")
                if not start:
                    ioc.put("cam1:Acquire", 1)
                wait_frames(listener, len(listener.frames()) + 20)
                time.sleep(random.uniform(0.0, 0.5))
                if start < KILLS:
                    daemon.send(signal.SIGKILL)
                    assert daemon.wait_end() == -signal.SIGKILL
                    with h5py.File(output) as file:  # plainly, without hand work
                        assert file["entry/ledger/rows"][()] >= 20
                else:
                    assert daemon.stop() == 0
    listener.wait_end()
    totals = assert_whole(output)
    told = rows(output)
    ids = [number for number, _, _ in told]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert texts(output, "kind").count("RESUMED") == KILLS
    reasons = {reason for _, state, reason in told if state == "LOST"}
    assert reasons <= {"DAEMON_DOWN", "GAP_IN_ID"}
    assert totals["processed"] >= 20 * (KILLS + 1)
    for message in listener.frames():
        number, state, _ = told[message.frame]
        assert (number, state) == (message.data["unique_id"], message.data["state"])
    numbers = [message.seq for message in listener.heard if message.kind != GAP]
    assert numbers == sorted(set(numbers))
    assert {message.run for message in listener.heard} == {"run"}
    assert not (tmp_path / "run.resume").exists()
    assert len(parts_there(output)) == min(MOST_PARTS, -(-len(told) // 50))

"""The live cycler against a real IOC; both in processes of their own, since libca reads its environment once."""

import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from ringwatch_daemon.local_beamline import LoopbackPorts, free_ports

pytestmark = pytest.mark.sockets

IOC = """
import sys
from softioc import asyncio_dispatcher, builder, softioc
builder.SetDeviceName("CYCLER")
records = {
    "U": builder.aIn("U", initial_value=100.0, MDEL=-1),
    "I": builder.aIn("I", initial_value=1.0, MDEL=-1),
    "NAME": builder.stringIn("NAME", initial_value="Landt"),
}
builder.LoadDatabase()
softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
print("READY", flush=True)
for line in sys.stdin:
    name, value, severity = line.split()
    records[name].set(float(value), severity=int(severity))
"""

CLIENT = """
import json, sys, threading, time
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.live_epics import EpicsCyclerConfig
from ringwatch_daemon.cyclers.open_reader import open_reader
voltage_pv, current_pv, quiet_s = sys.argv[1:]
config = EpicsCyclerConfig(voltage_pv, current_pv, volt_per_unit=1e-3, ampere_per_unit=1e-3, quiet_s=float(quiet_s))
cycler = open_reader(config, clock=SystemClock())

def watch():
    while True:
        try:
            samples = cycler.poll()
        except CyclerError as error:
            print(json.dumps(str(error)), flush=True)
            samples = None
        if samples is not None:
            stamps = (samples.timestamp_ns / 1e9).tolist()
            for row in zip(stamps, samples.voltage_V.tolist(), samples.current_A.tolist()):
                print(json.dumps(row), flush=True)
        time.sleep(0.02)

# As in the daemon: opened by one thread, polled by another.
watcher = threading.Thread(target=watch)
watcher.start()
watcher.join()
"""


class Script:
    """A Python script in its own process, whose lines can be waited for."""

    def __init__(self, text: str, environment: dict[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", text, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def say(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_for(self, wanted):
        """The first line that `wanted` accepts."""
        while True:
            line = self._lines.get(timeout=60)
            if wanted(line):
                return line

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line.strip())


@contextmanager
def script(text, environment, *arguments):
    running = Script(text, environment, *arguments)
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def ioc(ports: LoopbackPorts):
    with script(IOC, ports.server_environment()) as running:
        running.wait_for(lambda line: line == "READY")
        yield running


def row_where(client, wanted):
    """The next row (stamp, voltage, current) that `wanted` accepts."""

    def accepts(line):
        row = json.loads(line)
        return isinstance(row, list) and wanted(row)

    return json.loads(client.wait_for(accepts))


def test_values_are_merged_with_their_own_stamps_and_a_lost_server_leaves_a_gap():
    ports = free_ports()
    with script(CLIENT, ports.client_environment(), "CYCLER:U", "CYCLER:I", "1e6") as client:
        with ioc(ports) as server:
            row_where(client, lambda row: row[1:] == [0.1, 1e-3])
            server.say("U 107.0 0")
            before = row_where(client, lambda row: row[1] == pytest.approx(0.107))
            server.say("I -1.0 0")
            after = row_where(client, lambda row: row[2] == pytest.approx(-1e-3))
            assert after[1] == pytest.approx(0.107)
            assert after[0] > before[0]
            server.say("U 0.0 3")
            assert row_where(client, lambda row: math.isnan(row[1]))[2] == pytest.approx(-1e-3)
        marker = row_where(client, lambda row: math.isnan(row[1]) and math.isnan(row[2]))
        assert marker[0] >= after[0]
        # Long enough for the channels to be made anew, which the second server must find.
        time.sleep(3)
        with ioc(ports) as server:
            server.say("U 55.0 0")
            again = row_where(client, lambda row: row[1] == pytest.approx(0.055))
            assert again[0] > marker[0]


def test_a_pv_that_holds_no_number_is_named():
    ports = free_ports()
    with ioc(ports), script(CLIENT, ports.client_environment(), "CYCLER:U", "CYCLER:NAME", "1e6") as client:
        client.wait_for(lambda line: "expected a number from PV CYCLER:NAME, got str 'Landt'" in line)


def test_values_that_are_not_posted_again_are_told_again_on_their_own_clock():
    ports = free_ports()
    with ioc(ports), script(CLIENT, ports.client_environment(), "CYCLER:U", "CYCLER:I", "0.3") as client:
        first, second, third = (row_where(client, lambda row: row[1:] == [0.1, 1e-3]) for _ in range(3))
        assert second[0] - first[0] > 0.29
        assert third[0] - second[0] > 0.29

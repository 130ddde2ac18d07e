"""A simulated detector IOC in a process of its own, on loopback ports found at run time."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from p4p.client.thread import Context

READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Channel Access and PVA ports of one IOC; an IOC that comes back takes the same ones."""

    channel_access: int
    pva: int
    pva_broadcast: int

    def client_environment(self) -> dict[str, str]:
        """Variables with which a client finds this IOC and no other."""
        return {
            "EPICS_CA_ADDR_LIST": "127.0.0.1",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": str(self.channel_access),
            "EPICS_PVA_ADDR_LIST": "127.0.0.1",
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_BROADCAST_PORT": str(self.pva_broadcast),
        }

    def server_environment(self) -> dict[str, str]:
        """Variables with which the IOC serves on loopback only."""
        return {
            **self.client_environment(),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_SERVER_PORT": str(self.channel_access),
            "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_SERVER_PORT": str(self.pva),
            "EPICS_PVAS_BROADCAST_PORT": str(self.pva_broadcast),
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
        }


def free_ports() -> Ports:
    """Three ports that are free for TCP and UDP on loopback."""
    sockets = [_bound_pair() for _ in range(3)]
    numbers = [tcp.getsockname()[1] for tcp, _ in sockets]
    for pair in sockets:
        for one in pair:
            one.close()
    return Ports(*numbers)


def _bound_pair() -> tuple[socket.socket, socket.socket]:
    while True:
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.bind(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        except OSError:
            tcp.close()
            udp.close()
            continue
        return tcp, udp


class IocHandle:
    """A running IOC.

    Parameters
    ----------
    prefix
        What every record's name begins with.
    ports
        Where it serves.
    """

    def __init__(self, process: "subprocess.Popen[str]", prefix: str, ports: Ports) -> None:
        self._process = process
        self.prefix = prefix
        self.ports = ports
        self.pid = process.pid
        self.ready_lines: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment for a client in a subprocess."""
        return {**os.environ, **self.ports.client_environment()}

    @property
    def epics(self) -> dict[str, str]:
        """Only the EPICS variables for a client, as for ``p4p.client.thread.Context(conf=...)``."""
        return self.ports.client_environment()

    def get(self, name: str) -> Any:
        """The value of one of its records."""
        with Context("pva", conf=self.epics, useenv=False) as context:
            return context.get(self.prefix + name, timeout=READY_TIMEOUT_S)

    def put(self, name: str, value: object) -> None:
        """Write to one of its records."""
        with Context("pva", conf=self.epics, useenv=False) as context:
            context.put(self.prefix + name, value, timeout=READY_TIMEOUT_S, wait=False)

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait for the READY line."""
        if not self._ready.wait(timeout_s) or not self.ready_lines:
            self.kill()
            raise RuntimeError(f"the IOC {self.prefix} was not ready within {timeout_s} s")

    def kill(self) -> None:
        """End it as a crash would: SIGKILL."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """Ask it to end and return its exit code."""
        return self._end(signal.SIGTERM)

    def stop_clock(self) -> None:
        """Freeze it: SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def continue_clock(self) -> None:
        """Thaw it: SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(20.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20.0)
        self._reader.join(5.0)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return self._process.returncode

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("READY"):
                self.ready_lines.append(line.strip())
                self._ready.set()
        self._ready.set()


@contextmanager
def running_ioc(*arguments: str, prefix: str = "13PE1:", ports: Ports | None = None) -> Iterator[IocHandle]:
    """Run ``python -m ringwatch_simulators ioc --prefix PREFIX ARGUMENTS`` until the block ends.

    Without further arguments it serves ten small frames that tell their own number, as soon as it
    is ready; with ``--start-paused`` it waits for ``Acquire``.
    """
    ports = ports or free_ports()
    command = [sys.executable, "-m", "ringwatch_simulators", "ioc", "--prefix", prefix, "--exit-with-parent"]
    process = subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, **ports.server_environment()},
        stdout=subprocess.PIPE,
        text=True,
    )
    handle = IocHandle(process, prefix, ports)
    try:
        handle.wait_ready()
        yield handle
    finally:
        handle.terminate()


def run_client(ioc: IocHandle, script: str, *arguments: str, timeout_s: float = 60.0) -> Any:
    """Run Python text in a process of its own that finds `ioc`; return the JSON that it prints last.

    The script finds the prefix in ``P`` and `arguments` in ``sys.argv[1:]``.
    """
    text = f"import json, sys, time\nP = {ioc.prefix!r}\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments],
        env=ioc.environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

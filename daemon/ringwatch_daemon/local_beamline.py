"""A simulated beamline in a process of its own, on loopback: for ``demo``, ``replay`` and ``simulate``.

The daemon knows it by its PV names only. Ports are found at run time, so that several run side by
side and beside a real IOC.
"""

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from ringwatch_daemon.core.errors import DetectorError

READY_WITHIN_S = 60.0
END_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class LoopbackPorts:
    """Where the simulated beamline serves."""

    channel_access: int
    pva: int
    pva_search: int

    def client_environment(self) -> dict[str, str]:
        """Variables with which a client finds this IOC and no other."""
        return {
            "EPICS_CA_ADDR_LIST": "127.0.0.1",
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": str(self.channel_access),
            "EPICS_CA_MAX_ARRAY_BYTES": "40000000",
            "EPICS_PVA_ADDR_LIST": "127.0.0.1",
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_BROADCAST_PORT": str(self.pva_search),
        }

    def server_environment(self) -> dict[str, str]:
        """Variables with which an IOC serves on loopback only."""
        return {
            **self.client_environment(),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_SERVER_PORT": str(self.channel_access),
            "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_SERVER_PORT": str(self.pva),
            "EPICS_PVAS_BROADCAST_PORT": str(self.pva_search),
            "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        }


def free_ports() -> LoopbackPorts:
    """Three ports that are free for TCP and UDP on loopback at this moment."""
    with ExitStack() as held:
        return LoopbackPorts(*(_free_port(held) for _ in range(3)))


def free_tcp_pair() -> str:
    """An endpoint on loopback whose port, and the next one, are free at this moment."""
    while True:
        with ExitStack() as held:
            port = _free_port(held)
            neighbour = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            try:
                neighbour.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return f"tcp://127.0.0.1:{port}"


def _free_port(held: ExitStack) -> int:
    while True:
        tcp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        try:
            udp.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port


class SimulatedBeamline:
    """The process ``python -m ringwatch_simulators ioc ...``; a context manager that ends it.

    Parameters
    ----------
    arguments
        After ``ioc``.
    """

    def __init__(self, *arguments: str, ports: LoopbackPorts) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ringwatch_simulators", "ioc", "--exit-with-parent", *arguments],
            env={**os.environ, **ports.server_environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C at the terminal is for the daemon; this process is ended after it
        )
        self._ready = threading.Event()
        self._ready_line = ""
        self._complaints: deque[str] = deque(maxlen=20)
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_out, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def wait_ready(self) -> dict[str, str]:
        """What the READY line tells, as name=value.

        Raises
        ------
        DetectorError
            It ended, or was not ready in time.
        """
        self._ready.wait(READY_WITHIN_S)
        if not self._ready_line:
            self.close()  # and with it whatever was still being said
            complaint = self._complaints[-1] if self._complaints else f"no word within {READY_WITHIN_S:g} s"
            raise DetectorError(f"the simulated beamline did not start: {complaint}")
        return dict(word.split("=", 1) for word in self._ready_line.split() if "=" in word)

    def close(self) -> None:
        """End it, by force if it does not go."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for reader in self._readers:
            reader.join(1.0)

    def __enter__(self) -> "SimulatedBeamline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_out(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.startswith("READY"):
                    self._ready_line = line.strip()
                    self._ready.set()
        self._ready.set()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._complaints.append(line.strip())

"""A simulated detector IOC in a process of its own, on loopback ports found at run time."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from p4p.client.thread import Context

from ringwatch_daemon.local_beamline import LoopbackPorts, free_ports

READY_TIMEOUT_S = 180.0


class IocHandle:
    """A running IOC.

    Parameters
    ----------
    prefix
        What every record's name begins with.
    ports
        Where it serves.
    """

    def __init__(self, process: "subprocess.Popen[str]", prefix: str, ports: LoopbackPorts) -> None:
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
def running_ioc(
    *arguments: str, prefix: str = "13PE1:", ports: LoopbackPorts | None = None, program: tuple[str, ...] = ()
) -> Iterator[IocHandle]:
    """Run ``python -m ringwatch_simulators ioc --prefix PREFIX ARGUMENTS``, or `program`, until the block ends.

    Without further arguments it serves ten small frames that tell their own number, as soon as it
    is ready; with ``--start-paused`` it waits for ``Acquire``.
    """
    ports = ports or free_ports()
    command = [sys.executable, "-m", "ringwatch_simulators", "ioc", "--prefix", prefix, "--exit-with-parent"]
    process = subprocess.Popen(
        [*(program or command), *arguments],
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

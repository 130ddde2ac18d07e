"""A simulated beamline and the daemon before it, as processes that can be hurt and brought back."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.listener import Listener
from chaos.violations import Violation
from fakes.beamlines import write_plain_beamline
from fakes.ioc import IocHandle, free_ports, running_ioc
from fakes.service import Daemon
from ringwatch_daemon.local_beamline import free_tcp_pair
from ringwatch_simulators.served import ServedFrame, served_frames

SHAPE = (32, 32)
RATE_HZ = 40.0
PATIENCE_S = 300.0
WRONG_CODES = (0, 2)
"""Codes after which nobody starts it again: it would be missed in the morning."""
CYCLER_EVERY_S = 0.25
SECTIONS = {
    "spool": "quota_GiB = 0.05",
    "cycler": 'kind = "csv"\nfile = "cycler.csv"\ntable.cycle = "cycle"',
}


@dataclass(frozen=True, slots=True)
class Silence:
    """A stretch of time in which the daemon could not hear its detector, UTC nanoseconds."""

    began_ns: int
    ended_ns: int


class Beamline:
    """One detector, one cycler and one daemon, in a folder of their own.

    Parameters
    ----------
    folder
        Configuration, cycler's file and the detector's account.
    runs
        Where the files of the runs go.
    protocol
        ``pva`` or ``ca``.
    """

    def __init__(self, folder: Path, runs: Path, protocol: str) -> None:
        self.folder = folder
        self.runs = runs
        self.protocol = protocol
        self.silences: list[Silence] = []
        self.deaths_ns: list[int] = []
        self.may_end = False
        self._deaf_since_ns = 0
        self._ports = free_ports()
        self.endpoint = free_tcp_pair()
        self._account = folder / "served"
        self._configuration = write_plain_beamline(
            folder, shape=SHAPE, protocol=protocol, endpoint=self.endpoint, sections=SECTIONS
        )
        self._ioc_stack = ExitStack()
        self._daemon_stack = ExitStack()
        self._ended = threading.Event()
        self._cycler = threading.Thread(target=self._cycle, daemon=True)
        self.run_number = 0
        self.starts = 0
        self.ioc: IocHandle
        self.daemon: Daemon
        self.listener: Listener

    def open(self) -> None:
        """Bring everything up and let frames come."""
        self._cycler.start()
        self.start_ioc()
        self.begin_run()

    def close(self) -> None:
        """End every process."""
        self._ended.set()
        with ExitStack() as leaving:
            if self._cycler.is_alive():
                leaving.callback(self._cycler.join)
            leaving.callback(self._ioc_stack.close)
            leaving.callback(self._daemon_stack.close)
            if self.run_number:
                leaving.callback(self.listener.close)

    @property
    def output(self) -> Path:
        """The file of the run that goes on."""
        return self.runs / f"run-{self.run_number:03d}.h5"

    def served(self) -> list[ServedFrame]:
        """The detector's own account."""
        return served_frames(self._account)

    def begin_run(self) -> None:
        """Start the daemon on a new run."""
        self.run_number += 1
        self.listener = Listener(self.endpoint)
        self.start_daemon()

    def start_ioc(self) -> None:
        """A fresh IOC, which counts from one and acquires at once."""
        arguments = ("--shape", f"{SHAPE[0]}x{SHAPE[1]}", "--rate", f"{RATE_HZ:g}", "--count", "1000000")
        account = ("--served", str(self._account))
        self.ioc = self._ioc_stack.enter_context(running_ioc(*arguments, *account, ports=self._ports))

    def kill_ioc(self) -> None:
        """End the IOC as a crash does."""
        self.deaths_ns.append(time.time_ns())
        self.ioc.kill()
        self._ioc_stack.close()

    def start_daemon(self) -> None:
        """Start it; it takes up what the last one left."""
        self.starts += 1
        folder = self._daemon_stack.enter_context(TemporaryDirectory(prefix="ringwatch-"))
        self.daemon = Daemon(self._configuration, self.output, self._ports.client_environment(), Path(folder))
        self._daemon_stack.callback(self.daemon.close)

    def start_briefly(self, after_s: float, number: signal.Signals) -> tuple[int, str]:
        """Another daemon on a run and an endpoint of its own, ended after a while; its exit code and its log."""
        text = self._configuration.read_text(encoding="utf-8").replace(self.endpoint, free_tcp_pair())
        configuration = self.folder / "brief.toml"
        configuration.write_text(text, encoding="utf-8")
        output = self.folder / f"brief-{time.time_ns()}.h5"
        with TemporaryDirectory(prefix="ringwatch-") as folder:
            brief = Daemon(configuration, output, self._ports.client_environment(), Path(folder))
            try:
                time.sleep(after_s)
                return brief.stop(number), brief.log
            finally:
                brief.close()

    def end_daemon(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal that ends it, and return the exit code and its last words."""
        self.deaf()
        self.daemon.send(number)
        return self.gone()

    def gone(self) -> tuple[int, str]:
        """Wait until the daemon has ended, and return the exit code and its last words."""
        code, words = self.daemon.wait_end(), self.last_words()
        self._daemon_stack.close()
        return code, words

    def deaf(self) -> None:
        """From now on the daemon may not hear its detector."""
        self._deaf_since_ns = self._deaf_since_ns or time.time_ns()

    def hears(self, since_ns: int) -> None:
        """It hears it again, for sure since a moment ago."""
        if self._deaf_since_ns:
            self.silences.append(Silence(self._deaf_since_ns, max(since_ns, self._deaf_since_ns)))
        self._deaf_since_ns = 0

    def wait_taken(self, after_ns: int) -> int:
        """Wait until a frame that came after a moment is processed and published; return when it was received."""
        found: list[int] = []

        def taken() -> bool:
            self.require_alive()
            found.extend(at_ns for at_ns in [self.listener.newest_processed_ns] if at_ns > after_ns)
            return bool(found)

        self.wait_until(taken, "a processed frame on the stream")
        self.hears(found[0])
        return found[0]

    def require_alive(self) -> None:
        """Make sure that the daemon did not end by itself; where it may, start it again, as a service manager does."""
        if not self.daemon.has_ended:
            return
        self.deaf()
        code, words = self.gone()
        if not self.may_end or code in WRONG_CODES:
            raise Violation(f"the daemon ended by itself with {code}: {words}")
        if code > 0 and "ringwatch:" not in words:
            raise Violation(f"the daemon ended with {code}, and not with a sentence: {words}")
        self.start_daemon()

    def last_words(self) -> str:
        """The end of the daemon's log."""
        return " | ".join(self.daemon.log.splitlines()[-8:])

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Look again and again until `condition` holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end_s:
                raise Violation(f"not seen within {PATIENCE_S:g} s: {what}; the daemon says: {self.last_words()}")
            time.sleep(0.02)

    def _cycle(self) -> None:
        with (self.folder / "cycler.csv").open("w", encoding="utf-8") as table:
            table.write("time,voltage_V,current_A,cycle\n")
            number = 0
            while not self._ended.wait(CYCLER_EVERY_S):
                number += 1
                stamp = datetime.now(tz=UTC).isoformat()
                table.write(f"{stamp},{3.0 + 1e-4 * number:.4f},0.001,{number // 100}\n")
                table.flush()
                os.fsync(table.fileno())

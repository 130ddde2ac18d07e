"""The daemon as a process of its own, heard the way systemd hears it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from ringwatch_daemon.core.errors import DetectorError

START_WITHIN_S = 90.0
STOP_WITHIN_S = 60.0
LARGEST_NOTICE = 4096


class DaemonProcess:
    """``ringwatch serve CONFIG -o OUTPUT``; a context manager that ends it cleanly."""

    def __init__(self, configuration: Path, output: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ringwatch-")
        address = str(Path(self._folder.name) / "notify")
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(address)
        self._log = Path(self._folder.name) / "log"
        self._stopping = False
        command = [sys.executable, "-m", "ringwatch_daemon", "serve", str(configuration), "-o", str(output)]
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "NOTIFY_SOCKET": address},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal reaches us only; we pass it on
            )

    def wait_connected(self) -> None:
        """Wait until the daemon has its detector.

        Raises
        ------
        DetectorError
            It ended, or found no detector in time.
        """
        deadline_s = time.monotonic() + START_WITHIN_S
        self._notices.settimeout(0.2)
        while time.monotonic() < deadline_s:
            self.require_alive_or_stopping()
            try:
                notice = self._notices.recv(LARGEST_NOTICE).decode(errors="replace")
            except TimeoutError:
                continue
            if "STATUS=connected" in notice:
                return
        raise DetectorError(f"the daemon found no detector within {START_WITHIN_S:g} s: {self._last_words()}")

    def ask_to_stop(self) -> None:
        """Ask for a clean end; what is on the way is worked off first."""
        if not self._stopping and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._stopping = True

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def require_alive_or_stopping(self) -> None:
        """Raise when the daemon has ended by itself.

        Raises
        ------
        DetectorError
            With its last words.
        """
        if not self._stopping and self._process.poll() is not None:
            raise DetectorError(f"the daemon ended with code {self._process.returncode}: {self._last_words()}")

    def __enter__(self) -> "DaemonProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ask_to_stop()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._notices.close()
        self._folder.cleanup()

    def _last_words(self) -> str:
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

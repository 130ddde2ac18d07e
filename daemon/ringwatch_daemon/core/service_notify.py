"""What the daemon tells the service manager, by the protocol of ``sd_notify(3)``.

Each notice is one datagram of ``NAME=value`` lines to the socket that ``NOTIFY_SOCKET`` names.
Without that variable nobody asked, and nothing is sent.
"""

import logging
import math
import os
import socket
from collections.abc import Mapping

from ringwatch_daemon.core.clock import Clock, SystemClock

_SEND_TIMEOUT_S = 0.5
_US_PER_S = 1e6
_EXTENSION_S = 30.0
"""So much longer may the end take after each beat that told of work."""
_LONGEST_STOP_S = 600.0
"""No machine waits for ever to be turned off; what is left on disk then, the next start goes on with."""
_LOG = logging.getLogger(__name__)


class ServiceNotifier:
    """Tells the service manager how the daemon fares; may be used from any thread.

    A manager that does not listen is logged and otherwise ignored: frames matter more. What is told again and again
    is not even waited with.

    Parameters
    ----------
    address
        An absolute path, or a name in the abstract namespace that begins with ``@``; empty for nobody.
    watchdog_s
        After such a silence the manager takes the daemon for stuck; None where it does not watch.
    """

    def __init__(self, address: str, *, watchdog_s: float | None = None, clock: Clock | None = None) -> None:
        if address and address[0] not in "/@":
            _LOG.warning("NOTIFY_SOCKET was expected to begin with / or @, got %r: nothing is notified", address)
            address = ""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._clock = clock or SystemClock()
        self._last_request_s = -math.inf
        self._heard = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ServiceNotifier":
        """The notifier that the environment asks for."""
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog_s=_watchdog_s(environment))

    def ready(self, status: str) -> None:
        """Tell that the start is over, and in one sentence how things stand."""
        self._send("READY=1", f"STATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """Tell in one sentence how things stand, as ``systemctl status`` shows it."""
        self._send(f"STATUS={_one_line(text)}", wait_s=0.0)

    def stopping(self, status: str) -> None:
        """Tell that the daemon is about to end, and in one sentence what it still does."""
        self._last_request_s = self._clock.monotonic_s() + _LONGEST_STOP_S - _EXTENSION_S
        self._send("STOPPING=1", f"STATUS={_one_line(status)}")

    def alive(self, worked: bool) -> None:
        """Tell that the data path turns over; while stopping, ask for more time as long as it has work.

        A stop of more than ten minutes is not asked for.
        """
        if worked and self._clock.monotonic_s() <= self._last_request_s:
            self._send("WATCHDOG=1", f"EXTEND_TIMEOUT_USEC={round(_EXTENSION_S * _US_PER_S)}", wait_s=0.0)
        else:
            self._send("WATCHDOG=1", wait_s=0.0)

    def _send(self, *assignments: str, wait_s: float = _SEND_TIMEOUT_S) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notice:
                notice.settimeout(wait_s)
                notice.connect(self._address)
                notice.sendall("\n".join(assignments).encode())
            self._heard = True
        except OSError as error:
            # Said once: a manager that has gone would else be complained of with every status.
            _LOG.log(
                logging.WARNING if self._heard else logging.DEBUG,
                "the service manager did not take %s: %s",
                assignments[0],
                error,
            )
            self._heard = False


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """The silence that the manager bears, by ``sd_watchdog_enabled(3)``; None where it watches nobody or another."""
    text, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text or process not in {"", str(os.getpid())}:
        return None
    if not text.isdecimal() or int(text) == 0:
        _LOG.warning("WATCHDOG_USEC was expected to be a number of microseconds, got %r: no watchdog is fed", text)
        return None
    return int(text) / _US_PER_S

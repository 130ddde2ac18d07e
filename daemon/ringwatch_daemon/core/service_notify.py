"""What the daemon tells the service manager, by the protocol of ``sd_notify(3)``.

Each notice is one datagram of ``NAME=value`` lines to the socket that ``NOTIFY_SOCKET`` names.
Without that variable nobody asked, and nothing is sent.
"""

import logging
import os
import socket
from collections.abc import Mapping

_SEND_TIMEOUT_S = 0.5
_LOG = logging.getLogger(__name__)


class ServiceNotifier:
    """Tells the service manager how the daemon fares; may be used from any thread.

    A manager that does not listen is logged and otherwise ignored: frames matter more.

    Parameters
    ----------
    address
        An absolute path, or a name in the abstract namespace that begins with ``@``; empty for nobody.
    """

    def __init__(self, address: str) -> None:
        if address and address[0] not in "/@":
            _LOG.warning("NOTIFY_SOCKET was expected to begin with / or @, got %r: nothing is notified", address)
            address = ""
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ServiceNotifier":
        """The notifier that the environment asks for."""
        return cls(environment.get("NOTIFY_SOCKET", ""))

    def ready(self, status: str) -> None:
        """Tell that the start is over, and in one sentence how things stand."""
        self._send("READY=1", f"STATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """Tell in one sentence how things stand, as ``systemctl status`` shows it."""
        self._send(f"STATUS={_one_line(text)}")

    def stopping(self, status: str) -> None:
        """Tell that the daemon is about to end, and in one sentence what it still does."""
        self._send("STOPPING=1", f"STATUS={_one_line(status)}")

    def watchdog(self) -> None:
        """Tell that the daemon makes progress."""
        self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for `seconds` from now on for the start or stop that is going on."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notice:
                notice.settimeout(_SEND_TIMEOUT_S)
                notice.connect(self._address)
                notice.sendall("\n".join(assignments).encode())
        except OSError as error:
            _LOG.warning("the service manager did not take %s: %s", assignments[0], error)


def _one_line(text: str) -> str:
    return " ".join(text.split())

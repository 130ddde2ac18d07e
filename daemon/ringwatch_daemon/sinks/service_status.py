"""How the run stands, in the one line that ``systemctl status`` shows."""

from collections.abc import Callable

from ringwatch_daemon.core.records import Record, Status


class ServiceStatus:
    """A sink that tells the service manager what the file and the stream have taken.

    Parameters
    ----------
    tell
        Takes one line.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._line = ""
        self._told = ""

    def accept(self, record: Record) -> None:
        """Keep the newest state of the run."""
        if isinstance(record, Status):
            self._line = _line(record)

    def flush(self) -> None:
        """Tell the newest state, unless it is known already."""
        if self._line != self._told:
            self._told = self._line
            self._tell(self._line)

    def close(self) -> None:
        """Nothing is held."""


def _line(status: Status) -> str:
    connected = "connected" if status.source_state == "CONNECTED" else "not connected"
    totals = status.totals
    counts = f"{totals.processed} processed, {totals.rejected} rejected, {totals.lost} lost"
    warnings = "".join(f"; {flag}" for flag in status.flags)
    return f"{connected}: {status.source_text}; {counts}{warnings}"

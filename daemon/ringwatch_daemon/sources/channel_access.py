"""Frames over Channel Access: the waveform of NDPluginStdArrays, paired with its unique id and proven."""

import threading
import warnings
from functools import partial
from threading import Event as StopRequest
from typing import Any

# First, so that pyepics loads the same libCom as softioc and p4p in this process, not the one of its own wheel.
import epicscorelibs.path.pyepics  # noqa: F401 - imported for what it sets
from epics import ca, dbr

from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.sources.array_plugin import ArrayPlugin, ChannelAccessSourceConfig
from ringwatch_daemon.sources.pairing import Stamped
from ringwatch_daemon.sources.plugin_header import Note

__all__ = ["ChannelAccessSource", "ChannelAccessSourceConfig", "attach_to_context"]

_RECREATE_S = 2.0
_RECREATE_UNSEEN_S = 10.0
"""The same for a PV that never was there, as an optional one may never be."""
_LOST = (ca.CASeverityException, ca.ChannelAccessException)
"""What a call raises when the connection goes while it is under way, before the callback tells so."""


class ChannelAccessSource:
    """A `FrameSource` over Channel Access.

    The environment (``EPICS_CA_ADDR_LIST`` and its like) is read once in a process, by libca.
    """

    def __init__(self, config: ChannelAccessSourceConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def run(self, intake: FrameIntake, stop: StopRequest) -> None:
        """Bring frames to `intake` until `stop` is set, through every loss of connection."""
        attach_to_context()
        wake = threading.Event()
        plugin = ArrayPlugin(self._config, self._clock, intake, partial(_Channel, wake), wake)
        try:
            while not stop.is_set():
                plugin.turn()
        finally:
            plugin.close()


def attach_to_context() -> None:
    """Let this thread use the one Channel Access context of the process."""
    warnings.filterwarnings("ignore", message=r"ca\.get\(", module=r"epics\.ca")
    if ca.libca is None:
        ca.initialize_libca()
    ca.use_initial_context()


class _Channel:
    """One PV: a channel that is made again while it is disconnected, and its monitor.

    Callbacks of libca only note and wake; what talks to the network runs in the worker's thread.
    """

    def __init__(self, wake: threading.Event, pv: str, note: Note | None) -> None:
        self._pv = pv
        self._wake = wake
        self._note = note
        self._connected = False
        self._ever_connected = False
        self._subscription: Any = None
        self._waiting_since_s: float | None = None
        self._chid: Any = None

    @property
    def connected(self) -> bool:
        """Whether its IOC is there."""
        return self._connected

    def mend(self, now_s: float) -> None:
        """Make the channel, or make it again; subscribe once it stands."""
        if self._connected:
            if self._subscription is None and self._note is not None:
                self._subscribe()
            return
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        patience_s = _RECREATE_S if self._ever_connected else _RECREATE_UNSEEN_S
        if self._chid is None or now_s - self._waiting_since_s > patience_s:
            # libca alone takes up to half a minute to find an IOC again where no repeater runs.
            self.close()
            self._waiting_since_s = now_s
            self._chid = ca.create_channel(self._pv, connect=False, auto_cb=False, callback=self._on_connection)

    def close(self) -> None:
        """Give the channel up."""
        if self._chid is not None:
            ca.clear_channel(self._chid)
        self._chid, self._subscription, self._connected = None, None, False

    def get(self, *, count: int | None = None, timeout_s: float) -> Stamped[Any] | None:
        """Value and stamp of one moment; None where no answer comes."""
        native = ca.field_type(self._chid) if self._connected else -1
        if native < 0:
            return None
        kind = ca.promote_fieldtype(native, use_time=True)
        try:
            told = ca.get_with_metadata(self._chid, ftype=kind, count=count, timeout=timeout_s)
        except ca.ChannelAccessGetFailure:
            return None
        except _LOST:
            self._connected = False
            return None
        return None if told is None or told["value"] is None else Stamped(told["value"], _stamp_ns(told))

    def _subscribe(self) -> None:
        native = ca.field_type(self._chid)
        if native < 0 or self._chid is None:
            return
        # A choice comes as its text: its numbers differ between releases of areaDetector.
        kind = dbr.TIME_STRING if native == dbr.ENUM else ca.promote_fieldtype(native, use_time=True)
        try:
            self._subscription = ca.create_subscription(self._chid, ftype=kind, callback=self._on_event, count=1)
        except _LOST:
            self._connected = False

    def _on_connection(self, *, conn: bool, **_more: object) -> None:
        self._connected = conn
        self._ever_connected = self._ever_connected or conn
        self._waiting_since_s = None
        if not conn and self._note is not None:
            self._note(None)
        self._wake.set()

    def _on_event(self, *, value: Any, **told: Any) -> None:
        if self._note is not None:
            self._note(Stamped(value, _stamp_ns(told)))
            self._wake.set()


def _stamp_ns(told: dict[str, Any]) -> int:
    return int(told.get("posixseconds", 0)) * NS_PER_S + int(told.get("nanoseconds", 0))

"""The cycler's voltage and current as EPICS process variables over Channel Access."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# isort: off
# In this order, so that pyepics loads the same libCom as the servers and PVA clients of this process.
import epicscorelibs.path.pyepics  # noqa: F401 - imported for what it sets
import epics
# isort: on

from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.held_series import HeldSeries, Lost, Quantity, Reading
from ringwatch_pipelines.cell.cycling import CyclerSamples

_INVALID = 3
_NEVER_PROCESSED_S = 631_152_000 + 86_400
_RECONNECT_S = 2.0
_QUEUED_EVENTS = 65_536

Event = Reading | Lost


@dataclass(frozen=True, slots=True)
class EpicsCyclerConfig:
    """A cycler whose values are process variables.

    Parameters
    ----------
    voltage_pv, current_pv
        Names; None for one that there is not.
    volt_per_unit, ampere_per_unit
        Factors from the values of the process variables.
    clock_offset_s
        Detector's clock minus the clock of the process variables' stamps.
    quiet_s
        While both are connected and nothing is posted for so long, the held values are told again, at the newest
        stamp plus the time that passed since it came: data keep to the clock of their stamps.
    """

    voltage_pv: str | None
    current_pv: str | None
    volt_per_unit: float = 1.0
    ampere_per_unit: float = 1.0
    clock_offset_s: float = 0.0
    quiet_s: float = 5.0


class EpicsCycler:
    """Follows a voltage and a current by monitors.

    Callbacks of Channel Access only put into a bounded queue; `poll` empties it. A channel that stays
    disconnected is made anew every two seconds, since the client library alone takes up to half
    a minute to find a server again. A server that freezes is noticed by Channel Access after
    10 s to 30 s; until then the held values are told again.

    Parameters
    ----------
    config
        Names and factors.
    clock
        Its monotonic time tells how long nothing came, and when to make a channel anew.
    """

    def __init__(self, config: EpicsCyclerConfig, *, clock: Clock) -> None:
        named = {
            Quantity.VOLTAGE: (config.voltage_pv, config.volt_per_unit),
            Quantity.CURRENT: (config.current_pv, config.ampere_per_unit),
        }
        self._clock = clock
        self._quiet_s = config.quiet_s
        self._events: Channel[Event] = Channel("cycler", _QUEUED_EVENTS)
        self._refused = 0
        self._monitors = [
            _Monitor(name, quantity, factor, self._events.offer)
            for quantity, (name, factor) in named.items()
            if name is not None
        ]
        if not self._monitors:
            raise CyclerError("a live cycler needs the PV of a voltage or of a current, neither is declared")
        quantities = frozenset(monitor.quantity for monitor in self._monitors)
        self._series = HeldSeries(quantities, clock_offset_ns=round(config.clock_offset_s * 1e9))
        self._next_attempt_s = clock.monotonic_s() + _RECONNECT_S
        self._heard_s = clock.monotonic_s()
        for monitor in self._monitors:
            monitor.open()

    def poll(self) -> CyclerSamples | None:
        """Samples since the last call, or None.

        Raises
        ------
        CyclerError
            A process variable holds no number, or values came faster than they were taken.
        """
        self._find_lost_channels()
        events = self._events.take_all(0.0)
        for event in events:
            self._series.take(event)
        self._complain()
        self._repeat_when_quiet(heard=bool(events))
        return self._series.samples()

    def close(self) -> None:
        """Let go of the channels."""
        for monitor in self._monitors:
            monitor.close()
        self._events.close()

    def _find_lost_channels(self) -> None:
        if self._clock.monotonic_s() < self._next_attempt_s:
            return
        self._next_attempt_s = self._clock.monotonic_s() + _RECONNECT_S
        for monitor in self._monitors:
            if not monitor.connected:
                monitor.close()
                monitor.open()

    def _repeat_when_quiet(self, *, heard: bool) -> None:
        now_s = self._clock.monotonic_s()
        quiet_s = now_s - self._heard_s
        if not heard and quiet_s < self._quiet_s:
            return
        if not heard:
            self._series.still_holds(round(quiet_s * 1e9))
        self._heard_s = now_s

    def _complain(self) -> None:
        refused = self._events.level().dropped
        if refused > self._refused:
            lost, self._refused = refused - self._refused, refused
            raise CyclerError(f"{lost} values of the cycler's PVs were lost, more than {_QUEUED_EVENTS} waited")
        for monitor in self._monitors:
            if wrong := monitor.take_wrong():
                raise CyclerError(f"expected a number from PV {monitor.name}, got {wrong}")


class _Monitor:
    """One process variable; what it posts is handed to `offer`, from threads of Channel Access."""

    def __init__(self, name: str, quantity: Quantity, factor: float, offer: Callable[[Event], bool]) -> None:
        self.name = name
        self.quantity = quantity
        self.connected = False
        self._factor = factor
        self._offer = offer
        self._pv: Any = None
        self._wrong = ""

    def open(self) -> None:
        """Begin to look for the process variable; never waits."""
        # Threads other than the first have no context of their own, and must not make one.
        epics.ca.use_initial_context()
        self._pv = epics.PV(
            self.name, callback=self._value, connection_callback=self._connection, form="time", auto_monitor=True
        )

    def close(self) -> None:
        """Forget the process variable and its channel."""
        if self._pv is None:
            return
        epics.ca.use_initial_context()
        chid = self._pv.chid
        self._pv.disconnect()
        if chid is not None:
            epics.ca.clear_channel(chid)
        self._pv = None
        self.connected = False

    def take_wrong(self) -> str:
        """What came in place of a number since the last call, or an empty string."""
        wrong, self._wrong = self._wrong, ""
        return wrong

    def _value(self, **posted: Any) -> None:
        value, seconds = posted.get("value"), int(posted.get("posixseconds", 0))
        if not isinstance(value, int | float):
            self._wrong = f"{type(value).__name__} {str(value)[:40]!r}"
        elif seconds > _NEVER_PROCESSED_S:
            stamp_ns = seconds * 1_000_000_000 + int(posted.get("nanoseconds", 0))
            told = float("nan") if posted.get("severity") == _INVALID else value * self._factor
            self._offer(Reading(self.quantity, stamp_ns, told))

    def _connection(self, *, conn: bool, **_: Any) -> None:
        self.connected = conn
        if not conn:
            self._offer(Lost(self.quantity))

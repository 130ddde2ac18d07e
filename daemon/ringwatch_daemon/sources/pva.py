"""Frames over PV Access: an NTNDArray, image and metadata in one structure."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event as StopRequest
from typing import Any

from p4p.client.thread import Cancelled, Context, Disconnected, RemoteError
from p4p.util import ThreadedWorkQueue

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.errors import DetectorError
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.area_detector import (
    KNOWN_WITHIN_S,
    AreaDetectorPvs,
    DetectorState,
    callbacks_off_cause,
)
from ringwatch_daemon.sources.handover import Arrival, Handover
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_daemon.sources.ndarray import (
    announcement_of,
    image_of,
    is_empty,
    is_ntndarray,
    plain_scalar,
    stamp_ns_of,
)
from ringwatch_daemon.sources.times import StampMarks
from ringwatch_daemon.sources.watchdog import FrameWatchdog

_log = logging.getLogger(__name__)
_TICK_S = 0.2
_RESUBSCRIBE_S = 1.0
_SEARCH_S = (2.0, 10.0)
"""How long to wait for a server that is gone before it is searched anew, at first and at most."""
_LOOK_S = 1.0
_HELD_FRAMES = 16
"""Frames that wait at most until it is known whether the IOC is the one of before."""


@dataclass(frozen=True, slots=True)
class PvaSourceConfig:
    """Where the frames are and how they are read.

    Parameters
    ----------
    pv
        The NTNDArray, such as ``13PE1:Pva1:Image``.
    beside
        PVs that tell what the NTNDArray does not; read over PVA too.
    names
        Which attributes hold exposure, monitor and conditions.
    timestamp_marks
        The moment of the exposure that the IOC's stamp marks; areaDetector stamps at the end.
    max_image_bytes
        A larger image is refused.
    stall_s
        How long frames may stay away while they should come.
    queue_size
        Frames that the network layer keeps while ringwatch is busy.
    network
        ``EPICS_PVA_...`` settings that override the environment's.
    """

    pv: str
    beside: AreaDetectorPvs = field(default_factory=AreaDetectorPvs)
    names: MetadataNames = field(default_factory=MetadataNames)
    timestamp_marks: StampMarks = StampMarks.END
    max_image_bytes: int = 512 * 1024 * 1024
    stall_s: float = 10.0
    queue_size: int = 64
    network: tuple[tuple[str, str], ...] = ()


class PvaSource:
    """A `FrameSource` over PV Access."""

    def __init__(self, config: PvaSourceConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def run(self, intake: FrameIntake, stop: StopRequest) -> None:
        """Bring frames to `intake` until `stop` is set, through every loss of connection."""
        config = self._config
        state = DetectorState(config.beside, on_count=intake.counted)
        watchdog = FrameWatchdog(intake, self._clock, stall_s=config.stall_s, stage=config.pv)
        handover = Handover(
            intake,
            self._clock,
            origin=config.pv,
            names=config.names,
            marks=config.timestamp_marks,
            state=state,
            watchdog=watchdog,
        )
        receiver = _Receiver(config, self._clock, intake, handover, state)
        with _network(config) as (context, queue):
            image = _Subscription(
                context, queue, config.pv, receiver.event, f"record[queueSize={config.queue_size}]field()"
            )
            beside = [_Subscription(context, queue, pv, partial(_note, state, pv)) for pv in config.beside.all]
            try:
                while not stop.wait(_TICK_S):
                    _require_alive(queue)
                    for subscription in (image, *beside):
                        subscription.mend(self._clock.monotonic_s())
                    receiver.look()
                    cause = callbacks_off_cause(config.beside, state)
                    watchdog.check(acquiring=state.acquiring, connected=receiver.connected, cause=cause)
            finally:
                for subscription in (image, *beside):
                    subscription.close()


@contextmanager
def _network(config: PvaSourceConfig) -> Iterator[tuple[Context, ThreadedWorkQueue]]:
    """A client with one thread for all subscriptions, so that events keep their order."""
    logging.getLogger("p4p.client.thread").addFilter(_is_no_early_answer)
    queue = ThreadedWorkQueue(name="ringwatch-pva", maxsize=0, daemon=True)
    queue.start()
    # nt=False: p4p's own unwrapping raises on a compressed frame, which ends the subscription.
    context = Context("pva", conf=dict(config.network) or None, nt=False)
    try:
        yield context, queue
    finally:
        context.close()
        queue.stop()


def _require_alive(queue: ThreadedWorkQueue) -> None:
    if not all(thread.is_alive() for thread in queue._T):
        raise DetectorError("the thread that takes frames has ended, as for want of memory: no frame can come any more")


def _is_no_early_answer(record: logging.LogRecord) -> bool:
    """Whether p4p tells of something else than an answer that came too early; `_Subscription` sees to those."""
    return not record.getMessage().startswith("Lost Subscription update")


def _note(state: DetectorState, pv: str, value: Any) -> None:
    if isinstance(value, Exception):
        state.tell(pv, None)
    else:
        state.tell(pv, plain_scalar(value), stamp_ns=stamp_ns_of(value))


class _Subscription:
    """A monitor that is begun again when it ends for whatever reason, and now and then while its server is gone.

    The network layer searches ever more rarely, and may hear of a server that is back half a minute later; a new
    channel is searched for at once.
    """

    def __init__(
        self,
        context: Context,
        queue: ThreadedWorkQueue,
        pv: str,
        handle: Callable[[Any], None],
        request: str | None = None,
    ) -> None:
        self._monitor_now: Callable[[], Any] = lambda: context.monitor(
            pv, self._event, request=request, notify_disconnect=True, queue=queue
        )
        self._forget_channel: Callable[[], None] = lambda: context.disconnect(pv)
        self._queue = queue
        self._handle = handle
        self._ended_s: float | None = None
        self._is_gone = False
        self._gone_s: float | None = None
        self._search_s = _SEARCH_S[0]
        self._looked_s = 0.0
        self._monitor = self._begin()

    def _begin(self) -> Any:
        monitor = self._monitor_now()
        # A server that answers before p4p has noted the subscription wakes nobody, and no event would wake it again:
        # so look once by ourselves.
        self._queue.push(monitor._handle)
        return monitor

    def _event(self, value: Any) -> None:
        self._is_gone = isinstance(value, Disconnected)
        try:
            self._handle(value)
        except Exception:  # noqa: BLE001 - p4p drops a subscription whose callback raises, whatever it is
            _log.exception("an event could not be handled")

    def mend(self, now_s: float) -> None:
        """Begin again, a while after the subscription ended or its server went; look for events that woke nobody."""
        self._search(now_s)
        if self._monitor._S is not None:  # p4p tells in no other way that it gave a subscription up
            self._ended_s = None
            if now_s - self._looked_s > _LOOK_S:
                # Events wake us once until all are taken: a call that failed for want of memory would be the last.
                self._looked_s = now_s
                self._queue.push(self._monitor._handle)
        elif self._ended_s is None:
            self._ended_s = now_s
        elif now_s - self._ended_s > _RESUBSCRIBE_S:
            self._monitor.close()
            self._ended_s = None
            self._monitor = self._begin()

    def _search(self, now_s: float) -> None:
        """Search anew for a server that is gone, the longer it is the more rarely."""
        if not self._is_gone:
            self._gone_s, self._search_s = None, _SEARCH_S[0]
        elif self._gone_s is None:
            self._gone_s = now_s
        elif now_s - self._gone_s > self._search_s:
            self._gone_s, self._search_s = now_s, min(2 * self._search_s, _SEARCH_S[1])
            self._monitor.close()
            self._forget_channel()
            self._monitor = self._begin()

    def close(self) -> None:
        """End it; no event is handled afterwards."""
        self._monitor.close()


class _Receiver:
    """What happens on an event of the image's subscription."""

    def __init__(
        self, config: PvaSourceConfig, clock: Clock, intake: FrameIntake, handover: Handover, state: DetectorState
    ) -> None:
        self._config = config
        self._clock = clock
        self._intake = intake
        self._handover = handover
        self._state = state
        self._lock = threading.Lock()
        self._held: deque[Any] = deque()
        self._held_since_s: float | None = None
        self._connected: bool | None = None
        self._named_type = ""

    @property
    def connected(self) -> bool:
        """Whether the server is there."""
        return bool(self._connected)

    def event(self, value: Any) -> None:
        """Take a value, or the news that the connection is gone."""
        with self._lock:
            if isinstance(value, Exception):
                self._let_go()
                self._lost(value)
                return
            if not self._connected:
                self._connected = True
                self._held_since_s = self._clock.monotonic_s()
            self._held.append(value)
            self._look()

    def look(self) -> None:
        """Take what was held back, once it is known whether the IOC is the one of before, or that took too long."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        if self._held_since_s is not None:
            waited = self._clock.monotonic_s() - self._held_since_s > KNOWN_WITHIN_S
            known = not self._state.knows_times or self._state.restarted_ns is not None
            if not (known or waited or len(self._held) > _HELD_FRAMES):
                return
        self._let_go()

    def _let_go(self) -> None:
        if self._held_since_s is not None:
            self._held_since_s = None
            self._handover.reconnected()
            text = f"{self._config.pv} is connected"
            self._intake.connection(connected=True, text=text, restarted_ns=self._state.restarted_ns or 0)
        while self._held:
            self._take_safely(self._held.popleft())

    def _take_safely(self, value: Any) -> None:
        try:
            self._take(value)
        # The structure comes from elsewhere and can fail in any of its fields.
        except Exception as error:  # noqa: BLE001
            text = f"expected an NTNDArray, got {type(error).__name__}: {error}"
            self._handover.refuse(None, self._clock.utc_ns(), Reason.WRONG_TYPE, text[:300])

    def _take(self, value: Any) -> None:
        if not is_ntndarray(value):
            if self._named_type != value.getID():
                self._named_type = value.getID()
                text = f"expected an NTNDArray from {self._config.pv}, got {self._named_type}: no frame can be taken"
                self._intake.warning(kind="WRONG_PV", text=text)
            return
        if is_empty(value):
            self._handover.passed_empty()
            return
        said = announcement_of(value)
        arrival = Arrival(said.unique_id, said.stamp_ns, said.data_stamp_ns, said.attributes)
        limit = self._config.max_image_bytes
        self._handover.arrived(arrival, partial(image_of, value, said.attributes, max_image_bytes=limit))

    def _lost(self, why: Exception) -> None:
        if self._connected is False or isinstance(why, Cancelled):
            return
        waiting = self._connected is None
        self._connected = False
        self._state.connection_lost()
        said = "nothing is said yet by" if waiting else "the connection is lost to"
        remark = "" if isinstance(why, Disconnected) else f": {why}"
        self._intake.connection(connected=False, text=f"{said} {self._config.pv}{remark}")


def put(pv: str, value: float, *, timeout_s: float = 5.0) -> None:
    """Write one number over PVA, as to start an acquisition.

    Raises
    ------
    DetectorError
        The PV does not answer, or refuses.
    """
    with Context("pva") as context:
        try:
            context.put(pv, value, timeout=timeout_s, wait=False)
        except (TimeoutError, RemoteError) as error:
            raise DetectorError(f"expected to write {value:g} to {pv}, but it did not take it: {error}") from error

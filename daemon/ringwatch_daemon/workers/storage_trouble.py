"""What happens while the disk does not take results: it is told, waited out, and told again."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event as StopRequest

from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.errors import SinkError, StorageError
from ringwatch_daemon.core.ports import Sink
from ringwatch_daemon.core.records import Event, Record, Status

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a disk is waited for.

    Parameters
    ----------
    trouble_s
        While the run goes on: what comes meanwhile waits in memory and in the spool.
    stopping_s
        Once a stop was asked for.
    retry_s
        Between two attempts.
    """

    trouble_s: float = 3600.0
    stopping_s: float = 10.0
    retry_s: float = 1.0


class StorageTrouble:
    """One stretch of time in which a sink could not be flushed.

    Parameters
    ----------
    sink
        The one that has to become durable.
    others
        Those that still hear what goes on.
    status
        The newest state of the run, told to them once more with the trouble in its flags.
    turned
        Called after each attempt: the wait is on purpose, and no watchdog needs to end it.
    """

    def __init__(
        self,
        sink: Sink,
        others: tuple[Sink, ...],
        *,
        status: Status | None,
        clock: Clock,
        patience: Patience,
        turned: Callable[[], None],
    ) -> None:
        self._sink = sink
        self._others = others
        self._status = status
        self._clock = clock
        self._patience = patience
        self._turned = turned
        self._began_s = clock.monotonic_s()
        self._began_ns = clock.utc_ns()

    def wait_out(self, error: StorageError, stop: StopRequest) -> None:
        """Try again and again until the sink is durable.

        Raises
        ------
        StorageError
            Patience is at its end; the last reason.
        """
        LOG.warning("%s", error)
        began = Event(self._began_ns, -1, "STORAGE", f"{error}; what comes now waits, and it is tried again")
        self._tell(began)
        stopping_since_s: float | None = None
        while True:
            self._tell_status(str(error))
            self._pause(stop)
            if stop.is_set() and stopping_since_s is None:
                stopping_since_s = self._clock.monotonic_s()
            try:
                self._sink.flush()
            except StorageError as again:
                self._turned()
                error = again
                if self._is_over(stopping_since_s):
                    raise
                continue
            self._recovered(began)
            return

    def _pause(self, stop: StopRequest) -> None:
        if stop.is_set():
            # A wait on what is set already would be none.
            StopRequest().wait(min(self._patience.retry_s, 0.2))
        else:
            stop.wait(self._patience.retry_s)

    def _is_over(self, stopping_since_s: float | None) -> bool:
        now_s = self._clock.monotonic_s()
        if stopping_since_s is not None and now_s - stopping_since_s >= self._patience.stopping_s:
            return True
        return now_s - self._began_s >= self._patience.trouble_s

    def _recovered(self, began: Event) -> None:
        now_ns = self._clock.utc_ns()
        text = f"results are written again after {(now_ns - self._began_ns) / NS_PER_S:.1f} s, none of them is missing"
        LOG.warning("%s", text)
        ended = Event(now_ns, -1, "STORAGE", text)
        for event in (began, ended):
            self._sink.accept(event)
        self._tell(ended)

    def _tell_status(self, text: str) -> None:
        if self._status is not None:
            flags = (*self._status.flags, text)
            self._tell(replace(self._status, timestamp_ns=self._clock.utc_ns(), flags=flags))

    def _tell(self, record: Record) -> None:
        for other in self._others:
            try:
                other.accept(record)
                other.flush()
            except SinkError as error:
                # It may live on the same disk; whether it can go on is seen when there is a result to tell.
                LOG.warning("%s", error)

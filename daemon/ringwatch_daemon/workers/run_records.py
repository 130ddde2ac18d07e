"""The way of a run's records to the sinks: nothing before the run's start, which comes with its first frame."""

import logging
from collections.abc import Callable

from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.heartbeat import Turned
from ringwatch_daemon.core.records import CyclingSamples, Event, Record, RunStart
from ringwatch_daemon.workers.early_records import EarlyRecords

LOG = logging.getLogger(__name__)
RECORDS_WAIT_S = 1.0


class RunRecords:
    """Hands records on, in order.

    Parameters
    ----------
    channel
        To the sinks.
    begin_run
        Makes the run's start from the UTC nanoseconds of its first arrival.
    turned
        Hears that the analysis lives while it waits for room.
    """

    def __init__(self, channel: Channel[Record], begin_run: Callable[[int], RunStart], turned: Turned) -> None:
        self._channel = channel
        self._begin_run = begin_run
        self._turned = turned
        self._early = EarlyRecords()
        self.started = False
        self.wanted = True
        """Whether anybody takes them still."""

    def begin(self, started_ns: int) -> None:
        """Begin the run, and hand on what has waited for it."""
        start = self._begin_run(started_ns)
        self.started = True
        for record in (start, *self._early.release()):
            self.put(record)

    def put(self, record: Record) -> None:
        """Hand a record on; samples and events from before the first frame wait for the run to begin."""
        if self.started:
            self.wanted = self._hand_on(record)
        elif isinstance(record, CyclingSamples):
            self._early.add_samples(record)
        elif isinstance(record, Event):
            self._early.add_event(record)

    def put_event(self, event: Event) -> None:
        """Hand an event on, and log it."""
        LOG.info("%s: %s", f"{event.kind} of {event.cell_name}" if event.cell_name else event.kind, event.text)
        self.put(event)

    def close(self) -> None:
        """No more records will come."""
        self._channel.close()

    def _hand_on(self, record: Record) -> bool:
        """Whether somebody takes it. A sink that waits for its disk tells so itself, and is waited for."""
        while not self._channel.put(record, RECORDS_WAIT_S):
            if self._channel.closed:
                return False
            self._turned(False)
        return True

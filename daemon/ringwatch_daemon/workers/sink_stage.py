"""The last stage: records into the sinks, in order, in batches."""

import logging
from contextlib import ExitStack
from functools import partial
from threading import Event as StopRequest
from types import TracebackType

from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.clock import Clock, SystemClock
from ringwatch_daemon.core.errors import SinkError, StorageError
from ringwatch_daemon.core.heartbeat import Turned
from ringwatch_daemon.core.ports import Sink
from ringwatch_daemon.core.records import FrameRecord, Record, Status
from ringwatch_daemon.workers.storage_trouble import Patience, StorageTrouble

LOG = logging.getLogger(__name__)
BATCH_WAIT_S = 0.5
GATHER_S = 0.04
"""Shortest time to the next batch for each frame of the last. One of 15 frames a second leaves more: it never waits."""
LONGEST_GATHER_S = 0.1


class SinkStage:
    """Hands every record to every sink, the file before the stream.

    A batch is whatever waits, and begins a moment after the last frames at the soonest, unless many wait: one record
    when the run is calm, many when it is not, so that the cost of making a batch durable falls just when time is
    short. A result is published only after the batch it belongs to is in the file.

    Parameters
    ----------
    records
        Closed by its writer after the last record.
    sinks
        In the order of duty: what must be durable first comes first.
    turned
        Hears of each turn of the loop, once what it took is durable, and whether it took anything.
    patience
        How long a disk is waited for that does not take results.
    """

    def __init__(
        self,
        *,
        records: Channel[Record],
        sinks: tuple[Sink, ...],
        turned: Turned = lambda _: None,
        patience: Patience | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._records = records
        self._sinks = sinks
        self._turned = turned
        self._patience = patience or Patience()
        self._clock = clock or SystemClock()
        self._status: Status | None = None
        self._stop = StopRequest()

    def run(self, stop: StopRequest | None = None) -> None:
        """Work until the channel is closed and empty, then close the sinks in their order.

        Parameters
        ----------
        stop
            Set when the run is to end: a disk is not waited for much longer then.

        Raises
        ------
        SinkError
            A sink cannot go on. All of them are closed all the same.
        """
        self._stop = stop or self._stop
        with ExitStack() as leaving:
            for sink in reversed(self._sinks):
                leaving.push(partial(_close, sink))
            # A writer that waits for room must not wait for a stage that has gone.
            leaving.callback(self._records.close)
            self._work()

    def _work(self) -> None:
        try:
            while True:
                batch = self._records.take_all(BATCH_WAIT_S)
                began_s = self._clock.monotonic_s()
                self._hand_over(batch)
                self._turned(bool(batch))
                frames = sum(isinstance(record, FrameRecord) for record in batch)
                rest_s = min(frames * GATHER_S, LONGEST_GATHER_S) - (self._clock.monotonic_s() - began_s)
                self._records.gather(min(max(rest_s, 0.0), LONGEST_GATHER_S))
        except ChannelClosed:
            LOG.debug("all records are handed over")

    def _hand_over(self, batch: list[Record]) -> None:
        if not batch:
            return
        for place, sink in enumerate(self._sinks):
            for record in batch:
                sink.accept(record)
            self._make_durable(sink, self._sinks[place + 1 :])
        self._status = next((record for record in reversed(batch) if isinstance(record, Status)), self._status)

    def _make_durable(self, sink: Sink, others: tuple[Sink, ...]) -> None:
        try:
            sink.flush()
        except StorageError as error:
            trouble = StorageTrouble(
                sink,
                others,
                status=self._status,
                clock=self._clock,
                patience=self._patience,
                turned=lambda: self._turned(False),
            )
            trouble.wait_out(error, self._stop)


def _close(
    sink: Sink, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
) -> None:
    """Close a sink; what it complains of then is only the echo of an earlier error, where there was one."""
    try:
        sink.close()
    except SinkError as echo:
        if error is None:
            raise
        LOG.warning("%s", echo)

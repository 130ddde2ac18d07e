"""The last stage: records into the sinks, in order, in batches."""

import logging
from contextlib import ExitStack
from functools import partial
from types import TracebackType

from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.core.heartbeat import Turned
from ringwatch_daemon.core.ports import Sink
from ringwatch_daemon.core.records import Record

LOG = logging.getLogger(__name__)
BATCH_WAIT_S = 0.5


class SinkStage:
    """Hands every record to every sink, the file before the stream.

    A batch is whatever waits: one record when the run is calm, many when it is not, so that the
    cost of making a batch durable falls just when time is short. A result is published only
    after the batch it belongs to is in the file.

    Parameters
    ----------
    records
        Closed by its writer after the last record.
    sinks
        In the order of duty: what must be durable first comes first.
    turned
        Hears of each turn of the loop, once what it took is durable, and whether it took anything.
    """

    def __init__(self, *, records: Channel[Record], sinks: tuple[Sink, ...], turned: Turned = lambda _: None) -> None:
        self._records = records
        self._sinks = sinks
        self._turned = turned

    def run(self) -> None:
        """Work until the channel is closed and empty, then close the sinks in their order.

        Raises
        ------
        SinkError
            A sink cannot go on. All of them are closed all the same.
        """
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
                self._hand_over(batch)
                self._turned(bool(batch))
        except ChannelClosed:
            LOG.debug("all records are handed over")

    def _hand_over(self, batch: list[Record]) -> None:
        if not batch:
            return
        for sink in self._sinks:
            for record in batch:
                sink.accept(record)
            sink.flush()


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

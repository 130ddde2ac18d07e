"""The channel from the analysis to the sinks."""

from dataclasses import replace

from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.records import FrameRecord, Record


class RecordChannel(Channel[Record]):
    """Records that wait for the sinks, which take all of them at once (`take_all`).

    Of what is taken at once only the newest checkpoint is ever kept. It is by far the largest part of a record, so
    no record that waits keeps one once a newer one has come.
    """

    def _append(self, item: Record) -> None:
        if isinstance(item, FrameRecord) and item.checkpoint is not None:
            self._forget_checkpoint()
        super()._append(item)

    def _forget_checkpoint(self) -> None:
        for place in range(len(self._items) - 1, -1, -1):
            waiting = self._items[place]
            if isinstance(waiting, FrameRecord) and waiting.checkpoint is not None:
                self._items[place] = replace(waiting, checkpoint=None)
                return

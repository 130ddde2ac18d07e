"""Frames made ahead of their time, so that a slow renderer does not hold the detector up."""

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from ringwatch_simulators.supply import Exposure, FrameSupply, SuppliedFrame


class Prefetch:
    """Asks a supply for the next frames before they are due.

    Only one thread may call `frame`; the supply itself is called from worker threads.

    Parameters
    ----------
    supply
        Where frames come from.
    depth
        How many frames are made ahead.
    workers
        Threads that make them.
    """

    def __init__(self, supply: FrameSupply, *, depth: int = 4, workers: int = 1) -> None:
        self._supply = supply
        self._depth = depth
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="render")
        self._ahead: OrderedDict[Exposure, Future[SuppliedFrame]] = OrderedDict()

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame asked for, and begin those that follow it."""
        wanted = [exposure, *self._following(exposure)]
        for stale in self._ahead.keys() - set(wanted):
            self._ahead.pop(stale).cancel()
        for request in wanted:
            if request not in self._ahead:
                self._ahead[request] = self._pool.submit(self._supply.frame, request)
        return self._ahead.pop(exposure).result()

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _following(self, exposure: Exposure) -> list[Exposure]:
        last = len(self._supply)
        ahead = range(exposure.index + 1, min(exposure.index + 1 + self._depth, last))
        return [replace(exposure, index=index) for index in ahead]

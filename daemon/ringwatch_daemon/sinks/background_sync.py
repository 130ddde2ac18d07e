"""Asks the disk to have what was written, beside the writing: a slow disk holds nobody up."""

import logging
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class BackgroundSync:
    """Calls `sync` in a thread of its own, at most once in `every_s`, when it was asked to.

    Parameters
    ----------
    sync
        Waits for the disk; its `OSError` is logged, since the next write meets the same disk.
    every_s
        Infinite for never.
    """

    def __init__(self, sync: Callable[[], None], *, every_s: float) -> None:
        self._sync = sync
        self._every_s = every_s
        self._asked = threading.Event()
        self._closing = threading.Event()
        self._syncing = threading.Lock()
        self._thread: threading.Thread | None = None
        if every_s < float("inf"):
            self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
            self._thread.start()

    def ask(self) -> None:
        """Something was written. Returns at once."""
        self._asked.set()

    def paused(self) -> threading.Lock:
        """Held as a context, it keeps syncs off while files change; a sync that is under way ends first."""
        return self._syncing

    def close(self) -> None:
        """Let the sync that is under way end, and do no more."""
        self._closing.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            if self._closing.is_set():
                return
            self._asked.clear()
            try:
                with self._syncing:
                    self._sync()
            except (OSError, MemoryError) as error:
                LOG.warning("the disk does not keep what was written: %s", error)
            self._closing.wait(self._every_s)

"""Bounded channels between the stages, which can say how full they are and have been."""

import threading
from collections import deque
from typing import Generic, TypeVar

from ringwatch_daemon.core.records import QueueLevel

T = TypeVar("T")


class ChannelClosed(Exception):  # noqa: N818 - a state of the channel, caught by its reader, not a fault
    """No more items will come; the message may say why."""


class Channel(Generic[T]):
    """A bounded first-in first-out queue with two ways to put.

    `offer` refuses when the channel is full, for callers who must never wait (callbacks of
    EPICS); `put` waits, for stages whose work must not be lost.

    Parameters
    ----------
    name
        Shown to users beside the level.
    capacity
        Largest number of items that `offer` and `put` leave in the channel.
    """

    def __init__(self, name: str, capacity: int) -> None:
        self._name = name
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._high_water = 0
        self._refused = 0
        self._closed = False
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._crowded = threading.Condition(lock)
        """Told apart from `_changed`, so that who gathers is not woken by every item."""

    def offer(self, item: T) -> bool:
        """Put `item` if there is room; say whether there was. Never waits."""
        with self._changed:
            if self._closed or len(self._items) >= self._capacity:
                self._refused += 1
                return False
            self._append(item)
            return True

    def put(self, item: T, timeout_s: float | None = None) -> bool:
        """Put `item`, waiting for room; False when none came within `timeout_s` or the channel closed."""
        with self._changed:
            room = self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity, timeout_s)
            if not room or self._closed:
                return False
            self._append(item)
            return True

    def take(self, timeout_s: float) -> T | None:
        """The oldest item, or None when none came within `timeout_s`.

        Raises
        ------
        ChannelClosed
            The channel is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._closed:
                raise ChannelClosed
            return None

    def take_all(self, timeout_s: float) -> list[T]:
        """Everything that waits, oldest first; waits up to `timeout_s` for a first item.

        Raises
        ------
        ChannelClosed
            The channel is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._closed and not self._items:
                raise ChannelClosed
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return items

    def gather(self, timeout_s: float) -> None:
        """Let items come for so long, or until the channel is half full or closed."""
        with self._crowded:
            self._crowded.wait_for(lambda: self._closed or self._is_crowded, timeout_s)

    def close(self) -> None:
        """Take no more; what is inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._crowded.notify_all()

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._closed

    def level(self) -> QueueLevel:
        """How full the channel is and has been."""
        with self._changed:
            return QueueLevel(self._name, len(self._items), self._high_water, self._capacity, self._refused)

    def _append(self, item: T) -> None:
        self._items.append(item)
        self._high_water = max(self._high_water, len(self._items))
        self._changed.notify_all()
        if self._is_crowded:
            self._crowded.notify_all()

    @property
    def _is_crowded(self) -> bool:
        return 2 * len(self._items) >= self._capacity

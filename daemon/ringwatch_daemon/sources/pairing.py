"""Which unique id belongs to an array that was fetched over Channel Access.

areaDetector posts the header of a frame, then its array, then its unique id, each with a stamp.
So the id of an array stamped t is the first one that was posted at t or later. That is proven in
one of two ways, and an array without proof is not taken:

- bracketed: the id before it, one less, was posted before the array;
- still: while the id could be read, the array did not change, and the id is not older than the array.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stamped(Generic[T]):
    """A posted value.

    Parameters
    ----------
    stamp_ns
        UTC, nanoseconds since 1970, by the IOC's clock.
    """

    value: T
    stamp_ns: int


class History(Generic[T]):
    """The newest values of a record."""

    def __init__(self, length: int = 512) -> None:
        self._events: deque[Stamped[T]] = deque(maxlen=length)

    def add(self, event: Stamped[T]) -> None:
        """Note a value that was posted after all others."""
        self._events.append(event)

    def clear(self) -> None:
        """Forget everything: the record may be another one now."""
        self._events.clear()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was posted yet."""
        return not self._events

    @property
    def newest(self) -> Stamped[T] | None:
        """What was posted last."""
        return self._events[-1] if self._events else None

    def at(self, stamp_ns: int) -> Stamped[T] | None:
        """The value that the record had at a time, None where that is not known."""
        return next((event for event in reversed(tuple(self._events)) if event.stamp_ns <= stamp_ns), None)

    def first_since(self, stamp_ns: int) -> tuple[Stamped[T] | None, Stamped[T] | None]:
        """The first value that was posted at a time or later, and the one before it."""
        before: Stamped[T] | None = None
        for event in tuple(self._events):
            if event.stamp_ns >= stamp_ns:
                return before, event
            before = event
        return before, None


@dataclass(frozen=True, slots=True)
class Pair:
    """The id of an array.

    Parameters
    ----------
    id_event
        None while no id has been posted since the array was.
    since_ns
        When the id before it was posted, 0 where that is unknown.
    proven
        By the bracket; otherwise stillness has to prove it.
    """

    id_event: Stamped[int] | None
    since_ns: int
    proven: bool


def pair_by_bracket(ids: History[int], *, array_stamp_ns: int) -> Pair:
    """Find the id of an array among those that were posted."""
    before, candidate = ids.first_since(array_stamp_ns)
    since_ns = before.stamp_ns if before is not None else 0
    bracketed = candidate is not None and before is not None and candidate.value == before.value + 1
    return Pair(candidate, since_ns, bracketed)


def is_still(*, array_stamp_ns: int, read_id: Stamped[int], stamp_after_ns: int, candidate: Stamped[int]) -> bool:
    """Whether an id read between two looks at the array proves the candidate.

    Parameters
    ----------
    array_stamp_ns
        Stamp of the array as it was fetched.
    read_id
        The id record as it was read after that.
    stamp_after_ns
        Stamp of the array, looked at once more after the id was read.
    """
    unchanged = stamp_after_ns == array_stamp_ns
    return unchanged and read_id.stamp_ns >= array_stamp_ns and read_id.value == candidate.value

"""Which deliveries of a subscription are new frames.

A subscription begins with the value of before. That is a frame of the run only if it was taken
since the run began; after a reconnection it may be the last frame once more.
"""

from enum import StrEnum


class Delivery(StrEnum):
    """What a delivery is."""

    NEW = "NEW"
    STALE = "STALE"
    REPLAYED = "REPLAYED"


class DeliveryFilter:
    """Tells new frames from the value that a subscription begins with.

    Parameters
    ----------
    started_ns
        UTC, nanoseconds since 1970: the beginning of the run.
    """

    def __init__(self, *, started_ns: int) -> None:
        self._started_ns = started_ns
        self._first = True
        self._last: tuple[int | None, int] | None = None

    def reconnected(self) -> None:
        """The next delivery is the first of a subscription."""
        self._first = True

    def passed_empty(self) -> None:
        """The first delivery held no frame: all that follow are new."""
        self._first = False

    def judge(self, *, unique_id: int | None, stamp_ns: int) -> Delivery:
        """Judge a delivery by its id and its time; only the first of a subscription can be anything but new."""
        first, self._first = self._first, False
        last, self._last = self._last, (unique_id, stamp_ns)
        if not first:
            return Delivery.NEW
        if last is None:
            return Delivery.STALE if stamp_ns < self._started_ns else Delivery.NEW
        return Delivery.REPLAYED if last == (unique_id, stamp_ns) else Delivery.NEW

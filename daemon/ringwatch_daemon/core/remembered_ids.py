"""The newest ids of a counter with their times: of fixed size from the first frame of a run to the last."""

import numpy as np


class RememberedIds:
    """Ids and the times of their frames; the oldest one goes for each that comes.

    Parameters
    ----------
    capacity
        Ids that are kept, 16 bytes each.
    """

    def __init__(self, capacity: int) -> None:
        self._ids = np.full(capacity, -1, dtype=np.int64)
        self._stamps = np.zeros(capacity, dtype=np.int64)
        self._next = 0

    def remember(self, unique_id: int, timestamp_ns: int) -> None:
        """Keep an id, which is 0 or more."""
        self._ids[self._next] = unique_id
        self._stamps[self._next] = timestamp_ns
        self._next = (self._next + 1) % self._ids.size

    def stamp_of(self, unique_id: int) -> int | None:
        """Time of the frame with this id, nanoseconds since 1970; None where it is not known."""
        places = np.flatnonzero(self._ids == unique_id)
        return int(self._stamps[places[0]]) if places.size else None

    def stamps_beyond(self, unique_id: int, frames: int) -> list[int]:
        """Known times of the next so many ids above one, in the order of their ids."""
        places = np.flatnonzero((self._ids > unique_id) & (self._stamps > 0))
        nearest = places[np.argsort(self._ids[places], kind="stable")[:frames]]
        return [int(stamp) for stamp in self._stamps[nearest]]

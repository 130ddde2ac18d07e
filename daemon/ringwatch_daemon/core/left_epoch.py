"""A stretch of the counter that was left a moment ago, as by one frame whose id is garbage."""

from dataclasses import dataclass

from ringwatch_daemon.core.counter_epoch import Arrival, CounterEpoch
from ringwatch_daemon.core.records import Reason


@dataclass(frozen=True, slots=True)
class LeftEpoch:
    """What the ledger returns to when the next ids go on there after all.

    Parameters
    ----------
    away
        Why ids were expected to be missing when it was left.
    """

    epoch: CounterEpoch
    away: Reason

    def goes_on_with(self, unique_id: int, *, timestamp_ns: int, received_ns: int, newest_id: int) -> bool:
        """Whether an id goes on here, and better than from `newest_id`, the one by which the stretch was left."""
        missing, ahead = unique_id - self.epoch.last_id - 1, unique_id - newest_id - 1
        fits_better = missing >= 0 and (ahead < 0 or missing < ahead)
        return fits_better and self.epoch.could_have_passed(missing, timestamp_ns, received_ns)

    def knows(self, arrival: Arrival) -> bool:
        """Whether a frame is one of this stretch once more, or one of its lost ones that comes late."""
        beyond = max(arrival.unique_id + 1 - self.epoch.stamped_id, 0)
        newest_ns = self.epoch.last_timestamp_ns + beyond * self.epoch.period_ns
        if not arrival.has_own_time or arrival.timestamp_ns > newest_ns:
            return False
        came_before = self.epoch.seen.stamp_of(arrival.unique_id) == arrival.timestamp_ns
        return came_before or self.epoch.misses(arrival)

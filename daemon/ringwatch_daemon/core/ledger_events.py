"""What the ledger tells an operator about the way of the counter and of the clocks."""

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.counter_epoch import Arrival, CounterEpoch, LostFrame
from ringwatch_daemon.core.records import Event, Reason

_CAUSES = {
    Reason.DISCONNECTED: "while the connection was down",
    Reason.DAEMON_DOWN: "while the daemon was down",
    Reason.IOC_RESTARTED: "with the IOC that had counted them",
}


def gap_event(lost: tuple[LostFrame, ...], timestamp_ns: int) -> Event:
    """Frames are lost; at least one."""
    first, last, reason = lost[0].unique_id, lost[-1].unique_id, lost[0].reason
    ids = f"{first}" if first == last else f"{first} to {last}"
    cause = _CAUSES.get(reason, "on the way from the detector")
    frames = "1 frame" if len(lost) == 1 else f"{len(lost)} frames"
    return Event(timestamp_ns, lost[0].row, "GAP", f"{frames} lost {cause} (unique id {ids})")


def gap_in_time_event(arrival: Arrival, epoch: CounterEpoch, *, row: int, periods: int) -> Event:
    """A frame follows the one before it by its id, and comes some periods later."""
    apart_s = (arrival.timestamp_ns - epoch.last_timestamp_ns) / NS_PER_S
    text = (
        f"{apart_s:.3f} s lie between frames {epoch.last_id} and {arrival.unique_id}, {periods} of their periods:"
        f" the detector rested, or lost {periods - 1} without counting"
    )
    return Event(arrival.timestamp_ns, row, "GAP_IN_TIME", text)


def clock_step_event(arrival: Arrival, epoch: CounterEpoch, *, row: int) -> Event:
    """A frame is stamped before the one before it."""
    back_s = (epoch.last_timestamp_ns - arrival.timestamp_ns) / NS_PER_S
    text = f"frame {arrival.unique_id} is stamped {back_s:.3f} s before frame {epoch.last_id}: the clock stepped back"
    return Event(arrival.timestamp_ns, row, "CLOCK_STEP", text)


def counter_set_event(arrival: Arrival, *, row: int, last_id: int) -> Event:
    """The counter leapt forward."""
    text = f"the unique id leapt from {last_id} to {arrival.unique_id}, more than time allows: the counter was set"
    return Event(arrival.timestamp_ns, row, "COUNTER_SET", text)


def counter_reset_event(arrival: Arrival, *, row: int, last_id: int, restarted: bool, early: int) -> Event:
    """The counter began anew; `early` frames of the new count are lost."""
    cause = "the IOC restarted" if restarted else "the counter was set back"
    text = f"the unique id went from {last_id} to {arrival.unique_id}: {cause}, {early} of the new count lost"
    return Event(arrival.timestamp_ns, row, "COUNTER_RESET", text)


def counter_back_event(arrival: Arrival, *, row: int, strayed_id: int, last_id: int) -> Event:
    """The counter goes on where it was before an id that led nowhere."""
    kind = "COUNTER_SET" if arrival.unique_id > strayed_id else "COUNTER_RESET"
    text = f"the unique id went from {strayed_id} to {arrival.unique_id}: the count goes on from {last_id}"
    return Event(arrival.timestamp_ns, row, kind, text)

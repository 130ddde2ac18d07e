"""The ledger: every announced frame ends in exactly one named state.

A frame is announced by its arrival, or by a unique id that was passed over. The ledger reads
unique ids and data time only; it never looks at an image. announced = processed + rejected + lost.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.counter_epoch import (
    LARGEST_GAP,
    REMEMBERED_IDS,
    Arrival,
    CounterEpoch,
    EnteredRow,
    LostFrame,
)
from ringwatch_daemon.core.counter_watch import CounterWatch
from ringwatch_daemon.core.records import Event, FrameState, LedgerCorrection, Reason, Totals

__all__ = ["REMEMBERED_IDS", "Admission", "EnteredRow", "GivenUp", "Ledger", "LostFrame"]

FUTURE_TOLERANCE_NS = 60 * NS_PER_S

_CAUSES = {
    Reason.DISCONNECTED: "while the connection was down",
    Reason.DAEMON_DOWN: "while the daemon was down",
    Reason.IOC_RESTARTED: "with the IOC that had counted them",
}
_APART = (Reason.DUPLICATE, Reason.LATE)
"""Rows whose unique id says nothing about the counter's way."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What the ledger says of an arrival.

    Parameters
    ----------
    row
        Row of the arriving frame, or None where it only corrects an earlier row.
    verdict
        `Reason.NONE` for a frame to be analysed, else why it is rejected.
    lost
        Frames that this arrival shows to be missing; their rows come before `row`.
    timestamp_ns
        Mid-exposure time to be used: the frame's own, or one derived from the receipt.
    flag
        Reason kept beside a processed frame, such as `Reason.FUTURE_TIMESTAMP`.
    """

    row: int | None
    verdict: Reason
    timestamp_ns: int
    flag: Reason = Reason.NONE
    lost: tuple[LostFrame, ...] = ()
    correction: LedgerCorrection | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Frames that were counted by the detector and are not waited for any more."""

    lost: tuple[LostFrame, ...]
    event: Event


class Ledger:
    """Counts frames and gives each its row."""

    def __init__(self) -> None:
        self._next_row = 0
        self._epoch: CounterEpoch | None = None
        self._away = Reason.NONE
        self._restarted_ns = 0
        self._counter = CounterWatch()
        self._states: Counter[FrameState] = Counter()
        self._reasons: Counter[str] = Counter()

    @property
    def totals(self) -> Totals:
        """The totals so far; rows still being analysed count as announced only."""
        return Totals(
            announced=self._next_row,
            processed=self._states[FrameState.PROCESSED],
            rejected=self._states[FrameState.REJECTED],
            lost=self._states[FrameState.LOST],
            reasons=tuple(sorted((name, count) for name, count in self._reasons.items() if name and count)),
        )

    def disconnected(self) -> None:
        """Note that the source lost its connection: ids passed over until the next frame are its doing."""
        if self._away is Reason.NONE:
            self._away = Reason.DISCONNECTED

    def reconnected(self, *, restarted_ns: int) -> None:
        """Note that the connection is back, and when the IOC was started if it is another one; 0 for the same."""
        self._restarted_ns = restarted_ns

    def counter_told(self, count: int | None, *, now_s: float) -> None:
        """Note how far the detector says that it has counted, None when it can be heard no more."""
        self._counter.tell(count, last_id=None if self._epoch is None else self._epoch.last_id, now_s=now_s)

    def give_up(self, *, now_ns: int, now_s: float, after_s: float) -> GivenUp | None:
        """Name the frames that the detector has counted and that never came.

        Parameters
        ----------
        after_s
            For so long the counter must have said nothing new; frames may still be on their way before.
        """
        epoch, reached = self._epoch, self._counter.reached()
        if epoch is None or reached <= epoch.last_id or self._counter.silent_s(now_s) < after_s:
            return None
        if not epoch.could_have_passed(reached - epoch.last_id, now_ns, now_ns):
            return None
        lost = self._lose(epoch, range(epoch.last_id + 1, reached + 1), self._away or Reason.GAP_IN_ID)
        epoch.last_id = reached
        return GivenUp(lost, _gap_event(lost, now_ns))

    def daemon_was_down(self) -> None:
        """Note that nobody listened for a while: ids passed over until the next frame are the daemon's own doing."""
        self._away = Reason.DAEMON_DOWN

    def arrive(self, *, unique_id: int | None, timestamp_ns: int, received_ns: int, exposure_s: float) -> Admission:
        """Enter an arrival, whether or not its image can be used.

        Parameters
        ----------
        unique_id
            None, or negative as no counter is, where the arrival told no usable id: it gets a row and
            nothing else is concluded.
        timestamp_ns
            Mid-exposure time as the frame tells it.
        received_ns
            When ringwatch had it in hand.
        exposure_s
            To derive a mid-exposure time where the frame's own is no use.

        Returns
        -------
        Admission
            The frame's row and verdict, and what its arrival shows about others.
        """
        time_ns, flag = self._usable_time(unique_id, timestamp_ns, received_ns, exposure_s)
        if unique_id is None or unique_id < 0:
            return Admission(self._new_row(), Reason.NONE, time_ns, flag)
        arrival = Arrival(unique_id, time_ns, received_ns, flag)
        epoch = self._epoch
        if epoch is None:
            self._epoch = self._begin(arrival)
            return Admission(self._new_row(), Reason.NONE, time_ns, flag)
        if unique_id > epoch.last_id and not epoch.counts_anew(arrival, self._restarted_ns):
            return self._forward(epoch, arrival)
        return self._backward(epoch, arrival)

    def resume(self, rows: Iterable[EnteredRow], totals: Totals) -> None:
        """Go on where the ledger of an earlier process was.

        Parameters
        ----------
        rows
            The newest rows, in their order; some thousand are enough to know a duplicate or a late frame.
        totals
            Of all rows, those before included.
        """
        for row in rows:
            self._enter_again(row)
        self._next_row = totals.announced
        self._states = Counter(
            {
                FrameState.PROCESSED: totals.processed,
                FrameState.REJECTED: totals.rejected,
                FrameState.LOST: totals.lost,
            }
        )
        self._reasons = Counter(dict(totals.reasons))

    def _enter_again(self, row: EnteredRow) -> None:
        if row.unique_id < 0 or row.reason in _APART:
            return
        epoch = self._epoch
        if epoch is None or row.unique_id <= epoch.last_id:
            # The counter began anew; of frames lost before the first one of the new count nobody knows the time.
            time_ns = row.timestamp_ns if row.timestamp_ns > 0 or epoch is None else epoch.last_timestamp_ns
            self._epoch = CounterEpoch(row.unique_id, row.unique_id, time_ns, time_ns)
            if epoch is not None:
                self._epoch.steps_ns.extend(epoch.steps_ns)
            epoch = self._epoch
        epoch.enter_again(row)

    def settle(self, state: FrameState, reason: str = "") -> None:
        """Count the final state of a row that `arrive` gave out."""
        self._states[state] += 1
        self._reasons[reason] += 1

    def _new_row(self) -> int:
        row = self._next_row
        self._next_row += 1
        return row

    def _begin(self, arrival: Arrival) -> CounterEpoch:
        self._away, self._restarted_ns = Reason.NONE, 0
        epoch = CounterEpoch(arrival.unique_id, arrival.unique_id, arrival.timestamp_ns, arrival.received_ns)
        epoch.remember(arrival)
        return epoch

    def _forward(self, epoch: CounterEpoch, arrival: Arrival) -> Admission:
        missing = arrival.unique_id - epoch.last_id - 1
        events: list[Event] = []
        lost: tuple[LostFrame, ...] = ()
        if missing and epoch.could_have_passed(missing, arrival.timestamp_ns, arrival.received_ns):
            lost = self._lose(epoch, range(epoch.last_id + 1, arrival.unique_id), self._away or Reason.GAP_IN_ID)
            events.append(_gap_event(lost, arrival.timestamp_ns))
        elif missing:
            events.append(self._counter_set(epoch, arrival))
        elif self._away is Reason.NONE and (periods := epoch.periods_to(arrival)):
            events.append(self._gap_in_time(epoch, arrival, periods))
        if arrival.timestamp_ns < epoch.last_timestamp_ns:
            arrival = replace(arrival, flag=Reason.BACKWARD_TIMESTAMP)
            events.append(self._clock_step(epoch, arrival))
        epoch.go_on_to(arrival)
        self._counter.frame_came(arrival.unique_id)
        self._away, self._restarted_ns = Reason.NONE, 0
        return Admission(
            self._new_row(), Reason.NONE, arrival.timestamp_ns, arrival.flag, lost=lost, events=tuple(events)
        )

    def _backward(self, epoch: CounterEpoch, arrival: Arrival) -> Admission:
        unique_id, timestamp_ns, flag = arrival.unique_id, arrival.timestamp_ns, arrival.flag
        if epoch.seen.stamp_of(unique_id) == timestamp_ns:
            return Admission(self._new_row(), Reason.DUPLICATE, timestamp_ns, flag)
        if unique_id > epoch.last_id or epoch.is_left_by(arrival):
            return self._new_epoch(epoch, arrival)
        found = epoch.lost_rows.pop(unique_id, None)
        if found is None:
            verdict = Reason.LATE if epoch.seen.stamp_of(unique_id) is None else Reason.DUPLICATE
            return Admission(self._new_row(), verdict, timestamp_ns, flag)
        return Admission(None, Reason.LATE, timestamp_ns, flag, correction=self._correct(found))

    def _new_epoch(self, old: CounterEpoch, arrival: Arrival) -> Admission:
        # A counter that restarts begins at 1, so ids below the first one seen went by meanwhile,
        # unless somebody simply wrote another number into the counter.
        restarted = self._away is not Reason.NONE
        lost = self._rest_of(old, arrival, Reason.IOC_RESTARTED if restarted else Reason.GAP_IN_ID)
        events = [_gap_event(lost, arrival.timestamp_ns)] if lost else []
        self._epoch = epoch = self._begin(arrival)
        epoch.steps_ns.extend(old.steps_ns)
        early: tuple[LostFrame, ...] = ()
        missing = arrival.unique_id - 1
        if restarted and missing > 0 and old.could_have_passed(missing, arrival.timestamp_ns, arrival.received_ns):
            early = self._lose(epoch, range(1, arrival.unique_id), Reason.IOC_RESTARTED)
        cause = "the IOC restarted" if restarted else "the counter was set back"
        text = (
            f"the unique id went from {old.last_id} to {arrival.unique_id}: {cause}, {len(early)} of the new count lost"
        )
        events.append(Event(arrival.timestamp_ns, self._next_row, "COUNTER_RESET", text))
        return Admission(
            self._new_row(),
            Reason.NONE,
            arrival.timestamp_ns,
            arrival.flag,
            lost=(*lost, *early),
            events=tuple(events),
        )

    def _rest_of(self, old: CounterEpoch, arrival: Arrival, reason: Reason) -> tuple[LostFrame, ...]:
        """What the detector had counted before its counter began anew, and nobody saw."""
        reached = self._counter.new_count()
        missing = reached - old.last_id
        if missing <= 0 or not old.could_have_passed(missing, arrival.timestamp_ns, arrival.received_ns):
            return ()
        return self._lose(old, range(old.last_id + 1, reached + 1), reason)

    def _lose(self, epoch: CounterEpoch, unique_ids: range, reason: Reason) -> tuple[LostFrame, ...]:
        lost = tuple(LostFrame(self._new_row(), unique_id, reason) for unique_id in unique_ids)
        for frame in lost:
            epoch.remember_lost(frame)
            self.settle(FrameState.LOST, reason)
        return lost

    def _correct(self, found: LostFrame) -> LedgerCorrection:
        self._states[FrameState.LOST] -= 1
        self._reasons[found.reason] -= 1
        self.settle(FrameState.REJECTED, Reason.LATE)
        return LedgerCorrection(found.row, FrameState.REJECTED, Reason.LATE)

    def _usable_time(
        self, unique_id: int | None, timestamp_ns: int, received_ns: int, exposure_s: float
    ) -> tuple[int, Reason]:
        """The frame's mid-exposure time; where it cannot be true, one counted on from the frame before."""
        if 0 < timestamp_ns <= received_ns + FUTURE_TOLERANCE_NS:
            return timestamp_ns, Reason.NONE
        flag = Reason.NO_TIMESTAMP if timestamp_ns <= 0 else Reason.FUTURE_TIMESTAMP
        epoch = self._epoch
        if epoch is not None and unique_id is not None and epoch.period_ns and unique_id > epoch.last_id:
            ahead = min(unique_id - epoch.stamped_id, LARGEST_GAP)
            return epoch.last_timestamp_ns + round(ahead * epoch.period_ns), flag
        half_exposure_ns = round(exposure_s / 2 * NS_PER_S) if exposure_s > 0 else 0
        return received_ns - half_exposure_ns, flag

    def _counter_set(self, epoch: CounterEpoch, arrival: Arrival) -> Event:
        text = (
            f"the unique id leapt from {epoch.last_id} to {arrival.unique_id}, more than time allows:"
            " the counter was set"
        )
        return Event(arrival.timestamp_ns, self._next_row, "COUNTER_SET", text)

    def _clock_step(self, epoch: CounterEpoch, arrival: Arrival) -> Event:
        back_s = (epoch.last_timestamp_ns - arrival.timestamp_ns) / NS_PER_S
        text = (
            f"frame {arrival.unique_id} is stamped {back_s:.3f} s before frame {epoch.last_id}: the clock stepped back"
        )
        return Event(arrival.timestamp_ns, self._next_row, "CLOCK_STEP", text)

    def _gap_in_time(self, epoch: CounterEpoch, arrival: Arrival, periods: int) -> Event:
        apart_s = (arrival.timestamp_ns - epoch.last_timestamp_ns) / NS_PER_S
        text = (
            f"{apart_s:.3f} s lie between frames {epoch.last_id} and {arrival.unique_id}, {periods} of their periods:"
            f" the detector rested, or lost {periods - 1} without counting"
        )
        return Event(arrival.timestamp_ns, self._next_row, "GAP_IN_TIME", text)


def _gap_event(lost: tuple[LostFrame, ...], timestamp_ns: int) -> Event:
    first, last, reason = lost[0].unique_id, lost[-1].unique_id, lost[0].reason
    ids = f"{first}" if first == last else f"{first} to {last}"
    cause = _CAUSES.get(reason, "on the way from the detector")
    frames = "1 frame" if len(lost) == 1 else f"{len(lost)} frames"
    return Event(timestamp_ns, lost[0].row, "GAP", f"{frames} lost {cause} (unique id {ids})")

"""The ledger: every announced frame ends in exactly one named state.

A frame is announced by its arrival, or by a unique id that was passed over. The ledger reads
unique ids and data time only; it never looks at an image. announced = processed + rejected + lost.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.counter_epoch import (
    REMEMBERED_IDS,
    Arrival,
    CounterEpoch,
    EnteredRow,
    LostFrame,
    as_told,
)
from ringwatch_daemon.core.counter_watch import CounterWatch
from ringwatch_daemon.core.ledger_events import (
    clock_step_event,
    counter_back_event,
    counter_reset_event,
    counter_set_event,
    gap_event,
    gap_in_time_event,
)
from ringwatch_daemon.core.left_epoch import LeftEpoch
from ringwatch_daemon.core.records import Event, FrameState, LedgerCorrection, Reason, Totals

__all__ = ["REMEMBERED_IDS", "Admission", "EnteredRow", "GivenUp", "Ledger", "LostFrame"]

FUTURE_TOLERANCE_NS = 60 * NS_PER_S

_APART = (Reason.DUPLICATE, Reason.LATE)
"""Rows whose unique id says nothing about the counter's way, unless they were a lost frame's without a time."""


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
        self._left: LeftEpoch | None = None
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
        self._forget_higher_count()
        if self._away is Reason.NONE:
            self._away = Reason.DISCONNECTED

    def reconnected(self, *, restarted_ns: int) -> None:
        """Note that the connection is back, and when the IOC was started if it is another one; 0 for the same."""
        self._restarted_ns = restarted_ns

    def counter_told(self, count: int | None, *, now_s: float) -> None:
        """Note how far the detector says that it has counted, None when it can be heard no more.

        After an outage it may be heard before any frame is, and of another count than the last one.
        """
        last_id = None if self._epoch is None or self._away is not Reason.NONE else self._epoch.last_id
        self._counter.tell(count, last_id=last_id, now_s=now_s)

    def give_up(self, *, now_ns: int, now_s: float, after_s: float) -> GivenUp | None:
        """Name the frames that the detector has counted and that never came.

        Parameters
        ----------
        after_s
            For so long the counter must have said nothing new; frames may still be on their way before.
        """
        reached = self._counter.reached()
        epoch = self._epoch_of(reached, timestamp_ns=now_ns, received_ns=now_ns)
        if epoch is None or reached <= epoch.last_id or self._counter.silent_s(now_s) < after_s:
            return None
        if not epoch.could_have_passed(reached - epoch.last_id, now_ns, now_ns):
            return None
        lost = self._lose(epoch, range(epoch.last_id + 1, reached + 1), self._away or Reason.GAP_IN_ID)
        epoch.last_id = reached
        return GivenUp(lost, gap_event(lost, now_ns))

    def daemon_was_down(self) -> None:
        """Note that nobody listened for a while: ids passed over until the next frame are the daemon's own doing."""
        self._forget_higher_count()
        self._away = Reason.DAEMON_DOWN

    def arrive(self, *, unique_id: int | None, timestamp_ns: int, received_ns: int, exposure_s: float) -> Admission:
        """Enter an arrival, whether or not its image can be used.

        Parameters
        ----------
        unique_id
            None where the arrival told no id. That, or a negative one where no counter of 32 bits has just run
            over, is of no use: the frame gets a row and nothing else is concluded.
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
        if unique_id is not None and self._epoch is not None:
            unique_id = self._epoch.run_over(unique_id)
        time_ns, flag = self._usable_time(unique_id, timestamp_ns, received_ns, exposure_s)
        if unique_id is None or unique_id < 0:
            return Admission(self._new_row(), Reason.NONE, time_ns, flag)
        arrival = Arrival(unique_id, time_ns, received_ns, flag)
        epoch, left = self._epoch, self._left
        if epoch is None:
            self._epoch = self._begin(arrival)
            return Admission(self._new_row(), Reason.NONE, time_ns, flag)
        if left is not None and unique_id != epoch.last_id + 1 and left.knows(arrival):
            return self._again(left.epoch, arrival)
        fitting = self._epoch_of(unique_id, timestamp_ns=time_ns, received_ns=received_ns)
        if left is not None and fitting is left.epoch:
            return self._return_to(left, epoch, arrival)
        if unique_id > epoch.last_id and not epoch.counts_anew(arrival, self._restarted_ns):
            if unique_id == epoch.last_id + 1:
                self._left = None
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
        epoch, left = self._epoch, self._left
        if epoch is not None:
            row = replace(row, unique_id=epoch.run_over(row.unique_id))
        if row.unique_id < 0 or (row.reason in _APART and row.timestamp_ns > 0):
            return
        if epoch is not None and row.unique_id == epoch.last_id + 1:
            self._left = None
        elif epoch is not None and left is not None and row.unique_id == left.epoch.last_id + 1:
            self._left, epoch = LeftEpoch(epoch, Reason.NONE), left.epoch
        else:
            # The counter began anew; of frames lost before the first one of the new count nobody knows the time.
            time_ns = row.timestamp_ns if row.timestamp_ns > 0 or epoch is None else epoch.last_timestamp_ns
            epoch = self._left_for(CounterEpoch(row.unique_id, row.unique_id, time_ns, time_ns))
        self._epoch = epoch
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
        """Leave the stretch of the newest frame for a new one, which a second id has yet to confirm."""
        new = self._left_for(CounterEpoch.begun_by(arrival))
        self._away, self._restarted_ns = Reason.NONE, 0
        return new

    def _left_for(self, new: CounterEpoch) -> CounterEpoch:
        old = self._epoch
        if old is not None:
            new.take_over_from(old)
            # Of strange ids that follow each other, none is worth more than the count before them.
            if self._left is None or self._left.epoch.frames < old.frames:
                self._left = LeftEpoch(old, self._away)
        return new

    def _forget_higher_count(self) -> None:
        """A count that began anew below the old one is that of a restarted IOC, once ids may go by unseen."""
        if self._epoch is not None and self._left is not None and self._epoch.last_id < self._left.epoch.last_id:
            self._left = None

    def _epoch_of(self, unique_id: int, *, timestamp_ns: int, received_ns: int) -> CounterEpoch | None:
        """The stretch that an id goes on from: that of the newest frame, or the one that was left for it."""
        epoch, left = self._epoch, self._left
        if epoch is None or left is None or unique_id == epoch.last_id + 1:
            return epoch
        returns = left.goes_on_with(
            unique_id, timestamp_ns=timestamp_ns, received_ns=received_ns, newest_id=epoch.last_id
        )
        return left.epoch if returns else epoch

    def _return_to(self, left: LeftEpoch, strayed: CounterEpoch, arrival: Arrival) -> Admission:
        """Go on in the stretch that a strange id had seemed to end."""
        self._left = LeftEpoch(strayed, self._away)
        self._epoch, self._away = left.epoch, self._away or left.away
        event = counter_back_event(arrival, row=self._next_row, strayed_id=strayed.last_id, last_id=left.epoch.last_id)
        admission = self._forward(left.epoch, arrival)
        return replace(admission, events=(event, *admission.events))

    def _forward(self, epoch: CounterEpoch, arrival: Arrival) -> Admission:
        missing = arrival.unique_id - epoch.last_id - 1
        events: list[Event] = []
        lost: tuple[LostFrame, ...] = ()
        if missing and epoch.could_have_passed(missing, arrival.timestamp_ns, arrival.received_ns):
            lost = self._lose(epoch, range(epoch.last_id + 1, arrival.unique_id), self._away or Reason.GAP_IN_ID)
            events.append(gap_event(lost, arrival.timestamp_ns))
        elif missing:
            return self._set_forward(epoch, arrival)
        elif self._away is Reason.NONE and (periods := epoch.periods_to(arrival)):
            events.append(gap_in_time_event(arrival, epoch, row=self._next_row, periods=periods))
        if arrival.timestamp_ns < epoch.last_timestamp_ns:
            arrival = replace(arrival, flag=Reason.BACKWARD_TIMESTAMP)
            events.append(clock_step_event(arrival, epoch, row=self._next_row))
        epoch.go_on_to(arrival)
        self._counter.frame_came(arrival.unique_id)
        self._away, self._restarted_ns = Reason.NONE, 0
        return Admission(
            self._new_row(), Reason.NONE, arrival.timestamp_ns, arrival.flag, lost=lost, events=tuple(events)
        )

    def _set_forward(self, old: CounterEpoch, arrival: Arrival) -> Admission:
        event = counter_set_event(arrival, row=self._next_row, last_id=old.last_id)
        self._epoch = self._begin(arrival)
        return Admission(self._new_row(), Reason.NONE, arrival.timestamp_ns, arrival.flag, events=(event,))

    def _backward(self, epoch: CounterEpoch, arrival: Arrival) -> Admission:
        is_copy = epoch.seen.stamp_of(arrival.unique_id) == arrival.timestamp_ns
        restarted = epoch.counts_anew(arrival, self._restarted_ns)
        if not is_copy and (restarted or epoch.is_left_by(arrival, after_outage=self._away is not Reason.NONE)):
            return self._new_epoch(epoch, arrival)
        return self._again(epoch, arrival)

    def _again(self, epoch: CounterEpoch, arrival: Arrival) -> Admission:
        """A frame that came before, or one that comes late."""
        unique_id, timestamp_ns, flag = arrival.unique_id, arrival.timestamp_ns, arrival.flag
        if epoch.seen.stamp_of(unique_id) == timestamp_ns:
            return Admission(self._new_row(), Reason.DUPLICATE, timestamp_ns, flag)
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
        events = [gap_event(lost, arrival.timestamp_ns)] if lost else []
        self._epoch = epoch = self._begin(arrival)
        if restarted:
            self._left = None
        early: tuple[LostFrame, ...] = ()
        missing = arrival.unique_id - 1
        if restarted and missing > 0 and old.could_have_passed(missing, arrival.timestamp_ns, arrival.received_ns):
            early = self._lose(epoch, range(1, arrival.unique_id), Reason.IOC_RESTARTED)
        events.append(
            counter_reset_event(arrival, row=self._next_row, last_id=old.last_id, restarted=restarted, early=len(early))
        )
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
        lost = self._lose(old, range(old.last_id + 1, reached + 1), reason)
        old.last_id = reached
        return lost

    def _lose(self, epoch: CounterEpoch, unique_ids: range, reason: Reason) -> tuple[LostFrame, ...]:
        lost = tuple(LostFrame(self._new_row(), as_told(unique_id), reason) for unique_id in unique_ids)
        for unique_id, frame in zip(unique_ids, lost, strict=True):
            epoch.remember_lost(unique_id, frame)
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
            missing = unique_id - epoch.last_id - 1
            if epoch.could_have_passed(missing, epoch.last_timestamp_ns, received_ns):
                ahead = unique_id - epoch.stamped_id
                return epoch.last_timestamp_ns + round(ahead * epoch.period_ns), flag
        half_exposure_ns = round(exposure_s / 2 * NS_PER_S) if exposure_s > 0 else 0
        return received_ns - half_exposure_ns, flag

"""The ledger: every announced frame ends in exactly one named state.

A frame is announced by its arrival, or by a unique id that was passed over. The ledger reads
unique ids and data time only; it never looks at an image. announced = processed + rejected + lost.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.records import Event, FrameState, LedgerCorrection, Reason, Totals
from ringwatch_daemon.core.remembered_ids import RememberedIds

REMEMBERED_IDS = 8192
"""How far back a duplicate or a late frame is recognised."""
GAP_SLACK = 16
"""Frames that may be missing beyond what the frame period allows, for stamps of poor resolution."""
LARGEST_GAP = 100_000
"""Ids passed over at once beyond which the counter was set, not the frames lost."""
FUTURE_TOLERANCE_NS = 60 * NS_PER_S

_CAUSES = {
    Reason.DISCONNECTED: "while the connection was down",
    Reason.DAEMON_DOWN: "while the daemon was down",
}
_APART = (Reason.DUPLICATE, Reason.LATE)
"""Rows whose unique id says nothing about the counter's way."""


@dataclass(frozen=True, slots=True)
class LostFrame:
    """A frame that was announced and never came."""

    row: int
    unique_id: int
    reason: Reason


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
class EnteredRow:
    """A row as the file of the run has it."""

    row: int
    unique_id: int
    timestamp_ns: int
    state: FrameState
    reason: str


@dataclass(slots=True)
class _Epoch:
    """One stretch of a counter that only goes up."""

    last_id: int
    stamped_id: int
    """Newest id that brought a time of its own, `last_timestamp_ns`."""
    last_timestamp_ns: int
    steps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=9))
    seen: RememberedIds = field(default_factory=lambda: RememberedIds(REMEMBERED_IDS))
    lost_rows: OrderedDict[int, LostFrame] = field(default_factory=OrderedDict)

    @property
    def period_ns(self) -> float:
        """Median time between consecutive ids, 0 while unknown; one false stamp does not move it."""
        return median(self.steps_ns) if self.steps_ns else 0.0

    def remember(self, unique_id: int, timestamp_ns: int) -> None:
        self.seen.remember(unique_id, timestamp_ns)

    def remember_lost(self, frame: LostFrame) -> None:
        self.lost_rows[frame.unique_id] = frame
        if len(self.lost_rows) > REMEMBERED_IDS:
            self.lost_rows.popitem(last=False)

    def enter_again(self, row: EnteredRow) -> None:
        """Take up a row of an earlier process; its id is not below the last one."""
        epoch_goes_on = row.unique_id - 1 == self.last_id and self.seen.stamp_of(self.last_id) is not None
        self.last_id = row.unique_id
        if row.timestamp_ns <= 0:
            self.remember_lost(LostFrame(row.row, row.unique_id, Reason(row.reason)))
            return
        step_ns = row.timestamp_ns - self.last_timestamp_ns
        if epoch_goes_on and step_ns >= 0:
            self.steps_ns.append(step_ns)
        self.stamped_id, self.last_timestamp_ns = row.unique_id, row.timestamp_ns
        self.remember(row.unique_id, row.timestamp_ns)

    def could_have_passed(self, frames: int, timestamp_ns: int, slack: int) -> bool:
        """Whether so many frames fit into the time since the last one."""
        if frames > LARGEST_GAP:
            return False
        if self.period_ns <= 0:
            return True
        elapsed = max(timestamp_ns - self.last_timestamp_ns, 0)
        return frames <= 2 * elapsed / self.period_ns + slack


class Ledger:
    """Counts frames and gives each its row."""

    def __init__(self) -> None:
        self._next_row = 0
        self._epoch: _Epoch | None = None
        self._away = Reason.NONE
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
        epoch = self._epoch
        if epoch is None:
            self._epoch = self._begin(unique_id, time_ns)
            return Admission(self._new_row(), Reason.NONE, time_ns, flag)
        if unique_id > epoch.last_id:
            return self._forward(epoch, unique_id, time_ns, flag)
        return self._backward(epoch, unique_id, time_ns, flag)

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
            self._epoch = _Epoch(
                row.unique_id, row.unique_id, time_ns, deque(epoch.steps_ns if epoch else (), maxlen=9)
            )
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

    def _begin(self, unique_id: int, timestamp_ns: int) -> _Epoch:
        self._away = Reason.NONE
        epoch = _Epoch(unique_id, unique_id, timestamp_ns)
        epoch.remember(unique_id, timestamp_ns)
        return epoch

    def _forward(self, epoch: _Epoch, unique_id: int, timestamp_ns: int, flag: Reason) -> Admission:
        missing = unique_id - epoch.last_id - 1
        events: list[Event] = []
        lost: tuple[LostFrame, ...] = ()
        if missing and epoch.could_have_passed(missing, timestamp_ns, GAP_SLACK):
            reason = self._away or Reason.GAP_IN_ID
            lost = self._lose(epoch, range(epoch.last_id + 1, unique_id), reason)
            events.append(_gap_event(lost, timestamp_ns))
        elif missing:
            text = (
                f"the unique id leapt from {epoch.last_id} to {unique_id}, more than time allows: the counter was set"
            )
            events.append(Event(timestamp_ns, self._next_row, "COUNTER_SET", text))
        if timestamp_ns < epoch.last_timestamp_ns:
            flag = Reason.BACKWARD_TIMESTAMP
            back_s = (epoch.last_timestamp_ns - timestamp_ns) / NS_PER_S
            text = f"frame {unique_id} is stamped {back_s:.3f} s before frame {epoch.last_id}: the clock stepped back"
            events.append(Event(timestamp_ns, self._next_row, "CLOCK_STEP", text))
        elif not missing and flag is Reason.NONE:
            epoch.steps_ns.append(timestamp_ns - epoch.last_timestamp_ns)
        epoch.last_id = unique_id
        if flag in {Reason.NONE, Reason.BACKWARD_TIMESTAMP}:
            # A time that was made up here must not be what the next true one is held against.
            epoch.stamped_id, epoch.last_timestamp_ns = unique_id, timestamp_ns
        epoch.remember(unique_id, timestamp_ns)
        self._away = Reason.NONE
        return Admission(self._new_row(), Reason.NONE, timestamp_ns, flag, lost=lost, events=tuple(events))

    def _backward(self, epoch: _Epoch, unique_id: int, timestamp_ns: int, flag: Reason) -> Admission:
        seen_ns = epoch.seen.stamp_of(unique_id)
        if seen_ns == timestamp_ns:
            return Admission(self._new_row(), Reason.DUPLICATE, timestamp_ns, flag)
        if timestamp_ns > epoch.last_timestamp_ns:
            return self._new_epoch(epoch, unique_id, timestamp_ns, flag)
        found = epoch.lost_rows.pop(unique_id, None)
        if found is None:
            verdict = Reason.LATE if seen_ns is None else Reason.DUPLICATE
            return Admission(self._new_row(), verdict, timestamp_ns, flag)
        return Admission(None, Reason.LATE, timestamp_ns, flag, correction=self._correct(found))

    def _new_epoch(self, old: _Epoch, unique_id: int, timestamp_ns: int, flag: Reason) -> Admission:
        # A counter that restarts begins at 1, so ids below the first one seen went by meanwhile,
        # unless somebody simply wrote another number into the counter.
        missing = unique_id - 1
        restarted = self._away is not Reason.NONE
        self._epoch = epoch = self._begin(unique_id, timestamp_ns)
        epoch.steps_ns = old.steps_ns
        lost: tuple[LostFrame, ...] = ()
        if restarted and missing > 0 and old.could_have_passed(missing, timestamp_ns, GAP_SLACK):
            lost = self._lose(epoch, range(1, unique_id), Reason.IOC_RESTARTED)
        cause = "the IOC restarted" if restarted else "the counter was set back"
        text = f"the unique id fell from {old.last_id} to {unique_id}: {cause}, {len(lost)} of the new count lost"
        event = Event(timestamp_ns, self._next_row, "COUNTER_RESET", text)
        return Admission(self._new_row(), Reason.NONE, timestamp_ns, flag, lost=lost, events=(event,))

    def _lose(self, epoch: _Epoch, unique_ids: range, reason: Reason) -> tuple[LostFrame, ...]:
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


def _gap_event(lost: tuple[LostFrame, ...], timestamp_ns: int) -> Event:
    first, last, reason = lost[0].unique_id, lost[-1].unique_id, lost[0].reason
    ids = f"{first}" if first == last else f"{first} to {last}"
    cause = _CAUSES.get(reason, "on the way from the detector")
    frames = "1 frame" if len(lost) == 1 else f"{len(lost)} frames"
    return Event(timestamp_ns, lost[0].row, "GAP", f"{frames} lost {cause} (unique id {ids})")

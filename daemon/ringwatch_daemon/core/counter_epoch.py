"""One stretch of a detector's counter that only goes up, and what is known of it."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from statistics import median

from ringwatch_daemon.core.records import FrameState, Reason
from ringwatch_daemon.core.remembered_ids import RememberedIds
from ringwatch_daemon.core.stamp_lead import StampLead

REMEMBERED_IDS = 8192
"""How far back a duplicate or a late frame is recognised."""
GAP_SLACK = 16
"""Frames that may be missing beyond what the frame period allows, for stamps of poor resolution."""
FASTER = 16
"""Frames may come so many times faster than before: a busy IOC lags, and rates change while nobody listens."""
LARGEST_GAP = 100_000
"""Ids passed over at once beyond which the counter was set, not the frames lost."""

_LARGEST_ID, _BITS = 2**31 - 1, 2**32
"""areaDetector keeps its counter in 32 bits with a sign."""
_STEPS = 9
_BUSY = 1.25
"""The frame period is known this well."""
_NEAR = 16
"""A frame that comes late is at most so many behind."""
_SUCCESSORS = 2
"""Frames whose times tell that one is not late: one of them alone may have a false stamp."""
_REGULAR = 0.25
"""Steps this close to their median, as a part of it, make a period that can be missed."""
_MISSED = 1.6
"""A step of more periods than this is one in which a frame is missing."""
_OWN_TIME = (Reason.NONE, Reason.BACKWARD_TIMESTAMP)


@dataclass(frozen=True, slots=True)
class LostFrame:
    """A frame that was announced and never came."""

    row: int
    unique_id: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class EnteredRow:
    """A row as the file of the run has it."""

    row: int
    unique_id: int
    timestamp_ns: int
    state: FrameState
    reason: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that came.

    Parameters
    ----------
    timestamp_ns
        Mid-exposure, the frame's own or one made up; `flag` says which.
    """

    unique_id: int
    timestamp_ns: int
    received_ns: int
    flag: Reason

    @property
    def has_own_time(self) -> bool:
        """Whether its time came with it."""
        return self.flag in _OWN_TIME


def as_told(unique_id: int) -> int:
    """The id as the detector tells it, of a number that `CounterEpoch.run_over` has made."""
    return unique_id - _BITS if unique_id > _LARGEST_ID else unique_id


@dataclass(slots=True)
class CounterEpoch:
    """The counter since it last began anew.

    Parameters
    ----------
    stamped_id
        Newest id that brought a time of its own, `last_timestamp_ns`.
    last_received_ns
        When the newest frame came.
    seen
        Times of the frames that came, 0 where a frame brought none of its own, by id.
    lost_rows
        Frames given up as lost, by id.
    frames
        How many have come, the first one included.
    """

    last_id: int
    stamped_id: int
    last_timestamp_ns: int
    last_received_ns: int
    steps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_STEPS))
    seen: RememberedIds = field(default_factory=lambda: RememberedIds(REMEMBERED_IDS))
    lost_rows: OrderedDict[int, LostFrame] = field(default_factory=OrderedDict)
    frames: int = 1
    lead: StampLead = field(default_factory=StampLead)
    _stepped_back: bool = False
    _returned_id: int = -1

    @classmethod
    def begun_by(cls, arrival: Arrival) -> "CounterEpoch":
        """The stretch that begins with a frame."""
        epoch = cls(arrival.unique_id, arrival.unique_id, arrival.timestamp_ns, arrival.received_ns)
        if arrival.has_own_time:
            lead_ns = arrival.timestamp_ns - arrival.received_ns
            epoch.lead = StampLead(lead_ns, lead_ns)
        epoch.remember(arrival)
        return epoch

    def take_over_from(self, old: "CounterEpoch") -> None:
        """Know of the pace of frames, and of the clocks, what is known from the stretch before."""
        self.steps_ns.extend(old.steps_ns)
        self.lead.take_over(old.lead)

    @property
    def period_ns(self) -> float:
        """Median time between consecutive ids, 0 while unknown; one false stamp does not move it."""
        return median(self.steps_ns) if self.steps_ns else 0.0

    def remember(self, arrival: Arrival) -> None:
        """Know a frame again that comes twice."""
        self.seen.remember(arrival.unique_id, arrival.timestamp_ns if arrival.has_own_time else 0)

    def remember_lost(self, unique_id: int, frame: LostFrame) -> None:
        """Know a frame that was given up, should it come after all."""
        self.lost_rows[unique_id] = frame
        if len(self.lost_rows) > REMEMBERED_IDS:
            self.lost_rows.popitem(last=False)

    def go_on_to(self, arrival: Arrival) -> None:
        """Take in a frame whose id is beyond the last one."""
        follows = arrival.unique_id == self.stamped_id + 1
        if follows and arrival.flag is Reason.NONE:
            self.steps_ns.append(arrival.timestamp_ns - self.last_timestamp_ns)
        self.last_id, self.last_received_ns = arrival.unique_id, arrival.received_ns
        self.frames += 1
        if arrival.has_own_time:
            # A time that was made up must not be what the next true one is held against.
            self.stamped_id, self.last_timestamp_ns = arrival.unique_id, arrival.timestamp_ns
            self.lead.note(arrival.timestamp_ns, arrival.received_ns)
            self._stepped_back = arrival.flag is Reason.BACKWARD_TIMESTAMP
        self.remember(arrival)

    def enter_again(self, row: EnteredRow) -> None:
        """Take up a row of an earlier process; its id is not below the last one."""
        epoch_goes_on = row.unique_id - 1 == self.last_id and self.seen.stamp_of(self.last_id) is not None
        self.last_id = row.unique_id
        self.frames += 1
        if row.timestamp_ns <= 0:
            if row.state is FrameState.LOST:
                self.remember_lost(row.unique_id, LostFrame(row.row, as_told(row.unique_id), Reason(row.reason)))
            return
        step_ns = row.timestamp_ns - self.last_timestamp_ns
        if epoch_goes_on and step_ns >= 0:
            self.steps_ns.append(step_ns)
        self.stamped_id = row.unique_id
        self.last_timestamp_ns = self.last_received_ns = row.timestamp_ns
        self.remember(Arrival(row.unique_id, row.timestamp_ns, row.timestamp_ns, Reason.NONE))

    def could_have_passed(self, frames: int, timestamp_ns: int, received_ns: int) -> bool:
        """Whether so many frames fit into the time since the last one, by the longer of two clocks.

        The detector's may have been set back, and ours as well. A stamp that is farther ahead of its receipt than any
        before is false, and tells nothing. Beyond `LARGEST_GAP` both have to say so, and at the pace that frames had.
        """
        if self.period_ns <= 0:
            return frames <= LARGEST_GAP
        clocks_ns = [timestamp_ns - self.last_timestamp_ns, received_ns - self.last_received_ns]
        if clocks_ns[1] >= 0 and self.lead.is_passed_by(timestamp_ns, received_ns):
            clocks_ns[0] = clocks_ns[1]
        if frames > LARGEST_GAP:
            return frames <= _BUSY * min(clocks_ns) / self.period_ns
        return frames <= FASTER * max(*clocks_ns, 0) / self.period_ns + GAP_SLACK

    def run_over(self, unique_id: int) -> int:
        """The number that an id below 0 stands for, where the counter has run over; else the id as it is."""
        beyond = unique_id + _BITS
        since = beyond - self.last_id
        near = self.last_id > _LARGEST_ID or (self.last_id > _LARGEST_ID - LARGEST_GAP and since <= LARGEST_GAP)
        return beyond if unique_id < 0 and near else unique_id

    def periods_to(self, arrival: Arrival) -> int:
        """Periods between the last frame and one that follows it, 0 where none is missing or nobody can tell."""
        follows = arrival.has_own_time and arrival.unique_id == self.stamped_id + 1
        if not follows or self._stepped_back or len(self.steps_ns) < _STEPS:
            return 0
        period_ns = self.period_ns
        regular = all(abs(step_ns - period_ns) < _REGULAR * period_ns for step_ns in self.steps_ns)
        step_ns = arrival.timestamp_ns - self.last_timestamp_ns
        return round(step_ns / period_ns) if regular and step_ns > _MISSED * period_ns else 0

    def counts_anew(self, arrival: Arrival, restarted_ns: int) -> bool:
        """Whether an id beyond the last one is of a new count all the same: that of an IOC which was started since.

        Some IOCs go on where their counter was; such an id is beyond what could be counted since the start.
        """
        if not restarted_ns:
            return False
        at_ns = arrival.timestamp_ns if arrival.has_own_time else arrival.received_ns
        since_ns = max(at_ns - restarted_ns, 0)
        return self.period_ns <= 0 or arrival.unique_id <= _BUSY * since_ns / self.period_ns + GAP_SLACK

    def is_left_by(self, arrival: Arrival, *, after_outage: bool = False) -> bool:
        """Whether a frame whose id is not beyond the last one belongs to a new count.

        Parameters
        ----------
        after_outage
            It is the first after one: what is posted again then is the newest frame, and none far below it.
        """
        unique_id, known_ns = arrival.unique_id, self.seen.stamp_of(arrival.unique_id)
        if unique_id in self.lost_rows and (unique_id > self.stamped_id or not self._tells_by_time(arrival)):
            return False
        if not arrival.has_own_time:
            return self._goes_on_below(unique_id, known=known_ns is not None and not after_outage)
        if unique_id == self.last_id and 0 <= arrival.timestamp_ns - self.last_timestamp_ns < self.period_ns / 2:
            return False  # the same frame posted again, with the time of the post
        is_ahead = self.lead.is_passed_by(arrival.timestamp_ns, arrival.received_ns)
        if (arrival.timestamp_ns > self.last_timestamp_ns and not is_ahead) or known_ns:
            # Newer than all, or a number that another frame had: that of a clock which was set back, too.
            return True
        if unique_id in self.lost_rows:
            return not self.misses(arrival)
        return known_ns is None and unique_id < self.last_id - _NEAR

    def _tells_by_time(self, arrival: Arrival) -> bool:
        """Whether a frame can be called newer or older: not by a false stamp, nor beside one close by."""
        doubtful = self._stepped_back or self.lead.is_passed_by(arrival.timestamp_ns, arrival.received_ns)
        return arrival.has_own_time and not (doubtful and arrival.unique_id >= self.last_id - _NEAR)

    def misses(self, arrival: Arrival) -> bool:
        """Whether a frame with a time of its own is a lost one of this count that comes late.

        One that is younger than those that follow its id is of another count.
        """
        if arrival.unique_id not in self.lost_rows or arrival.unique_id < self.last_id - _NEAR:
            return False
        stamps_ns = self.seen.stamps_beyond(arrival.unique_id, _SUCCESSORS)
        return not stamps_ns or arrival.timestamp_ns <= max(stamps_ns)

    def _goes_on_below(self, unique_id: int, *, known: bool) -> bool:
        """Without times only the numbers tell: two that follow each other, well below the last one."""
        before, self._returned_id = self._returned_id, unique_id
        far = unique_id < self.last_id - _NEAR
        return far and (not known or unique_id == before + 1)

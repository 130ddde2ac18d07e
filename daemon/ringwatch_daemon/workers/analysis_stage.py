"""The middle stage: from what the source saw to the records of the run.

The way of a frame: intake -> ledger (row, gaps) -> analysis (pattern, fit, tracks) -> state of
the cell -> record.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ringwatch_daemon.core.channels import Channel, ChannelClosed
from ringwatch_daemon.core.clock import NS_PER_S, Clock
from ringwatch_daemon.core.heartbeat import Turned
from ringwatch_daemon.core.intake import (
    ConnectionChange,
    CounterTold,
    DaemonWasDown,
    DroppedFrame,
    Intake,
    Item,
    RefusedFrame,
    SourceWarning,
)
from ringwatch_daemon.core.ledger import Admission, Ledger, LostFrame
from ringwatch_daemon.core.ports import FrameAnalyser
from ringwatch_daemon.core.records import (
    Checkpoint,
    Event,
    FrameRecord,
    FrameState,
    Reason,
    Record,
    RunStart,
    RunStop,
    Status,
)
from ringwatch_daemon.core.resumption import Resumption
from ringwatch_daemon.workers.cell_follower import CellFollower, Told
from ringwatch_daemon.workers.frame_outcome import Outcome, lost_record, outcome_of_analysis, outcome_unseen
from ringwatch_daemon.workers.run_records import RunRecords
from ringwatch_pipelines.analysis_memory import AnalyserMemory
from ringwatch_pipelines.cell.cycling import CellState, Coupling
from ringwatch_pipelines.frames import Frame
from ringwatch_pipelines.results import FrameResult, Notice
from ringwatch_pipelines.scans import Measured, Scan
from ringwatch_pipelines.several_cells import CellsMemory

STATUS_EVERY_S = 1.0
TAKE_WAIT_S = 0.2
QUIET_S = 10.0
"""After so long a silence of the detector's counter, frames that it counted and that never came are lost."""
QUIET_AT_END_S = 1.0
"""The same at the end of a run; what was counted later than this may be on its way, and is of no run."""
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class AnalysisParts:
    """What the stage works with; the composition root makes it."""

    intake: Intake
    analyser: FrameAnalyser
    records: Channel[Record]
    begin_run: Callable[[int], RunStart]
    """Makes the run's start from the UTC nanoseconds of its first arrival."""
    clock: Clock
    tell: Callable[[bool, str], None]
    """Hears whether the source is connected, and one line about it, whenever that changes."""
    cells: tuple[CellFollower, ...] = ()
    """Every cell of the run; one without a name where there is only one."""
    turned: Turned = lambda _: None
    """Hears of each turn of the loop, and whether a frame or notice was taken."""
    remember: Callable[[], AnalyserMemory | CellsMemory] | None = None
    """What the frames so far leave to the next one, for a run that may be cut off; None to keep nothing."""
    resumed: Resumption | None = None
    """The run to go on with, of a process that was cut off."""


class AnalysisStage:
    """Turns what the source saw into records, in one thread and in order."""

    def __init__(self, parts: AnalysisParts) -> None:
        self._parts = parts
        self._ledger = Ledger()
        self._records = RunRecords(parts.records, parts.begin_run, parts.turned)
        self._flags: list[str] = []
        self._source_state = "WAITING"
        self._source_text = "no connection yet"
        self._latency_s = NAN
        self._next_status_s = 0.0
        self._cells = {cell.name: cell for cell in parts.cells}
        self._taking_up = parts.resumed is not None

    def run(self) -> None:
        """Work until the intake is closed and empty and the cycler has told everything, then end the run.

        Ends early when nobody takes the records any more.
        """
        why, failed = "the analysis failed", True
        try:
            if self._parts.resumed is not None:
                self._resume(self._parts.resumed)
            why = self._work_off_intake()
            while self._records.wanted and self._take_cyclers(TAKE_WAIT_S):
                self._parts.turned(False)
            for cell in self._parts.cells:
                self._take_told(cell, cell.finish())
            failed = self._parts.intake.failed
        finally:
            self._end(why, failed=failed)

    def _work_off_intake(self) -> str:
        """Take everything to the end of the intake, and say why that came."""
        while self._records.wanted:
            try:
                item = self._parts.intake.take(TAKE_WAIT_S)
            except ChannelClosed as end:
                return str(end)
            self._take_cyclers(0.0)
            if item is not None:
                self._take(item)
            if self._tell_status():
                self._give_up(QUIET_S)
            self._parts.turned(item is not None)
        return "the records are not taken any more"

    def _take(self, item: Item) -> None:
        if self._taking_up:
            # What is missing among frames that an earlier process has spooled died in its memory.
            self._ledger.daemon_was_down()
        match item:
            case Frame() | Scan():
                self._take_frame(item)
            case RefusedFrame():
                self._take_refused(item)
            case DroppedFrame():
                self._take_dropped(item)
            case DaemonWasDown():
                self._taking_up = False
            case ConnectionChange():
                self._take_connection(item)
            case CounterTold():
                self._ledger.counter_told(item.count, now_s=self._parts.clock.monotonic_s())
            case SourceWarning():
                self._event(item.at_ns, -1, item.kind, item.text)

    def _take_frame(self, frame: Measured) -> None:
        admission = self._admit(frame.unique_id, frame.timestamp_ns, frame.received_ns, frame.exposure_s)
        outcome = outcome_of_analysis(self._parts.analyser, frame, admission)
        if outcome.reason == Reason.ANALYSIS_FAILED:
            self._event(admission.timestamp_ns, _row(admission), outcome.reason, outcome.text)
        self._settle(frame, admission, outcome)
        if admission.verdict is not Reason.NONE:
            return
        for notice in outcome.result.notices if outcome.result else ():
            self._take_notice(notice, admission.timestamp_ns, _row(admission), self._name_of(frame))
        self._tell_cell(frame, outcome.result, admission.timestamp_ns)
        self._latency_s = (self._parts.clock.utc_ns() - frame.received_ns) / NS_PER_S

    def _tell_cell(self, frame: Measured, result: FrameResult | None, timestamp_ns: int) -> None:
        cell = self._cells.get(self._name_of(frame))
        if cell is not None and result is not None:
            self._take_told(cell, cell.saw(frame, result, timestamp_ns=timestamp_ns))

    def _take_notice(self, notice: Notice, now_ns: int, row: int, cell_name: str) -> None:
        at_ns = now_ns if notice.timestamp_ns is None else notice.timestamp_ns
        self._records.put_event(Event(at_ns, row, notice.kind, notice.text, notice.sigma_h, cell_name))
        if notice.standing and notice.text not in self._flags:
            self._flags.append(notice.text)

    def _take_refused(self, item: RefusedFrame) -> None:
        admission = self._admit(item.unique_id, item.timestamp_ns, item.received_ns, NAN)
        state = FrameState.LOST if item.reason == Reason.MISPAIRED else FrameState.REJECTED
        unique_id = -1 if item.unique_id is None else item.unique_id
        frame = DroppedFrame(unique_id, item.timestamp_ns, item.received_ns, NAN, NAN)
        self._settle(frame, admission, outcome_unseen(admission, state, item.reason, item.text))

    def _take_dropped(self, item: DroppedFrame) -> None:
        admission = self._admit(item.unique_id, item.timestamp_ns, item.received_ns, item.exposure_s)
        text = f"frame {item.unique_id} found the queue full"
        self._settle(item, admission, outcome_unseen(admission, FrameState.LOST, Reason.QUEUE_FULL, text))

    def _take_connection(self, change: ConnectionChange) -> None:
        self._source_state = "CONNECTED" if change.connected else "DISCONNECTED"
        self._source_text = change.text
        self._parts.tell(change.connected, change.text)
        if change.connected:
            self._ledger.reconnected(restarted_ns=change.restarted_ns)
        else:
            self._ledger.disconnected()
        self._event(change.at_ns, -1, self._source_state, change.text)

    def _admit(self, unique_id: int | None, timestamp_ns: int, received_ns: int, exposure_s: float) -> Admission:
        if not self._records.started:
            self._records.begin(received_ns)
        admission = self._ledger.arrive(
            unique_id=unique_id, timestamp_ns=timestamp_ns, received_ns=received_ns, exposure_s=exposure_s
        )
        self._put_lost(admission.lost)
        for event in admission.events:
            self._records.put(event)
        if admission.correction is not None:
            self._records.put(admission.correction)
        return admission

    def _put_lost(self, lost: Iterable[LostFrame]) -> None:
        for frame in lost:
            self._records.put(lost_record(frame))

    def _give_up(self, after_s: float) -> None:
        """Name the frames that the detector counted and that will not come any more."""
        clock = self._parts.clock
        given_up = self._ledger.give_up(now_ns=clock.utc_ns(), now_s=clock.monotonic_s(), after_s=after_s)
        if given_up is not None:
            self._put_lost(given_up.lost)
            self._records.put_event(given_up.event)

    def _settle(self, frame: Measured | DroppedFrame, admission: Admission, outcome: Outcome) -> None:
        row = admission.row
        if row is None:
            return
        self._ledger.settle(outcome.state, outcome.reason)
        record = FrameRecord(
            row=row,
            unique_id=frame.unique_id,
            timestamp_ns=admission.timestamp_ns,
            received_ns=frame.received_ns,
            exposure_s=frame.exposure_s,
            monitor=frame.monitor,
            state=outcome.state,
            reason=str(outcome.reason),
            text=outcome.text,
            result=outcome.result,
            cell=self._state_at(row, admission.timestamp_ns, frame),
            checkpoint=self._checkpoint(outcome),
            cell_name=self._name_of(frame),
        )
        self._records.put(record)

    def _name_of(self, frame: Measured | DroppedFrame) -> str:
        """The cell in the beam; empty in a run of one, and where nobody knows."""
        return frame.cell if frame.cell in self._cells else ""

    def _state_at(self, row: int, timestamp_ns: int, frame: Measured | DroppedFrame) -> CellState:
        follower = self._cells.get(self._name_of(frame))
        if follower is not None:
            return follower.state_at(row=row, timestamp_ns=timestamp_ns)
        return CellState(state=Coupling.UNKNOWN_CELL) if self._cells else CellState()

    def _checkpoint(self, outcome: Outcome) -> Checkpoint | None:
        """What stands after a frame; None where the frame was not looked at and changed nothing."""
        if self._parts.remember is None or outcome.result is None:
            return None
        standing = [notice.text for notice in outcome.result.notices if notice.standing]
        flags = dict.fromkeys([*self._flags, *standing])
        return Checkpoint(self._parts.remember(), tuple(flags))

    def _take_cyclers(self, timeout_s: float) -> bool:
        """Take what the cyclers have, waiting up to `timeout_s` for something; False when no more will come."""
        for cell in self._parts.cells:
            self._take_told(cell, cell.take(timeout_s))
        return not all(cell.ended for cell in self._parts.cells)

    def _take_told(self, cell: CellFollower, told: Iterable[Told]) -> None:
        for each in told:
            if isinstance(each, Notice):
                self._take_notice(each, self._parts.clock.utc_ns(), -1, cell.name)
            else:
                self._records.put(each)

    def _resume(self, run: Resumption) -> None:
        """Go on where the process was that was cut off."""
        self._ledger.resume(run.newest, run.totals)
        self._ledger.daemon_was_down()
        if run.checkpoint is not None:
            self._flags.extend(run.checkpoint.flags)
        self._records.begin(run.started_ns)
        now_ns = self._parts.clock.utc_ns()
        down_s = (now_ns - run.last_write_ns) / NS_PER_S
        text = f"the run goes on after {run.totals.announced} rows: the daemon was down for {down_s:.1f} s"
        self._event(now_ns, -1, "RESUMED", text)
        for cell in self._parts.cells:
            self._take_told(cell, cell.resume(run))

    def _event(self, timestamp_ns: int, row: int, kind: str, text: str) -> None:
        self._records.put_event(Event(timestamp_ns, row, kind, text))

    def _tell_status(self) -> bool:
        """Tell how the run stands, where that is due."""
        now_s = self._parts.clock.monotonic_s()
        due = self._records.started and now_s >= self._next_status_s
        if due:
            self._next_status_s = now_s + STATUS_EVERY_S
            self._records.put(self._status())
        return due

    def _status(self) -> Status:
        parts = self._parts
        queues = [*parts.intake.levels(), parts.records.level()]
        queues += [level for cell in parts.cells if (level := cell.level()) is not None]
        return Status(
            timestamp_ns=parts.clock.utc_ns(),
            source_state=self._source_state,
            source_text=self._source_text,
            totals=self._ledger.totals,
            queues=tuple(queues),
            latency_s=self._latency_s,
            flags=tuple(self._flags),
        )

    def _end(self, why: str, *, failed: bool) -> None:
        """End the run; one that a failure cuts off is left to be gone on with."""
        if self._records.started and not failed:
            self._give_up(QUIET_AT_END_S)
            self._records.put(self._status())
            self._records.put(RunStop(self._parts.clock.utc_ns(), why, self._ledger.totals, tuple(self._flags)))
        self._records.close()
        for cell in self._parts.cells:
            # A cycler that waits for room must not wait for a stage that has gone.
            cell.close()


def _row(admission: Admission) -> int:
    return -1 if admission.row is None else admission.row

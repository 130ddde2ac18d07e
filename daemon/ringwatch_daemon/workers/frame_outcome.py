"""Where a frame ends, and why: from what the analysis made of it, or from why it never came to that."""

import logging
from dataclasses import dataclass

import numpy as np

from ringwatch_daemon.core.ledger import Admission, LostFrame
from ringwatch_daemon.core.ports import FrameAnalyser
from ringwatch_daemon.core.records import FrameRecord, FrameState, Reason
from ringwatch_pipelines.cell.cycling import CellState
from ringwatch_pipelines.errors import RingwatchError
from ringwatch_pipelines.frames import FrameKind
from ringwatch_pipelines.results import FrameResult
from ringwatch_pipelines.scans import Measured

LOG = logging.getLogger(__name__)
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a frame ended, and why."""

    state: FrameState
    reason: str
    text: str = ""
    result: FrameResult | None = None


def outcome_of_analysis(analyser: FrameAnalyser, frame: Measured, admission: Admission) -> Outcome:
    """What the analysis makes of a frame that the ledger has admitted; none makes it raise."""
    if admission.verdict is not Reason.NONE:
        text = f"frame {frame.unique_id} from {frame.origin} is a {admission.verdict.lower()} one"
        return Outcome(FrameState.REJECTED, admission.verdict, text)
    try:
        result = analyser.analyse(frame, timestamp_ns=admission.timestamp_ns)
    except (RingwatchError, ArithmeticError, ValueError, np.linalg.LinAlgError, MemoryError) as error:
        # One frame must not end the night; what went wrong stands in the ledger and in the log.
        LOG.exception("frame %d cannot be analysed", frame.unique_id)
        text = f"frame {frame.unique_id} from {frame.origin} cannot be analysed: {error}"
        return Outcome(FrameState.REJECTED, Reason.ANALYSIS_FAILED, text)
    if result.refusal is not None:
        return Outcome(FrameState.REJECTED, result.refusal, result.text, result)
    reason = Reason.DARK if frame.kind is FrameKind.DARK else admission.flag
    return Outcome(FrameState.PROCESSED, reason, result.text, result)


def outcome_unseen(admission: Admission, state: FrameState, reason: str, text: str) -> Outcome:
    """The end of a frame whose image never came to the analysis; one that had come before is only a copy."""
    if admission.verdict is not Reason.NONE:
        return Outcome(FrameState.REJECTED, admission.verdict, text)
    return Outcome(state, reason, text)


def lost_record(lost: LostFrame) -> FrameRecord:
    """The row of a frame that never came."""
    # Nobody told when a lost frame was taken, and nothing is made up: 0 means unknown.
    return FrameRecord(
        row=lost.row,
        unique_id=lost.unique_id,
        timestamp_ns=0,
        received_ns=0,
        exposure_s=NAN,
        monitor=NAN,
        state=FrameState.LOST,
        reason=lost.reason,
        text=f"frame {lost.unique_id} never came",
        result=None,
        cell=CellState(),
    )

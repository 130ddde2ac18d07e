"""A ledger whose rows are written down, as the file of a run does."""

from ringwatch_daemon.core.ledger import Admission, EnteredRow, Ledger
from ringwatch_daemon.core.records import FrameState, Reason


class LedgerBook:
    """A ledger with the rows that it gives out, and when the frame of each was received, 0 for a lost one."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.rows: list[EnteredRow] = []
        self.received_ns: list[int] = []

    def enter(self, *, unique_id: int, timestamp_ns: int, received_ns: int) -> Admission:
        """Let a frame arrive, and write down what the ledger makes of it."""
        admission = self.ledger.arrive(
            unique_id=unique_id, timestamp_ns=timestamp_ns, received_ns=received_ns, exposure_s=0.1
        )
        for lost in admission.lost:
            self._write(EnteredRow(lost.row, lost.unique_id, 0, FrameState.LOST, lost.reason), 0)
        correction = admission.correction
        if correction is not None:
            old = self.rows[correction.row]
            self.rows[old.row] = EnteredRow(old.row, old.unique_id, 0, correction.state, correction.reason)
        if admission.row is not None:
            state = FrameState.PROCESSED if admission.verdict is Reason.NONE else FrameState.REJECTED
            self.ledger.settle(state, admission.verdict)
            row = EnteredRow(admission.row, unique_id, admission.timestamp_ns, state, admission.verdict)
            self._write(row, received_ns)
        return admission

    def _write(self, row: EnteredRow, received_ns: int) -> None:
        assert row.row == len(self.rows), f"row {row.row} was given out after row {len(self.rows) - 1}"
        self.rows.append(row)
        self.received_ns.append(received_ns)

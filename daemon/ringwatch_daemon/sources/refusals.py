"""A frame that cannot be taken, on its way from a decoder to the intake."""

from ringwatch_daemon.core.errors import DetectorError
from ringwatch_daemon.core.records import Reason


class FrameRefusedError(DetectorError):
    """A frame cannot be taken; it is told to the intake, never raised out of a source.

    Parameters
    ----------
    reason
        For the ledger.
    text
        One sentence: what was expected, what came.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason

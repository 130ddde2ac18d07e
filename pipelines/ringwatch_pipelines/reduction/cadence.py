"""Frames summed before the fit, exactly: what is added are counts."""

from dataclasses import dataclass

from ringwatch_pipelines.patterns import BinSums

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Cadence:
    """How many frames go into one fit.

    Parameters
    ----------
    frames
        Number of frames, where `seconds` is None.
    seconds
        Data time from the first frame of a sum to its last; the frame that completes it closes the sum.
    """

    frames: int = 1
    seconds: float | None = None


class FrameSum:
    """Adds frames until the cadence is complete."""

    def __init__(self, cadence: Cadence) -> None:
        self._cadence = cadence
        self._sums: BinSums | None = None
        self._began_ns = 0

    @property
    def begun(self) -> tuple[BinSums | None, int]:
        """The sum that is not complete yet, None for none, and the time (UTC, ns) of its first frame."""
        return self._sums, self._began_ns

    def resume(self, sums: BinSums | None, began_ns: int) -> None:
        """Go on with a sum that was begun elsewhere."""
        self._sums, self._began_ns = sums, began_ns

    def add(self, sums: BinSums, *, timestamp_ns: int) -> BinSums | None:
        """Add a frame; the whole sum when it completes the cadence, else None.

        A sum that the end of the run leaves incomplete is not fitted; its frames' patterns stand for themselves.
        """
        if self._sums is None:
            self._sums, self._began_ns = sums, timestamp_ns
        else:
            self._sums = self._sums + sums
        if not self._complete(timestamp_ns):
            return None
        whole, self._sums = self._sums, None
        return whole

    def _complete(self, timestamp_ns: int) -> bool:
        assert self._sums is not None
        if self._cadence.seconds is None:
            return self._sums.frames >= self._cadence.frames
        elapsed_ns = timestamp_ns - self._began_ns
        # A clock that steps back closes the sum too, instead of letting it grow until the time has passed again.
        return not 0 <= elapsed_ns < self._cadence.seconds * NS_PER_S

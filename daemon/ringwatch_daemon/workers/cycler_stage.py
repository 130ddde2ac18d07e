"""Polls the cycler beside the analysis, so that a large file never holds a frame up."""

from dataclasses import dataclass
from threading import Event as StopRequest

from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.core.ports import CyclerReader
from ringwatch_pipelines.cell.cycling import CyclerSamples

POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class CyclerProblem:
    """The cycler's data cannot be understood at the moment."""

    text: str


CyclerItem = CyclerSamples | CyclerProblem


class CyclerStage:
    """Reads the cycler until it is told to stop, and once more after that.

    Parameters
    ----------
    reader
        Owned by this stage.
    found
        Where samples go; the stage waits when nobody takes them.
    """

    def __init__(self, *, reader: CyclerReader, found: Channel[CyclerItem]) -> None:
        self._reader = reader
        self._found = found
        self._last_problem = ""

    def run(self, stop: StopRequest) -> None:
        """Poll until `stop` is set, then a last time: what the cycler wrote until then belongs to the run."""
        try:
            while not stop.is_set():
                if not self._poll():
                    stop.wait(POLL_S)
            # A complaint about one line may hold good ones back until the next call.
            silent = 0
            while silent < 2:
                silent = 0 if self._poll() else silent + 1
        finally:
            self._found.close()
            self._reader.close()

    def _poll(self) -> bool:
        """Whether there was something, so that a long file is read without pauses."""
        try:
            samples = self._reader.poll()
        except CyclerError as error:
            self._report(str(error))
            return False
        if samples is None or not samples.timestamp_ns.size:
            return False
        self._last_problem = ""
        return self._found.put(samples)

    def _report(self, text: str) -> None:
        # The same complaint twice a second would bury everything else.
        if text != self._last_problem:
            self._last_problem = text
            self._found.put(CyclerProblem(text))

"""What the detector really did, frame by frame, in a file that outlives its process.

A line of JSON is written, in one piece, when the counter has gone on and before the frame goes out: what a
kill keeps from going out stands in the file all the same.
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServedFrame:
    """One frame by the detector's own account.

    Parameters
    ----------
    unique_id
        What the counter said.
    index
        Number of the frame in the supply.
    stamp_ns
        End of the exposure, UTC nanoseconds since 1970, before any fault changed it.
    counted_ns
        When it was counted, by the clock of this machine.
    faults
        What befell it; ``disconnect`` for a frame that passed while the IOC was gone.
    """

    unique_id: int
    index: int
    stamp_ns: int
    counted_ns: int
    faults: tuple[str, ...] = ()


class ServedLog:
    """Appends to the account of a detector.

    Parameters
    ----------
    path
        Made where it is missing; an IOC that comes back goes on in it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def note(self, *, unique_id: int, index: int, stamp_ns: int, faults: tuple[str, ...] = ()) -> None:
        """A frame has been counted."""
        frame = ServedFrame(unique_id, index, stamp_ns, time.time_ns(), faults)
        os.write(self._file, (json.dumps(asdict(frame)) + "\n").encode())


def served_frames(path: Path) -> list[ServedFrame]:
    """The account so far; a last line that is still being written is left out."""
    frames = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        raw = json.loads(line)
        frames.append(ServedFrame(**raw | {"faults": tuple(raw["faults"])}))
    return frames

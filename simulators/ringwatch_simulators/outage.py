"""The fault ``disconnect``: an IOC that is really gone for a while, and goes on where it would be."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from ringwatch_simulators.detector import Position


@dataclass(frozen=True, slots=True)
class Resumption:
    """What an IOC that was gone goes on from, handed on as JSON.

    Parameters
    ----------
    returns_at_s
        Wall time, seconds since 1970, before which no socket is opened.
    position
        Where the acquisition will stand by then.
    settings
        Values of the camera's records.
    since_s
        When the first IOC was started, seconds since 1970: its records keep their times.
    """

    returns_at_s: float
    position: Position
    settings: dict[str, Any]
    since_s: float = 0.0

    def seconds_left(self, now_s: float) -> float:
        """How long to stay silent."""
        return max(0.0, self.returns_at_s - now_s)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Resumption":
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        return cls(raw["returns_at_s"], Position(**raw["position"]), raw["settings"], raw["since_s"])


def become(arguments: Sequence[str], resumption: Resumption) -> NoReturn:
    """Replace this process by a fresh IOC that is silent at first.

    The kernel closes every socket at once, so that clients see what they see when an IOC dies; the
    process id stays.
    """
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2:
            _close_on_exec(int(entry.name))
    command = [sys.executable, "-m", "ringwatch_simulators", *arguments, "--resume", resumption.to_json()]
    os.execv(sys.executable, command)  # noqa: S606 - the program and its arguments are our own


def _close_on_exec(descriptor: int) -> None:
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return  # it was the descriptor of the listing itself and is closed already

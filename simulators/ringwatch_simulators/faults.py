"""Faults on request: what real detectors and networks do now and then.

A request reads ``KIND@ID`` or ``KIND@ID:ARGUMENT``; ID is the unique id of the frame that it
befalls. Put into the record ``Sim:Fault`` without ``@ID`` it befalls the next frame.

================  =====================================================================
``drop``          the counter advances, nothing goes out; ``DroppedArrays`` counts it
``duplicate``     the frame goes out twice
``truncate``      the second half of the pixels is missing, the announced shape is not
``reorder``       the frame goes out after its successor
``wrongtype``     the frame goes out as float64
``wrongsize``     the frame goes out at half its rows
``nan``           the frame goes out as float32 with its first row NaN
``future``        its time lies ARGUMENT seconds ahead (default ten years)
``past``          its time lies ARGUMENT seconds back (default one hour)
``restart``       the counter starts again at 1 with this frame
``stall``         the detector hangs for ARGUMENT seconds (default 5) before this frame
``disconnect``    the IOC is gone for ARGUMENT seconds (default 5) after this frame:
                  its process gives up every socket, frames go on being counted, and
                  then a fresh IOC in the same process id resumes the acquisition
================  =====================================================================
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ringwatch_simulators.errors import FaultError
from ringwatch_simulators.readout import NS_PER_S, Readout

TEN_YEARS_S = 315_360_000.0


class FaultKind(StrEnum):
    """What can go wrong."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    TRUNCATE = "truncate"
    REORDER = "reorder"
    WRONG_TYPE = "wrongtype"
    WRONG_SIZE = "wrongsize"
    NAN = "nan"
    FUTURE = "future"
    PAST = "past"
    RESTART = "restart"
    STALL = "stall"
    DISCONNECT = "disconnect"


_DEFAULT_ARGUMENTS = {
    FaultKind.FUTURE: TEN_YEARS_S,
    FaultKind.PAST: 3600.0,
    FaultKind.STALL: 5.0,
    FaultKind.DISCONNECT: 5.0,
}
_REQUEST = re.compile(r"(?P<kind>[a-z]+)(?:@(?P<id>\d+))?(?::(?P<argument>\d+(?:\.\d*)?))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Parameters
    ----------
    unique_id
        The frame it befalls, None for the next one.
    argument
        Seconds, where the kind takes any.
    """

    kind: FaultKind
    unique_id: int | None = None
    argument: float = 0.0


def fault_from_text(text: str) -> Fault:
    """Read ``KIND@ID:ARGUMENT``.

    Raises
    ------
    FaultError
        The text is something else.
    """
    match = _REQUEST.fullmatch(text.strip())
    kinds = {str(kind): kind for kind in FaultKind}
    if match is None or match["kind"] not in kinds:
        raise FaultError(f"a fault reads KIND@ID or KIND@ID:SECONDS with KIND one of {', '.join(kinds)}; got {text!r}")
    kind = kinds[match["kind"]]
    argument = float(match["argument"]) if match["argument"] else _DEFAULT_ARGUMENTS.get(kind, 0.0)
    return Fault(kind, int(match["id"]) if match["id"] else None, argument)


class FaultSchedule:
    """Faults that still have to happen."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._pending = list(faults)

    def add(self, fault: Fault) -> None:
        """Let one more happen."""
        self._pending.append(fault)

    def take(self, unique_id: int) -> list[Fault]:
        """The faults that befall this frame; each happens once."""
        due = [fault for fault in self._pending if fault.unique_id in (None, unique_id)]
        self._pending = [fault for fault in self._pending if fault not in due]
        return due


class FrameSpoiler:
    """Applies the faults that need nothing but the frame itself, and holds back what is reordered."""

    def __init__(self) -> None:
        self._held: list[Readout] = []

    def spoil(self, readout: Readout, faults: list[Fault]) -> list[Readout]:
        """What goes out in place of `readout`, in order."""
        out = [readout]
        for fault in faults:
            out = [spoiled for one in out for spoiled in _spoiled(one, fault)]
        if any(fault.kind is FaultKind.REORDER for fault in faults):
            self._held += out
            return []
        held, self._held = self._held, []
        return out + held

    def flush(self) -> list[Readout]:
        """What was held back and has no successor."""
        held, self._held = self._held, []
        return held


def _spoiled(readout: Readout, fault: Fault) -> list[Readout]:
    match fault.kind:
        case FaultKind.DROP:
            return []
        case FaultKind.DUPLICATE:
            return [readout, readout]
        case FaultKind.TRUNCATE:
            return [replace(readout, data=readout.data[: readout.data.size // 2])]
        case FaultKind.WRONG_TYPE:
            return [replace(readout, data=readout.data.astype(np.float64))]
        case FaultKind.WRONG_SIZE:
            rows = max(1, readout.shape[0] // 2)
            shape = (rows, *readout.shape[1:])
            return [replace(readout, data=readout.data[: int(np.prod(shape))], shape=shape)]
        case FaultKind.NAN:
            data = readout.data.astype(np.float32)
            data[: readout.shape[-1]] = np.nan
            return [replace(readout, data=data)]
        case FaultKind.FUTURE:
            return [replace(readout, timestamp_ns=readout.timestamp_ns + int(fault.argument * NS_PER_S))]
        case FaultKind.PAST:
            return [replace(readout, timestamp_ns=readout.timestamp_ns - int(fault.argument * NS_PER_S))]
        case _:
            return [readout]

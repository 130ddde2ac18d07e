"""What a plugin of areaDetector says about the frame that it serves: size, type, colour and times.

Each record has its own history, so that a frame is described by what stood there when its unique id was posted.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from numpy.typing import NDArray

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.pairing import History, Stamped
from ringwatch_daemon.sources.refusals import FrameRefusedError
from ringwatch_daemon.sources.times import EPICS_EPOCH_S, is_set
from ringwatch_daemon.sources.wire_arrays import image_from_pixels, pixels_from_wire

Note = Callable[[Stamped[Any] | None], None]
"""Told each posted value, and None when the connection is lost; from the network's thread."""

_SIZES = ("ArraySize0_RBV", "ArraySize1_RBV", "ArraySize2_RBV")
_DATA_TYPE, _COLOUR_MODE = "DataType_RBV", "ColorMode_RBV"
_SECONDS, _NANOSECONDS, _DRIVER_TIME = "EpicsTSSec_RBV", "EpicsTSNsec_RBV", "TimeStamp_RBV"
_NEEDED = ("ArraySize0_RBV", "ArraySize1_RBV", _DATA_TYPE)
_ALL = (*_SIZES, _DATA_TYPE, _COLOUR_MODE, _SECONDS, _NANOSECONDS, _DRIVER_TIME)


class PluginHeader:
    """The records of one plugin.

    Parameters
    ----------
    plugin
        Prefix, such as ``13PE1:image1:``.
    """

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._histories: dict[str, History[Any]] = {name: History() for name in _ALL}

    @property
    def stamp_pvs(self) -> tuple[str, str]:
        """The PVs of seconds and nanoseconds of a frame's ``epicsTS``."""
        return self._plugin + _SECONDS, self._plugin + _NANOSECONDS

    def notes(self) -> Iterator[tuple[str, Note]]:
        """Each PV with what wants to be told of its values."""
        for name, history in self._histories.items():
            yield self._plugin + name, partial(_note, history)

    def missing(self) -> str:
        """The PVs without which no frame can be taken and which have said nothing yet; empty for none."""
        return ", ".join(self._plugin + name for name in _NEEDED if self._histories[name].is_empty)

    def image(self, wire: NDArray[Any], *, id_ns: int, max_image_bytes: int) -> NDArray[Any]:
        """The (rows, columns) image out of the waveform of the frame whose id was posted at `id_ns`.

        Raises
        ------
        FrameRefusedError
            It is no grey image of a known type, is too large, or its pixels do not fill it.
        """
        if wire.nbytes > max_image_bytes:
            raise FrameRefusedError(Reason.WRONG_SHAPE, f"expected at most {max_image_bytes} bytes, got {wire.nbytes}")
        pixels = pixels_from_wire(wire, str(self._at(_DATA_TYPE, id_ns, "")))
        sizes = tuple(int(self._at(name, id_ns, 0)) for name in _SIZES)
        return image_from_pixels(pixels, sizes=sizes, colour_mode=str(self._at(_COLOUR_MODE, id_ns, "")))

    def epics_stamp_ns(self, *, since_ns: int, id_ns: int) -> int:
        """The frame's ``epicsTS`` (UTC nanoseconds since 1970), 0 unless it was posted with this frame.

        Parameters
        ----------
        since_ns, id_ns
            When the id before, and that of this frame, were posted.
        """
        seconds, nanoseconds = (self._histories[name].at(id_ns) for name in (_SECONDS, _NANOSECONDS))
        if seconds is None or nanoseconds is None or max(seconds.stamp_ns, nanoseconds.stamp_ns) <= since_ns:
            return 0
        return stamp_from_epics(seconds.value, nanoseconds.value)

    def driver_stamp_ns(self, *, since_ns: int, id_ns: int) -> int:
        """The frame's ``timeStamp``, the driver's own time, likewise."""
        told = self._histories[_DRIVER_TIME].at(id_ns)
        if told is None or told.stamp_ns <= since_ns or not float(told.value) > 0:
            return 0
        stamp_ns = round((float(told.value) + EPICS_EPOCH_S) * NS_PER_S)
        return stamp_ns if is_set(stamp_ns) else 0

    def _at(self, name: str, id_ns: int, unknown: Any) -> Any:
        event = self._histories[name].at(id_ns)
        return unknown if event is None else event.value


def stamp_from_epics(seconds: float, nanoseconds: float) -> int:
    """UTC nanoseconds since 1970 of a time that EPICS counts from 1990; 0 where it was never set."""
    return (int(seconds) + EPICS_EPOCH_S) * NS_PER_S + int(nanoseconds) if int(seconds) > 0 else 0


def _note(history: History[Any], event: Stamped[Any] | None) -> None:
    if event is None:
        history.clear()
    else:
        history.add(event)

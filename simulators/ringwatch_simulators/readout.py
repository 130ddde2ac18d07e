"""A frame as it leaves the detector, and the two ways out: PVA and Channel Access."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from p4p import Value
from p4p.nt import NTNDArray
from p4p.server.thread import SharedPV

from ringwatch_simulators.database import DATA_TYPES
from ringwatch_simulators.records import Records
from ringwatch_simulators.supply import AttributeValue

EPICS_EPOCH_S = 631_152_000
"""Seconds from 1970 to 1990, the start of EPICS time."""
NS_PER_S = 1_000_000_000

WIRE_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "int16", "int32": "int32", "uint32": "int32",
    "int64": "float64", "uint64": "float64", "float32": "float32", "float64": "float64",
}  # fmt: skip
"""Element type of ``image1:ArrayData`` by type of frame, as the stock start-up files choose it: Channel
Access has no unsigned types, so clients take the signedness from ``DataType_RBV``."""

_UNION_MEMBERS = {
    "bool": "booleanValue", "int8": "byteValue", "int16": "shortValue", "int32": "intValue", "int64": "longValue",
    "uint8": "ubyteValue", "uint16": "ushortValue", "uint32": "uintValue", "uint64": "ulongValue",
    "float32": "floatValue", "float64": "doubleValue",
}  # fmt: skip
_NTNDARRAY = NTNDArray.buildType()


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """One frame on its way out.

    Parameters
    ----------
    data
        (pixels,) in C order.
    shape
        (rows, columns) that the frame announces; a truncated frame holds fewer pixels.
    timestamp_ns
        UTC, nanoseconds since 1970, end of the exposure.
    """

    data: NDArray[Any]
    shape: tuple[int, ...]
    unique_id: int
    timestamp_ns: int
    attributes: tuple[tuple[str, AttributeValue], ...] = ()

    @property
    def data_type(self) -> str:
        """The areaDetector name of the pixels' type, as ``UInt16``."""
        return data_type_of(self.data.dtype)


class Outlet(Protocol):
    """A plugin that hands frames to clients."""

    def publish(self, readout: Readout) -> None:
        """Hand out a frame if the plugin is enabled."""
        ...

    def settle(self) -> None:
        """Wait until the last frame is out."""
        ...


def data_type_of(dtype: np.dtype[Any]) -> str:
    """The areaDetector name of a numpy type, as ``UInt16``."""
    names = {name.lower(): name for name in DATA_TYPES}
    return names[np.dtype(dtype).name]


def post_header(records: Records, plugin: str, readout: Readout) -> None:
    """Post what a plugin tells about the newest array, all but its unique id."""
    seconds, nanoseconds = divmod(readout.timestamp_ns - EPICS_EPOCH_S * NS_PER_S, NS_PER_S)
    sizes = (*reversed(readout.shape), 0, 0)[:3]
    changed = {f"ArraySize{axis}_RBV": size for axis, size in enumerate(sizes)}
    changed["NDimensions_RBV"] = len(readout.shape)
    changed["DataType_RBV"] = DATA_TYPES.index(readout.data_type)
    for name, value in changed.items():
        if records.value(plugin + name) != value:
            records.post(plugin + name, value)
    records.post(plugin + "TimeStamp_RBV", seconds + nanoseconds / NS_PER_S)
    records.post(plugin + "EpicsTSSec_RBV", seconds)
    records.post(plugin + "EpicsTSNsec_RBV", nanoseconds)


def post_unique_id(records: Records, plugin: str, readout: Readout) -> None:
    """Post the unique id and count the array; areaDetector does so after the array is out."""
    records.post(plugin + "UniqueId_RBV", readout.unique_id)
    records.post(plugin + "ArrayCounter_RBV", records.value(plugin + "ArrayCounter_RBV") + 1)


class ChannelAccessOutlet:
    """NDPluginStdArrays: the frame as a waveform record, cut where the record is too short for it."""

    def __init__(self, records: Records, plugin: str, *, wire_type: str, elements: int) -> None:
        self._records = records
        self._plugin = plugin
        self._wire_type = np.dtype(wire_type)
        self._elements = elements
        self._last: Readout | None = None

    def publish(self, readout: Readout) -> None:
        """Post the header, then the array, then the unique id.

        A record that is written twice before the database has come to it posts its second value only; areaDetector
        posts every one.
        """
        if not self._records.value(self._plugin + "EnableCallbacks"):
            return
        self.settle()
        post_header(self._records, self._plugin, readout)
        self._records.post(self._plugin + "ArrayData", wire_array(readout.data, self._wire_type)[: self._elements])
        post_unique_id(self._records, self._plugin, readout)
        self._last = readout

    def settle(self) -> None:
        """Wait until the database has posted the unique id, and so the array before it."""
        if self._last is not None:
            self._records.await_posted(self._plugin + "UniqueId_RBV", str(self._last.unique_id))


def wire_array(data: NDArray[Any], wire_type: np.dtype[Any]) -> NDArray[Any]:
    """The pixels as the waveform holds them.

    A type of the same width and kind is passed bit by bit; any other is converted element by
    element with the rules of C, as the plugin of areaDetector does.
    """
    if data.dtype == wire_type or (data.dtype.itemsize == wire_type.itemsize and data.dtype.kind in "ui"):
        return data.view(wire_type)
    with np.errstate(invalid="ignore", over="ignore"):
        return data.astype(wire_type)


class PvaOutlet:
    """NDPluginPva: the frame as an NTNDArray, all of it in one structure."""

    def __init__(self, records: Records, plugin: str) -> None:
        self._records = records
        self._plugin = plugin
        self.pv = SharedPV(initial=Value(_NTNDARRAY, {"dimension": []}))

    def publish(self, readout: Readout) -> None:
        """Post the frame, then the plugin's own records."""
        if not self._records.value(self._plugin + "EnableCallbacks"):
            return
        self.pv.post(ntndarray(readout))
        post_header(self._records, self._plugin, readout)
        post_unique_id(self._records, self._plugin, readout)

    def settle(self) -> None:
        """A post is out when it returns."""


def ntndarray(readout: Readout) -> Value:
    """The NTNDArray of a frame; `dimension` runs from the fastest axis to the slowest."""
    seconds, nanoseconds = divmod(readout.timestamp_ns, NS_PER_S)
    stamp = {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds, "userTag": readout.unique_id}
    return Value(
        _NTNDARRAY,
        {
            "value": (_UNION_MEMBERS[readout.data.dtype.name], readout.data),
            "codec": {"name": ""},
            "compressedSize": readout.data.nbytes,
            "uncompressedSize": readout.data.nbytes,
            "uniqueId": readout.unique_id,
            "timeStamp": stamp,
            "dataTimeStamp": stamp,
            "dimension": [
                {"size": size, "offset": 0, "fullSize": size, "binning": 1, "reverse": False}
                for size in reversed(readout.shape)
            ],
            "attribute": [_attribute(name, value) for name, value in readout.attributes],
        },
    )


def _attribute(name: str, value: AttributeValue) -> dict[str, Any]:
    code = "s" if isinstance(value, str) else "d" if isinstance(value, float) else "i" if abs(value) < 2**31 else "l"
    return {"name": name, "value": (code, value), "descriptor": "", "sourceType": 0, "source": "simulator"}

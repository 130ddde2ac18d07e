"""Frames of NDPluginStdArrays: fetched when an id is posted, paired with it, and taken only with proof.

Speaks to channels through a small protocol and imports no transport.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.ports import FrameIntake
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.area_detector import (
    KNOWN_WITHIN_S,
    AreaDetectorPvs,
    DetectorState,
    callbacks_off_cause,
)
from ringwatch_daemon.sources.handover import Arrival, Handover
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_daemon.sources.pairing import History, Pair, Stamped, is_still, pair_by_bracket
from ringwatch_daemon.sources.plugin_header import Note, PluginHeader, stamp_from_epics
from ringwatch_daemon.sources.times import StampMarks, is_set
from ringwatch_daemon.sources.watchdog import FrameWatchdog

_TICK_S = 0.1
_ID_TIMEOUT_S = 2.0
_SCALAR_TIMEOUT_S = 2.0
_HEADER_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class ChannelAccessSourceConfig:
    """Where the frames are and how they are read.

    Parameters
    ----------
    plugin
        Prefix of NDPluginStdArrays, such as ``13PE1:image1:``.
    beside
        PVs that tell what the array does not.
    names
        Under which names of `beside` exposure, monitor and conditions stand.
    timestamp_marks
        The moment of the exposure that the IOC's stamp marks; areaDetector stamps at the end.
    max_image_bytes
        A larger image is refused.
    stall_s
        How long frames may stay away while they should come.
    get_timeout_s
        How long fetching one array may take.
    """

    plugin: str
    beside: AreaDetectorPvs = field(default_factory=AreaDetectorPvs)
    names: MetadataNames = field(default_factory=MetadataNames)
    timestamp_marks: StampMarks = StampMarks.END
    max_image_bytes: int = 512 * 1024 * 1024
    stall_s: float = 10.0
    get_timeout_s: float = 5.0


class Channel(Protocol):
    """One PV."""

    @property
    def connected(self) -> bool:
        """Whether its IOC is there."""
        ...

    def mend(self, now_s: float) -> None:
        """Connect and subscribe where that is due."""
        ...

    def get(self, *, count: int | None = None, timeout_s: float) -> Stamped[Any] | None:
        """Value and stamp of one moment, None where no answer comes."""
        ...

    def close(self) -> None:
        """Give it up."""
        ...


MakeChannel = Callable[[str, Note | None], Channel]


@dataclass(frozen=True, slots=True)
class _Unproven:
    """An id whose array could not be taken; the next array may prove to be the one of this id."""

    unique_id: int
    reason: Reason
    text: str
    since_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """An array that waits for its id."""

    pixels: NDArray[Any]
    stamp_ns: int
    since_s: float


class ArrayPlugin:
    """The plugin's records as a source of frames; one thread calls `turn` again and again.

    Parameters
    ----------
    make_channel
        Makes the channel of a PV; its second argument is told what is posted.
    wake
        Set by whoever posts, so that `turn` need not wait for its tick.
    """

    def __init__(
        self,
        config: ChannelAccessSourceConfig,
        clock: Clock,
        intake: FrameIntake,
        make_channel: MakeChannel,
        wake: threading.Event,
    ) -> None:
        self._config = config
        self._clock = clock
        self._intake = intake
        self._wake = wake
        self._state = DetectorState(config.beside, on_count=intake.counted)
        self._watchdog = FrameWatchdog(intake, clock, stall_s=config.stall_s, stage=f"{config.plugin}ArrayData")
        self._handover = Handover(
            intake,
            clock,
            origin=f"{config.plugin}ArrayData",
            names=config.names,
            marks=config.timestamp_marks,
            state=self._state,
            watchdog=self._watchdog,
        )
        self._ids: History[int] = History()
        self._new_ids = threading.Event()
        self._header = PluginHeader(config.plugin)
        self._array = make_channel(f"{config.plugin}ArrayData", None)
        self._id = make_channel(f"{config.plugin}UniqueId_RBV", self._note_id)
        # The id's channel comes last: what describes a frame is known when its id is.
        header = {pv: make_channel(pv, note) for pv, note in self._header.notes()}
        self._stamps = [header[pv] for pv in self._header.stamp_pvs]
        beside = [make_channel(pv, partial(self._note_beside, pv)) for pv in config.beside.all]
        self._channels: tuple[Channel, ...] = (self._array, *header.values(), *beside, self._id)
        self._connected: bool | None = None
        self._found_since_s: float | None = None
        self._back_since_s: float | None = None
        self._warned_of_header = False
        self._held: _Held | None = None
        self._unproven: _Unproven | None = None
        self._last_stamp_ns = 0
        self._warned_of_get = False

    def turn(self) -> None:
        """Wait for news a little, mend channels, take the array that is due."""
        self._wake.wait(_TICK_S)
        self._wake.clear()
        now_s = self._clock.monotonic_s()
        for channel in self._channels:
            channel.mend(now_s)
        self._tell_connection(now_s)
        if self._connected:
            self._take_due()
        if self._unproven is not None and now_s - self._unproven.since_s > _ID_TIMEOUT_S:
            self._give_up_unproven(followed_by=None)
        cause = callbacks_off_cause(self._config.beside, self._state)
        self._watchdog.check(acquiring=self._state.acquiring, connected=bool(self._connected), cause=cause)

    def close(self) -> None:
        """Give all channels up."""
        self._give_up_unproven(followed_by=None)
        for channel in self._channels:
            channel.close()

    # Called from the network's thread: these only note.

    def _note_id(self, event: Stamped[Any] | None) -> None:
        if event is None:
            self._ids.clear()
            return
        self._ids.add(Stamped(int(event.value), event.stamp_ns))
        self._new_ids.set()

    def _note_beside(self, pv: str, event: Stamped[Any] | None) -> None:
        if event is None:
            self._state.tell(pv, None)
        elif isinstance(event.value, str | int | float):
            self._state.tell(pv, event.value, stamp_ns=event.stamp_ns)

    # Called from the worker's thread.

    def _tell_connection(self, now_s: float) -> None:
        found = self._array.connected and self._id.connected
        connected = found and not self._header.missing() and (bool(self._connected) or self._knows_whose(now_s))
        if not found or connected:
            self._found_since_s = None
        elif self._found_since_s is None:
            self._found_since_s = now_s
        self._tell_of_missing_header(now_s)
        if connected == self._connected:
            return
        first, self._connected = self._connected is None, connected
        plugin = self._config.plugin
        if connected:
            self._handover.reconnected()
            text = f"{plugin}ArrayData and UniqueId_RBV are connected"
            self._intake.connection(connected=True, text=text, restarted_ns=self._state.restarted_ns or 0)
            return
        self._held = None
        self._give_up_unproven(followed_by=None)
        self._state.connection_lost()
        self._back_since_s = None
        said = "nothing is said yet by" if first else "the connection is lost to"
        self._intake.connection(connected=False, text=f"{said} {plugin}ArrayData and UniqueId_RBV")

    def _knows_whose(self, now_s: float) -> bool:
        """Whether it is known if the IOC is the one of before, or has been waited for long enough."""
        if not self._array.connected or not self._id.connected:
            self._back_since_s = None
            return False
        if self._back_since_s is None:
            self._back_since_s = now_s
        waited = now_s - self._back_since_s > KNOWN_WITHIN_S
        return waited or not self._state.knows_times or self._state.restarted_ns is not None

    def _tell_of_missing_header(self, now_s: float) -> None:
        late = self._found_since_s is not None and now_s - self._found_since_s > _HEADER_PATIENCE_S
        if late and not self._warned_of_header:
            self._warned_of_header = True
            text = f"no frame can be taken, since nothing is said by {self._header.missing()}"
            self._intake.warning(kind="HEADER_MISSING", text=text)

    def _take_due(self) -> None:
        if self._held is not None:
            self._pair(self._held)
        elif self._new_ids.is_set():
            self._new_ids.clear()
            self._fetch()

    def _fetch(self) -> None:
        due = self._ids.newest
        told = self._array.get(timeout_s=self._config.get_timeout_s)
        if told is None:
            self._tell_of_failed_get(due)
            return
        pixels = np.atleast_1d(np.asarray(told.value))
        if pixels.size == 0:
            self._handover.passed_empty()
        elif not is_set(told.stamp_ns):
            self._tell_of_missing_stamp()
        elif told.stamp_ns != self._last_stamp_ns:
            self._pair(_Held(pixels, told.stamp_ns, self._clock.monotonic_s()))

    def _tell_of_missing_stamp(self) -> None:
        newest = self._ids.newest
        if newest is None or newest.value == 0:  # the record as it is before the first frame
            self._handover.passed_empty()
            return
        text = "its array has no time stamp, so that it cannot be paired with its unique id"
        self._handover.refuse(newest.value, 0, Reason.NO_TIMESTAMP, text)

    def _pair(self, held: _Held) -> None:
        pair = pair_by_bracket(self._ids, array_stamp_ns=held.stamp_ns)
        if pair.id_event is None:
            self._wait_for_id(held)
            return
        self._held = None
        self._last_stamp_ns = held.stamp_ns
        self._wake.set()  # ids may have been posted meanwhile
        arrival = self._arrival(held, pair, pair.id_event)
        if not pair.proven and not self._still(held, pair.id_event):
            text = "its array was replaced before the pairing could be proven"
            self._leave_unproven(pair.id_event.value, text)
            return
        self._give_up_unproven(followed_by=arrival.unique_id)
        self._handover.arrived(arrival, partial(self._image, held, pair.id_event))

    def _leave_unproven(self, unique_id: int, text: str) -> None:
        """Name an id as lost once the next array has shown that it is not the one of this id."""
        self._give_up_unproven(followed_by=unique_id)
        self._unproven = _Unproven(unique_id, Reason.MISPAIRED, text, self._clock.monotonic_s())

    def _give_up_unproven(self, *, followed_by: int | None) -> None:
        unproven, self._unproven = self._unproven, None
        if unproven is not None and unproven.unique_id != followed_by:
            # No time of its own: that of the record may be the one of another frame.
            self._handover.refuse(unproven.unique_id, 0, unproven.reason, unproven.text)

    def _wait_for_id(self, held: _Held) -> None:
        if self._clock.monotonic_s() - held.since_s <= _ID_TIMEOUT_S:
            self._held = held
            return
        self._held = None
        self._last_stamp_ns = held.stamp_ns
        text = f"an array of {self._config.plugin}ArrayData came without a unique id within {_ID_TIMEOUT_S:g} s"
        self._intake.warning(kind="MISPAIRED", text=text)

    def _still(self, held: _Held, candidate: Stamped[int]) -> bool:
        read = self._id.get(timeout_s=_SCALAR_TIMEOUT_S)
        after = self._array.get(count=1, timeout_s=_SCALAR_TIMEOUT_S)
        if read is None or after is None:
            return False
        return is_still(
            array_stamp_ns=held.stamp_ns,
            read_id=Stamped(int(read.value), read.stamp_ns),
            stamp_after_ns=after.stamp_ns,
            candidate=candidate,
        )

    def _arrival(self, held: _Held, pair: Pair, id_event: Stamped[int]) -> Arrival:
        if not pair.proven and pair.since_ns:
            # An id between went unheard: what the header said since the one before may be of that frame.
            return Arrival(id_event.value, self._stamp_now(held) or held.stamp_ns)
        since_ns, id_ns = pair.since_ns, id_event.stamp_ns
        stamp_ns = self._header.epics_stamp_ns(since_ns=since_ns, id_ns=id_ns) or held.stamp_ns
        return Arrival(id_event.value, stamp_ns, self._header.driver_stamp_ns(since_ns=since_ns, id_ns=id_ns))

    def _stamp_now(self, held: _Held) -> int:
        """The frame's ``epicsTS`` as the header says it now, 0 unless it is that of the array that is held.

        The header of a frame is posted before its array: one that was posted later is of the next frame.
        """
        read = [channel.get(timeout_s=_SCALAR_TIMEOUT_S) for channel in self._stamps]
        seconds, nanoseconds = (None if told is None or told.stamp_ns > held.stamp_ns else told for told in read)
        return 0 if seconds is None or nanoseconds is None else stamp_from_epics(seconds.value, nanoseconds.value)

    def _image(self, held: _Held, id_event: Stamped[int]) -> NDArray[Any]:
        limit = self._config.max_image_bytes
        return self._header.image(held.pixels, id_ns=id_event.stamp_ns, max_image_bytes=limit)

    def _tell_of_failed_get(self, due: Stamped[int] | None) -> None:
        if not self._array.connected or due is None:
            return  # the next connection brings the frame, or shows its id to be missing
        waited_s = self._config.get_timeout_s
        text = f"its array could not be fetched within {waited_s:g} s"
        self._leave_unproven(due.value, text)
        if not self._warned_of_get:
            self._warned_of_get = True
            self._intake.warning(kind="ARRAY_NOT_FETCHED", text=self._why_not_fetched())

    def _why_not_fetched(self) -> str:
        limit = os.environ.get("EPICS_CA_MAX_ARRAY_BYTES", "not set")
        return (
            f"{self._config.plugin}ArrayData could not be fetched: the IOC hangs, or EPICS_CA_MAX_ARRAY_BYTES"
            f" ({limit} here) is less than twice the image in bytes, here or in the IOC"
        )

"""The PVs of an areaDetector that tell about its frames, and what they last said."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ringwatch_daemon.sources.metadata import is_on
from ringwatch_daemon.sources.times import Scalar, is_set

KNOWN_WITHIN_S = 1.0
"""So long frames wait after a connection came back until it is known whether the IOC is another one."""
_ENOUGH_STAMPS = 3
"""Records that have to agree before an IOC counts as another one."""

_CELLS_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class AreaDetectorPvs:
    """PVs beside the image; every one of them may be absent.

    Parameters
    ----------
    metadata
        (name, PV): a name of `MetadataNames` and the PV that stands in where the frame brings no such attribute.
    offset
        PVs that are 1 while the detector takes offset or gain frames, which are no data.
    acquiring
        PV that is 1 while the detector acquires; empty for none.
    callbacks
        ``EnableCallbacks_RBV`` of the plugin that serves the frames; empty for none.
    cell
        PV that names the cell in the beam; empty for none.
    counter
        ``ArrayCounter_RBV`` of the camera, the unique id of its newest frame; empty for none.
    """

    metadata: tuple[tuple[str, str], ...] = ()
    offset: tuple[str, ...] = ()
    acquiring: str = ""
    callbacks: str = ""
    cell: str = ""
    counter: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Every PV, once."""
        single = (self.acquiring, self.callbacks, self.counter, self.cell)
        names = (*(pv for _, pv in self.metadata), *self.offset, *single)
        return tuple(dict.fromkeys(name for name in names if name))


def perkin_elmer_pvs(prefix: str, *, camera: str = "cam1:", plugin: str = "Pva1:") -> AreaDetectorPvs:
    """The PVs of ADPerkinElmer under `prefix`, such as ``13PE1:``; other areaDetectors have the first four.

    Parameters
    ----------
    plugin
        The plugin that serves the frames: ``Pva1:`` or ``image1:``.
    """
    return AreaDetectorPvs(
        metadata=(
            ("AcquireTime", f"{prefix}{camera}AcquireTime_RBV"),
            ("TriggerMode", f"{prefix}{camera}TriggerMode_RBV"),
            ("PEGain", f"{prefix}{camera}PEGain_RBV"),
            ("PEUseOffset", f"{prefix}{camera}PEUseOffset"),
        ),
        offset=(f"{prefix}{camera}PEAcquireOffset", f"{prefix}{camera}PEAcquireGain"),
        acquiring=f"{prefix}{camera}Acquire_RBV",
        callbacks=f"{prefix}{plugin}EnableCallbacks_RBV",
        counter=f"{prefix}{camera}ArrayCounter_RBV",
    )


class DetectorState:
    """What the PVs beside the image last said; written by callbacks, read by whoever hands frames over.

    Parameters
    ----------
    on_count
        Hears each value of the counter, and None when it is gone.
    """

    def __init__(self, pvs: AreaDetectorPvs, *, on_count: Callable[[int | None], None] = lambda _: None) -> None:
        self._pvs = pvs
        self._on_count = on_count
        self._lock = threading.Lock()
        self._stamps: dict[str, int] = {}
        self._stamps_before: dict[str, int] = {}
        self._values: dict[str, Scalar] = {}
        self._offset_ended: dict[str, tuple[int, int]] = {}
        self._offset_began: dict[str, int] = {}
        self._cells: deque[tuple[int, Scalar]] = deque(maxlen=_CELLS_REMEMBERED)

    def tell(self, pv: str, value: Scalar | None, *, stamp_ns: int = 0) -> None:
        """Note a new value with its time, or None when the PV is gone."""
        if pv == self._pvs.counter and (value is None or isinstance(value, int)):
            self._on_count(value)
        with self._lock:
            if value is not None and is_set(stamp_ns):
                self._stamps[pv] = stamp_ns
            if value is None:
                self._values.pop(pv, None)
                if pv == self._pvs.cell:
                    self._cells.clear()  # what it said meanwhile is not known
                return
            if pv in self._pvs.offset:
                self._note_offset(pv, on=is_on(value), stamp_ns=stamp_ns)
            if pv == self._pvs.cell:
                self._cells.append((stamp_ns, value))
            self._values[pv] = value

    def connection_lost(self) -> None:
        """Keep the times of all PVs, to hold them against those after the next connection."""
        with self._lock:
            self._stamps_before = self._stamps_before | self._stamps
            self._stamps = {}

    @property
    def restarted_ns(self) -> int | None:
        """When the IOC was started, where it is another one than before the connection was lost.

        0 for the same one, None while nobody can tell. UTC nanoseconds since 1970 by the IOC's clock.

        A record keeps its time until it is processed again. Among those beside the image some are not touched for
        hours; when all of them are younger than the connection that was lost, all were made anew.
        """
        with self._lock:
            both = [pv for pv in self._stamps_before if pv in self._stamps]
            lost_ns = max(self._stamps_before.values(), default=0)
            if any(self._stamps[pv] <= lost_ns for pv in both):
                return 0
            known = len(both) == len(self._stamps_before) >= _ENOUGH_STAMPS
            return min(self._stamps.values()) if known else None

    @property
    def knows_times(self) -> bool:
        """Whether times from before the connection was lost are there to be held against new ones."""
        with self._lock:
            return len(self._stamps_before) >= _ENOUGH_STAMPS

    def _note_offset(self, pv: str, *, on: bool, stamp_ns: int) -> None:
        if on:
            self._offset_began.setdefault(pv, stamp_ns)
        elif pv in self._offset_began:
            self._offset_ended[pv] = (self._offset_began.pop(pv), stamp_ns)

    def metadata(self) -> dict[str, Scalar]:
        """The values under the names of `MetadataNames`."""
        with self._lock:
            return {name: self._values[pv] for name, pv in self._pvs.metadata if pv in self._values}

    def takes_offset(self, stamp_ns: int) -> str:
        """The PV by which a frame of that time belongs to an offset or gain acquisition, or an empty string.

        A frame may be seen after the end of its acquisition was: then its time decides.
        """
        with self._lock:
            for pv in self._pvs.offset:
                began_ns, ended_ns = self._offset_ended.get(pv, (0, 0))
                if is_on(self._values.get(pv)) or began_ns < stamp_ns <= ended_ns:
                    return pv
        return ""

    def cells_between(self, start_ns: int, end_ns: int) -> tuple[Scalar, ...]:
        """What the PV of the cell said during an exposure, in its order: one value unless it changed meanwhile.

        A frame is seen after its exposure was, when the next cell may be in the beam already: the stamps decide.
        Empty where the PV has not spoken since the connection came up, or only later.
        """
        with self._lock:
            told = list(self._cells)
        before = [value for stamp_ns, value in told if stamp_ns <= start_ns][-1:]
        during = [value for stamp_ns, value in told if start_ns < stamp_ns <= end_ns]
        return tuple(dict.fromkeys([*before, *during]))

    @property
    def acquiring(self) -> bool | None:
        """Whether the detector says that it acquires, None where it says nothing."""
        return self._switch(self._pvs.acquiring)

    @property
    def callbacks_enabled(self) -> bool | None:
        """Whether the plugin hands frames out, None where it does not say."""
        return self._switch(self._pvs.callbacks)

    def _switch(self, pv: str) -> bool | None:
        with self._lock:
            value = self._values.get(pv)
        return None if value is None else is_on(value)


def callbacks_off_cause(pvs: AreaDetectorPvs, state: DetectorState) -> str:
    """Why no frame can come: a plugin of areaDetector is off until it is switched on."""
    return f"{pvs.callbacks} is off, the plugin hands out no frames" if state.callbacks_enabled is False else ""

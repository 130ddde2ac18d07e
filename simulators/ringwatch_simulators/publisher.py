"""From a frame that was taken to what the plugins hand out: its number, what befalls it, what goes with it."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ringwatch_simulators.camera import Camera
from ringwatch_simulators.database import PvNames
from ringwatch_simulators.errors import FaultError
from ringwatch_simulators.faults import Fault, FaultKind, FaultSchedule, FrameSpoiler, fault_from_text
from ringwatch_simulators.readout import Outlet, Readout
from ringwatch_simulators.records import Records
from ringwatch_simulators.served import ServedLog
from ringwatch_simulators.supply import AttributeValue, SuppliedFrame

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accompaniment:
    """What goes with every frame.

    Parameters
    ----------
    attributes
        Metadata.
    attribute_pvs
        Attributes whose value is posted to a record before the frame goes out.
    progress
        Told the end of each frame's exposure where the supply knows it.
    served
        Keeps account of every frame that is counted.
    """

    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    attribute_pvs: tuple[tuple[str, str], ...] = ()
    progress: Callable[[int], None] | None = None
    served: ServedLog | None = None


class FramePublisher:
    """Numbers frames and hands them to the plugins, spoiled where a fault is due.

    Parameters
    ----------
    records, names, camera
        The detector's.
    outlets
        Its plugins.
    """

    def __init__(
        self,
        *,
        records: Records,
        names: PvNames,
        camera: Camera,
        outlets: Sequence[Outlet],
        faults: FaultSchedule,
        accompaniment: Accompaniment,
    ) -> None:
        self._records = records
        self._names = names
        self._camera = camera
        self._outlets = outlets
        self._faults = faults
        self._with = accompaniment
        self._spoiler = FrameSpoiler()
        self.counter = 0

    def request_fault(self, text: str) -> None:
        """Let something happen that a client asks for."""
        try:
            self._faults.add(fault_from_text(text))
        except FaultError as error:
            _log.warning("%s: %s", self._names.prefix, error)

    def number(self, supplied: SuppliedFrame) -> list[Fault]:
        """Count the frame; return what befalls it."""
        self.counter = supplied.unique_id if supplied.unique_id is not None else self.counter + 1
        faults = self._faults.take(self.counter)
        if any(fault.kind is FaultKind.RESTART for fault in faults):
            self.counter = 1
        return faults

    def publish(self, supplied: SuppliedFrame, faults: list[Fault], *, index: int) -> None:
        """Hand the frame out; `index` is its number in the supply."""
        self._camera.post("ArrayCounter_RBV", self.counter)
        readout = self._readout(supplied)
        kinds = tuple(dict.fromkeys(fault.kind for fault in faults))
        self._note(self.counter, index, readout.timestamp_ns, kinds)
        self._post_attributes(readout)
        if FaultKind.DROP in kinds:
            self._count_dropped()
        for each in self._spoiler.spoil(readout, faults):
            self._hand_out(each)
        if self._with.progress is not None and supplied.end_ns is not None:
            self._with.progress(supplied.end_ns)

    def miss(self, frames: int, *, index: int) -> None:
        """Count frames, from number `index` of the supply on, that pass while nobody can be told."""
        for step in range(frames):
            self._note(self.counter + step + 1, index + step, time.time_ns(), (FaultKind.DISCONNECT,))
        self.counter += frames

    def settle(self) -> None:
        """Hand out what was held back, and wait until all of it is out."""
        for readout in self._spoiler.flush():
            self._hand_out(readout)
        for outlet in self._outlets:
            outlet.settle()

    def _note(self, unique_id: int, index: int, stamp_ns: int, faults: tuple[FaultKind, ...]) -> None:
        if self._with.served is not None:
            self._with.served.note(unique_id=unique_id, index=index, stamp_ns=stamp_ns, faults=faults)

    def _readout(self, supplied: SuppliedFrame) -> Readout:
        image = np.ascontiguousarray(supplied.image)
        self._camera.post_size(image)
        return Readout(
            data=image.reshape(-1),
            shape=image.shape,
            unique_id=self.counter,
            timestamp_ns=supplied.end_ns if supplied.end_ns is not None else time.time_ns(),
            attributes=self._frame_attributes(supplied),
        )

    def _frame_attributes(self, supplied: SuppliedFrame) -> tuple[tuple[str, AttributeValue], ...]:
        attributes = self._camera.attributes()
        if supplied.shutter_closed is not None:
            attributes["ShutterClosed"] = int(supplied.shutter_closed)
        attributes.update(supplied.attributes)
        attributes.update(self._with.attributes)
        return tuple(attributes.items())

    def _post_attributes(self, readout: Readout) -> None:
        values = dict(readout.attributes)
        for name, pv in self._with.attribute_pvs:
            self._records.post_at(pv, values[name], readout.timestamp_ns)

    def _hand_out(self, readout: Readout) -> None:
        if self._camera.callbacks_enabled:
            for outlet in self._outlets:
                outlet.publish(readout)

    def _count_dropped(self) -> None:
        for plugin in (self._names.image_plugin, self._names.pva_plugin):
            name = f"{plugin}DroppedArrays_RBV"
            self._records.post(name, self._records.value(name) + 1)

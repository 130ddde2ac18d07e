"""The detector behind the records: acquires frames when asked and hands them to its plugins.

Time comes in two kinds. ``AcquireTime`` and ``AcquirePeriod`` are in data time, the time of the
frames' stamps. A frame goes out every ``AcquirePeriod / speed`` seconds of wall time, so that a
run of days can be shown in minutes.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.camera import Camera, OffsetImage
from ringwatch_simulators.database import PvNames, Scalar
from ringwatch_simulators.errors import FaultError
from ringwatch_simulators.faults import FaultKind, FaultSchedule, FrameSpoiler, fault_from_text
from ringwatch_simulators.prefetch import Prefetch
from ringwatch_simulators.readout import NS_PER_S, Outlet, Readout
from ringwatch_simulators.records import Records
from ringwatch_simulators.served import ServedLog
from ringwatch_simulators.supply import AttributeValue, Exposure, FrameSupply, SuppliedFrame

_log = logging.getLogger(__name__)

FAULT_RECORD = "Sim:Fault"


class Job(StrEnum):
    """What the detector can be asked to do."""

    LIGHT = "Acquire"
    OFFSET = "PEAcquireOffset"
    GAIN = "PEAcquireGain"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast frames go out.

    Parameters
    ----------
    speed
        Data seconds per second of wall time.
    own_rate
        Frames follow each other as their own times say, where they have any.
    loop
        Begin again when the frames are used up; otherwise the acquisition ends there.
    """

    speed: float = 1.0
    own_rate: bool = False
    loop: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where an acquisition stands; what a resumed IOC goes on from.

    Parameters
    ----------
    index
        Next frame of the supply.
    counter
        Unique id of the last frame.
    taken
        Frames taken by the acquisition so far.
    """

    index: int = 0
    counter: int = 0
    taken: int = 0


class Detector:
    """A detector that acquires in a thread of its own.

    Parameters
    ----------
    records, names
        The records and what they are called.
    supply
        What the detector sees.
    outlets
        Its plugins.
    disconnect
        Called for the fault ``disconnect`` with the seconds to be gone and where to go on.
    attributes
        Metadata to go with every frame.
    attribute_pvs
        Attributes whose value is posted to a record before the frame goes out.
    progress
        Told the end of each frame's exposure where the supply knows it.
    served
        Keeps account of every frame that is counted.
    """

    def __init__(
        self,
        *,
        records: Records,
        names: PvNames,
        supply: FrameSupply,
        outlets: Sequence[Outlet],
        pace: Pace,
        faults: FaultSchedule,
        disconnect: Callable[[float, Position], None],
        attributes: tuple[tuple[str, AttributeValue], ...] = (),
        attribute_pvs: tuple[tuple[str, str], ...] = (),
        progress: Callable[[int], None] | None = None,
        served: ServedLog | None = None,
    ) -> None:
        self._records = records
        self._names = names
        self._camera = Camera(records, names.camera)
        self._supply = supply
        self._prefetch = Prefetch(supply)
        self._outlets = outlets
        self._pace = pace
        self._faults = faults
        self._spoiler = FrameSpoiler()
        self._disconnect = disconnect
        self._attributes = attributes
        self._attribute_pvs = attribute_pvs
        self._progress = progress
        self._served = served
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._idle = threading.Event()
        self._idle.set()
        self._abort = threading.Event()
        self._soft_trigger = threading.Event()
        self._own_resets: dict[str, int] = {}
        self._offset = OffsetImage()
        self._running: Job | None = None
        self._index = 0
        self._counter = 0
        self._taken = 0
        self._darks_taken = 0
        self._last_end_ns: int | None = None
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)

    # --- called from outside -------------------------------------------------

    def start(self, resume: Position | None = None) -> None:
        """Begin to listen for jobs, at `resume` where an earlier process left off."""
        if resume is not None:
            self._index, self._counter, self._taken = resume.index, resume.counter, resume.taken
            self._camera.post("ArrayCounter_RBV", self._counter)
            self._camera.post("NumImagesCounter_RBV", self._taken)
        self._thread.start()

    def close(self) -> None:
        """Abort what is going on and end the thread."""
        self._abort.set()
        self._soft_trigger.set()
        self._jobs.put(None)
        self._thread.join(timeout=10.0)
        self._prefetch.close()

    def wait_idle(self) -> None:
        """Wait until nothing is being acquired."""
        self._idle.wait()

    def put(self, name: str, value: Scalar) -> None:
        """Take notice of a client's put; never waits."""
        match name.removeprefix(self._names.camera).removeprefix(self._names.prefix):
            case "Acquire" | "PEAcquireOffset" | "PEAcquireGain" as command:
                self._command(Job(command), on=bool(value))
            case "ArrayCounter":
                self._counter = int(value)
            case "PETrigger":
                self._soft_trigger.set()
            case "ShutterControl":
                self._camera.post("ShutterStatus_RBV", bool(value))
            case "Sim:Fault" if value:
                self._request_fault(str(value))

    # --- commands ------------------------------------------------------------

    def _command(self, job: Job, *, on: bool) -> None:
        if not on and self._own_resets.get(job, 0) > 0:
            self._own_resets[job] -= 1
        elif not on:
            self._abort.set()
            self._soft_trigger.set()
        elif self._idle.is_set():
            self._idle.clear()
            self._abort.clear()
            self._running = job
            self._jobs.put(job)
        elif job is not self._running:
            self._reset_command(job)  # refused: the detector is busy with something else

    def _request_fault(self, text: str) -> None:
        try:
            self._faults.add(fault_from_text(text))
        except FaultError as error:
            _log.warning("%s: %s", self._names.prefix + FAULT_RECORD, error)

    # --- the detector's own thread -------------------------------------------

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._begin(job)
            try:
                message = self._acquire_light() if job is Job.LIGHT else self._acquire_correction(job)
                self._finish(job, "Aborted" if self._abort.is_set() else "Idle", message)
            except Exception as error:  # noqa: BLE001 - whatever a supply raises, a detector shows it and lives on
                _log.exception("the acquisition failed")
                self._finish(job, "Error", f"{type(error).__name__}: {error}"[:255])

    def _begin(self, job: Job) -> None:
        self._camera.post_state("Acquire", "Acquiring data" if job is Job.LIGHT else f"Running {job}")
        self._camera.post("AcquireBusy", True)
        if job is Job.LIGHT:
            self._camera.post("Acquire_RBV", True)

    def _finish(self, job: Job, state: str, message: str) -> None:
        for readout in self._spoiler.flush():
            self._hand_out(readout)
        for outlet in self._outlets:
            outlet.settle()
        self._taken = 0
        self._camera.post_state(state, message)
        if job is Job.LIGHT:
            self._camera.post("Acquire_RBV", False)
        self._camera.post("AcquireBusy", False)
        self._idle.set()
        self._reset_command(job)

    def _reset_command(self, job: Job) -> None:
        """Put the command's record back to 0; the put that this causes is not a client's."""
        self._own_resets[job] = self._own_resets.get(job, 0) + 1
        self._camera.post(job, 0)

    def _acquire_light(self) -> str:
        if self._index >= len(self._supply):
            self._index = 0
        self._last_end_ns = None
        due_s = time.monotonic()
        for _ in range(self._camera.frames_to_skip):
            due_s = self._expose(due_s, self._wall_period_s())
        wanted = self._camera.images_wanted
        while (wanted is None or self._taken < wanted) and not self._abort.is_set():
            if self._index >= len(self._supply) and self._pace.loop:
                self._index = 0
            supplied, used = self._next_supplied()
            if supplied is None:
                return "No more frames"
            due_s = self._expose(due_s, self._wait_before(supplied))
            if self._abort.is_set():
                return "Acquisition aborted"
            self._index += used
            self._taken += 1
            self._camera.post("NumImagesCounter_RBV", self._taken)
            if self._camera.uses_offset:
                image = self._offset.taken_off(supplied.image, self._camera.offset_constant)
                supplied = replace(supplied, image=image)
            self._publish(supplied)
        return "Acquisition complete"

    def _acquire_correction(self, job: Job) -> str:
        kind = "Offset" if job is Job.OFFSET else "Gain"
        total: NDArray[np.float64] | None = None
        due_s = time.monotonic()
        wanted = self._camera.correction_frames(kind)
        for number in range(1, wanted + 1):
            due_s = self._expose(due_s, self._wall_period_s())
            if self._abort.is_set():
                return f"{kind} acquisition aborted"
            supplied = self._dark() if self._camera.shutter_closed else self._light(self._index)
            self._camera.post(f"PECurrent{kind}Frame", number)
            image = supplied.image if job is Job.OFFSET else supplied.image.astype(np.int32)
            self._publish(replace(supplied, image=image, unique_id=None))
            total = image.astype(np.float64) if total is None else total + image
        if job is Job.OFFSET and total is not None:
            self._offset.learn(total, wanted)
        self._camera.post(f"PE{kind}Available", True)
        return f"{kind} acquisition complete"

    # --- frames --------------------------------------------------------------

    def _next_supplied(self) -> tuple[SuppliedFrame | None, int]:
        """The next frame, and how many frames of the supply it uses up."""
        if self._camera.shutter_closed:
            return self._dark(), 0
        count = min(self._camera.images_to_average, len(self._supply) - self._index)
        if count <= 0:
            return None, 0
        frames = [self._light(self._index + step) for step in range(count)]
        if count == 1:
            return frames[0], 1
        mean = np.mean([frame.image for frame in frames], axis=0)
        newest = frames[-1]
        return replace(newest, image=mean.astype(newest.image.dtype)), count

    def _light(self, index: int) -> SuppliedFrame:
        return self._prefetch.frame(Exposure(index, self._camera.exposure_s))

    def _dark(self) -> SuppliedFrame:
        self._darks_taken += 1
        index = min(self._index, len(self._supply) - 1)
        return self._supply.frame(Exposure(index, self._camera.exposure_s, dark=self._darks_taken))

    def _publish(self, supplied: SuppliedFrame) -> None:
        self._counter = supplied.unique_id if supplied.unique_id is not None else self._counter + 1
        faults = self._faults.take(self._counter)
        kinds = {fault.kind: fault for fault in faults}
        if FaultKind.RESTART in kinds:
            self._counter = 1
        if FaultKind.STALL in kinds:
            self._abort.wait(kinds[FaultKind.STALL].argument)
        self._camera.post("ArrayCounter_RBV", self._counter)
        readout = self._readout(supplied)
        self._note(self._counter, self._index - 1, readout.timestamp_ns, tuple(kinds))
        self._post_attributes(readout)
        readouts = self._spoiler.spoil(readout, faults)
        if FaultKind.DROP in kinds:
            self._count_dropped()
        for readout in readouts:
            self._hand_out(readout)
        if self._progress is not None and supplied.end_ns is not None:
            self._progress(supplied.end_ns)
        if FaultKind.DISCONNECT in kinds:
            self._leave(kinds[FaultKind.DISCONNECT].argument)

    def _note(self, unique_id: int, index: int, stamp_ns: int, faults: tuple[FaultKind, ...]) -> None:
        if self._served is not None:
            self._served.note(unique_id=unique_id, index=index, stamp_ns=stamp_ns, faults=faults)

    def _readout(self, supplied: SuppliedFrame) -> Readout:
        image = np.ascontiguousarray(supplied.image)
        self._camera.post_size(image)
        return Readout(
            data=image.reshape(-1),
            shape=image.shape,
            unique_id=self._counter,
            timestamp_ns=supplied.end_ns if supplied.end_ns is not None else time.time_ns(),
            attributes=self._frame_attributes(supplied),
        )

    def _frame_attributes(self, supplied: SuppliedFrame) -> tuple[tuple[str, AttributeValue], ...]:
        attributes = self._camera.attributes()
        if supplied.shutter_closed is not None:
            attributes["ShutterClosed"] = int(supplied.shutter_closed)
        attributes.update(supplied.attributes)
        attributes.update(self._attributes)
        return tuple(attributes.items())

    def _post_attributes(self, readout: Readout) -> None:
        values = dict(readout.attributes)
        for name, pv in self._attribute_pvs:
            self._records.post_at(pv, values[name], readout.timestamp_ns)

    def _hand_out(self, readout: Readout) -> None:
        if self._camera.callbacks_enabled:
            for outlet in self._outlets:
                outlet.publish(readout)

    def _count_dropped(self) -> None:
        for plugin in (self._names.image_plugin, self._names.pva_plugin):
            name = f"{plugin}DroppedArrays_RBV"
            self._records.post(name, self._records.value(name) + 1)

    def _leave(self, seconds: float) -> None:
        missed = int(seconds / self._wall_period_s()) if self._wall_period_s() > 0 else 0
        missed = min(missed, max(0, len(self._supply) - self._index))
        for step in range(missed):
            self._note(self._counter + step + 1, self._index + step, time.time_ns(), (FaultKind.DISCONNECT,))
        self._disconnect(seconds, Position(self._index + missed, self._counter + missed, self._taken + missed))

    # --- time ----------------------------------------------------------------

    def _expose(self, due_s: float, wait_s: float) -> float:
        if self._camera.waits_for_trigger:
            self._soft_trigger.wait()
            self._soft_trigger.clear()
            return time.monotonic()
        due_s = max(due_s + wait_s, time.monotonic() - wait_s)
        self._abort.wait(max(0.0, due_s - time.monotonic()))
        return due_s

    def _wait_before(self, supplied: SuppliedFrame) -> float:
        last, self._last_end_ns = self._last_end_ns, supplied.end_ns
        if self._pace.own_rate and supplied.end_ns is not None and last is not None:
            return max(0.0, (supplied.end_ns - last) / NS_PER_S / self._pace.speed)
        return self._wall_period_s()

    def _wall_period_s(self) -> float:
        return self._camera.period_s / self._pace.speed

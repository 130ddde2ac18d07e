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

from ringwatch_simulators.database import CAMERA, DATA_TYPES, DETECTOR_STATES, GAINS, IMAGE_MODES, TRIGGER_MODES, Scalar
from ringwatch_simulators.errors import FaultError
from ringwatch_simulators.faults import FaultKind, FaultSchedule, FrameSpoiler, fault_from_text
from ringwatch_simulators.prefetch import Prefetch
from ringwatch_simulators.readout import NS_PER_S, Outlet, Readout, data_type_of
from ringwatch_simulators.records import Records
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
    records, prefix
        The records and what they all begin with.
    supply
        What the detector sees.
    outlets
        Its plugins.
    disconnect
        Called for the fault ``disconnect`` with the seconds to be gone and where to go on.
    attributes
        Metadata to go with every frame.
    progress
        Told the end of each frame's exposure where the supply knows it.
    """

    def __init__(
        self,
        *,
        records: Records,
        prefix: str,
        supply: FrameSupply,
        outlets: Sequence[Outlet],
        pace: Pace,
        faults: FaultSchedule,
        disconnect: Callable[[float, Position], None],
        attributes: tuple[tuple[str, AttributeValue], ...] = (),
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._records = records
        self._prefix = prefix
        self._supply = supply
        self._prefetch = Prefetch(supply)
        self._outlets = outlets
        self._pace = pace
        self._faults = faults
        self._spoiler = FrameSpoiler()
        self._disconnect = disconnect
        self._attributes = attributes
        self._progress = progress
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._idle = threading.Event()
        self._idle.set()
        self._abort = threading.Event()
        self._soft_trigger = threading.Event()
        self._own_resets: dict[str, int] = {}
        self._offset: NDArray[np.float64] | None = None
        self._index = 0
        self._counter = 0
        self._taken = 0
        self._dark_index = 0
        self._last_end_ns: int | None = None
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)

    # --- called from outside -------------------------------------------------

    def start(self, resume: Position | None = None) -> None:
        """Begin to listen for jobs, at `resume` where an earlier process left off."""
        if resume is not None:
            self._index, self._counter, self._taken = resume.index, resume.counter, resume.taken
            self._post("ArrayCounter_RBV", self._counter)
            self._post("NumImagesCounter_RBV", self._taken)
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
        name = name.removeprefix(self._prefix)
        match name.removeprefix(CAMERA):
            case "Acquire" | "PEAcquireOffset" | "PEAcquireGain" as command:
                self._command(Job(command), on=bool(value))
            case "ArrayCounter":
                self._counter = int(value)
            case "PETrigger":
                self._soft_trigger.set()
            case "ShutterControl":
                self._post("ShutterStatus_RBV", bool(value))
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
            self._jobs.put(job)

    def _request_fault(self, text: str) -> None:
        try:
            self._faults.add(fault_from_text(text))
        except FaultError as error:
            _log.warning("%s: %s", self._prefix + FAULT_RECORD, error)

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
        self._post_state("Acquire", "Acquiring data" if job is Job.LIGHT else f"Running {job}")
        self._post("AcquireBusy", True)
        if job is Job.LIGHT:
            self._post("Acquire_RBV", True)

    def _finish(self, job: Job, state: str, message: str) -> None:
        for readout in self._spoiler.flush():
            self._hand_out(readout)
        for outlet in self._outlets:
            outlet.settle()
        self._taken = 0
        self._post_state(state, message)
        self._own_resets[job] = self._own_resets.get(job, 0) + 1
        if job is Job.LIGHT:
            self._post("Acquire_RBV", False)
        self._post("AcquireBusy", False)
        self._idle.set()
        self._records.post(self._prefix + CAMERA + job, 0)

    def _acquire_light(self) -> str:
        if self._index >= len(self._supply):
            self._index = 0
        self._last_end_ns = None
        due_s = time.monotonic()
        for _ in range(self._frames_to_skip()):
            due_s = self._expose(due_s, self._wall_period_s())
        wanted = self._images_wanted()
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
            self._post("NumImagesCounter_RBV", self._taken)
            self._publish(self._corrected(supplied))
        return "Acquisition complete"

    def _acquire_correction(self, job: Job) -> str:
        kind = "Offset" if job is Job.OFFSET else "Gain"
        total: NDArray[np.float64] | None = None
        due_s = time.monotonic()
        wanted = max(1, int(self._setting(f"PENum{kind}Frames")))
        for number in range(1, wanted + 1):
            due_s = self._expose(due_s, self._wall_period_s())
            if self._abort.is_set():
                return f"{kind} acquisition aborted"
            supplied = self._dark() if self._shutter_closed() else self._light(self._index)
            self._post(f"PECurrent{kind}Frame", number)
            image = supplied.image if job is Job.OFFSET else supplied.image.astype(np.int32)
            self._publish(replace(supplied, image=image, unique_id=None))
            total = image.astype(np.float64) if total is None else total + image
        if job is Job.OFFSET and total is not None:
            self._offset = total / wanted
        self._post(f"PE{kind}Available", True)
        return f"{kind} acquisition complete"

    # --- frames --------------------------------------------------------------

    def _next_supplied(self) -> tuple[SuppliedFrame | None, int]:
        """The next frame, and how many frames of the supply it uses up."""
        if self._shutter_closed():
            return self._dark(), 0
        if self._index >= len(self._supply):
            return None, 0
        if IMAGE_MODES[int(self._setting("ImageMode"))] == "Average":
            return self._averaged()
        return self._light(self._index), 1

    def _averaged(self) -> tuple[SuppliedFrame, int]:
        count = min(max(1, int(self._setting("NumImages"))), len(self._supply) - self._index)
        frames = [self._light(self._index + step) for step in range(count)]
        mean = np.mean([frame.image for frame in frames], axis=0)
        newest = frames[-1]
        return replace(newest, image=mean.astype(newest.image.dtype)), count

    def _light(self, index: int) -> SuppliedFrame:
        return self._prefetch.frame(Exposure(index, float(self._setting("AcquireTime"))))

    def _dark(self) -> SuppliedFrame:
        self._dark_index += 1
        return self._supply.frame(Exposure(self._dark_index, float(self._setting("AcquireTime")), shutter_closed=True))

    def _corrected(self, supplied: SuppliedFrame) -> SuppliedFrame:
        if not self._setting("PEUseOffset") or self._offset is None or self._offset.shape != supplied.image.shape:
            return supplied
        kind = supplied.image.dtype
        limits = np.iinfo(kind) if kind.kind in "ui" else np.finfo(kind)
        lit = supplied.image - np.rint(self._offset) + int(self._setting("PEOffsetConstant"))
        return replace(supplied, image=np.clip(lit, 0, float(limits.max)).astype(kind))

    def _publish(self, supplied: SuppliedFrame) -> None:
        self._counter = supplied.unique_id if supplied.unique_id is not None else self._counter + 1
        faults = self._faults.take(self._counter)
        kinds = {fault.kind: fault for fault in faults}
        if FaultKind.RESTART in kinds:
            self._counter = 1
        if FaultKind.STALL in kinds:
            self._abort.wait(kinds[FaultKind.STALL].argument)
        self._post("ArrayCounter_RBV", self._counter)
        readouts = self._spoiler.spoil(self._readout(supplied), faults)
        if FaultKind.DROP in kinds:
            self._count_dropped()
        for readout in readouts:
            self._hand_out(readout)
        if self._progress is not None and supplied.end_ns is not None:
            self._progress(supplied.end_ns)
        if FaultKind.DISCONNECT in kinds:
            self._leave(kinds[FaultKind.DISCONNECT].argument)

    def _readout(self, supplied: SuppliedFrame) -> Readout:
        image = np.ascontiguousarray(supplied.image)
        self._post_size(image)
        return Readout(
            data=image.reshape(-1),
            shape=image.shape,
            unique_id=self._counter,
            timestamp_ns=supplied.end_ns if supplied.end_ns is not None else time.time_ns(),
            attributes=self._frame_attributes(supplied),
        )

    def _frame_attributes(self, supplied: SuppliedFrame) -> tuple[tuple[str, AttributeValue], ...]:
        attributes: dict[str, AttributeValue] = {
            "ColorMode": 0,
            "AcquireTime": float(self._setting("AcquireTime")),
            "PEGain": GAINS[int(self._setting("PEGain"))],
            "TriggerMode": TRIGGER_MODES[int(self._setting("TriggerMode"))],
        }
        if supplied.shutter_closed is not None:
            attributes["ShutterClosed"] = int(supplied.shutter_closed)
        attributes.update(supplied.attributes)
        attributes.update(self._attributes)
        return tuple(attributes.items())

    def _hand_out(self, readout: Readout) -> None:
        if self._setting("ArrayCallbacks"):
            for outlet in self._outlets:
                outlet.publish(readout)

    def _count_dropped(self) -> None:
        for plugin in ("image1:", "Pva1:"):
            name = f"{self._prefix}{plugin}DroppedArrays_RBV"
            self._records.post(name, self._records.value(name) + 1)

    def _leave(self, seconds: float) -> None:
        missed = int(seconds / self._wall_period_s()) if self._wall_period_s() > 0 else 0
        missed = min(missed, max(0, len(self._supply) - self._index))
        self._disconnect(seconds, Position(self._index + missed, self._counter + missed, self._taken + missed))

    # --- time and settings ---------------------------------------------------

    def _expose(self, due_s: float, wait_s: float) -> float:
        if TRIGGER_MODES[int(self._setting("TriggerMode"))] == "Soft Trigger":
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
        period_s = max(float(self._setting("AcquirePeriod")), float(self._setting("AcquireTime")))
        return period_s / self._pace.speed

    def _images_wanted(self) -> int | None:
        mode = IMAGE_MODES[int(self._setting("ImageMode"))]
        return {"Multiple": int(self._setting("NumImages")), "Continuous": None}.get(mode, 1)

    def _frames_to_skip(self) -> int:
        return int(self._setting("PENumFramesToSkip")) if self._setting("PESkipFrames") else 0

    def _shutter_closed(self) -> bool:
        return not self._setting("ShutterControl")

    def _setting(self, name: str) -> Scalar:
        value: Scalar = self._records.value(self._prefix + CAMERA + name)
        return value

    def _post(self, name: str, value: Scalar) -> None:
        self._records.post(self._prefix + CAMERA + name, value)

    def _post_state(self, state: str, message: str) -> None:
        self._post("DetectorState_RBV", DETECTOR_STATES.index(state))
        self._post("StatusMessage_RBV", message)

    def _post_size(self, image: NDArray[np.generic]) -> None:
        values = {
            "ArraySizeX_RBV": image.shape[-1],
            "ArraySizeY_RBV": image.shape[0],
            "ArraySize_RBV": image.nbytes,
            "DataType_RBV": DATA_TYPES.index(data_type_of(image.dtype)),
        }
        for name, value in values.items():
            if self._setting(name) != value:
                self._post(name, value)

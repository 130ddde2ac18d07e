"""The detector behind the records: acquires frames when asked and hands them to its plugins.

Time comes in two kinds. ``AcquireTime`` and ``AcquirePeriod`` are in data time, the time of the
frames' stamps. A frame goes out every ``AcquirePeriod / speed`` seconds of wall time, so that a
run of days can be shown in minutes.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.camera import Camera, OffsetImage
from ringwatch_simulators.database import PvNames, Scalar
from ringwatch_simulators.faults import FaultKind
from ringwatch_simulators.prefetch import Prefetch
from ringwatch_simulators.publisher import FramePublisher
from ringwatch_simulators.readout import NS_PER_S
from ringwatch_simulators.supply import Exposure, FrameSupply, SuppliedFrame

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
    names
        What its records are called.
    camera
        The camera's records.
    supply
        What the detector sees.
    publisher
        Numbers the frames and hands them out.
    disconnect
        Called for the fault ``disconnect`` with the seconds to be gone and where to go on.
    """

    def __init__(
        self,
        *,
        names: PvNames,
        camera: Camera,
        supply: FrameSupply,
        publisher: FramePublisher,
        pace: Pace,
        disconnect: Callable[[float, Position], None],
    ) -> None:
        self._names = names
        self._camera = camera
        self._supply = supply
        self._publisher = publisher
        self._prefetch = Prefetch(supply)
        self._pace = pace
        self._disconnect = disconnect
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._idle = threading.Event()
        self._idle.set()
        self._abort = threading.Event()
        self._soft_trigger = threading.Event()
        self._own_resets: dict[str, int] = {}
        self._offset = OffsetImage()
        self._running: Job | None = None
        self._index = 0
        self._taken = 0
        self._darks_taken = 0
        self._last_end_ns: int | None = None
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)

    # --- called from outside -------------------------------------------------

    def start(self, resume: Position | None = None) -> None:
        """Begin to listen for jobs, at `resume` where an earlier process left off."""
        if resume is not None:
            self._index, self._publisher.counter, self._taken = resume.index, resume.counter, resume.taken
            self._camera.post("ArrayCounter_RBV", resume.counter)
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
                self._publisher.counter = int(value)
            case "PETrigger":
                self._soft_trigger.set()
            case "ShutterControl":
                self._camera.post("ShutterStatus_RBV", bool(value))
            case "Sim:Fault" if value:
                self._publisher.request_fault(str(value))

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
        self._publisher.settle()
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
        faults = self._publisher.number(supplied)
        seconds = {fault.kind: fault.argument for fault in faults}
        if FaultKind.STALL in seconds:
            self._abort.wait(seconds[FaultKind.STALL])
        self._publisher.publish(supplied, faults, index=self._index - 1)
        if FaultKind.DISCONNECT in seconds:
            self._leave(seconds[FaultKind.DISCONNECT])

    def _leave(self, seconds: float) -> None:
        missed = int(seconds / self._wall_period_s()) if self._wall_period_s() > 0 else 0
        missed = min(missed, max(0, len(self._supply) - self._index))
        self._publisher.miss(missed, index=self._index)
        self._disconnect(seconds, Position(self._index + missed, self._publisher.counter, self._taken + missed))

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

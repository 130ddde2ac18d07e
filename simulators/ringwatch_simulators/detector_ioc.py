"""One process, one IOC: softioc serves the records, p4p the NTNDArray, both found by name.

Ports and interfaces come from the environment alone, as for any IOC:

- Channel Access: ``EPICS_CAS_SERVER_PORT`` (else ``EPICS_CA_SERVER_PORT``), ``EPICS_CAS_INTF_ADDR_LIST``;
- PVA: ``EPICS_PVAS_SERVER_PORT``, ``EPICS_PVAS_BROADCAST_PORT``, ``EPICS_PVAS_INTF_ADDR_LIST``. The records'
  server takes the server port, the NTNDArray's server any free one; both answer searches on the broadcast port.

Clients on the same machine need ``EPICS_CA_ADDR_LIST=127.0.0.1`` with ``EPICS_CA_SERVER_PORT``, and
``EPICS_PVA_ADDR_LIST=127.0.0.1`` with ``EPICS_PVA_BROADCAST_PORT``, set to the same numbers.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np
from p4p.server import Server
from softioc import asyncio_dispatcher, builder, softioc

from ringwatch_simulators.database import (
    CAMERA,
    IMAGE_PLUGIN,
    PVA_PLUGIN,
    DetectorIdentity,
    Reading,
    Scalar,
    Setting,
    camera_entries,
    perkin_elmer_entries,
    plugin_entries,
)
from ringwatch_simulators.detector import FAULT_RECORD, Detector, Pace, Position
from ringwatch_simulators.faults import FaultSchedule
from ringwatch_simulators.readout import WIRE_TYPES, ChannelAccessOutlet, PvaOutlet, data_type_of
from ringwatch_simulators.records import Records
from ringwatch_simulators.supply import AttributeValue, Exposure, FrameSupply

KEPT_SETTINGS = (
    "AcquireTime", "AcquirePeriod", "ImageMode", "NumImages", "TriggerMode", "ShutterControl", "PEGain",
    "PESkipFrames", "PENumFramesToSkip",
)  # fmt: skip
"""Settings of the camera that outlive the fault ``disconnect``."""


@dataclass(frozen=True, slots=True)
class IocOptions:
    """What an IOC serves and how.

    Parameters
    ----------
    prefix
        What every record's name begins with, as ``13PE1:``.
    exposure_s, period_s
        First values of ``AcquireTime`` and ``AcquirePeriod``, in data time.
    autostart
        Begin to acquire at once rather than on ``Acquire``.
    callbacks_enabled
        First value of ``EnableCallbacks``; a real areaDetector has it off.
    exit_with_parent
        End when the parent process does.
    """

    prefix: str = "13PE1:"
    exposure_s: float = 1.0
    period_s: float = 1.0
    pace: Pace = field(default_factory=Pace)
    faults: FaultSchedule = field(default_factory=FaultSchedule)
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    autostart: bool = False
    callbacks_enabled: bool = True
    exit_with_parent: bool = False


@dataclass(frozen=True, slots=True)
class Resumption:
    """What an IOC that was gone goes on from, handed on as JSON."""

    returns_at_s: float
    position: Position
    settings: dict[str, Any]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Resumption":
        """Read what `to_json` wrote."""
        raw = json.loads(text)
        return cls(raw["returns_at_s"], Position(**raw["position"]), raw["settings"])


class DetectorIoc:
    """The IOC of a simulated detector.

    Parameters
    ----------
    supply
        What the detector sees.
    options
        What is served and how.
    resumption
        Where an IOC in this process left off.
    """

    def __init__(self, supply: FrameSupply, options: IocOptions, resumption: Resumption | None = None) -> None:
        self._supply = supply
        self._options = options
        self._resumption = resumption
        self._wake = threading.Event()
        self._leaving: tuple[float, Position] | None = None
        self._parent = os.getppid()

    def serve(self) -> int:
        """Serve until a signal or the end of the parent; return the exit code."""
        if self._resumption is not None:
            time.sleep(max(0.0, self._resumption.returns_at_s - time.time()))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        records, detector, server = self._build()
        self._announce()
        self._begin(records, detector)
        self._wait()
        if self._leaving is not None:
            self._leave(records, *self._leaving)
        detector.close()
        server.stop()
        return 0

    def _build(self) -> tuple[Records, Detector, Any]:
        first = self._supply.frame(Exposure(0, self._options.exposure_s)).image
        records = Records()
        prefix = self._options.prefix
        self._add_records(records, first)
        pva = PvaOutlet(records, prefix)
        channel_access = ChannelAccessOutlet(records, prefix, WIRE_TYPES[first.dtype.name])
        detector = Detector(
            records=records,
            prefix=prefix,
            supply=self._supply,
            outlets=(pva, channel_access),
            pace=self._options.pace,
            faults=self._options.faults,
            disconnect=self._on_disconnect,
            attributes=self._options.attributes,
        )
        records.listen(detector.put)
        _add_acquire(records, prefix, detector)
        builder.LoadDatabase()
        softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
        server = Server([{f"{prefix}{PVA_PLUGIN}Image": pva.pv}], conf={"EPICS_PVAS_SERVER_PORT": "0"})
        return records, detector, server

    def _add_records(self, records: Records, first: np.ndarray[Any, Any]) -> None:
        options = self._options
        prefix = options.prefix
        identity = DetectorIdentity(first.shape[0], first.shape[1], data_type_of(first.dtype))
        camera = camera_entries(
            identity, exposure_s=options.exposure_s, period_s=options.period_s, images=len(self._supply)
        )
        records.add(prefix + CAMERA, camera)
        records.add(prefix + CAMERA, perkin_elmer_entries())
        for plugin, port, kind in (
            (IMAGE_PLUGIN, "Image1", "NDPluginStdArrays"),
            (PVA_PLUGIN, "PVA1", "NDPluginPva"),
        ):
            entries = plugin_entries(identity, port=port, plugin_type=kind, enabled=options.callbacks_enabled)
            records.add(prefix + plugin, entries)
        records.add(prefix + PVA_PLUGIN, [Reading("PvName_RBV", f"{prefix}{PVA_PLUGIN}Image", long=True)])
        records.add(prefix, [Setting(FAULT_RECORD, "", readback=False, momentary=True)])
        wire_type = np.dtype(WIRE_TYPES[first.dtype.name])
        name = f"{prefix}{IMAGE_PLUGIN}ArrayData"
        records.adopt(name, builder.WaveformIn(name, length=first.size, datatype=wire_type))

    def _announce(self) -> None:
        print(f"READY {self._options.prefix} frames={len(self._supply)} pid={os.getpid()}", flush=True)

    def _begin(self, records: Records, detector: Detector) -> None:
        prefix = self._options.prefix + CAMERA
        if self._resumption is None:
            detector.start()
        else:
            for name, value in self._resumption.settings.items():
                records.choose(prefix + name, value)
            detector.start(self._resumption.position)
        if self._options.autostart or self._resumption is not None:
            records.post(prefix + "Acquire", 1)

    def _wait(self) -> None:
        while not self._wake.wait(0.5):
            if self._options.exit_with_parent and os.getppid() != self._parent:
                return

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signature of a handler
        self._wake.set()

    def _on_disconnect(self, seconds: float, position: Position) -> None:
        self._leaving = (seconds, position)
        self._wake.set()
        threading.Event().wait()

    def _leave(self, records: Records, seconds: float, position: Position) -> NoReturn:
        """Become a fresh process that is silent for `seconds` and then goes on at `position`.

        The kernel closes every socket at once, so that clients see what they see when an IOC dies.
        """
        prefix = self._options.prefix + CAMERA
        settings = {name: records.value(prefix + name) for name in KEPT_SETTINGS}
        resumption = Resumption(time.time() + seconds, position, settings)
        _close_on_exec()
        arguments = _without_resumption(sys.argv[1:])
        command = [sys.executable, "-m", "ringwatch_simulators", *arguments, "--resume", resumption.to_json()]
        os.execv(sys.executable, command)  # noqa: S606 - the program and its arguments are our own


def _add_acquire(records: Records, prefix: str, detector: Detector) -> None:
    """Make ``Acquire`` a busy record: a put with callback returns when the last frame is out.

    The put itself must not block, else nobody could stop the acquisition. So its forward link
    drives a second record whose processing lasts as long as the acquisition.
    """
    name = prefix + CAMERA + "Acquire"
    waiting = name + "Done"

    async def wait(_value: Scalar) -> None:
        await asyncio.get_running_loop().run_in_executor(None, detector.wait_idle)

    builder.boolOut(waiting, "Done", "Busy", on_update=wait, always_update=True, blocking=True, initial_value=0)
    acquire = builder.boolOut(
        name,
        "Done",
        "Acquire",
        on_update=lambda value: detector.put(name, value),
        always_update=True,
        initial_value=0,
        FLNK=waiting,
    )
    records.adopt(name, acquire)


def _close_on_exec() -> None:
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        if number > 2:
            try:
                os.set_inheritable(number, False)
            except OSError:
                continue


def _without_resumption(arguments: list[str]) -> list[str]:
    if "--resume" not in arguments:
        return arguments
    at = arguments.index("--resume")
    return [*arguments[:at], *arguments[at + 2 :]]

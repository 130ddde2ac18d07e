"""One process, one IOC: softioc serves the records, p4p the NTNDArray, both found by name.

Ports and interfaces come from the environment alone, as for any IOC:

- Channel Access: ``EPICS_CAS_SERVER_PORT`` (else ``EPICS_CA_SERVER_PORT``), ``EPICS_CAS_INTF_ADDR_LIST``;
- PVA: ``EPICS_PVAS_SERVER_PORT``, ``EPICS_PVAS_BROADCAST_PORT``, ``EPICS_PVAS_INTF_ADDR_LIST``. The records'
  server takes the server port, the NTNDArray's server any free one; both answer searches on the broadcast port.

Clients on the same machine need ``EPICS_CA_ADDR_LIST=127.0.0.1`` with ``EPICS_CA_SERVER_PORT``, and
``EPICS_PVA_ADDR_LIST=127.0.0.1`` with ``EPICS_PVA_BROADCAST_PORT``, set to the same numbers.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from p4p.server import Server
from softioc import asyncio_dispatcher, builder, softioc

from ringwatch_simulators.camera import Camera
from ringwatch_simulators.cycler import CyclerThread, FollowsTime
from ringwatch_simulators.database import (
    CyclerPvs,
    DetectorIdentity,
    PvNames,
    Reading,
    Scalar,
    Setting,
    camera_entries,
    cycler_entries,
    perkin_elmer_entries,
    plugin_entries,
)
from ringwatch_simulators.detector import FAULT_RECORD, Detector, Pace, Position
from ringwatch_simulators.faults import FaultSchedule
from ringwatch_simulators.outage import Resumption, become
from ringwatch_simulators.publisher import Accompaniment, FramePublisher
from ringwatch_simulators.readout import WIRE_TYPES, ChannelAccessOutlet, Outlet, PvaOutlet, data_type_of
from ringwatch_simulators.records import Records
from ringwatch_simulators.served import ServedLog
from ringwatch_simulators.supply import AttributeValue, Exposure, FrameSupply, SuppliedFrame

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
    names
        Of the detector's records.
    cyclers
        Names of each cycler's records: voltage, current and number of the half-cycle.
    attribute_pvs
        Attributes of the frames that a record tells as well, since Channel Access carries none: attribute and record.
    exposure_s, period_s
        First values of ``AcquireTime`` and ``AcquirePeriod``, in data time.
    autostart
        Begin to acquire at once rather than on ``Acquire``.
    callbacks_enabled
        First value of ``EnableCallbacks``; a real areaDetector has it off.
    exit_with_parent
        End when the parent process does.
    again
        Arguments of the command that begins this IOC anew after the fault ``disconnect``.
    served
        Where account is kept of every frame that is counted; None for nowhere.
    """

    names: PvNames = field(default_factory=PvNames)
    cyclers: tuple[CyclerPvs, ...] = (CyclerPvs(),)
    attribute_pvs: tuple[tuple[str, str], ...] = ()
    exposure_s: float = 1.0
    period_s: float = 1.0
    pace: Pace = field(default_factory=Pace)
    faults: FaultSchedule = field(default_factory=FaultSchedule)
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    autostart: bool = False
    callbacks_enabled: bool = True
    exit_with_parent: bool = False
    again: tuple[str, ...] = ()
    served: Path | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    records: Records
    detector: Detector
    server: Any
    cycler: CyclerThread | None


class DetectorIoc:
    """The IOC of a simulated detector and, where there is one, of the cycler beside it.

    Parameters
    ----------
    supply
        What the detector sees.
    cycler
        Follows the detector's data time.
    resumption
        Where an IOC in this process left off.
    """

    def __init__(
        self,
        supply: FrameSupply,
        options: IocOptions,
        *,
        cycler: FollowsTime | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        self._supply = supply
        self._options = options
        self._cycler = cycler
        self._resumption = resumption
        self._wake = threading.Event()
        self._leaving: tuple[float, Position] | None = None
        self._parent = os.getppid()
        self._started_s = time.time()

    def serve(self) -> int:
        """Serve until a signal or the end of the parent; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if self._resumption is not None and self._wake.wait(self._resumption.seconds_left(time.time())):
            return 0
        parts = self._build()
        print(f"READY {self._options.names.prefix} frames={len(self._supply)} pid={os.getpid()}", flush=True)
        self._begin(parts)
        self._wait()
        if parts.cycler is not None:
            parts.cycler.close()
        if self._leaving is not None:
            self._leave(parts.records, *self._leaving)
        parts.detector.close()
        parts.server.stop()
        return 0

    def _build(self) -> _Parts:
        options = self._options
        names, first = options.names, self._supply.frame(Exposure(0, options.exposure_s))
        wire_type = WIRE_TYPES[first.image.dtype.name]
        records = Records(names.camera, None if self._resumption is None else self._resumption.since_s)
        self._add_records(records, first, np.dtype(wire_type))
        pva = PvaOutlet(records, names.pva_plugin)
        array = ChannelAccessOutlet(records, names.image_plugin, wire_type=wire_type, elements=first.image.size)
        cycler = self._follow_with_cycler(records)
        accompaniment = Accompaniment(
            attributes=options.attributes,
            attribute_pvs=self._attribute_pvs(first),
            progress=cycler.reach if cycler is not None else None,
            served=ServedLog(options.served) if options.served is not None else None,
        )
        detector = self._new_detector(records, (pva, array), accompaniment)
        records.listen(detector.put)
        add_busy_record(records, f"{names.camera}Acquire", detector.put, detector.wait_idle)
        builder.LoadDatabase()
        records.date_back()  # before any client can look
        softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
        return _Parts(records, detector, _ndarray_server(names.prefix + names.pva_image, pva), cycler)

    def _new_detector(self, records: Records, outlets: tuple[Outlet, ...], accompaniment: Accompaniment) -> Detector:
        options, names = self._options, self._options.names
        camera = Camera(records, names.camera)
        publisher = FramePublisher(
            records=records,
            names=names,
            camera=camera,
            outlets=outlets,
            faults=options.faults,
            accompaniment=accompaniment,
        )
        return Detector(
            names=names,
            camera=camera,
            supply=self._supply,
            publisher=publisher,
            pace=options.pace,
            disconnect=self._on_disconnect,
        )

    def _attribute_pvs(self, first: SuppliedFrame) -> tuple[tuple[str, str], ...]:
        """Those of the attributes that are asked for which the frames have, and no record of the detector tells."""
        known, names = {name for name, _ in first.attributes}, self._options.names
        own = (names.camera, names.image_plugin, names.pva_plugin)
        asked = self._options.attribute_pvs
        return tuple((name, pv) for name, pv in asked if name in known and not pv.startswith(own))

    def _add_records(self, records: Records, first: SuppliedFrame, wire_type: "np.dtype[Any]") -> None:
        options, names, told = self._options, self._options.names, dict(first.attributes)
        rows, columns = first.image.shape
        identity = DetectorIdentity(rows, columns, data_type_of(first.image.dtype))
        camera = camera_entries(
            identity, exposure_s=options.exposure_s, period_s=options.period_s, images=len(self._supply)
        )
        records.add(names.camera, camera)
        records.add(names.camera, perkin_elmer_entries())
        for plugin, port, kind in (
            (names.image_plugin, "Image1", "NDPluginStdArrays"),
            (names.pva_plugin, "PVA1", "NDPluginPva"),
        ):
            entries = plugin_entries(identity, port=port, plugin_type=kind, enabled=options.callbacks_enabled)
            records.add(plugin, entries)
        records.add(names.pva_plugin, [Reading("PvName_RBV", names.prefix + names.pva_image, long=True)])
        records.add(names.prefix, [Setting(FAULT_RECORD, "", readback=False, momentary=True)])
        name = f"{names.image_plugin}ArrayData"
        records.adopt(name, builder.WaveformIn(name, length=first.image.size, datatype=wire_type))
        records.add("", [Reading(pv, told[name], stamped=True) for name, pv in self._attribute_pvs(first)])
        if self._cycler is not None:
            for cycler in options.cyclers:
                records.add("", cycler_entries(cycler))

    def _follow_with_cycler(self, records: Records) -> CyclerThread | None:
        if self._cycler is None:
            return None
        options = self._options
        speed, lead_s = options.pace.speed, options.period_s
        return CyclerThread(self._cycler, records, options.cyclers, speed=speed, lead_s=lead_s)

    def _begin(self, parts: _Parts) -> None:
        prefix = self._options.names.camera
        if parts.cycler is not None:
            parts.cycler.start()
        if self._resumption is None:
            parts.detector.start()
        else:
            for name, value in self._resumption.settings.items():
                parts.records.restore(prefix + name, value)
            parts.detector.start(self._resumption.position)
        if self._options.autostart or self._resumption is not None:
            parts.records.post(prefix + "Acquire", 1)

    def _wait(self) -> None:
        while not self._wake.wait(0.5):
            if self._options.exit_with_parent and os.getppid() != self._parent:
                return

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signature of a handler
        # Not here: the main thread may be holding the lock of the very event that it waits for.
        threading.Thread(target=self._wake.set, daemon=True).start()

    def _on_disconnect(self, seconds: float, position: Position) -> None:
        self._leaving = (seconds, position)
        self._wake.set()
        threading.Event().wait()  # the process is about to be replaced; no further frame may go out

    def _leave(self, records: Records, seconds: float, position: Position) -> None:
        prefix = self._options.names.camera
        settings = {name: records.value(prefix + name) for name in KEPT_SETTINGS}
        since_s = self._started_s if self._resumption is None else self._resumption.since_s
        become(self._options.again, Resumption(time.time() + seconds, position, settings, since_s))


def add_busy_record(
    records: Records, name: str, on_put: Callable[[str, Scalar], None], wait_idle: Callable[[], None]
) -> None:
    """Make ``Acquire`` a busy record: a put with callback returns when the last frame is out.

    The put itself must not block, else nobody could stop the acquisition. So its forward link
    drives a second record whose processing lasts as long as the acquisition.
    """
    waiting = name + "Done"

    async def wait(_value: Scalar) -> None:
        await asyncio.get_running_loop().run_in_executor(None, wait_idle)

    builder.boolOut(waiting, "Done", "Busy", on_update=wait, always_update=True, blocking=True, initial_value=0)

    def put(value: Scalar) -> None:
        on_put(name, value)

    common = {"on_update": put, "always_update": True, "initial_value": 0, "FLNK": waiting}
    records.adopt(name, builder.boolOut(name, "Done", "Acquire", **common))


def _ndarray_server(name: str, outlet: PvaOutlet) -> Any:
    """A server for the NTNDArray alone, on any free port, found like the records by broadcast."""
    conf = {key: value for key, value in os.environ.items() if key.startswith("EPICS_PVA")}
    conf.update(EPICS_PVAS_SERVER_PORT="0", EPICS_PVA_SERVER_PORT="0")
    return Server([{name: outlet.pv}], conf=conf, useenv=False)

"""The simulated detector as real clients see it, over real sockets."""

import time

import pytest

from fakes.ioc import run_client, running_ioc

pytestmark = pytest.mark.sockets

PVA_MONITOR = """
from p4p.client.thread import Context
context = Context("pva", nt=False)
got = []
def event(value):
    if isinstance(value, Exception):
        got.append(type(value).__name__)
    elif value.dimension:
        shape = [axis.size for axis in reversed(value.dimension)]
        stamp = value.timeStamp.secondsPastEpoch * 10**9 + value.timeStamp.nanoseconds
        attributes = {one.name: one.value for one in value.attribute}
        got.append({"id": value.uniqueId, "first": float(value.value[0]), "pixels": len(value.value),
                    "shape": shape, "type": str(value.value.dtype), "stamp": stamp, "attributes": attributes})
watch = context.monitor(P + "Pva1:Image", event, request="field()record[queueSize=64]", notify_disconnect=True)
def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
until(lambda: any(one == "Disconnected" for one in got))
context.get(P + "Pva1:Image")
import epics
def put(name, value, **how):
    assert epics.caput(P + name, value, timeout=20.0, **how) == 1, name
def get(name, **how):
    return epics.caget(P + name, timeout=10.0, **how)
"""


def frames_in(got):
    return [one for one in got if isinstance(one, dict)]


def test_a_put_with_callback_returns_when_the_last_frame_is_out_on_both_protocols():
    script = (
        PVA_MONITOR
        + """
ids, waveform_ids = [], []
counter = epics.PV(P + "image1:UniqueId_RBV", auto_monitor=True, callback=lambda value, **_: ids.append(value))
counter.wait_for_connection(10.0)
put("cam1:Acquire", 1, wait=True)
state = [get("cam1:Acquire"), get("cam1:DetectorState_RBV", as_string=True), get("cam1:NumImagesCounter_RBV")]
array = get("image1:ArrayData")
until(lambda: len([one for one in got if one != "Disconnected"]) >= 6 and ids[-1:] == [6])
print(json.dumps({"got": got, "ids": ids, "state": state, "array": [str(array.dtype), len(array), int(array[0])],
                  "type": get("image1:DataType_RBV", as_string=True)}))
"""
    )
    with running_ioc("--start-paused", "--rate", "10", "--count", "6", "--shape", "48x32") as ioc:
        seen = run_client(ioc, script)
        assert ioc.terminate() == 0
    frames = frames_in(seen["got"])
    assert [frame["id"] for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert [frame["first"] for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert {(tuple(frame["shape"]), frame["type"], frame["pixels"]) for frame in frames} == {((48, 32), "uint16", 1536)}
    assert seen["state"] == [0, "Idle", 6]
    assert seen["array"] == ["int16", 48 * 32, 6]
    assert seen["type"] == "UInt16"
    assert seen["ids"][-6:] == [1, 2, 3, 4, 5, 6]
    now_ns = time.time_ns()
    assert all(now_ns - 120e9 < frame["stamp"] <= now_ns for frame in frames)


def test_offset_frames_go_through_the_plugins_and_are_subtracted_without_wrapping():
    script = (
        PVA_MONITOR
        + """
put("cam1:PENumOffsetFrames", 3)
put("cam1:PEAcquireOffset", 1)
until(lambda: get("cam1:PEOffsetAvailable") == 1 and get("cam1:PEAcquireOffset") == 0)
after_offset = get("cam1:ArrayCounter_RBV")
put("cam1:PEUseOffset", 1)
put("cam1:Acquire", 1, wait=True)
array = get("image1:ArrayData").view("uint16")
print(json.dumps({"counter": after_offset, "current": get("cam1:PECurrentOffsetFrame"), "ids": [one["id"] for one in
                  got if isinstance(one, dict)], "max": int(array.max()), "min": int(array.min())}))
"""
    )
    with running_ioc("--start-paused", "--rate", "20", "--count", "2", "--shape", "16x16") as ioc:
        seen = run_client(ioc, script)
    assert (seen["counter"], seen["current"]) == (3, 3)
    assert seen["ids"][-2:] == [4, 5]
    # the offset was taken with the shutter open on frame 1, so frame 2 is one count above it everywhere
    assert (seen["min"], seen["max"]) == (1, 1)


def test_the_counter_can_be_set_and_the_shutter_closed_and_an_acquisition_stopped():
    script = (
        PVA_MONITOR
        + """
put("cam1:ArrayCounter", 100, wait=True)
context.put(P + "Sim:Fault", "duplicate", timeout=20.0)
put("cam1:ShutterControl", 0, wait=True)
put("cam1:NumImages", 1, wait=True)
put("cam1:Acquire", 1, wait=True)
put("cam1:ShutterControl", 1, wait=True)
put("cam1:ImageMode", "Continuous", wait=True)
put("cam1:AcquireTime", 5.0, wait=True)
started = time.monotonic()
put("cam1:Acquire", 1)
until(lambda: get("cam1:DetectorState_RBV", as_string=True) == "Acquire")
put("cam1:Acquire", 0)
until(lambda: get("cam1:DetectorState_RBV", as_string=True) == "Aborted")
until(lambda: len([one for one in got if isinstance(one, dict)]) > 1)
print(json.dumps({"got": got, "readback": get("cam1:AcquireTime_RBV"), "busy": get("cam1:AcquireBusy"),
                  "status": get("cam1:ShutterStatus_RBV", as_string=True)}))
"""
    )
    with running_ioc("--start-paused", "--rate", "20", "--count", "4", "--attribute", "IonChamber=0.5") as ioc:
        seen = run_client(ioc, script)
    frame, again = frames_in(seen["got"])
    assert frame == again  # the fault asked for by its record
    assert (frame["id"], frame["first"]) == (101, 0)
    assert frame["attributes"]["ShutterClosed"] == 1
    assert frame["attributes"]["IonChamber"] == 0.5
    assert seen["readback"] == 5.0
    assert (seen["busy"], seen["status"]) == (0, "Open")


def test_faults_look_to_a_client_as_they_are_described():
    script = (
        PVA_MONITOR
        + """
put("cam1:Acquire", 1, wait=True)
until(lambda: any(isinstance(one, dict) and one["id"] == 9 for one in got))
print(json.dumps({"got": got, "dropped": get("image1:DroppedArrays_RBV")}))
"""
    )
    faults = ("drop@2", "duplicate@3", "truncate@4", "reorder@5", "wrongtype@7", "wrongsize@8", "future@9")
    arguments = [word for fault in faults for word in ("--fault", fault)]
    with running_ioc("--start-paused", "--rate", "20", "--count", "9", "--shape", "8x8", *arguments) as ioc:
        seen = run_client(ioc, script)
    frames = frames_in(seen["got"])
    assert [frame["id"] for frame in frames] == [1, 3, 3, 4, 6, 5, 7, 8, 9]
    by_id = {frame["id"]: frame for frame in frames}
    assert (by_id[4]["pixels"], by_id[4]["shape"]) == (32, [8, 8])
    assert by_id[7]["type"] == "float64"
    assert (by_id[8]["pixels"], by_id[8]["shape"]) == (32, [4, 8])
    assert by_id[9]["stamp"] > time.time_ns() + 300e6 * 1e9
    assert seen["dropped"] == 1


def test_after_a_disconnection_the_same_process_goes_on_with_the_frames_of_the_outage_missing():
    script = (
        PVA_MONITOR
        + """
put("cam1:Acquire", 1)
until(lambda: any(isinstance(one, dict) and one["id"] > 30 for one in got), 40.0)
print(json.dumps({"got": got}))
"""
    )
    arguments = ("--count", "400", "--rate", "10", "--fault", "disconnect@3:1.5")
    with running_ioc("--start-paused", *arguments) as ioc:
        got = run_client(ioc, script)["got"]
        assert [line.split("pid=")[1] for line in ioc.ready_lines] == [str(ioc.pid)] * 2
    frames = frames_in(got)
    ids = [frame["id"] for frame in frames]
    assert ids[:3] == [1, 2, 3]
    assert ids[3] >= 3 + 15 + 1
    assert all(frame["first"] == frame["id"] for frame in frames)
    assert got[got.index(frames[2]) + 1] == "Disconnected"


def test_an_ioc_that_was_killed_comes_back_on_the_same_ports_and_counts_from_one():
    script = """
from p4p.client.thread import Context
context = Context("pva", nt=False)
assert context.put(P + "cam1:NumImages", 1, timeout=20.0) is None
context.put(P + "cam1:Acquire", 1, timeout=20.0, process=True, wait=True)
print(json.dumps(context.get(P + "Pva1:Image", timeout=20.0).uniqueId))
"""
    with running_ioc("--start-paused", "--rate", "20") as first:
        assert run_client(first, script) == 1
        assert run_client(first, script) == 2
        first.kill()
        with running_ioc("--start-paused", "--rate", "20", ports=first.ports) as second:
            assert second.pid != first.pid
            assert run_client(second, script) == 1


def test_ophyd_stages_and_triggers_the_detector():
    script = """
import warnings
warnings.simplefilter("ignore")
from ophyd import Component as Cpt, Device
from ophyd.areadetector.cam import PerkinElmerDetectorCam
from ophyd.areadetector.detectors import PerkinElmerDetector
from ophyd.areadetector.plugins import ImagePlugin
from ophyd.areadetector.trigger_mixins import SingleTrigger
class Panel(SingleTrigger, PerkinElmerDetector):
    cam = Cpt(PerkinElmerDetectorCam, "cam1:")
    image = Cpt(ImagePlugin, "image1:")
panel = Panel(P, name="panel")
panel.wait_for_connection(timeout=20.0)
panel.stage_sigs["cam.num_images"] = 3
panel.stage()
panel.trigger().wait(20.0)
shape = [panel.image.height.get(), panel.image.width.get()]
image = panel.image.array_data.get().reshape(shape)
first = int(image.flat[0])
count = panel.cam.num_images_counter.get()
panel.unstage()
print(json.dumps({"shape": shape, "first": first, "count": count, "model": panel.cam.model.get()}))
import os; sys.stdout.flush(); os._exit(0)
"""
    with running_ioc("--start-paused", "--rate", "20", "--count", "5", "--shape", "24x40") as ioc:
        seen = run_client(ioc, script)
    assert (seen["shape"], seen["first"], seen["count"]) == ([24, 40], 3, 3)
    assert "XRD1621" in seen["model"]

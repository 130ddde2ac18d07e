"""Recorded frames go out as their files hold them."""

import struct

import fabio
import h5py
import numpy as np
import pytest
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage
from hypothesis import given
from hypothesis import strategies as st

from fakes.ioc import run_client, running_ioc
from ringwatch_simulators.errors import FrameFileError
from ringwatch_simulators.recorded import RecordedFrames
from ringwatch_simulators.supply import Exposure, FramesInMemory
from ringwatch_simulators.tiff_tags import read_tags


def image(number=0, dtype="uint16"):
    return (np.arange(20 * 24).reshape(20, 24) + number).astype(dtype)


def tagged_tiff(path, tags):
    """A TIFF of no pixels with LONG and text tags, as areaDetector writes them."""
    entries, extra = [], b""
    start = 8 + 2 + 12 * len(tags) + 4
    for number, value in sorted(tags.items()):
        if isinstance(value, int):
            entries.append(struct.pack("<HHII", number, 4, 1, value))
            continue
        text = value.encode() + b"\0"
        if len(text) <= 4:
            entries.append(struct.pack("<HHI4s", number, 2, len(text), text))
        else:
            entries.append(struct.pack("<HHII", number, 2, len(text), start + len(extra)))
            extra += text
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4) + extra)


@given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1), st.integers(0, 10**9 - 1), st.integers(0, 999999))
def test_the_tags_of_areadetector_read_back(tmp_path_factory, unique_id, seconds, nanoseconds, current):
    path = tmp_path_factory.mktemp("tags") / "frame.tif"
    tagged_tiff(path, {65001: unique_id, 65002: seconds, 65003: nanoseconds, 65010: f"Current:{current}", 65011: "A:"})
    tags = read_tags(path)
    assert tags.unique_id == unique_id
    assert tags.timestamp_ns == (seconds + 631_152_000) * 10**9 + nanoseconds
    assert tags.attributes == (("Current", str(current)), ("A", ""))


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no tiff at all", b"II*\0\xff\xff\xff\x7f"])
def test_a_broken_tiff_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.tif"
    path.write_bytes(content)
    with pytest.raises(FrameFileError, match=r"broken\.tif"):
        read_tags(path)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_files_and_folders_and_stacks_give_their_frames_in_order(tmp_path, dtype):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(3):
        EdfImage(data=image(number, dtype)).write(str(folder / f"frame_{number}.edf"))
    (folder / "notes.txt").write_text("not a frame")
    stack = tmp_path / "stack.h5"
    with h5py.File(stack, "w") as file:
        file["entry/data"] = np.stack([image(10, dtype), image(11, dtype)])
        file["entry/small"] = np.zeros((2, 3))
    frames = RecordedFrames([str(folder), str(stack), f"{stack}::/entry/data"])
    assert len(frames) == 7
    for index, number in enumerate([0, 1, 2, 10, 11, 10, 11]):
        served = frames.frame(Exposure(index, 1.0)).image
        np.testing.assert_array_equal(served, image(number, dtype))
        assert served.dtype == np.dtype(dtype)


def test_what_is_missing_or_no_image_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "text.edf").write_text("hello")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["numbers"] = np.arange(3)
    for name in ("nowhere.tif", "text.edf", "empty.h5", "empty.h5::/numbers"):
        with pytest.raises(FrameFileError, match=name.split("::")[0]):
            RecordedFrames([str(tmp_path / name)])


def test_darks_come_first_and_say_that_the_shutter_was_closed(tmp_path):
    for name in ("dark", "light"):
        TifImage(data=image(dtype="uint16")).write(str(tmp_path / f"{name}.tif"))
    frames = RecordedFrames([str(tmp_path / "light.tif")], [str(tmp_path / "dark.tif")])
    assert [frames.frame(Exposure(index, 1.0)).shutter_closed for index in range(2)] == [True, False]
    alone = RecordedFrames([str(tmp_path / "light.tif")])
    assert alone.frame(Exposure(0, 1.0)).shutter_closed is None


@pytest.mark.recordings
def test_the_pilatus_sequence_keeps_its_ids_and_times(recordings):
    frames = RecordedFrames([str(recordings / "frames" / "pilatus_areadetector_seq")])
    served = [frames.frame(Exposure(index, 1.0)) for index in range(len(frames))]
    assert [frame.unique_id for frame in served] == [4051, 4052, 4053, 4056, 4057]
    assert served[0].end_ns == 1479040003375356916
    assert dict(served[0].attributes)["ID RingCurrent"] == "101.786010"
    assert dict(served[0].attributes)["AcquireTime"] == 29.999


@pytest.mark.sockets
@pytest.mark.recordings
def test_a_replayed_sequence_keeps_the_gaps_in_its_ids_and_its_times_on_the_wire(recordings):
    script = """
from p4p.client.thread import Context
context = Context("pva", nt=False)
got = []
def event(value):
    if value.dimension:
        stamp = value.timeStamp.secondsPastEpoch * 10**9 + value.timeStamp.nanoseconds
        exposure = next(one.value for one in value.attribute if one.name == "AcquireTime")
        got.append([value.uniqueId, stamp, int(value.value.astype("int64").sum()), exposure])
watch = context.monitor(P + "Pva1:Image", event, request="field()record[queueSize=64]")
context.get(P + "Pva1:Image", timeout=20.0)
context.put(P + "cam1:Acquire", 1, timeout=20.0)
end = time.monotonic() + 20
while len(got) < 5 and time.monotonic() < end:
    time.sleep(0.02)
print(json.dumps(got))
"""
    folder = recordings / "frames" / "pilatus_areadetector_seq"
    with running_ioc("--frames", str(folder), "--start-paused", "--own-rate", "--speed", "200") as ioc:
        got = run_client(ioc, script)
    sums = [int(fabio.open(str(path)).data.sum(dtype="int64")) for path in sorted(folder.glob("*.tif"))]
    assert [one[0] for one in got] == [4051, 4052, 4053, 4056, 4057]
    assert got[0][1] == 1479040003375356916
    assert [one[2] for one in got] == sums
    assert {one[3] for one in got} == {29.999}


@pytest.mark.sockets
@pytest.mark.recordings
def test_a_recorded_frame_reaches_clients_bit_by_bit_on_both_protocols(recordings, tmp_path):
    path = recordings / "frames" / "pe_xpd_Ni_light_dark" / "Ni_light_frame.tiff"
    script = """
import numpy, epics
from p4p.client.thread import Context
assert epics.caput(P + "cam1:Acquire", 1, wait=True, timeout=20.0) == 1
array = epics.caget(P + "image1:ArrayData", timeout=20.0).view("uint16")
value = Context("pva", nt=False).get(P + "Pva1:Image", timeout=20.0)
numpy.savez(sys.argv[1], ca=array.reshape(2048, 2048), pva=numpy.reshape(value.value, (2048, 2048)))
print(json.dumps([axis.size for axis in value.dimension]))
"""
    with running_ioc("--frames", str(path), "--start-paused", "--rate", "5") as ioc:
        assert run_client(ioc, script, str(tmp_path / "seen.npz")) == [2048, 2048]
    recorded = fabio.open(str(path)).data
    with np.load(tmp_path / "seen.npz") as seen:
        np.testing.assert_array_equal(seen["ca"], recorded)
        np.testing.assert_array_equal(seen["pva"], recorded)


def test_frames_in_memory_are_those_of_the_files_and_outlive_them(tmp_path):
    for number in (1, 2):
        TifImage(data=image(number)).write(str(tmp_path / f"{number}.tif"))
    frames = FramesInMemory(RecordedFrames([str(tmp_path)]))
    (tmp_path / "2.tif").unlink()
    assert len(frames) == 2
    np.testing.assert_array_equal(frames.frame(Exposure(1, 0.5)).image, image(2))
    assert not frames.frame(Exposure(0, 0.5, dark=1)).image.any()

import pytest

from fakes.ca_listener import listening
from fakes.ioc import free_ports, running_ioc

pytestmark = pytest.mark.sockets
PREFIX = "13PE1:"
CONTINUOUS = (f"{PREFIX}cam1:ImageMode=Continuous", f"{PREFIX}cam1:Acquire=1")


def test_frames_arrive_with_their_own_ids_types_and_conditions():
    with (
        running_ioc("--rate", "5", "--count", "8", "--start-paused", "--shape", "30x40") as ioc,
        listening(PREFIX, ioc.environment, *CONTINUOUS) as listener,
    ):
        listener.wait_for(lambda: 8 in listener.ids)
    frames = listener.of("frame")
    assert listener.ids == list(range(1, 9))
    assert [frame["first"] for frame in frames] == listener.ids
    assert frames[0]["shape"] == [30, 40]
    assert frames[0]["dtype"] == "uint16"
    assert not frames[0]["writeable"]
    assert frames[0]["exposure_s"] == pytest.approx(0.2)
    assert frames[0]["trigger_mode"] == "Internal"
    assert listener.of("refused") == []


def test_a_slow_client_loses_frames_but_never_mispairs_one():
    with (
        running_ioc("--rate", "60", "--count", "120", "--start-paused", "--shape", "1024x1024") as ioc,
        listening(PREFIX, ioc.environment, *CONTINUOUS) as listener,
    ):
        listener.wait_for(lambda: bool(listener.ids) and listener.ids[-1] == 120)
    frames = listener.of("frame")
    assert all(frame["first"] == frame["id"] for frame in frames)
    assert listener.ids == sorted(set(listener.ids))
    stamps = [frame["timestamp_ns"] for frame in frames]
    assert stamps == sorted(set(stamps))


def test_the_type_of_the_detector_is_restored():
    with (
        running_ioc("--rate", "20", "--count", "2", "--start-paused", "--dtype", "float32") as ioc,
        listening(PREFIX, ioc.environment, *CONTINUOUS) as listener,
    ):
        listener.wait_for(lambda: 2 in listener.ids)
    assert {frame["dtype"] for frame in listener.of("frame")} == {"float32"}


def test_a_truncated_frame_is_refused_and_the_next_is_taken():
    with (
        running_ioc("--rate", "5", "--count", "4", "--start-paused", "--fault", "truncate@2") as ioc,
        listening(PREFIX, ioc.environment, *CONTINUOUS) as listener,
    ):
        listener.wait_for(lambda: 4 in listener.ids)
    assert listener.ids == [1, 3, 4]
    (refusal,) = listener.of("refused")
    assert (refusal["id"], refusal["reason"]) == (2, "WRONG_SHAPE")


def test_a_killed_ioc_is_told_and_found_again():
    ports = free_ports()
    arguments = ("--rate", "20", "--count", "5", "--start-paused")
    with running_ioc(*arguments, ports=ports) as ioc, listening(PREFIX, ioc.environment, *CONTINUOUS) as listener:
        listener.wait_for(lambda: 5 in listener.ids)
        ioc.kill()
        listener.wait_for(lambda: not listener.is_connected)
        with running_ioc("--rate", "5", "--count", "500", ports=ports):
            listener.wait_for(lambda: listener.is_connected)
            taken = len(listener.ids)
            listener.wait_for(lambda: len(listener.ids) >= taken + 3)
    frames = listener.of("frame")
    assert all(frame["first"] == frame["id"] for frame in frames)
    assert [told["connected"] for told in listener.of("connection")][:4] == [False, True, False, True]


def test_frames_for_an_offset_are_refused():
    puts = (f"{PREFIX}cam1:PENumOffsetFrames=3", f"{PREFIX}cam1:PEAcquireOffset=1")
    with (
        running_ioc("--rate", "5", "--count", "10", "--start-paused") as ioc,
        listening(PREFIX, ioc.environment, *puts) as listener,
    ):
        listener.wait_for(lambda: len(listener.of("refused")) == 3)
    assert {told["reason"] for told in listener.of("refused")} == {"OFFSET_ACQUISITION"}
    assert listener.ids == []


def test_a_plugin_that_is_off_is_named_as_the_cause_of_the_stall():
    with (
        running_ioc("--rate", "20", "--count", "1000", "--start-paused", "--callbacks-off") as ioc,
        listening(PREFIX, ioc.environment, *CONTINUOUS) as listener,
    ):
        listener.wait_for(lambda: any(told["warning"] == "STALL" for told in listener.of("warning")))
    assert any(f"{PREFIX}image1:EnableCallbacks_RBV is off" in told["text"] for told in listener.of("warning"))

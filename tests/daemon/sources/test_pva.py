import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from p4p.client.thread import Context
from p4p.nt import NTScalar
from p4p.server.thread import SharedPV

from fakes.intake import RecordingIntake
from fakes.ioc import running_ioc
from fakes.pva_server import PvaServer
from hostile_frames.ntndarrays import HOSTILE_NTNDARRAYS, NOW_S, SHAPE, HostileFrame, counts, fields_of
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.area_detector import AreaDetectorPvs, perkin_elmer_pvs
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_daemon.sources.pva import PvaSource, PvaSourceConfig
from ringwatch_pipelines.frames import FrameKind

pytestmark = pytest.mark.sockets
PV = "TEST:Pva1:Image"


class ClockOf2027(SystemClock):
    """A run that begins when the frames of the corpus are taken."""

    def utc_ns(self) -> int:
        return NOW_S * 1_000_000_000


@contextmanager
def running_source(server: PvaServer, **settings: object) -> Iterator[RecordingIntake]:
    intake, stop = RecordingIntake(), threading.Event()
    source = PvaSource(PvaSourceConfig(PV, network=server.client, **settings), ClockOf2027())
    thread = threading.Thread(target=source.run, args=(intake, stop))
    thread.start()
    try:
        yield intake
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[PvaServer]:
    server = PvaServer(PV, "TEST:Acquire_RBV", "TEST:EnableCallbacks_RBV", "TEST:PEAcquireOffset", "TEST:PEUseOffset")
    yield server
    server.close()


def test_a_frame_arrives_as_it_was_sent(server: PvaServer):
    attributes = {"AcquireTime": 2.0, "PEGain": "1 pF", "TriggerMode": "Internal", "ic1": 7.5, "ColorMode": 0}
    with running_source(server, names=MetadataNames(monitor=("ic1",))) as intake:
        intake.wait_for(lambda: intake.is_connected)
        server.post(fields_of(7, attributes=attributes))
        intake.wait_for(lambda: len(intake.frames) == 1)
    (frame,) = intake.frames
    np.testing.assert_array_equal(frame.image, counts(*SHAPE).reshape(SHAPE))
    assert frame.image.dtype == np.uint16
    assert not frame.image.flags.writeable
    assert frame.unique_id == 7
    assert frame.timestamp_ns == (NOW_S - 1) * 1_000_000_000 + 7
    assert (frame.exposure_s, frame.monitor) == (2.0, 7.5)
    assert (frame.conditions.gain, frame.conditions.trigger_mode) == ("1 pF", "Internal")
    assert dict(frame.attributes)["ColorMode"] == 0
    assert intake.refusals == []


@pytest.mark.parametrize(
    ("member", "dtype"),
    [
        ("byteValue", "int8"),
        ("shortValue", "int16"),
        ("intValue", "int32"),
        ("longValue", "int64"),
        ("ubyteValue", "uint8"),
        ("ushortValue", "uint16"),
        ("uintValue", "uint32"),
        ("ulongValue", "uint64"),
        ("floatValue", "float32"),
        ("doubleValue", "float64"),
    ],
)
def test_every_pixel_type_keeps_its_type(server: PvaServer, member: str, dtype: str):
    with running_source(server) as intake:
        intake.wait_for(lambda: intake.is_connected)
        server.post(fields_of(1, member=member, pixels=counts(*SHAPE, dtype=dtype)))
        intake.wait_for(lambda: len(intake.frames) == 1)
    assert intake.frames[0].image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(intake.frames[0].image.ravel(), counts(*SHAPE, dtype=dtype))


def test_the_corpus_is_refused_or_passed_on_and_good_frames_between_arrive(server: PvaServer):
    with running_source(server) as intake:
        intake.wait_for(lambda: intake.is_connected)
        for number, hostile in enumerate(HOSTILE_NTNDARRAYS):
            server.post(hostile.fields)
            server.post(fields_of(10_000 + number))
            intake.wait_for(lambda n=number: 10_000 + n in intake.ids)
    passed = [hostile.fields["uniqueId"] for hostile in HOSTILE_NTNDARRAYS if not hostile.reason]
    assert [unique_id for unique_id in intake.ids if unique_id < 10_000] == passed
    told = {refusal.unique_id: refusal for refusal in intake.refusals}
    for hostile in (frame for frame in HOSTILE_NTNDARRAYS if frame.reason):
        refusal = told.pop(hostile.fields["uniqueId"])
        assert refusal.reason == hostile.reason, hostile.name
        assert hostile.says in refusal.text, hostile.name
        assert PV in refusal.text
    assert told == {}


@pytest.mark.parametrize(
    "hostile", [frame for frame in HOSTILE_NTNDARRAYS if "time" in frame.tags], ids=lambda f: f.name
)
def test_a_time_that_makes_no_sense_is_passed_on_within_64_bits(server: PvaServer, hostile: HostileFrame):
    with running_source(server) as intake:
        intake.wait_for(lambda: intake.is_connected)
        server.post(hostile.fields)
        intake.wait_for(lambda: len(intake.frames) == 1)
    timestamp_ns = intake.frames[0].timestamp_ns
    assert timestamp_ns == 0 or NOW_S * 1_000_000_000 < timestamp_ns < 2**63


def test_the_frame_from_before_the_run_is_left_out_with_a_word(server: PvaServer):
    server.post(fields_of(41, stamp_s=NOW_S - 100))
    with running_source(server) as intake:
        intake.wait_for(lambda: intake.warned_of("STALE_FRAME"))
        server.post(fields_of(42))
        intake.wait_for(lambda: len(intake.frames) == 1)
    assert intake.ids == [42]
    assert intake.refusals == []


def test_frames_with_old_stamps_are_taken_once_the_subscription_stands(server: PvaServer):
    with running_source(server) as intake:
        intake.wait_for(lambda: intake.is_connected)
        server.post(fields_of(1, stamp_s=1_479_040_003))
        intake.wait_for(lambda: len(intake.frames) == 1)
    assert intake.warned_of("CLOCKS_DISAGREE")


def test_a_lost_server_is_told_and_its_last_frame_is_not_taken_twice(server: PvaServer):
    port = int(dict(server.client)["EPICS_PVA_SERVER_PORT"])
    broadcast = dict(server.client)["EPICS_PVA_BROADCAST_PORT"]
    with running_source(server) as intake:
        intake.wait_for(lambda: intake.is_connected)
        server.post(fields_of(1))
        intake.wait_for(lambda: len(intake.frames) == 1)
        server.close()
        intake.wait_for(lambda: not intake.is_connected)
        again = PvaServer(PV, port=port, broadcast=broadcast)
        try:
            again.post(fields_of(1))
            intake.wait_for(lambda: intake.is_connected, timeout_s=60)
            again.post(fields_of(2))
            intake.wait_for(lambda: 2 in intake.ids)
        finally:
            again.close()
    assert intake.ids == [1, 2]
    assert [connected for connected, _ in intake.connections][:4] == [False, True, False, True]


def test_frames_for_an_offset_are_refused(server: PvaServer):
    beside = AreaDetectorPvs(offset=("TEST:PEAcquireOffset",), acquiring="TEST:Acquire_RBV")
    with running_source(server, beside=beside) as intake:
        intake.wait_for(lambda: intake.is_connected)
        server.post(fields_of(1))
        intake.wait_for(lambda: len(intake.frames) == 1)
        server.put("TEST:PEAcquireOffset", 1)
        refused = 0
        while not refused:  # the switch and the frame come over separate subscriptions
            server.post(fields_of(100 + len(intake.frames)))
            seen = len(intake.frames) + len(intake.refusals)
            intake.wait_for(lambda n=seen: len(intake.frames) + len(intake.refusals) > n or bool(intake.refusals))
            refused = len(intake.refusals)
        server.put("TEST:PEAcquireOffset", 0)
    assert set(intake.reasons) == {Reason.OFFSET_ACQUISITION}
    assert "TEST:PEAcquireOffset" in intake.refusals[0].text


def test_a_pv_beside_stands_in_for_a_missing_attribute(server: PvaServer):
    beside = AreaDetectorPvs(metadata=(("PEUseOffset", "TEST:PEUseOffset"), ("shutter", "TEST:Acquire_RBV")))
    server.put("TEST:PEUseOffset", 1)
    server.put("TEST:Acquire_RBV", 1)
    with running_source(server, beside=beside, names=MetadataNames(dark=("shutter",))) as intake:
        intake.wait_for(lambda: intake.is_connected)
        unique_id = 0
        while not (intake.frames and intake.frames[-1].offset_subtracted):
            unique_id += 1
            server.post(fields_of(unique_id))
            intake.wait_for(lambda n=unique_id: n in intake.ids)
        server.post(fields_of(1000, attributes={"PEUseOffset": 0, "shutter": "Open"}))
        intake.wait_for(lambda: 1000 in intake.ids)
    assert intake.frames[-1].kind is FrameKind.LIGHT
    assert not intake.frames[-1].offset_subtracted


def test_a_stall_is_told_with_its_cause_and_its_end(server: PvaServer):
    beside = AreaDetectorPvs(acquiring="TEST:Acquire_RBV", callbacks="TEST:EnableCallbacks_RBV")
    server.put("TEST:Acquire_RBV", 1)
    with running_source(server, beside=beside, stall_s=0.3) as intake:
        intake.wait_for(lambda: intake.warned_of("STALL"))
        server.post(fields_of(1))
        intake.wait_for(lambda: intake.warned_of("STALL_OVER"))
    texts = [text for kind, text in intake.warnings if kind == "STALL"]
    assert PV in texts[0]
    assert intake.warned_of("NO_FRAMES")
    assert "TEST:EnableCallbacks_RBV is off" in texts[0]


def test_a_pv_that_is_no_ntndarray_is_named():
    server = PvaServer(PV, image=SharedPV(nt=NTScalar("d"), initial=1.0))
    try:
        with running_source(server) as intake:
            intake.wait_for(lambda: intake.warned_of("WRONG_PV"))
    finally:
        server.close()
    assert "got epics:nt/NTScalar:1.0" in intake.warnings[0][1]
    assert intake.refusals == []


def test_frames_of_a_simulated_area_detector_arrive_with_their_conditions():
    with running_ioc("--rate", "20", "--count", "5", "--start-paused") as ioc:
        intake, stop = RecordingIntake(), threading.Event()
        config = PvaSourceConfig(
            f"{ioc.prefix}Pva1:Image", beside=perkin_elmer_pvs(ioc.prefix), network=tuple(ioc.epics.items())
        )
        thread = threading.Thread(target=PvaSource(config, SystemClock()).run, args=(intake, stop))
        thread.start()
        try:
            intake.wait_for(lambda: intake.is_connected)
            with Context("pva", conf=ioc.epics) as context:
                context.put(f"{ioc.prefix}cam1:ImageMode", 2)
                context.put(f"{ioc.prefix}cam1:Acquire", 1)
            intake.wait_for(lambda: len(intake.frames) == 5)
            ioc.kill()
            intake.wait_for(lambda: not intake.is_connected)
        finally:
            stop.set()
            thread.join(20)
    assert intake.ids == [1, 2, 3, 4, 5]
    assert intake.refusals == []
    assert intake.frames[0].exposure_s == pytest.approx(0.05)
    assert intake.frames[0].conditions.trigger_mode == "Internal"

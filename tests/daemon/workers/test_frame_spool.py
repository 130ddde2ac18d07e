"""Frames that find the memory full: nothing is forgotten, their order stays, and a kill leaves them where they are."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import ManualClock
from fakes.stages import frame
from ringwatch_daemon.core.channels import ChannelClosed
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.intake import DaemonWasDown, DroppedFrame, Intake, Overflow, RefusedFrame, SourceWarning
from ringwatch_daemon.workers.frame_spool import LEAST_BYTES, FrameSpool
from ringwatch_daemon.workers.spooled_frames import key_in, read_frame, write_frame
from ringwatch_pipelines.frames import DetectorConditions, FrameKind

TESTS = Path(__file__).resolve().parents[2]
NOBODY = frozenset()


@pytest.mark.parametrize("damage", [(b'"received_ns"', b'"received_nx"'), (b'"unique_id": 5', b'"unique_id":""')])
def test_a_frame_whose_head_was_damaged_is_left_out_when_the_spool_is_taken_up(tmp_path, damage):
    write_frame(tmp_path / "000000000000.frame", frame(5))
    content = (tmp_path / "000000000000.frame").read_bytes()
    before, after = damage
    assert before in content
    (tmp_path / "000000000000.frame").write_bytes(content.replace(before, after.ljust(len(before))))
    assert FrameSpool(tmp_path, quota_bytes=10**9).recover(NOBODY) == ()
    assert list(tmp_path.iterdir()) == []


def intake_with(spool, *, capacity: int = 2) -> Intake:
    return Intake(capacity=capacity, overflow=Overflow.DROP_NEWEST, clock=ManualClock(), spool=spool)


def all_items(intake: Intake) -> list:
    items = []
    intake.close("enough")
    while True:
        try:
            items.append(intake.take(0.1))
        except ChannelClosed:
            return items


def told(items) -> list:
    """Unique ids of frames, kinds of everything else."""
    return [item.kind if isinstance(item, SourceWarning) else getattr(item, "unique_id", item) for item in items]


@given(
    dtype=st.sampled_from(["u1", "<u2", ">u2", "<i4", "<f4", "<f8"]),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 9)),
    attributes=st.lists(st.tuples(st.text(max_size=9), st.one_of(st.integers(-9, 9), st.text(max_size=9))), max_size=4),
    monitor=st.floats(),
)
def test_a_frame_comes_back_from_its_file_as_it_was(tmp_path_factory, dtype, shape, attributes, monitor):
    path = tmp_path_factory.mktemp("spool") / "1.frame"
    image = np.arange(shape[0] * shape[1]).reshape(shape).astype(dtype)[:, ::-1]
    before = replace(
        frame(7, kind=FrameKind.DARK),
        image=image,
        monitor=monitor,
        conditions=DetectorConditions(0.1, "high", None),
        attributes=tuple(attributes),
        offset_subtracted=True,
    )
    size = write_frame(path, before)
    after = read_frame(path)
    assert size == path.stat().st_size
    assert key_in(path) == (before.unique_id, before.received_ns, size)
    np.testing.assert_array_equal(after.image, image)
    assert after.image.dtype == image.dtype
    np.testing.assert_equal(after.monitor, monitor)
    for name in ("unique_id", "timestamp_ns", "received_ns", "exposure_s", "origin", "kind", "conditions"):
        assert getattr(after, name) == getattr(before, name)
    assert after.attributes == before.attributes
    assert after.offset_subtracted


def test_a_torn_or_damaged_file_is_no_frame(tmp_path):
    path = tmp_path / "1.frame"
    size = write_frame(path, frame(7))
    good = path.read_bytes()
    for end in (0, 5, 20, size - 1):
        path.write_bytes(good[:end])
        with pytest.raises(InputFileError):
            key_in(path)
        with pytest.raises(InputFileError):
            read_frame(path)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(InputFileError, match="checksum"):
        read_frame(path)


def test_frames_beyond_the_memory_come_back_in_their_order_with_every_notice_in_its_place(tmp_path):
    spool = FrameSpool(tmp_path / "spool", quota_bytes=2**30, handover_frames=100)
    intake = intake_with(spool)
    for number in range(1, 31):
        intake.frame(frame(number))
        if number == 20:
            intake.refused(unique_id=1000, timestamp_ns=0, reason="UNREADABLE", text="bad")
    items = all_items(intake)
    assert told(items) == ["SPOOL", *range(1, 21), 1000, *range(21, 31), "SPOOL"]
    assert [item.image[0, 0] for item in items if hasattr(item, "image")] == list(range(1, 31))
    assert spool.level().high_water > 0
    spool.close()


def test_past_the_quota_frames_are_dropped_and_named_and_the_alarm_comes_first_and_once(tmp_path):
    spool = FrameSpool(tmp_path / "spool", quota_bytes=5 * LEAST_BYTES, handover_frames=100)
    intake = intake_with(spool)
    for number in range(1, 13):
        intake.frame(frame(number))
    items = all_items(intake)
    assert told(items)[:2] == ["QUEUE_FULL", "SPOOL"]
    assert [number for number in told(items) if isinstance(number, int)] == list(range(1, 13))
    dropped = [item.unique_id for item in items if isinstance(item, DroppedFrame)]
    assert dropped == list(range(8, 13))
    assert intake.level().dropped == spool.level().dropped == 5
    spool.close()


def test_a_frame_stays_on_disk_until_its_row_is_durable(tmp_path):
    spool = FrameSpool(tmp_path / "spool", quota_bytes=2**30, handover_frames=100)
    places = [spool.offer(frame(number)) for number in range(5)]
    spool.close()
    assert len(list((tmp_path / "spool").iterdir())) == 5
    loaded = [place.load() for place in places if place is not None]
    assert [each.unique_id for each in loaded] == list(range(5))
    assert len(list((tmp_path / "spool").iterdir())) == 5
    spool.release((each.unique_id, each.received_ns) for each in loaded)
    assert not list((tmp_path / "spool").iterdir())
    assert spool.level().length == 0


def test_the_next_process_takes_up_what_has_no_row_yet_before_anything_new(tmp_path):
    first = FrameSpool(tmp_path / "spool", quota_bytes=2**30, handover_frames=100)
    for number in range(1, 7):
        first.offer(frame(number))
    first.close()
    (tmp_path / "spool" / "000000000099.frame").write_bytes(b"torn")
    spool = FrameSpool(tmp_path / "spool", quota_bytes=2**30)
    known = frozenset({(1, frame(1).received_ns), (2, frame(2).received_ns)})
    intake = intake_with(spool)
    intake.take_up(spool.recover(known))
    intake.frame(frame(50))
    items = all_items(intake)
    assert [getattr(item, "unique_id", type(item)) for item in items if not isinstance(item, SourceWarning)] == [
        3,
        4,
        5,
        6,
        DaemonWasDown,
        50,
    ]
    assert len(list((tmp_path / "spool").iterdir())) == 4
    spool.close()


def test_a_frame_that_cannot_be_read_back_is_a_refusal_with_its_id(tmp_path):
    first = FrameSpool(tmp_path / "spool", quota_bytes=2**30)
    first.offer(frame(3))
    first.close()
    (path,) = (tmp_path / "spool").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    spool = FrameSpool(tmp_path / "spool", quota_bytes=2**30)
    intake = intake_with(spool)
    intake.take_up(spool.recover(NOBODY))
    (refused,) = [item for item in all_items(intake) if isinstance(item, RefusedFrame)]
    assert refused.unique_id == 3
    assert "checksum" in refused.text


def test_frames_that_the_disk_does_not_take_come_from_memory_and_no_more_are_promised_room(tmp_path, caplog):
    (tmp_path / "spool").write_text("a file where the folder should be")
    spool = FrameSpool(tmp_path / "spool", quota_bytes=2**30, handover_frames=4)
    places = [place for number in range(4) if (place := spool.offer(frame(number))) is not None]
    spool.close()
    assert "cannot be spooled" in caplog.text
    assert [place.load().unique_id for place in places] == list(range(len(places)))
    assert spool.level().length == 0


def test_without_the_memory_for_a_thread_frames_wait_in_memory_until_there_is_some(tmp_path, caplog):
    spool = FrameSpool(tmp_path / "spool", quota_bytes=2**30, handover_frames=4)
    usual = threading.stack_size(2**46)
    try:
        places = [spool.offer(frame(number)) for number in range(6)]
    finally:
        threading.stack_size(usual)
    assert "can't start new thread" in caplog.text
    waiting = [place for place in places if place is not None]
    assert [place.load().unique_id for place in waiting] == list(range(4))
    while spool.offer(frame(6)) is None:
        time.sleep(0.001)  # the thread is there now, and comes to what waits
    spool.close()
    assert [read_frame(path).unique_id for path in (tmp_path / "spool").iterdir()] == [6]


def test_what_a_killed_process_had_spooled_is_there_again(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from daemon.workers import test_frame_spool as t; t.spool_for_ever(Path(sys.argv[1]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "spool"), str(TESTS)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            written = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    spool = FrameSpool(tmp_path / "spool", quota_bytes=2**30)
    frames = [place.load() for place in spool.recover(NOBODY)]
    assert [each.unique_id for each in frames] == list(range(len(frames)))
    assert len(frames) >= written
    spool.close()


def spool_for_ever(folder: Path) -> None:
    """Spool frame after frame, and say how many are on disk."""
    spool, number = FrameSpool(folder, quota_bytes=2**30, handover_frames=2), 0
    while True:
        number += spool.offer(frame(number)) is not None
        print(len(list(folder.glob("*.frame"))) - 1, flush=True)


def test_handing_over_never_waits_for_a_disk_that_stands_still(tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    os.mkfifo(folder / "000000000000.frame")  # opening it waits for a reader that never comes
    spool = FrameSpool(folder, quota_bytes=2**30, handover_frames=3)
    taken = [spool.offer(frame(number)) for number in range(10)]
    assert 3 <= sum(place is not None for place in taken) <= 4
    with (folder / "000000000000.frame").open("rb") as reader:
        drained = threading.Thread(target=reader.read, daemon=True)
        drained.start()
        spool.close()

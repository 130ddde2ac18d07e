"""The intake: bounded in frames, and it never forgets one silently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import ManualClock
from fakes.stages import frame, in_thread
from ringwatch_daemon.core.channels import ChannelClosed
from ringwatch_daemon.core.intake import (
    ConnectionChange,
    DroppedFrame,
    Intake,
    Overflow,
    RefusedFrame,
    SourceWarning,
)
from ringwatch_pipelines.frames import Frame

PATIENCE_S = 60.0


def new_intake(capacity: int = 2, overflow: Overflow = Overflow.DROP_NEWEST) -> Intake:
    return Intake(capacity=capacity, overflow=overflow, clock=ManualClock(utc_ns=77))


def everything_in(intake: Intake) -> list[object]:
    items = []
    while (item := intake.take(0.0)) is not None:
        items.append(item)
    return items


def test_what_a_source_tells_comes_out_in_its_order_with_the_time_of_the_clock():
    intake = new_intake()
    intake.connection(connected=True, text="there")
    intake.frame(frame(1))
    intake.refused(unique_id=None, timestamp_ns=5, reason="UNREADABLE", text="bytes")
    intake.warning(kind="STALL", text="silence")
    connection, first, refused, warning = everything_in(intake)
    assert connection == ConnectionChange(77, connected=True, text="there")
    assert isinstance(first, Frame)
    assert first.unique_id == 1
    assert refused == RefusedFrame(None, 5, 77, "UNREADABLE", "bytes")
    assert warning == SourceWarning(77, "STALL", "silence")


def test_a_frame_that_finds_the_intake_full_is_dropped_named_and_counted():
    intake = new_intake(capacity=2)
    for number in range(1, 6):
        intake.frame(frame(number))
    items = everything_in(intake)
    assert [item.unique_id for item in items] == [1, 2, 3, 4, 5]
    assert [type(item) for item in items] == [Frame, Frame, DroppedFrame, DroppedFrame, DroppedFrame]
    dropped, whole = items[2], frame(3)
    assert (dropped.timestamp_ns, dropped.received_ns) == (whole.timestamp_ns, whole.received_ns)
    level = intake.level()
    assert (level.length, level.high_water, level.capacity, level.dropped) == (0, 2, 2, 3)


def test_refusals_need_no_room_among_the_frames():
    intake = new_intake(capacity=1)
    intake.frame(frame(1))
    intake.refused(unique_id=2, timestamp_ns=5, reason="UNREADABLE", text="bytes")
    intake.frame(frame(3))
    assert [type(item) for item in everything_in(intake)] == [Frame, RefusedFrame, DroppedFrame]


def test_notes_are_bounded_too():
    intake = Intake(capacity=1, overflow=Overflow.DROP_NEWEST, clock=ManualClock(utc_ns=77), notes_capacity=50)
    for _ in range(60):
        intake.warning(kind="STALL", text="")
    assert len(everything_in(intake)) == 51


def test_a_source_that_may_wait_waits_for_room():
    intake = new_intake(capacity=1, overflow=Overflow.WAIT)
    intake.frame(frame(1))
    source = in_thread(lambda: intake.frame(frame(2)))
    got = [intake.take(PATIENCE_S), intake.take(PATIENCE_S)]
    source.join(PATIENCE_S)
    assert [item.unique_id for item in got] == [1, 2]
    assert intake.level().dropped == 0


def test_closing_frees_a_source_that_waits_for_room():
    intake = new_intake(capacity=1, overflow=Overflow.WAIT)
    intake.frame(frame(1))
    source = in_thread(lambda: intake.frame(frame(2)))
    intake.close("enough")
    source.join(PATIENCE_S)
    assert not source.is_alive()
    assert [item.unique_id for item in [intake.take(0.0)]] == [1]


def test_a_closed_and_empty_intake_says_why():
    intake = new_intake()
    intake.frame(frame(1))
    intake.close("the source ended")
    intake.frame(frame(2))
    intake.warning(kind="STALL", text="too late")
    assert isinstance(intake.take(0.0), Frame)
    with pytest.raises(ChannelClosed, match="the source ended"):
        intake.take(0.0)


def test_closing_frees_a_stage_that_waits_for_something():
    intake = new_intake()
    told: list[str] = []

    def work() -> None:
        try:
            intake.take(PATIENCE_S)
        except ChannelClosed as end:
            told.append(str(end))

    stage = in_thread(work)
    intake.close("a stop was asked for")
    stage.join(PATIENCE_S)
    assert told == ["a stop was asked for"]


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 4))
def test_every_frame_comes_out_once_whole_or_as_a_name(steps, capacity):
    intake = new_intake(capacity=capacity)
    put, got = [], []
    for number, is_put in enumerate(steps):
        if is_put:
            intake.frame(frame(number))
            put.append(number)
        elif (item := intake.take(0.0)) is not None:
            got.append(item)
        assert intake.level().length <= capacity
    got.extend(everything_in(intake))
    assert [item.unique_id for item in got] == put
    assert sum(isinstance(item, DroppedFrame) for item in got) == intake.level().dropped

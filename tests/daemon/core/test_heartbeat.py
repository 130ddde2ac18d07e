"""The beat is that of the data path: held back by a stage that hangs, not by one with nothing to do."""

import pytest

from fakes.clock import ManualClock
from ringwatch_daemon.core.heartbeat import Heartbeat

EVERY_S = 5.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def beats() -> list[bool]:
    """Each beat, and whether it told of work."""
    return []


@pytest.fixture
def heartbeat(clock: ManualClock, beats: list[bool]) -> Heartbeat:
    return Heartbeat(beat=beats.append, every_s=EVERY_S, clock=clock)


def test_a_stage_that_does_not_turn_over_is_named_and_one_that_has_ended_is_not(
    clock: ManualClock, heartbeat: Heartbeat
) -> None:
    turned = {name: heartbeat.stage(name) for name in ("analysis", "sinks")}
    clock.go_on(61.0)
    assert heartbeat.silent(60.0) == ("analysis", "sinks")
    turned["sinks"](False)
    assert heartbeat.silent(60.0) == ("analysis",)
    turned["analysis"](True)
    assert heartbeat.silent(60.0) == ()
    clock.go_on(61.0)
    heartbeat.ended("sinks")
    assert heartbeat.silent(60.0) == ("analysis",)


def test_it_beats_when_the_last_stage_has_turned_over(heartbeat: Heartbeat, beats: list[bool]) -> None:
    analysis, sinks = heartbeat.stage("analysis"), heartbeat.stage("sinks")
    analysis(False)
    assert beats == []
    sinks(False)
    assert len(beats) == 1


def test_a_stage_that_hangs_holds_it_back_however_often_the_other_turns(
    heartbeat: Heartbeat, beats: list[bool], clock: ManualClock
) -> None:
    analysis, sinks = heartbeat.stage("analysis"), heartbeat.stage("sinks")
    analysis(True)
    sinks(True)
    for _ in range(100):
        clock.go_on(EVERY_S)
        sinks(True)
    assert len(beats) == 1
    analysis(True)
    assert len(beats) == 2


def test_it_beats_no_more_often_than_asked_for(heartbeat: Heartbeat, beats: list[bool], clock: ManualClock) -> None:
    turned = heartbeat.stage("analysis")
    for _ in range(21):
        turned(False)
        clock.go_on(EVERY_S / 10)
    assert len(beats) == 3


def test_without_turns_there_is_no_beat_however_much_time_goes_by(
    heartbeat: Heartbeat, beats: list[bool], clock: ManualClock
) -> None:
    heartbeat.stage("analysis")
    clock.go_on(100 * EVERY_S)
    assert beats == []


def test_a_stage_that_has_ended_is_not_waited_for(heartbeat: Heartbeat, beats: list[bool]) -> None:
    heartbeat.stage("analysis")
    sinks = heartbeat.stage("sinks")
    heartbeat.ended("analysis")
    sinks(True)
    assert beats == [True]


def test_a_beat_tells_of_all_work_since_the_one_before(
    heartbeat: Heartbeat, beats: list[bool], clock: ManualClock
) -> None:
    turned = heartbeat.stage("sinks")
    turned(False)
    turned(True)
    turned(False)
    clock.go_on(EVERY_S)
    turned(False)
    clock.go_on(EVERY_S)
    turned(False)
    assert beats == [False, True, False]

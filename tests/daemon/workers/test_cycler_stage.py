"""The cycler is read beside the analysis, to its last row."""

import threading

from fakes.records import cycling_samples
from fakes.stages import ScriptedCycler, in_thread
from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.workers.cycler_stage import CyclerProblem, CyclerStage

PATIENCE_S = 60.0


def stopped() -> threading.Event:
    stop = threading.Event()
    stop.set()
    return stop


def found_by(reader: ScriptedCycler) -> list[object]:
    found = Channel("cycler", 100)
    CyclerStage(reader=reader, found=found).run(stopped())
    assert reader.closed
    return found.take_all(0.0) if found.level().length else []


def test_what_the_cycler_wrote_until_the_stop_is_read_to_its_end():
    stretches = [cycling_samples(first=first).samples for first in (0, 5, 10)]
    assert found_by(ScriptedCycler(*stretches)) == stretches


def test_an_empty_stretch_is_nothing():
    assert found_by(ScriptedCycler(cycling_samples(count=0).samples)) == []


def test_the_same_problem_twice_running_is_told_once():
    bad = CyclerError("line 9 holds letters")
    assert found_by(ScriptedCycler(bad, bad)) == [CyclerProblem("line 9 holds letters")]


def test_a_problem_that_was_mended_and_comes_back_is_told_again():
    bad, samples = CyclerError("line 9 holds letters"), cycling_samples().samples
    problem = CyclerProblem("line 9 holds letters")
    assert found_by(ScriptedCycler(bad, samples, bad)) == [problem, samples, problem]


def test_a_reader_that_waits_for_room_ends_when_nobody_takes_any_more():
    reader = ScriptedCycler(always=cycling_samples().samples)
    found, stop = Channel("cycler", 1), threading.Event()
    thread = in_thread(lambda: CyclerStage(reader=reader, found=found).run(stop))
    assert found.take(PATIENCE_S) is not None
    found.close()
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert reader.closed


def test_samples_come_while_the_run_goes_on():
    samples = cycling_samples().samples
    found, stop = Channel("cycler", 10), threading.Event()
    thread = in_thread(lambda: CyclerStage(reader=ScriptedCycler(CyclerError("busy"), samples), found=found).run(stop))
    got: list[object] = []
    while len(got) < 2:
        got.extend(found.take_all(PATIENCE_S))
    assert got == [CyclerProblem("busy"), samples]
    stop.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()

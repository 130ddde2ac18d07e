"""Whether frames are counted where they are read is decided by what analyses them."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes.configurations import configuration
from fakes.intake import RecordingIntake
from fakes.quarter_rings import BINNING, geometry, light
from ringwatch_daemon.composition.frame_sources import file_source
from ringwatch_daemon.composition.reading import source_of
from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.composition.science import Science
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.sources.frame_reading import FrameReading
from ringwatch_daemon.sources.read_ahead import ReadingThreads
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.reduction.corrections import Corrections
from ringwatch_pipelines.reduction.counting import CountedFrame
from ringwatch_pipelines.several_cells import SeveralCells

RECIPE = Recipe(geometry=geometry(), corrections=Corrections(), binning=BINNING)
OTHER = replace(RECIPE, cadence=RECIPE.cadence)


def read_for(tmp_path: Path, analyser, *, ahead: bool = True) -> tuple[RecordingIntake, list[FrameReading]]:
    """What a run with this analyser is handed, and how its readers were told to read."""
    np.save(tmp_path / "frame.npy", light(1).image)
    settings = load_settings(configuration(tmp_path, "[binning]\nbins = 20"))
    told: list[FrameReading] = []

    def readers(reading: FrameReading) -> ReadingThreads:
        told.append(reading)
        return ReadingThreads(reading, threads=1)

    plan = RunPlan(
        settings=settings,
        configuration="",
        source=file_source(settings, (str(tmp_path / "frame.npy"),)),
        overflow=Overflow.WAIT,
        readers=readers if ahead else None,
    )
    intake = RecordingIntake()
    source_of(plan, Science(analyser, (), ())).run(intake, threading.Event())
    return intake, told


@pytest.mark.parametrize(
    "analyser",
    [Analyser(RECIPE), SeveralCells({"one": RECIPE, "two": RECIPE})],
    ids=["one cell", "cells alike"],
)
def test_frames_are_counted_on_one_thread_each_where_they_are_read(tmp_path: Path, analyser):
    intake, (reading,) = read_for(tmp_path, analyser)
    (frame,) = intake.frames
    assert isinstance(frame, CountedFrame)
    assert reading.counter.pattern.threads == 1
    expected = analyser.counter.pattern.count(light(1).image)
    np.testing.assert_array_equal(frame.counts.pattern.raw, expected.raw)


def test_frames_that_different_cells_count_differently_are_left_to_the_analysis(tmp_path: Path):
    intake, (reading,) = read_for(tmp_path, SeveralCells({"one": RECIPE, "two": OTHER}))
    assert reading.counter is None
    np.testing.assert_array_equal(intake.frames[0].image, light(1).image)


def test_without_readers_a_file_is_read_when_its_turn_has_come(tmp_path: Path):
    intake, told = read_for(tmp_path, Analyser(RECIPE), ahead=False)
    assert told == []
    assert not isinstance(intake.frames[0], CountedFrame)

"""What an analysis may leave to the next process."""

import numpy as np

from ringwatch_daemon.core.records import Checkpoint
from ringwatch_pipelines.analysis_memory import AnalyserMemory
from ringwatch_pipelines.frames import DetectorConditions
from ringwatch_pipelines.patterns import BinSums
from ringwatch_pipelines.reduction.corrections import Dark
from ringwatch_pipelines.reduction.darks import DarkMemory, DarkSeries
from ringwatch_pipelines.reduction.frame_quality import JudgeState, QualityState
from ringwatch_pipelines.reduction.lag import LagState, Light
from ringwatch_pipelines.tracks.change_points import OnsetRule, OnsetState
from ringwatch_pipelines.tracks.onsets import OnsetMemory

CONDITIONS = DetectorConditions(exposure_s=0.1, gain="high")


def memory(row: int, *, series: bool = False) -> AnalyserMemory:
    """What an analyser may remember after a row; every number tells the row."""
    image = np.full((4, 5), 7.25)
    sums = BinSums(np.arange(3) + row, np.ones(3), np.full(3, 2.0), np.full(3, 0.1 * row), frames=2)
    onset = OnsetState(OnsetRule(5.0), frames=row, history=np.full((row % 7, 3), 0.5))
    return AnalyserMemory(
        darks=DarkMemory(
            kept=((3, Dark(image, CONDITIONS, timestamp_ns=5, frames=8, origin="a test")),),
            next_index=4,
            series=DarkSeries(image * row, CONDITIONS, row, "frames 1 ff. of a test", 2) if series else None,
        ),
        parameters=np.linspace(0, 1, 11) * row,
        chi_square=1.0 + row,
        misfits=row % 3,
        sums=sums,
        sum_began_ns=row,
        textures=(sums, None),
        onsets=OnsetMemory(row, (("lioh", onset),)),
        lags=(LagState(row, (Light(np.arange(3.0), np.ones(3), measured=False),)), LagState()),
        judge=JudgeState(QualityState(np.ones(3), np.full(3, 0.5), CONDITIONS, poor=1), frames=row, usual=0.25),
        told_dark=3,
        told_offset=False,
        rings_checked=True,
    )


def checkpoint(row: int = 7) -> Checkpoint:
    """All of it."""
    return Checkpoint(memory(row, series=True), ("a flag, with a comma",))

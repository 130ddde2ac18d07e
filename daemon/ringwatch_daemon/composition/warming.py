"""The first frame must not wait for compilers: every loop that it needs runs once before the service is ready."""

from contextlib import suppress

import numpy as np

from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import Pattern
from ringwatch_pipelines.several_cells import SeveralCells
from ringwatch_pipelines.tracks.tracking import TrackerState, track

COUNTS = 100.0


def warm_up(analyser: Analyser | SeveralCells, recipe: Recipe) -> None:
    """Load or compile what counting and fitting a frame takes; nothing of it is remembered.

    Machine code is made for a type of frame; the made-up one here is read-only uint16, as nearly all of them are.
    """
    image = read_only(np.full(recipe.geometry.shape, int(COUNTS), dtype=np.uint16))
    if analyser.counter is not None:
        analyser.counter.count(image)
    if recipe.fit is not None:
        two_theta_deg = analyser.axis.mean_two_theta_deg
        level = np.full(two_theta_deg.shape, COUNTS)
        flat = Pattern(two_theta_deg, level, np.sqrt(level), np.ones_like(level))
        # A flat pattern need not be one that can be fitted.
        with suppress(ArithmeticError, ValueError, np.linalg.LinAlgError):
            track(TrackerState(), flat, recipe.fit)

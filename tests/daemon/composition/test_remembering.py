from pathlib import Path

import numpy as np
import pytest

from fakes import quarter_rings
from fakes.synthetic_patterns import lagp, lithium, recipe
from ringwatch_daemon.composition.remembering import array_store, usual_folder
from ringwatch_daemon.composition.warming import warm_up
from ringwatch_daemon.workers.array_cache import ArrayCache
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.reduction.array_store import NothingKept
from ringwatch_pipelines.reduction.corrections import Corrections


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/rw:/other", "XDG_CACHE_HOME": "/x"}, "/var/cache/rw/calibrations"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/ringwatch/calibrations"),
        ({}, str(Path.home() / ".cache" / "ringwatch" / "calibrations")),
    ],
)
def test_the_usual_folder_is_the_services_or_the_users(environment, folder):
    assert usual_folder(environment) == Path(folder)
    assert array_store(True, environment) == ArrayCache(Path(folder))


def test_a_folder_of_ones_own_or_none():
    assert array_store(Path("/here")) == ArrayCache(Path("/here"))
    assert isinstance(array_store(False), NothingKept)


def test_warming_up_leaves_no_trace():
    how = Recipe(
        geometry=quarter_rings.geometry(),
        corrections=Corrections(),
        binning=quarter_rings.BINNING,
        fit=recipe(lagp(), lithium()),
    )
    warmed, cold = Analyser(how), Analyser(how)
    warm_up(warmed, how)
    frame = quarter_rings.light(3)
    one, other = (each.analyse(frame, timestamp_ns=frame.timestamp_ns) for each in (warmed, cold))
    np.testing.assert_array_equal(one.pattern.intensity, other.pattern.intensity)
    assert one.tracked.chi_square == other.tracked.chi_square
    assert one.tracked.fit_state.has_values

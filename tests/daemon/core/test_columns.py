"""The one table of what stands under /entry/tracking: the columns of a run, and a value for each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import synthetic_patterns
from fakes.synthetic_patterns import Truth, lagp, lioh, lithium
from ringwatch_daemon.composition.recipes import recipe_from_settings
from ringwatch_daemon.core.columns import (
    columns_from_tracked,
    fixed_tables_from_tracked,
    times_of_lines,
    values_from_tracked,
)
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.results import Estimate, FitState, TextureTrack
from ringwatch_pipelines.tracks.tracking import TrackerState, blank_tracked, track

CONFIG = Path(__file__).resolve().parents[3] / "config" / "beamline.toml"
RECIPE = synthetic_patterns.recipe(lagp(), lithium(), lioh())
REPORTED = (("lagp", ("113",)),)
BLANK = replace(blank_tracked(RECIPE, FitState.NOT_FITTED), texture=(TextureTrack("110"),))

PROMISED = {
    "fit_state",
    "chi_square",
    "hump/amplitude",
    *(f"lagp/{name}" for name in ("a", "c", "size_nm", "strain", "intensity_113")),
    *(f"lagp/{name}_errors" for name in ("a", "c", "size_nm", "strain", "intensity_113")),
    *(f"lagp/peaks/{name}" for name in ("two_theta", "two_theta_errors", "shift", "area", "area_errors", "fwhm")),
    *(f"li/{name}" for name in ("a", "area_110", "area_110_errors", "area_200", "area_200_errors", "area_211")),
    *(f"li/{name}" for name in ("ratio", "ratio_errors", "ratio_state")),
    *(f"{phase}/{name}" for phase in ("lioh", "alpo4") for name in ("amount", "amount_errors", "z")),
    *(f"texture/{name}_110" for name in ("spot_fraction", "smooth", "a2")),
}


def fitted():
    _, _, tracked = track(TrackerState(), synthetic_patterns.pattern(Truth(), seed=1), RECIPE)
    return replace(tracked, texture=(TextureTrack("110", Estimate(0.1, 0.01)),))


@pytest.fixture(scope="module")
def example_columns():
    settings = load_settings(CONFIG)
    blank = blank_tracked(recipe_from_settings(settings).fit, FitState.NOT_FITTED)
    reported = tuple((phase.name, phase.reported_lines) for phase in settings.phases)
    return columns_from_tracked(replace(blank, texture=(TextureTrack("110"),)), reported=reported)


def test_the_example_has_every_path_that_the_design_promises(example_columns):
    assert {column.path for column in example_columns} >= PROMISED


def test_no_path_stands_twice(example_columns):
    paths = [column.path for column in example_columns]
    assert len(set(paths)) == len(paths)


def test_every_column_says_what_it_is(example_columns):
    assert all(column.long_name for column in example_columns)
    for column in example_columns:
        if column.path.endswith("_errors"):
            (value,) = [other for other in example_columns if other.path == column.path.removesuffix("_errors")]
            assert (value.unit, value.kind, value.peaks) == (column.unit, column.kind, column.peaks)


@pytest.mark.parametrize("tracked", [fitted(), BLANK], ids=["fitted", "blank"])
def test_every_column_has_a_value_of_its_kind_and_length(tracked):
    values = values_from_tracked(tracked)
    for column in columns_from_tracked(BLANK, reported=REPORTED):
        value = values[column.path]
        assert isinstance(value, str) == (column.kind == "state")
        assert np.shape(value) == ((column.peaks,) if column.peaks else ())


def test_a_blank_has_states_and_no_numbers():
    for path, value in values_from_tracked(BLANK).items():
        assert isinstance(value, str) or np.isnan(value).all(), path


def test_a_fitted_value_stands_under_its_path():
    tracked, values = fitted(), values_from_tracked(fitted())
    free, lines, reference = tracked.phases
    assert values["lagp/a"] == dict(free.lattice)["a"].value
    assert values["lagp/c_errors"] == dict(free.lattice)["c"].sigma
    place = free.peaks.hkl.tolist().index([1, 1, 3])
    assert values["lagp/intensity_113"] == values["lagp/peaks/area"][place]
    assert values["li/ratio"] == lines.ratio.value
    assert values["li/area_200_errors"] == next(line.area.sigma for line in lines.lines if line.label == "200")
    assert values["lioh/z"] == reference.z
    assert values["texture/spot_fraction_110"] == 0.1
    assert values["fit_state"] == "CONVERGED"


def test_the_miller_indices_of_the_peaks_are_those_of_their_columns():
    (table,) = fixed_tables_from_tracked(BLANK)
    (areas,) = [column for column in columns_from_tracked(BLANK, reported=()) if column.path == "lagp/peaks/area"]
    assert table.path == "lagp/peaks/hkl"
    assert table.values.shape == (areas.peaks, 3)
    assert table.values.dtype == np.int32


def test_each_peak_and_line_of_a_scan_has_its_time_and_one_outside_has_none():
    free, lines, *_ = BLANK.phases
    labels = ["".join(map(str, hkl)) for hkl in free.peaks.hkl.tolist()]
    known = {free.name: dict.fromkeys(labels[1:], 0.25), lines.name: {"110": 0.75}}
    tables = {each.path: each.values for each in times_of_lines(BLANK, known)}
    assert np.isnan(tables["lagp/peaks/measured_at"][0])
    assert set(tables["lagp/peaks/measured_at"][1:]) == {0.25}
    assert tables["li/measured_at_110"] == 0.75
    assert np.isnan(tables["li/measured_at_200"])


def test_without_a_fit_little_is_promised():
    paths = [column.path for column in columns_from_tracked(replace(BLANK, phases=(), texture=()), reported=())]
    assert paths == ["fit_state", "chi_square", "hump/amplitude", "hump/amplitude_errors"]

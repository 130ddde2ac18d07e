from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import DISTANCE_MM, WAVELENGTH_M, Truth, lagp, lithium, pattern, recipe
from ringwatch_daemon.core.columns import columns_from_tracked, values_from_tracked
from ringwatch_pipelines.crystals.phases import PhaseRole, Site, phase_from_cell
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit.displacement import Displacement, seen_angle_from_displacement
from ringwatch_pipelines.results import FitState, PeakState
from ringwatch_pipelines.tracks.tracking import TrackerState, blank_tracked, track

DISPLACED = Truth(displacement_mm=0.1)
KNOWN_TO = 5e-6
KNOWN_LITHIUM = replace(lithium(), lattice_prior=KNOWN_TO)
WITH_STANDARD = recipe(lagp(), KNOWN_LITHIUM, displacement=Displacement(distance_m=1e-3 * DISTANCE_MM))
NOMINAL = recipe(lagp(), lithium())


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def series(truths, fit_recipe):
    state, found = TrackerState(), []
    for seed, truth in enumerate(truths):
        state, _, tracked = track(state, pattern(truth, seed), fit_recipe)
        assert tracked.fit_state is FitState.CONVERGED
        found.append(tracked)
    return found


def lattice(found, name):
    """(frames,) value and sigma."""
    estimates = [dict(tracked.phases[0].lattice)[name] for tracked in found]
    return np.array([one.value for one in estimates]), np.array([one.sigma for one in estimates])


@pytest.fixture(scope="module")
def displaced():
    """Fits of many noise draws, each of a standard as far off its known lattice as that is uncertain."""
    off = KNOWN_TO * np.random.default_rng(5).standard_normal(50)
    return series([replace(DISPLACED, a_li=DISPLACED.a_li * (1.0 + part)) for part in off], WITH_STANDARD)


def test_the_radius_of_a_ring_is_what_a_displacement_stretches():
    angles = np.array([0.5, 3.0, 30.0, 89.0, 120.0])
    seen, by_angle, by_mm = seen_angle_from_displacement(two_theta_deg=angles, displacement_mm=2.0, distance_m=0.2)
    np.testing.assert_allclose(200.0 * np.tan(np.radians(seen)), 202.0 * np.tan(np.radians(angles)), rtol=1e-12)
    assert np.all(np.diff(seen) > 0.0)
    for changed, slope, step in (((angles + 1e-5, 2.0), by_angle, 1e-5), ((angles, 2.0 + 1e-5), by_mm, 1e-5)):
        moved, _, _ = seen_angle_from_displacement(two_theta_deg=changed[0], displacement_mm=changed[1], distance_m=0.2)
        np.testing.assert_allclose((moved - seen) / step, slope, rtol=1e-4)


def test_without_a_standard_a_displacement_passes_for_a_smaller_lattice():
    found = series([DISPLACED] * 5, NOMINAL)
    for name, true in (("a", DISPLACED.a), ("c", DISPLACED.c)):
        value, sigma = lattice(found, name)
        assert np.mean(value / true - 1.0) == pytest.approx(-6.3e-5, abs=3e-6)
        assert np.all(sigma / true < 1e-5)
    assert np.mean([one.chi_square for one in found]) == pytest.approx(1.0, abs=0.1)


def test_with_a_standard_the_lattice_is_the_true_one_within_its_sigma(displaced):
    for name, true in (("a", DISPLACED.a), ("c", DISPLACED.c)):
        value, sigma = lattice(displaced, name)
        assert np.sqrt(np.mean((value / true - 1.0) ** 2)) < 2e-5
        assert 0.7 < np.std((value - true) / sigma) < 1.35
        assert abs(np.mean((value - true) / sigma)) < 4.0 / np.sqrt(len(displaced))


def test_the_displacement_is_found_within_its_sigma(displaced):
    pulls = np.array([(one.displacement_mm.value - 0.1) / one.displacement_mm.sigma for one in displaced])
    assert abs(pulls.mean()) < 4.0 / np.sqrt(pulls.size)
    assert 0.7 < pulls.std() < 1.35
    assert max(one.displacement_mm.sigma for one in displaced) < 0.03


def test_the_ratio_of_the_lattice_parameters_is_as_sharp_as_without():
    (with_one,), (without,) = series([DISPLACED], WITH_STANDARD), series([DISPLACED], NOMINAL)
    ratios = [lattice([one], "c")[0][0] / lattice([one], "a")[0][0] for one in (with_one, without)]
    assert ratios[0] == pytest.approx(ratios[1], rel=2e-6)


@pytest.mark.parametrize("known_to", [1e-5, 3e-5, 1e-4])
def test_sigma_contains_how_well_the_standard_is_known(known_to):
    fitted = replace(WITH_STANDARD, phases=(lagp(), replace(lithium(), lattice_prior=known_to)))
    (found,) = series([DISPLACED], fitted)
    _, sigma = lattice([found], "a")
    assert 0.9 * known_to < sigma[0] / DISPLACED.a < known_to + 1e-5


def test_a_standard_that_is_not_there_leaves_little_more_than_what_was_known_beforehand():
    (found,) = series([replace(DISPLACED, li_110=0.0, li_200=0.0)], WITH_STANDARD)
    assert found.phases[1].state is PeakState.ABSENT
    assert 0.5 < found.displacement_mm.sigma <= 1.0
    value, sigma = lattice([found], "a")
    assert sigma[0] / DISPLACED.a == pytest.approx(found.displacement_mm.sigma / DISTANCE_MM, rel=0.05)
    assert abs(value[0] - DISPLACED.a) < 4.0 * sigma[0]


def test_a_frame_without_standard_does_no_harm_to_the_next():
    state, _, _ = track(TrackerState(), pattern(DISPLACED, 0), WITH_STANDARD)
    state, _, _ = track(state, pattern(replace(DISPLACED, li_110=0.0, li_200=0.0), 1), WITH_STANDARD)
    _, _, found = track(state, pattern(DISPLACED, 2), WITH_STANDARD)
    value, sigma = lattice([found], "a")
    assert abs(value[0] - DISPLACED.a) < 4.0 * sigma[0]


def test_copper_rings_are_a_standard_too():
    """A phase whose lines the pattern shows at its own, known lattice; here the lines of the lithium are called so."""
    copper = phase_from_cell(
        name="cu",
        role=PhaseRole.REFERENCE,
        cell=(3.51, 3.51, 3.51, 90, 90, 90),
        space_group="I m -3 m",
        d_min_A=2.0,
        wavelength_m=WAVELENGTH_M,
        sites=(Site("Cu", 0, 0, 0),),
        lattice_prior=2e-6,
        size_nm=100.0,
    )
    fitted = recipe(lagp(), copper, displacement=Displacement(distance_m=1e-3 * DISTANCE_MM))
    (found,) = series([replace(DISPLACED, li_200=0.0)], replace(fitted, two_theta_range_deg=(1.0, 3.6)))
    value, sigma = lattice([found], "a")
    assert abs(value[0] - DISPLACED.a) < 4.0 * sigma[0]
    assert sigma[0] / DISPLACED.a < 2e-5


def test_a_displacement_has_columns_only_where_it_is_refined():
    blank = blank_tracked(WITH_STANDARD, FitState.NOT_FITTED)
    paths = [column.path for column in columns_from_tracked(blank, reported=())]
    assert {"displacement_mm", "displacement_mm_errors"} <= set(paths)
    assert "displacement_mm" in values_from_tracked(blank)
    nominal = blank_tracked(NOMINAL, FitState.NOT_FITTED)
    assert "displacement_mm" not in [column.path for column in columns_from_tracked(nominal, reported=())]
    assert "displacement_mm" not in values_from_tracked(nominal)


@pytest.mark.parametrize("wrong", [{"distance_m": 0.0}, {"distance_m": 1.0, "sigma_mm": -1.0}])
def test_a_displacement_without_a_distance_or_sigma_is_refused(wrong):
    with pytest.raises(PhaseError, match="above 0"):
        Displacement(**wrong)

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from scipy.special import voigt_profile
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import (
    RANGE_DEG,
    WAVELENGTH_M,
    Truth,
    axis_deg,
    intensity,
    lagp,
    lioh,
    lithium,
    noisy,
    pattern,
    recipe,
)
from ringwatch_pipelines.crystals.phases import PhaseRole, Site, phase_from_cell
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit.design_matrix import design_matrix
from ringwatch_pipelines.fit.detection import matched_significance, ratio_from_areas, upper_limit
from ringwatch_pipelines.fit.fit_bins import bins_from_pattern
from ringwatch_pipelines.fit.pattern_fit import (
    FitRecipe,
    Hump,
    PatternFit,
    ReferenceBackground,
    constant_instrument_profile,
    fit_pattern,
    layout_from_recipe,
)
from ringwatch_pipelines.patterns import Pattern
from ringwatch_pipelines.results import FitState, PeakState
from ringwatch_pipelines.tracks.phase_tracks import tracked_from_fit
from ringwatch_pipelines.tracks.tracking import TrackerState, track

DRAWS = 60
LAYOUT = layout_from_recipe(recipe(lagp(), lithium(), lioh()))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def fit(truth: Truth, seed: int = 0, layout=LAYOUT, start=None) -> PatternFit:
    return fit_pattern(pattern=pattern(truth, seed), layout=layout, start=start)


def shape_of(result: PatternFit, name: str) -> tuple[float, float]:
    row = result.layout.linear + result.layout.shapes.names.index(name)
    return result.parameters[row], result.sigma(row)


def measured(result: PatternFit) -> dict[str, tuple[float, float]]:
    """Every figure of which the truth is known, with its sigma."""
    solid, metal, hydroxide = tracked_from_fit(result).phases
    found = dict(solid.lattice)
    found |= {"size_nm": solid.size_nm, "strain": solid.strain, "a_li": metal.lattice[0][1]}
    found |= {f"li_{line.label}": line.area for line in metal.lines}
    found |= {"ratio": metal.ratio, "lioh": hydroxide.amount}
    return {name: (estimate.value, estimate.sigma) for name, estimate in found.items()}


def true_values(truth: Truth) -> dict[str, float]:
    names = ("a", "c", "size_nm", "strain", "a_li", "li_110", "li_200", "lioh")
    return {name: getattr(truth, name) for name in names} | {"ratio": truth.li_110 / truth.li_200}


@pytest.fixture(scope="module")
def draws():
    """Fits of many noise draws, LiOH absent."""
    start = fit(Truth(), seed=999).parameters
    return [fit(Truth(), seed, start=start) for seed in range(DRAWS)]


@pytest.fixture(scope="module")
def pulls(draws):
    """(figures, draws) of (measured - true) / sigma."""
    truths = true_values(Truth())
    values = [measured(result) for result in draws]
    return {
        name: np.array([(value[name][0] - true) / value[name][1] for value in values]) for name, true in truths.items()
    }


def agree_with_unit_variance(pulls: dict[str, np.ndarray]) -> bool:
    every = np.concatenate(list(pulls.values()))
    return 0.85 < np.sqrt(np.mean(every**2)) < 1.15


def test_every_fit_converges_with_chi_square_near_one(draws):
    assert {result.state for result in draws} == {FitState.CONVERGED}
    spread = np.sqrt(2.0 / draws[0].degrees_of_freedom)
    chi_square = np.array([result.chi_square for result in draws])
    assert abs(chi_square.mean() - 1.0) < 4.0 * spread / np.sqrt(DRAWS)
    assert chi_square.std() == pytest.approx(spread, rel=0.4)


def test_known_truth_is_recovered_without_bias(pulls):
    for name, pull in pulls.items():
        assert abs(pull.mean()) < 4.0 / np.sqrt(DRAWS), name


def test_stated_sigmas_are_the_scatter(pulls):
    for name, pull in pulls.items():
        assert 0.7 < pull.std() < 1.35, name
    assert agree_with_unit_variance(pulls)


def test_sigmas_off_by_half_would_be_noticed(pulls):
    assert not agree_with_unit_variance({name: pull / 1.5 for name, pull in pulls.items()})
    assert not agree_with_unit_variance({name: pull * 1.5 for name, pull in pulls.items()})


def test_a_shifted_truth_would_be_noticed(draws):
    shifted = replace(Truth(), a=Truth().a * (1.0 + 1e-5))
    pull = [(measured(result)["a"][0] - shifted.a) / measured(result)["a"][1] for result in draws]
    assert abs(np.mean(pull)) > 4.0 / np.sqrt(DRAWS)


def test_the_lithium_ratio_is_unbiased_under_the_stronger_lagp_lines(draws):
    ratios = np.array([measured(result)["ratio"][0] for result in draws])
    assert ratios.mean() == pytest.approx(Truth().li_110 / Truth().li_200, rel=0.025)


def test_an_absent_phase_gives_z_of_unit_normal(draws):
    hydroxide = [tracked_from_fit(result).phases[2] for result in draws]
    z = np.array([phase.z for phase in hydroxide])
    assert abs(z.mean()) < 4.0 / np.sqrt(DRAWS)
    assert 0.75 < z.std() < 1.3
    assert sum(phase.state is PeakState.ABSENT for phase in hydroxide) >= DRAWS - 1
    covered = np.mean([phase.upper_limit > 0.0 for phase in hydroxide])
    assert covered >= 0.95


def test_a_phase_that_is_there_is_measured_with_a_width_of_its_own():
    result = fit(replace(Truth(), lioh=3.0))
    hydroxide = tracked_from_fit(result).phases[2]
    assert hydroxide.state is PeakState.PRESENT
    assert abs(hydroxide.amount.value - 3.0) < 4.0 * hydroxide.amount.sigma
    inverse_size, sigma = shape_of(result, "lioh.inverse_size_per_nm")
    assert abs(inverse_size - 1.0 / 30.0) < 4.0 * sigma


@pytest.mark.parametrize(
    ("by_a", "by_c"), [(0.01, 0.01), (-0.01, 0.01), (0.01, -0.01), (-0.01, -0.01), (0.004, -0.009)]
)
def test_a_cold_start_finds_a_lattice_one_per_cent_away(by_a, by_c):
    truth = replace(Truth(), a=8.257 * (1.0 + by_a), c=20.632 * (1.0 + by_c))
    result = fit(truth)
    found = measured(result)
    assert result.state is FitState.CONVERGED
    for name in ("a", "c"):
        assert abs(found[name][0] - getattr(truth, name)) < 5.0 * found[name][1]


def test_a_warm_start_needs_few_iterations_and_ends_where_a_cold_one_does():
    start = fit(Truth(), seed=1).parameters
    moved = replace(Truth(), a=8.257 * (1.0 - 2e-5))
    warm, cold = fit(moved, seed=2, start=start), fit(moved, seed=2)
    assert warm.iterations <= 4
    other = measured(cold)
    for name, (value, sigma) in measured(warm).items():
        assert abs(value - other[name][0]) < 0.1 * sigma, name


def test_the_same_pattern_gives_the_same_bits():
    one, other = fit(Truth(), seed=5), fit(Truth(), seed=5)
    np.testing.assert_array_equal(one.parameters, other.parameters)
    np.testing.assert_array_equal(one.covariance, other.covariance)


def test_lithium_as_weak_as_its_error_keeps_its_sign_and_its_sigma():
    truth = replace(Truth(), li_110=0.0, li_200=0.0)
    metals = [tracked_from_fit(fit(truth, seed)).phases[1] for seed in range(20)]
    first = np.array([[line.area.value, line.area.sigma] for metal in metals for line in metal.lines[:2]])
    assert np.any(first[:, 0] < 0.0)
    assert np.any(first[:, 0] > 0.0)
    assert np.mean((first[:, 0] / first[:, 1]) ** 2) < 2.0
    assert all(metal.ratio_state is PeakState.ABSENT for metal in metals)
    assert all(np.isfinite(metal.ratio.value) for metal in metals)
    assert sum(metal.state is PeakState.ABSENT for metal in metals) >= 18


def test_model_and_background_cover_the_bins_that_count():
    result = fit(Truth(), layout=layout_from_recipe(recipe(lagp(), lithium(), excluded_deg=((1.0, 1.7),))))
    inside = axis_deg() > 1.7
    np.testing.assert_array_equal(np.isfinite(result.model), inside)
    expected = intensity(Truth())
    residual = (result.model - expected)[inside] / np.sqrt(expected[inside] / Truth().counts_per_unit)
    assert np.sqrt(np.mean(residual**2)) < 0.5
    assert np.all(result.background[inside] < result.model[inside] + 1.0)


def test_a_line_in_an_excluded_region_is_undetermined_and_not_zero():
    result = fit(Truth(), layout=layout_from_recipe(recipe(lagp(), lithium(), excluded_deg=((1.5, 1.7), (3.7, 3.9)))))
    solid, metal = tracked_from_fit(result).phases
    by_label = {"".join(map(str, hkl)): area for hkl, area in zip(solid.peaks.hkl, solid.peaks.area, strict=True)}
    assert np.isnan(by_label["104"])
    assert by_label["113"] == pytest.approx(90.0, rel=0.01)
    assert metal.lines[1].state is PeakState.UNDETERMINED
    assert np.isnan(metal.ratio.value)
    assert metal.ratio_state is PeakState.UNDETERMINED
    assert abs(measured_lattice(solid)["a"].value - 8.257) < 5.0 * measured_lattice(solid)["a"].sigma


def measured_lattice(track):
    return dict(track.lattice)


def test_empty_bins_do_not_count():
    whole = pattern(Truth(), 3)
    holes = whole.intensity.copy()
    holes[100:110] = np.nan
    wrong = whole.intensity.copy()
    wrong[100:110] = 1e9
    no_sigma = whole.sigma.copy()
    no_sigma[100:110] = np.nan
    start = fit(Truth(), seed=3).parameters
    results = [
        fit_pattern(pattern=Pattern(whole.two_theta_deg, i, s, whole.norm), layout=LAYOUT, start=start)
        for i, s in ((holes, whole.sigma), (wrong, no_sigma))
    ]
    np.testing.assert_array_equal(results[0].parameters, results[1].parameters)
    assert results[0].degrees_of_freedom == fit(Truth(), seed=3).degrees_of_freedom - 10


@pytest.mark.parametrize("level", [0.0, 1e-3])
def test_a_pattern_without_signal_has_too_few_counts(level):
    sigma = np.full(axis_deg().size, 1.0)
    result = fit_pattern(pattern=noisy(np.full(axis_deg().size, level), sigma, 1), layout=LAYOUT)
    assert result.state is FitState.TOO_FEW_COUNTS
    assert np.all(np.isnan(result.parameters))


def test_a_pattern_of_nothing_but_empty_bins_has_too_few_counts():
    nothing = np.full(axis_deg().size, np.nan)
    result = fit_pattern(pattern=Pattern(axis_deg(), nothing, nothing, np.zeros(nothing.size)), layout=LAYOUT)
    assert result.state is FitState.TOO_FEW_COUNTS


def test_a_pattern_outside_the_range_has_too_few_counts():
    one = np.ones(50)
    result = fit_pattern(pattern=Pattern(np.linspace(20.0, 30.0, 50), one, one, one), layout=LAYOUT)
    assert result.state is FitState.TOO_FEW_COUNTS


def test_a_smooth_pattern_has_no_lagp_and_no_lattice():
    level = np.full(axis_deg().size, 400.0)
    tracked = tracked_from_fit(fit_pattern(pattern=noisy(level, np.sqrt(level), 2), layout=LAYOUT))
    solid = tracked.phases[0]
    assert tracked.fit_state is FitState.CONVERGED
    assert solid.state is PeakState.ABSENT
    assert np.isnan(measured_lattice(solid)["a"].value)
    assert np.isnan(solid.size_nm.value)
    assert np.all(np.isfinite(solid.peaks.area[:40]))


def test_phases_of_one_lattice_stay_solvable_and_their_sum_is_right():
    layout = layout_from_recipe(recipe(lagp(), lithium(), replace(lithium(), name="twin")))
    result, single = fit(Truth(), layout=layout), fit(Truth())
    rows = [phase.first_row for phase in layout.phases[1:]]
    total, variance = result.parameters[rows].sum(), result.covariance[np.ix_(rows, rows)].sum()
    assert result.state is FitState.CONVERGED
    assert abs(total - Truth().li_110) < 5.0 * np.sqrt(variance)
    assert result.sigma(rows[0]) > 3.0 * single.sigma(LAYOUT.phases[1].first_row)


def test_parameters_that_cannot_be_told_apart_have_a_large_sigma_and_a_right_sum():
    """A hump and a reference background of one shape: neither is known, their sum is."""
    x = axis_deg()
    shape = np.exp(-4.0 * np.log(2.0) * ((x - 2.2) / 0.6) ** 2)
    layout = layout_from_recipe(
        recipe(
            lagp(),
            hump=Hump(two_theta_deg=2.2, fwhm_deg=0.6),
            background_terms=3,
            reference_background=ReferenceBackground(two_theta_deg=x, intensity=shape),
        )
    )
    expected = intensity(replace(Truth(), background=0.0, li_110=0.0, li_200=0.0)) + 300.0 + 40.0 * shape
    result = fit_pattern(pattern=noisy(expected, np.sqrt(expected / 2000.0), 4), layout=layout)
    rows = [layout.hump_row, layout.hump_row + 1]
    assert result.state is FitState.CONVERGED
    assert result.sigma(rows[0]) > 1e3
    assert result.parameters[rows].sum() == pytest.approx(40.0, abs=1.0)


def test_a_hump_over_a_reference_background_is_measured():
    x = axis_deg()
    reference = 300.0 + 200.0 * np.exp(-x)
    hump = Hump(two_theta_deg=2.2, fwhm_deg=0.6)
    shape = np.exp(-4.0 * np.log(2.0) * ((x - 2.2) / 0.6) ** 2)
    lines = intensity(replace(Truth(), background=0.0))
    expected = 1.3 * reference + 8.0 * shape + lines
    layout = layout_from_recipe(
        recipe(
            lagp(),
            lithium(),
            hump=hump,
            background_terms=3,
            reference_background=ReferenceBackground(two_theta_deg=x, intensity=reference),
        )
    )
    result = fit_pattern(pattern=noisy(expected, np.sqrt(expected / 2000.0), 4), layout=layout)
    tracked = tracked_from_fit(result)
    assert abs(tracked.hump.value - 8.0) < 4.0 * tracked.hump.sigma
    assert tracked.hump.sigma < 0.5
    assert result.chi_square == pytest.approx(1.0, abs=0.25)


def test_a_fit_without_phases_is_its_background():
    level = 500.0 + 50.0 * np.cos(axis_deg())
    result = fit_pattern(pattern=noisy(level, np.sqrt(level), 1), layout=layout_from_recipe(recipe()))
    assert result.state is FitState.CONVERGED
    assert result.chi_square == pytest.approx(1.0, abs=0.2)


def test_lines_of_lithium_alone_are_fitted():
    layout = layout_from_recipe(recipe(lithium()))
    result = fit(replace(Truth(), lagp_113=0.0), layout=layout)
    metal = tracked_from_fit(result).phases[0]
    assert metal.state is PeakState.PRESENT
    assert abs(metal.lattice[0][1].value - 3.51) < 5.0 * metal.lattice[0][1].sigma


@pytest.mark.parametrize(
    ("space_group", "a", "spacing_squares"),
    [("F m -3 m", 3.5238, (3, 4, 8, 11, 12, 16)), ("F m -3 m", 5.411, (3, 4, 8, 11, 12, 16, 19, 20, 24, 27, 32))],
)
def test_a_cubic_calibrant_at_another_wavelength_is_fitted(space_group, a, spacing_squares):
    wavelength_m, x = 1.8e-11, np.linspace(3.0, 16.0, 2600)
    expected = np.full(x.size, 200.0)
    for squares in spacing_squares:
        angle = 2.0 * np.degrees(np.arcsin(wavelength_m * 1e10 * np.sqrt(squares) / (2.0 * a)))
        expected += 30.0 / squares * voigt_profile(x - angle, 0.02, 0.01)
    phase = phase_from_cell(
        name="calibrant",
        role=PhaseRole.FREE,
        cell=(1.002 * a,) * 3 + (90, 90, 90),
        space_group=space_group,
        d_min_A=0.6,
        wavelength_m=wavelength_m,
        sites=(Site("Ni", 0, 0, 0),),
    )
    layout = layout_from_recipe(
        FitRecipe(
            phases=(phase,),
            wavelength_m=wavelength_m,
            two_theta_range_deg=(3.0, 16.0),
            instrument=constant_instrument_profile(fwhm_deg=0.02 * np.sqrt(8.0 * np.log(2.0))),
        )
    )
    sigma = np.sqrt(expected / 10.0)
    noise = np.random.default_rng(1).standard_normal(x.size)
    result = fit_pattern(pattern=Pattern(x, expected + sigma * noise, sigma, np.ones(x.size)), layout=layout)
    found = dict(tracked_from_fit(result).phases[0].lattice)["a"]
    assert abs(found.value - a) < 5.0 * found.sigma
    assert found.sigma < 1e-4 * a


@pytest.mark.parametrize(
    ("space_group", "cell"),
    [
        ("P 4/n m m", (3.546, 3.546, 4.334, 90.0, 90.0, 90.0)),
        ("P 63/m m c", (3.2, 3.2, 5.2, 90.0, 90.0, 120.0)),
        ("R -3 c", (5.37, 5.37, 5.37, 59.1, 59.1, 59.1)),
        ("P n m a", (6.12, 5.48, 4.93, 90.0, 90.0, 90.0)),
        ("C 2/m", (7.37, 8.26, 3.19, 90.0, 110.1, 90.0)),
        ("P -1", (4.1, 4.6, 5.3, 81.0, 95.0, 103.0)),
    ],
)
def test_every_crystal_system_gives_its_lattice_back(space_group, cell):
    wavelength_m, x = 1.8e-11, np.linspace(1.5, 9.0, 2000)
    phase = phase_from_cell(
        name="solid",
        role=PhaseRole.FREE,
        cell=cell,
        space_group=space_group,
        d_min_A=1.2,
        wavelength_m=wavelength_m,
        size_nm=50.0,
    )
    angle_part = [1.0002 if name in {"alpha", "beta", "gamma"} else 1.003 for name in phase.lattice.names]
    true = phase.lattice.free * angle_part
    expected = np.full(x.size, 100.0)
    unit_cell = gemmi.UnitCell(*phase.lattice.with_free(true).cell)
    for hkl, strength in zip(phase.reflections.hkl.tolist(), phase.reflections.relative_intensity, strict=True):
        theta = np.arcsin(wavelength_m * 1e10 / 2.0 / unit_cell.calculate_d(hkl))
        hwhm = 0.5 * np.degrees(0.9 * wavelength_m * 1e9 / 50.0 / np.cos(theta))
        expected += 0.2 * strength * voigt_profile(x - np.degrees(2.0 * theta), 0.015, hwhm)
    sigma = np.sqrt(expected / 50.0)
    noise = np.random.default_rng(2).standard_normal(x.size)
    layout = layout_from_recipe(
        FitRecipe(
            phases=(phase,),
            wavelength_m=wavelength_m,
            two_theta_range_deg=(1.5, 8.5),
            instrument=constant_instrument_profile(fwhm_deg=0.015 * np.sqrt(8.0 * np.log(2.0))),
        )
    )
    result = fit_pattern(pattern=Pattern(x, expected + sigma * noise, sigma, np.ones(x.size)), layout=layout)
    track = tracked_from_fit(result).phases[0]
    assert result.chi_square == pytest.approx(1.0, abs=0.2)
    for (name, estimate), value in zip(track.lattice, true, strict=True):
        assert abs(estimate.value - value) < 5.0 * estimate.sigma, name
    assert abs(track.size_nm.value - 50.0) < 5.0 * track.size_nm.sigma


def test_a_phase_without_a_line_in_the_range_is_undetermined():
    layout = layout_from_recipe(replace(recipe(lagp(), lioh()), two_theta_range_deg=(1.75, 2.2), background_terms=3))
    result = fit(Truth(), layout=layout)
    solid, hydroxide = tracked_from_fit(result).phases
    assert result.state is FitState.CONVERGED
    assert solid.state is PeakState.PRESENT
    assert hydroxide.state is PeakState.UNDETERMINED
    assert np.isnan(hydroxide.amount.value)


@pytest.mark.parametrize(("mixing", "accuracy"), [(0.0, 1e-4), (1.0, 0.15)], ids=["Voigt", "pseudo-Voigt"])
def test_slopes_of_the_model_are_those_of_small_changes(mixing, accuracy):
    """Slopes by place and width are those of the Voigt part: an iteration may take a step more, its end is the same."""
    result = fit(Truth())
    bins = bins_from_pattern(pattern=pattern(Truth(), 0), recipe=LAYOUT.recipe)
    fitted = result.parameters.copy()
    fitted[LAYOUT.mixing_row] = mixing
    slopes = design_matrix(layout=LAYOUT, bins=bins, parameters=fitted)

    def model(parameters):
        design = design_matrix(layout=LAYOUT, bins=bins, parameters=parameters)
        return parameters[: LAYOUT.linear] @ design[: LAYOUT.linear]

    for row in range(LAYOUT.linear, LAYOUT.parameters):
        change = np.zeros(LAYOUT.parameters)
        change[row] = 1e-2 * result.sigma(row)
        numeric = (model(fitted + change) - model(fitted - change)) / (2.0 * change[row])
        np.testing.assert_allclose(slopes[row], numeric, atol=accuracy * np.abs(numeric).max())


def test_the_ratios_sigma_follows_the_covariance():
    areas, covariance = np.array([6.0, 2.0]), np.array([[0.04, 0.01], [0.01, 0.01]])
    ratio, state = ratio_from_areas(areas=areas, covariance=covariance)
    draws = np.random.default_rng(0).multivariate_normal(areas, covariance, 200_000)
    assert ratio.value == pytest.approx(3.0)
    assert ratio.sigma == pytest.approx(np.std(draws[:, 0] / draws[:, 1]), rel=0.03)
    assert state is PeakState.PRESENT


def test_a_ratio_over_an_absent_line_says_so():
    ratio, state = ratio_from_areas(areas=np.array([6.0, 0.2]), covariance=np.diag([0.01, 0.01]))
    assert state is PeakState.ABSENT
    assert ratio.value == pytest.approx(30.0)


def test_areas_that_cannot_be_told_apart_are_significant_together():
    values, covariance = np.array([1e3 + 5.0, -1e3 + 5.0]), np.array([[1e6 + 0.5, -1e6], [-1e6, 1e6 + 0.5]])
    z = matched_significance(values=values, covariance=covariance, expected=np.array([1.0, 1.0]))
    assert z == pytest.approx(10.0, rel=1e-3)


def test_the_upper_limit_covers_a_truth_of_zero():
    draws = np.random.default_rng(0).standard_normal(20_000)
    covered = np.mean([upper_limit(value=draw, sigma=1.0) >= 0.5 for draw in draws])
    assert covered >= 0.95


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wavelength_m": 0.1173}, "wavelength in metre"),
        ({"two_theta_range_deg": (5.0, 1.0)}, "lower and a higher end"),
        ({"excluded_deg": ((2.0, float("nan")),)}, "lower and a higher end"),
        ({"background_terms": 0}, "background term"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(changes, words):
    arguments = {
        "phases": (),
        "wavelength_m": WAVELENGTH_M,
        "two_theta_range_deg": RANGE_DEG,
        "instrument": constant_instrument_profile(fwhm_deg=0.02),
    }
    with pytest.raises(PhaseError, match=words):
        FitRecipe(**(arguments | changes))


def test_two_phases_of_one_name_are_refused():
    with pytest.raises(PhaseError, match="name of its own"):
        recipe(lithium(), lithium())


@pytest.mark.recordings
def test_the_recorded_nickel_frame_gives_its_lattice(recordings):
    fabio, pyfai = pytest.importorskip("fabio"), pytest.importorskip("pyFAI")
    folder = recordings / "frames" / "pe_xpd_Ni_light_dark"
    light, dark = (fabio.open(str(folder / f"Ni_{kind}_frame.tiff")).data.astype(float) for kind in ("light", "dark"))
    geometry = pyfai.load(str(folder / "refined_Ni_0.1665A.poni"))
    integrated = geometry.integrate1d(
        light - dark,
        2500,
        unit="2th_deg",
        method=("no", "histogram", "cython"),
        variance=np.maximum(light - dark, 0.0) + 50.0,
        mask=(light >= 60000.0) | (light == 0.0),
    )
    nickel = phase_from_cell(
        name="ni",
        role=PhaseRole.FREE,
        cell=(3.50, 3.50, 3.50, 90, 90, 90),
        space_group="F m -3 m",
        d_min_A=0.6,
        wavelength_m=geometry.wavelength,
        sites=(Site("Ni", 0, 0, 0),),
        reported_lines=("111",),
    )
    layout = layout_from_recipe(
        FitRecipe(
            phases=(nickel,),
            wavelength_m=geometry.wavelength,
            two_theta_range_deg=(3.0, 15.5),
            instrument=constant_instrument_profile(fwhm_deg=0.09),
        )
    )
    columns = (integrated.radial, integrated.intensity, integrated.sigma, integrated.sum_normalization)
    measured_pattern = Pattern(*(np.asarray(column, dtype=float) for column in columns))
    result = fit_pattern(pattern=measured_pattern, layout=layout)
    solid = tracked_from_fit(result).phases[0]
    assert solid.state is PeakState.PRESENT
    assert dict(solid.lattice)["a"].value == pytest.approx(3.5238, abs=4e-4)
    assert len(solid.peaks.hkl) >= 10
    assert np.all(solid.peaks.area > 0.0)
    _, _, tracked = track(TrackerState(), measured_pattern, layout.recipe)
    assert tracked.fit_state is FitState.MISFIT
    assert dict(tracked.phases[0].lattice)["a"].value == pytest.approx(3.5238, abs=4e-4)

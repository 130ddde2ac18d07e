"""Options of the fit from the configuration: an internal standard, a measured background, priors, limits."""

import io
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fakes.configurations import GEOMETRY, PONI, configuration
from ringwatch_daemon.checking import check
from ringwatch_daemon.composition.provenance import provenance_of
from ringwatch_daemon.composition.recipes import recipe_from_settings
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.analysis import Analyser
from ringwatch_pipelines.fit.fit_layout import layout_from_recipe

EXAMPLE = Path(__file__).resolve().parents[2] / "config"
RANGE = "[fit]\ntwo_theta_min_deg = 1.0\ntwo_theta_max_deg = 2.4"
COPPER = (
    '[[phases]]\nname = "cu"\nrole = "lines"\nspace_group = "F m -3 m"\nlattice = { a_A = 3.615 }\n'
    "lines = [{ hkl = [1, 1, 1] }]"
)
KNOWN = f"{COPPER}\nlattice_prior_relative = 1e-5"
LIOH = (
    '[[phases]]\nname = "lioh"\nrole = "reference"\nspace_group = "P 4/n m m"\nlattice = { a_A = 3.546, c_A = 4.334 }\n'
    'sites = [{ element = "Li", x = 0.0, y = 0.0, z = 0.0 }, { element = "O", x = 0.0, y = 0.5, z = 0.1941 }]'
)
WIDER = "[fit]\ntwo_theta_min_deg = 1.0\ntwo_theta_max_deg = 4.8"


def settings_of(folder, *parts):
    return load_settings(configuration(folder, *parts))


def fit_of(folder, *parts):
    return recipe_from_settings(settings_of(folder, *parts)).fit


def write_background(file, low=0.5, high=6.0):
    angle = np.linspace(low, high, 200)
    file.write_text("\n".join(f"{x} {50.0 + x}" for x in angle))


def test_without_options_the_lattice_is_as_the_geometry_sees_it(tmp_path):
    made = fit_of(tmp_path, WIDER, COPPER)
    assert (made.displacement, made.reference_background, made.max_iterations) == (None, None, 30)


def test_a_standard_makes_the_fit_refine_where_the_sample_stands(tmp_path):
    made = fit_of(tmp_path, f'{WIDER}\nstandard = "cu"\ndisplacement_sigma_mm = 0.3', KNOWN)
    assert made.displacement.sigma_mm == 0.3
    assert made.displacement.distance_m == 0.5
    assert made.phases[0].lattice_prior == 1e-5


def test_the_distance_of_a_tilted_detector_is_that_along_the_beam(tmp_path):
    folder = tmp_path
    path = configuration(folder, f'{WIDER}\nstandard = "cu"', KNOWN, geometry=GEOMETRY)
    (folder / "geometry.poni").write_text(PONI.replace("Rot1: 0.0", "Rot1: 0.3").replace("Rot2: 0.0", "Rot2: -0.2"))
    made = recipe_from_settings(load_settings(path)).fit
    assert made.displacement.distance_m == pytest.approx(0.5 / (math.cos(0.3) * math.cos(0.2)))


@pytest.mark.parametrize(("phase", "complaint"), [(COPPER, "lattice_prior_relative"), (LIOH, "not among the phases")])
def test_a_standard_must_be_a_phase_of_known_lattice(tmp_path, phase, complaint):
    with pytest.raises(SettingsError, match=complaint):
        settings_of(tmp_path, f'{RANGE}\nstandard = "cu"', phase)


def test_a_measured_background_is_read_and_told(tmp_path):
    write_background(tmp_path / "empty_cell.xy")
    settings = settings_of(tmp_path, f'{WIDER}\nbackground_terms = 4\nbackground_file = "empty_cell.xy"', COPPER)
    recipe = recipe_from_settings(settings)
    background = recipe.fit.reference_background
    np.testing.assert_allclose(background.intensity, 50.0 + background.two_theta_deg)
    facts = {fact.path: fact.value for fact in provenance_of(settings, recipe, configuration="")}
    assert len(facts["reduction/input/background_sha256"]) == 64
    assert facts["reduction/input/lattice_standard"] == "none"


@pytest.mark.parametrize(("low", "high"), [(1.2, 6.0), (0.5, 4.0)])
def test_a_background_that_ends_within_the_range_is_refused(tmp_path, low, high):
    write_background(tmp_path / "short.xy", low, high)
    with pytest.raises(SettingsError, match=r"must cover the range of the fit, 1 to 4\.8 degree"):
        fit_of(tmp_path, f'{WIDER}\nbackground_file = "short.xy"', COPPER)


def test_a_reference_phase_has_its_lattice_refined_where_it_has_a_prior(tmp_path):
    fixed, free = (
        layout_from_recipe(fit_of(tmp_path, WIDER, phase)) for phase in (LIOH, f"{LIOH}\nlattice_prior_relative = 1e-3")
    )
    assert fixed.shapes.names == ("lioh.inverse_size_per_nm",)
    assert free.shapes.names == ("lioh.inverse_size_per_nm", "lioh.a", "lioh.c")
    np.testing.assert_allclose(free.shapes.sigma[1:], [3.546e-3, 4.334e-3])


def test_the_most_iterations_come_from_the_configuration(tmp_path):
    assert fit_of(tmp_path, f"{WIDER}\nmax_iterations = 12", COPPER).max_iterations == 12


def test_the_tracks_of_a_run_with_a_standard_have_a_displacement(tmp_path):
    recipe = recipe_from_settings(settings_of(tmp_path, f'{WIDER}\nstandard = "cu"', KNOWN))
    assert Analyser(recipe).blank().displacement_mm is not None


def test_what_the_example_has_switched_off_can_be_switched_on(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "config")
    config = tmp_path / "config" / "beamline.toml"
    text = config.read_text().replace("#: ", "").replace("two_theta_min_deg = 1.75", "two_theta_min_deg = 1.0")
    config.write_text(text)
    write_background(tmp_path / "config" / "empty_cell.xy")
    recipe = recipe_from_settings(load_settings(config))
    assert [phase.name for phase in recipe.fit.phases][-2:] == ["cu", "polypropylene"]
    assert recipe.fit.displacement is not None
    assert recipe.fit.reference_background is not None
    blank = Analyser(recipe).blank()
    assert [line.label for line in blank.phases[-1].lines] == ["110", "040", "130", "111", "13-1"]


@pytest.mark.parametrize(("background", "warned"), [("background_terms = 24", True), ("background_terms = 4", False)])
def test_a_hump_that_the_background_would_hide_is_told_before_the_run(tmp_path, background, warned):
    hump = "[fit.hump]\ntwo_theta_deg = 2.3\nfwhm_deg = 0.9"
    console = Console(file=io.StringIO(), width=200)
    check(configuration(tmp_path, f"{WIDER}\n{background}", hump, COPPER), console=console)
    assert ("will not be known without fit.background_file" in console.file.getvalue()) == warned

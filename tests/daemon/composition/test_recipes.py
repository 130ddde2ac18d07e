"""From the configuration to the recipe: what it names is read, and what does not fit is refused before the run."""

from pathlib import Path

import fabio
import numpy as np
import pytest

from fakes.configurations import SHAPE, configuration
from ringwatch_daemon.composition.recipes import metadata_names, recipe_from_settings
from ringwatch_daemon.core.errors import InputFileError, SettingsError
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.analysis import Analyser
from ringwatch_pipelines.crystals.phases import PhaseRole, label_from_hkl
from ringwatch_pipelines.errors import CorrectionError, GeometryError, PhaseError, RingwatchError
from ringwatch_pipelines.reduction.cadence import Cadence
from ringwatch_pipelines.reduction.corrections import VarianceKind

CONFIG = Path(__file__).resolve().parents[3] / "config"
RANGE = "[fit]\ntwo_theta_min_deg = 1.0\ntwo_theta_max_deg = 4.8"
LITHIUM = '[[phases]]\nname = "li"\nrole = "lines"\nspace_group = "I m -3 m"\nlattice = { a_A = 3.51 }'
LIOH = (
    '[[phases]]\nname = "lioh"\nrole = "reference"\nspace_group = "P 4/n m m"\nlattice = { a_A = 3.546, c_A = 4.334 }\n'
    'sites = [{ element = "Li", x = 0.0, y = 0.0, z = 0.0 }, { element = "O", x = 0.0, y = 0.5, z = 0.1941 }]'
)
CIF = """data_li
_cell_length_a 3.51
_cell_length_b 3.51
_cell_length_c 3.51
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'I m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li 0 0 0
"""


def recipe(folder, *parts):
    return recipe_from_settings(load_settings(configuration(folder, *parts)))


def write_image(path, image, **header):
    fabio.edfimage.EdfImage(data=np.asarray(image), header=header).write(str(path))


def labels(phase):
    return [label_from_hkl(hkl) for hkl in phase.reflections.hkl]


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.toml")), ids=lambda path: path.name)
def test_the_recipe_of_every_example_can_be_worked_with(path):
    made = recipe_from_settings(load_settings(path))
    assert [phase.name for phase in made.fit.phases] == ["lagp", "li", "lioh", "alpo4"]
    assert [line.label for line in made.texture] == ["110"]
    assert made.ring_check.name == "lagp"
    assert made.corrections.mask is not None


def test_the_defaults_make_patterns_of_every_frame_without_anything_else(tmp_path):
    made = recipe(tmp_path)
    assert made.geometry.shape == SHAPE
    assert (made.fit, made.ring_check, made.texture, made.darks) == (None, None, (), ())
    assert not made.dark_required
    assert made.monitor_reference is None
    assert made.cadence == Cadence(frames=1)
    assert made.corrections.saturation_counts == 65535
    assert made.corrections.variance.kind is VarianceKind.DETECTOR
    assert Analyser(made).axis.two_theta_deg.size == 1600


def test_a_cell_with_sites_and_a_cell_with_lines_become_phases(tmp_path):
    lines = 'lines = [{ hkl = [1, 1, 0] }, { hkl = [2, 0, 0] }]\nratio = ["110", "200"]\nsize_nm = 300.0'
    li, lioh = recipe(tmp_path, RANGE, f"{LITHIUM}\n{lines}", LIOH).fit.phases
    assert (li.role, li.ratio, li.size_nm, labels(li)) == (PhaseRole.LINES, ("110", "200"), 300.0, ["110", "200"])
    assert lioh.role is PhaseRole.REFERENCE
    assert "101" in labels(lioh)


def test_without_lines_a_phase_has_all_that_the_range_shows(tmp_path):
    (li,) = recipe(tmp_path, "[fit]\ntwo_theta_max_deg = 4.0", LITHIUM).fit.phases
    assert labels(li) == ["110", "200"]


def test_a_cif_is_a_phase_too(tmp_path):
    (tmp_path / "li.cif").write_text(CIF)
    (from_cif,) = recipe(tmp_path, RANGE, '[[phases]]\nname = "li"\nrole = "lines"\ncif = "li.cif"').fit.phases
    (from_cell,) = recipe(tmp_path, RANGE, LITHIUM).fit.phases
    assert labels(from_cif) == labels(from_cell)
    assert from_cif.lattice == from_cell.lattice


def test_the_fit_takes_the_range_of_the_bins_where_it_has_none_of_its_own(tmp_path):
    made = recipe(tmp_path, "[binning]\ntwo_theta_min_deg = 1.5\ntwo_theta_max_deg = 3.0", LITHIUM)
    assert made.fit.two_theta_range_deg == (1.5, 3.0)


def test_a_fit_from_zero_is_one_from_zero(tmp_path):
    made = recipe(
        tmp_path, "[binning]\ntwo_theta_min_deg = 1.5", "[fit]\ntwo_theta_min_deg = 0\ntwo_theta_max_deg = 3.0", LITHIUM
    )
    assert made.fit.two_theta_range_deg == (0.0, 3.0)


def test_mask_flat_and_darks_are_read(tmp_path):
    mask, flat = np.zeros(SHAPE, dtype=np.uint8), np.full(SHAPE, 2.0, dtype=np.float32)
    mask[:4] = 1
    write_image(tmp_path / "mask.edf", mask)
    write_image(tmp_path / "flat.edf", flat)
    write_image(tmp_path / "dark.edf", np.full(SHAPE, 90, dtype=np.uint16), AcquireTime="2.5")
    made = recipe(tmp_path, 'mask = "mask.edf"\nflat = "flat.edf"', '[dark]\nfiles = ["dark.edf"]\ngain = "high"')
    assert made.corrections.mask.masked_fraction == pytest.approx(0.1)
    assert made.corrections.flat.image.max() == 2.0
    (dark,) = made.darks
    assert (dark.image.max(), dark.conditions.exposure_s, dark.conditions.gain) == (90, 2.5, "high")
    assert dark.timestamp_ns == 0
    assert made.dark_required


def test_a_dark_that_is_a_mean_already_has_less_noise(tmp_path):
    write_image(tmp_path / "dark.edf", np.full(SHAPE, 90.25, dtype=np.float32))
    (single,) = recipe(tmp_path, "", '[dark]\nfiles = ["dark.edf"]').darks
    (mean,) = recipe(tmp_path, "", '[dark]\nfiles = ["dark.edf"]\naveraged = 100').darks
    assert (single.frames, mean.frames) == (1, 100)


def test_a_dark_is_not_required_where_the_configuration_says_so(tmp_path):
    attributes = '[detector.attributes]\ndark = ["Shutter"]'
    assert recipe(tmp_path, attributes).dark_required
    assert not recipe(tmp_path, attributes, "[dark]\nrequired = false").dark_required


def test_a_monitor_has_its_reference_and_its_name(tmp_path):
    settings = load_settings(configuration(tmp_path, '[detector.monitor]\nattribute = "I0"\nreference = 2e5'))
    assert recipe_from_settings(settings).monitor_reference == 2e5
    assert metadata_names(settings).monitor == ("I0",)


def test_names_of_the_configuration_go_before_the_usual_ones(tmp_path):
    settings = load_settings(configuration(tmp_path, '[detector.attributes]\nexposure = ["MyExposure"]'))
    names = metadata_names(settings)
    assert names.exposure[0] == "MyExposure"
    assert len(names.exposure) > 1


WRONG = {
    "no calibration": ('[geometry]\nponi = "none.poni"', (), InputFileError, "expected a calibration in .*none.poni"),
    "no mask": ('mask = "none.edf"', (), InputFileError, "none.edf"),
    "a mask of another shape": ('mask = "small.edf"', (), InputFileError, r"expected a mask of \(40, 50\)"),
    "a mask that is an image": ('mask = "grey.edf"', (), InputFileError, "expected a mask of zero"),
    "a mask of everything": ('mask = "ones.edf"', (), CorrectionError, "masks every pixel"),
    "a flat of another shape": (
        'flat = "small.edf"',
        (),
        CorrectionError,
        r"the flat from .* must have the detector's shape",
    ),
    "a dark of another shape": (
        "",
        ('[dark]\nfiles = ["small.edf"]',),
        CorrectionError,
        r"the dark from .* shape \(40, 50\), got \(3, 3\)",
    ),
    "a dark that is no image": ("", ('[dark]\nfiles = ["geometry.poni"]',), InputFileError, "geometry.poni"),
    "limits that leave nothing": (
        "",
        ("[detector]\nminimum_counts = 70000.0",),
        CorrectionError,
        "saturation must lie above",
    ),
    "a range that falls": (
        "",
        ("[binning]\ntwo_theta_min_deg = 3\ntwo_theta_max_deg = 2",),
        GeometryError,
        "must ascend",
    ),
    "a fit without an end": ("", (LITHIUM,), SettingsError, "a fit needs fit.two_theta_max_deg"),
    "an unknown group": ("", (RANGE, LITHIUM.replace("I m -3 m", "Q 7")), PhaseError, "Q 7"),
    "a cell without its c": ("", (RANGE, LITHIUM.replace("I m -3 m", "R -3 c")), PhaseError, "needs c_A"),
    "an unknown element": ("", (RANGE, LIOH.replace('"O"', '"Xx"')), PhaseError, "Xx"),
    "a line that symmetry forbids": (
        "",
        (RANGE, f"{LITHIUM}\nlines = [{{ hkl = [1, 0, 0] }}]"),
        PhaseError,
        r"cannot have the line",
    ),
    "a ratio of an absent line": ("", (RANGE, f'{LITHIUM}\nratio = ["110", "310"]'), PhaseError, "has no line 310"),
    "no CIF": (
        "",
        (RANGE, '[[phases]]\nname = "li"\nrole = "lines"\ncif = "none.cif"'),
        InputFileError,
        "the CIF of li",
    ),
    "a CIF that is none": (
        "",
        (RANGE, '[[phases]]\nname = "li"\nrole = "lines"\ncif = "geometry.poni"'),
        PhaseError,
        "li",
    ),
    "a texture of an absent line": ("", (RANGE, f'{LITHIUM}\ntexture = ["310"]'), PhaseError, "has no line 310"),
    "a hump of no width": (
        "",
        (f"{RANGE}\n[fit.hump]\ntwo_theta_deg = 2\nfwhm_deg = 0", LITHIUM),
        SettingsError,
        "fwhm_deg",
    ),
}


@pytest.mark.parametrize(("geometry", "parts", "kind", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_used_is_refused_before_the_run_in_one_sentence(tmp_path, geometry, parts, kind, sentence):
    write_image(tmp_path / "small.edf", np.ones((3, 3), dtype=np.uint16))
    write_image(tmp_path / "grey.edf", np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(SHAPE))
    write_image(tmp_path / "ones.edf", np.ones(SHAPE, dtype=np.uint16))
    header = () if geometry.startswith("[") else ('[geometry]\nponi = "geometry.poni"',)
    path = configuration(tmp_path, *parts, geometry="\n".join((*header, geometry)))
    with pytest.raises(RingwatchError, match=sentence) as told:
        Analyser(recipe_from_settings(load_settings(path)))
    assert isinstance(told.value, kind)
    assert "\n" not in str(told.value)

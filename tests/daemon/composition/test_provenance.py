"""Everything that decided a number is told in the file."""

import fabio
import numpy as np

from fakes.configurations import SHAPE, configuration
from ringwatch_daemon.composition.provenance import provenance_of
from ringwatch_daemon.composition.recipes import recipe_from_settings
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.quantities import energy_from_wavelength

LITHIUM = '[[phases]]\nname = "li"\nrole = "lines"\nspace_group = "I m -3 m"\nlattice = { a_A = 3.51 }'


def facts_of(folder, *parts):
    path = configuration(folder, *parts)
    settings = load_settings(path)
    told = provenance_of(settings, recipe_from_settings(settings), configuration=path.read_text())
    assert len({fact.path for fact in told}) == len(told)
    return {fact.path: fact for fact in told}


def write_image(path, image):
    fabio.edfimage.EdfImage(data=image).write(str(path))


def test_sample_beamline_and_geometry_are_told_with_units(tmp_path):
    facts = facts_of(tmp_path, '[sample]\nname = "cell 7"\narea_cm2 = 0.785', '[beamline]\nbeamline = "11-ID-C"')
    assert facts["sample/name"].value == "cell 7"
    assert (facts["sample/electrode_area"].value, facts["sample/electrode_area"].unit) == (0.785, "cm^2")
    assert facts["instrument/name"].value == "11-ID-C"
    assert facts["instrument/detector/distance"].value == 0.5
    assert abs(facts["instrument/monochromator/wavelength"].value - 0.1173) < 1e-12
    energy = facts["instrument/monochromator/energy"]
    assert (energy.value, energy.unit) == (energy_from_wavelength(wavelength_m=0.1173e-10), "keV")
    assert facts["instrument/detector/geometry_fingerprint"].value


def test_the_configuration_and_the_versions_stand_as_they_are(tmp_path):
    facts = facts_of(tmp_path, "[binning]\nbins = 33")
    assert "bins = 33" in facts["reduction/input/configuration"].value
    assert facts["reduction/input/bins"].value == 33
    assert facts["reduction/versions/numpy"].value == np.__version__
    assert facts["reduction/version"].value not in {"", "not installed"}


def test_mask_flat_and_darks_are_told_by_their_checksums(tmp_path):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[0] = 1
    write_image(tmp_path / "mask.edf", mask)
    write_image(tmp_path / "flat.edf", np.ones(SHAPE, dtype=np.float32))
    write_image(tmp_path / "dark.edf", np.ones(SHAPE, dtype=np.uint16))
    facts = facts_of(tmp_path, 'mask = "mask.edf"\nflat = "flat.edf"', '[dark]\nfiles = ["dark.edf"]')
    sums = [facts[f"reduction/input/{name}_sha256"].value for name in ("mask", "flat", "dark_0")]
    assert all(len(checksum) == 64 for checksum in sums)
    assert len(set(sums)) == 3
    assert facts["reduction/input/masked_fraction"].value == 1 / SHAPE[0]


def test_what_was_left_out_is_told_too(tmp_path):
    facts = facts_of(tmp_path, "polarization = false\nsolid_angle = false")
    assert facts["polarization_applied"].value is False
    assert facts["solid_angle_applied"].value is False
    assert facts["monitor_applied"].value is False
    assert "reduction/input/polarization_factor" not in facts
    assert "reduction/input/phases" not in facts


def test_a_fit_tells_its_range_and_phases(tmp_path):
    facts = facts_of(tmp_path, "[fit]\ntwo_theta_min_deg = 1.0\ntwo_theta_max_deg = 4.8", LITHIUM)
    assert facts["reduction/input/fit_two_theta_max"].value == 4.8
    assert facts["reduction/input/phases"].value == "li"

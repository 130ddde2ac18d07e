"""A beamline out of plain facts: other people's crystals, detectors and roles."""

import json

import numpy as np
import pytest

from ringwatch_simulators.crystals import CERIA, LIOH, d_spacing_A, powder_lines
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.expected.beamline import ExpectedBeamline, ExpectedPhase, read_expected_beamline
from ringwatch_simulators.expected.crystals import crystal_from_phase, lines_of_phase
from ringwatch_simulators.expected.phases import Course
from ringwatch_simulators.expected.scenario import expected_run
from ringwatch_simulators.scenario import SyntheticFrames
from ringwatch_simulators.supply import Exposure
from ringwatch_simulators.turns import FramesInTurn, Turn

WAVELENGTH_A = 0.1665
SHAPE = (60, 80)
PONI = "Distance: 0.2\nPoni1: 0.03\nPoni2: 0.01\nRot1: 0.02\nWavelength: 1.665e-11\n"
NICKEL = {
    "name": "ni",
    "role": "free",
    "space_group": "F m -3 m",
    "cell": [3.5238, 3.5238, 3.5238, 90, 90, 90],
    "sites": [{"element": "Ni", "x": 0, "y": 0, "z": 0}],
}
CIF = """data_monoclinic
_cell_length_a 5.0
_cell_length_b 6.0
_cell_length_c 7.0
_cell_angle_alpha 90
_cell_angle_beta 100
_cell_angle_gamma 90
loop_
_symmetry_equiv_pos_as_xyz
x,y,z
'-x, 1/2+y, 1/2-z'
-x,-y,-z
'x, 1/2-y, 1/2+z'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Ge1 0.1 0.2 0.3
O1 0.4 0.35 0.05
"""


def beamline(folder, **changes):
    (folder / "own.poni").write_text(PONI)
    detector = {"poni": str(folder / "own.poni"), "shape": SHAPE, "pixels_m": [1e-3, 1e-3]}
    detector |= changes.pop("detector", {})
    facts = {"detector": detector, "phases": [NICKEL], "two_theta_range_deg": [2.0, 16.0], **changes}
    return ExpectedBeamline.model_validate_json(json.dumps(facts))


def strengths(crystal):
    return {line.hkl: line.strength for line in powder_lines(crystal, WAVELENGTH_A, 1.0)}


@pytest.mark.parametrize(("known", "group"), [(CERIA, "F m -3 m"), (LIOH, "P 4/n m m")], ids=["ceria", "lioh"])
def test_a_cell_with_its_group_and_sites_gives_the_lines_of_the_same_crystal_written_out(known, group):
    unique = {site.element: site for site in reversed(known.sites)}
    sites = [
        {"element": one.element, "x": one.x, "y": one.y, "z": one.z, "u_iso_A2": one.u_A2} for one in unique.values()
    ]
    phase = ExpectedPhase(name="own", role="free", space_group=group, cell=known.cell, sites=sites)
    ours, theirs = strengths(crystal_from_phase(phase)), strengths(known)
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-6)


def test_a_cif_brings_its_own_operators_sites_and_oblique_axes(tmp_path):
    (tmp_path / "own.cif").write_text(CIF)
    crystal = crystal_from_phase(ExpectedPhase(name="own", role="free", cif=tmp_path / "own.cif"))
    assert len(crystal.operators) == 4
    # 1/d^2 of a monoclinic cell, International Tables.
    sine, cosine = np.sin(np.radians(100)), np.cos(np.radians(100))
    expected = ((1 / 5) ** 2 + (3 / 7) ** 2 - 2 * 1 * 3 * cosine / (5 * 7)) / sine**2 + (2 / 6) ** 2
    assert d_spacing_A(crystal, np.array([[1, 2, 3]]))[0] == pytest.approx(expected**-0.5, rel=1e-12)
    hkl = np.array([line.hkl for line in powder_lines(crystal, WAVELENGTH_A, 1.0)])
    glide, screw = hkl[hkl[:, 1] == 0], hkl[(hkl[:, 0] == 0) & (hkl[:, 2] == 0)]
    assert glide.size
    assert not np.any(glide[:, 2] % 2)
    assert not np.any(screw[:, 1] % 2)


def test_without_sites_the_listed_lines_are_there_and_else_all_that_symmetry_allows():
    own = ExpectedPhase(name="own", role="lines", space_group="I m -3 m", cell=(3.2, 3.2, 3.2, 90, 90, 90))
    crystal = crystal_from_phase(own)
    every = lines_of_phase(own, crystal, WAVELENGTH_A, 0.9)
    assert {sum(line.hkl) % 2 for line in every} == {0}
    lines = [{"hkl": (2, 0, 0), "intensity": 1.0}, {"hkl": (1, 1, 0), "intensity": 4.0}]
    listed = ExpectedPhase.model_validate({**own.model_dump(), "lines": lines})
    found = {line.hkl: line.strength for line in lines_of_phase(listed, crystal, WAVELENGTH_A, 0.9)}
    assert found == {(2, 0, 0): 0.25, (1, 1, 0): 1.0}


@pytest.mark.parametrize(
    ("dtype", "largest", "gain"),
    [("uint16", 4095, 10.0), ("uint16", None, 30.0), ("int32", None, 1.0), ("uint8", None, 1.0), ("float32", 3e4, 9.0)],
)
def test_frames_have_the_expected_shape_and_type_and_are_far_from_saturation(tmp_path, dtype, largest, gain):
    told = {"dtype": dtype, "saturation_counts": largest, "counts_per_photon": gain, "dark_attributes": ["Shut"]}
    run = expected_run(beamline(tmp_path, detector=told), frames=6)
    largest = largest or np.iinfo(dtype).max
    image = SyntheticFrames(run.scenario, 0, run.maps).frame(Exposure(3, run.scenario.exposure_s)).image
    assert image.shape == SHAPE
    assert image.dtype == dtype
    assert image.max() < 0.6 * largest
    assert image.max() > 0


def test_mask_flat_and_darks_are_those_of_the_files(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:20, 5] = 1
    flat = np.full(SHAPE, 2.0, np.float32)
    flat[:, :40] = 1.0
    dark = np.full(SHAPE, 500.0, np.float32)
    for name, image in (("mask", mask), ("flat", flat), ("dark", dark)):
        np.save(tmp_path / f"{name}.npy", image)
    files = {
        "mask": str(tmp_path / "mask.npy"),
        "flat": str(tmp_path / "flat.npy"),
        "darks": [str(tmp_path / "dark.npy")],
    }
    run = expected_run(beamline(tmp_path, detector=files), frames=6)
    frames = SyntheticFrames(run.scenario, 0, run.maps)
    exposure = Exposure(3, run.scenario.exposure_s)
    image = frames.frame(exposure).image
    assert not image[mask != 0].any()
    signal = (image.astype(float) - 500.0) / frames.light(exposure)
    good = mask == 0
    assert np.median(signal[:, 40:][good[:, 40:]]) == pytest.approx(4.0 / 3.0, rel=0.03)
    assert np.median(signal[:, :40][good[:, :40]]) == pytest.approx(2.0 / 3.0, rel=0.03)


def test_phases_of_a_lithium_cell_keep_their_courses_and_any_other_is_steady_with_its_truth_told(tmp_path):
    lithium = {"name": "li", "role": "lines", "space_group": "I m -3 m", "cell": [3.512, 3.512, 3.512, 90, 90, 90]}
    run = expected_run(beamline(tmp_path, phases=[NICKEL, lithium]), frames=12)
    assert [phase.course for phase in run.scenario.scene.phases] == [Course.STEADY, Course.LITHIUM]
    truths = [json.loads(truth.to_json()) for truth in SyntheticFrames(run.scenario, 0, run.maps).truths()]
    nickel = [truth["phases"]["ni"] for truth in truths]
    assert len({one["area"] for one in nickel}) == 1
    assert 0 < nickel[0]["a_A"] / nickel[-1]["a_A"] - 1.0 < 3e-4
    assert truths[0]["phases"]["li"]["ratio"] > 11.0
    assert truths[-1]["phases"]["li"]["ratio"] < 8.0
    assert {truth["phases"]["li"]["a_A"] for truth in truths} == {3.512}
    assert "area_113" not in truths[0]


def test_a_cell_without_a_phase_shows_none_of_it_and_says_who_it_is(tmp_path):
    run = expected_run(beamline(tmp_path), frames=6)
    turns = (Turn("3"), Turn("7", absent=frozenset({"ni"})))
    frames = FramesInTurn(run.scenario, 0, turns, attribute="Position", maps=run.maps)
    first, second = (frames.truth(index).cell.phases[0].area for index in (0, 1))
    assert (first > 0, second) == (True, 0.0)
    exposures = [Exposure(index, run.scenario.exposure_s) for index in (0, 1)]
    assert [dict(frames.frame(exposure).attributes)["Position"] for exposure in exposures] == ["3", "7"]
    bright, dim = (frames.light(Exposure(index, 60.0)).max() for index in (0, 1))
    assert bright > 2 * dim


def test_nonsense_in_the_facts_is_one_sentence(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text('{"detector": {"poni": "x", "shape": [1, 2], "pixels_m": [1, -1]}}')
    with pytest.raises(ScenarioError, match=r"detector\.pixels_m\.1"):
        read_expected_beamline(path)
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_expected_beamline(tmp_path / "none.json")
    strange = {**NICKEL, "space_group": "Q 7"}
    with pytest.raises(ScenarioError, match="space group"):
        expected_run(beamline(tmp_path, phases=[strange]))
    facts = beamline(tmp_path)
    (tmp_path / "own.poni").write_text("Distance: near\n")
    with pytest.raises(ScenarioError, match="a number for distance"):
        expected_run(facts)

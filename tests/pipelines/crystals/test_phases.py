import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.synthetic_patterns import WAVELENGTH_M, lagp
from ringwatch_pipelines.crystals.lattices import CrystalSystem, Lattice, d_spacing_from_lattice
from ringwatch_pipelines.crystals.phases import PhaseRole, Site, label_from_hkl, phase_from_cell, phase_from_cif
from ringwatch_pipelines.errors import PhaseError

# hkl, two_theta in degree at 0.1173 A and multiplicity, for a = 8.2570 A and c = 20.632 A
LAGP_LINES = (
    ("012", 1.1436, 6),
    ("104", 1.6066, 6),
    ("110", 1.6280, 6),
    ("113", 1.8988, 12),
    ("024", 2.2873, 6),
    ("211", 2.5081, 12),
    ("116", 2.5438, 12),
    ("214", 2.8076, 12),
    ("300", 2.8199, 6),
    ("128", 3.6026, 12),
    ("226", 3.7981, 12),
    ("042", 3.8162, 6),
    ("410", 4.3080, 12),
)

CELLS = {
    CrystalSystem.CUBIC: (3.51, 3.51, 3.51, 90.0, 90.0, 90.0),
    CrystalSystem.TETRAGONAL: (3.546, 3.546, 4.334, 90.0, 90.0, 90.0),
    CrystalSystem.HEXAGONAL: (3.2, 3.2, 5.2, 90.0, 90.0, 120.0),
    CrystalSystem.TRIGONAL: (8.257, 8.257, 20.632, 90.0, 90.0, 120.0),
    CrystalSystem.RHOMBOHEDRAL: (8.37, 8.37, 8.37, 59.1, 59.1, 59.1),
    CrystalSystem.ORTHORHOMBIC: (6.12, 10.48, 4.93, 90.0, 90.0, 90.0),
    CrystalSystem.MONOCLINIC: (7.37, 8.26, 3.19, 90.0, 110.1, 90.0),
    CrystalSystem.TRICLINIC: (5.1, 6.2, 7.3, 81.0, 95.0, 103.0),
}


def cubic_phase(**changes):
    arguments = {
        "name": "li",
        "role": PhaseRole.LINES,
        "cell": CELLS[CrystalSystem.CUBIC],
        "space_group": "I m -3 m",
        "d_min_A": 1.2,
        "wavelength_m": WAVELENGTH_M,
    }
    return phase_from_cell(**(arguments | changes))


def test_lagp_lines_stand_where_the_published_lattice_puts_them():
    phase = lagp()
    angles, _ = phase.lattice.two_theta_deg(hkl=phase.reflections.hkl, wavelength_m=WAVELENGTH_M)
    found = {
        label_from_hkl(hkl): (angle, int(count))
        for hkl, angle, count in zip(phase.reflections.hkl, angles, phase.reflections.multiplicity, strict=True)
    }
    for label, angle, multiplicity in LAGP_LINES:
        assert found[label][0] == pytest.approx(angle, abs=5.1e-5)
        assert found[label][1] == multiplicity


def test_lagp_has_83_reflections_above_1_2_angstrom():
    assert len(lagp().reflections.hkl) == 83


def test_body_centring_and_glides_are_absent():
    assert [label_from_hkl(hkl) for hkl in cubic_phase().reflections.hkl] == ["110", "200", "211", "220"]
    labels = {label_from_hkl(hkl) for hkl in lagp().reflections.hkl}
    assert labels.isdisjoint({"003", "101", "102", "111"})


def test_the_powder_ratio_of_lithium_is_that_of_a_random_powder():
    phase = cubic_phase(sites=(Site("Li", 0, 0, 0, u_iso_A2=0.057),))
    first, second = phase.reflections.relative_intensity[:2]
    assert first / second == pytest.approx(7.2, rel=0.03)


def test_atoms_on_special_positions_count_once():
    """Nickel: F = 4 f for every allowed line, so intensities follow multiplicity, form factor and angle alone."""
    phase = cubic_phase(cell=(3.5238,) * 3 + (90, 90, 90), space_group="F m -3 m", sites=(Site("Ni", 0, 0, 0),))
    assert [label_from_hkl(hkl) for hkl in phase.reflections.hkl] == ["111", "200", "220"]
    assert phase.reflections.relative_intensity[1] == pytest.approx(49.4, abs=0.5)


@pytest.mark.recordings
def test_fluorite_has_the_line_ratio_of_its_powder_file(recordings):
    """CeO2: (200)/(111) is 28 to 30 % and (220)/(111) 50 to 65 % in powder files, without and with strong damping."""
    text = (recordings / "cif" / "CeO2_amcsd11686.cif").read_text()
    phase = phase_from_cif(name="ceo2", role=PhaseRole.FREE, cif_text=text, d_min_A=1.2, wavelength_m=WAVELENGTH_M)
    strengths = dict(zip(map(label_from_hkl, phase.reflections.hkl), phase.reflections.relative_intensity, strict=True))
    assert 27.0 < strengths["200"] < 31.0
    assert 50.0 < strengths["220"] < 65.0


@pytest.mark.recordings
def test_explicit_sites_and_their_cif_give_the_same_intensities(recordings):
    text = (recordings / "cif" / "LiGe2P3O12_amcsd16403.cif").read_text()
    # Displacement parameters are left out, as the explicit sites have none.
    rigid = text[: text.index("loop_\n_atom_site_aniso_label")]
    cell = (8.257, 8.257, 20.632, 90, 90, 120)
    from_cif = phase_from_cif(
        name="lagp", role=PhaseRole.FREE, cif_text=rigid, d_min_A=1.2, wavelength_m=WAVELENGTH_M, cell=cell
    )
    np.testing.assert_array_equal(from_cif.reflections.hkl, lagp().reflections.hkl)
    np.testing.assert_allclose(
        from_cif.reflections.relative_intensity, lagp().reflections.relative_intensity, atol=1e-6
    )


def test_the_strongest_lines_of_lagp_are_those_of_its_powder_pattern():
    phase = lagp()
    order = np.argsort(-phase.reflections.relative_intensity)
    strongest = {label_from_hkl(phase.reflections.hkl[index]) for index in order[:4]}
    assert strongest == {"113", "104", "110", "024"}


@pytest.mark.recordings
def test_every_recorded_structure_becomes_a_phase_of_its_own_spacings(recordings):
    import gemmi

    files = sorted((recordings / "cif").glob("*.cif"))
    assert len(files) > 10
    for file in files:
        text = file.read_text()
        phase = phase_from_cif(
            name=file.stem, role=PhaseRole.REFERENCE, cif_text=text, d_min_A=1.0, wavelength_m=WAVELENGTH_M
        )
        cell = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block()).cell
        expected = [cell.calculate_d(hkl) for hkl in phase.reflections.hkl.tolist()]
        np.testing.assert_allclose(d_spacing_from_lattice(lattice=phase.lattice, hkl=phase.reflections.hkl), expected)
        assert phase.reflections.relative_intensity.max() == pytest.approx(100.0)


@pytest.mark.parametrize("system", list(CrystalSystem))
def test_slopes_of_the_angles_are_those_of_small_changes(system):
    lattice = Lattice(system, CELLS[system])
    hkl = np.array([[1, 0, 4], [1, 1, 0], [2, 1, -3], [0, 3, 1]], dtype=np.int32)
    _, slopes = lattice.two_theta_deg(hkl=hkl, wavelength_m=WAVELENGTH_M)
    assert slopes.shape == (4, len(lattice.names))
    for index in range(len(lattice.names)):
        change = np.zeros(len(lattice.names))
        change[index] = 1e-5
        above, _ = lattice.two_theta_deg(hkl=hkl, wavelength_m=WAVELENGTH_M, free=lattice.free + change)
        below, _ = lattice.two_theta_deg(hkl=hkl, wavelength_m=WAVELENGTH_M, free=lattice.free - change)
        np.testing.assert_allclose(slopes[:, index], (above - below) / 2e-5, rtol=1e-6, atol=1e-9)


@given(a=st.floats(2.0, 30.0), c=st.floats(2.0, 30.0))
def test_hexagonal_spacings_follow_the_closed_formula(a, c):
    lattice = Lattice(CrystalSystem.TRIGONAL, (a, a, c, 90.0, 90.0, 120.0))
    h, k, l = 2, -1, 5  # noqa: E741 the symbol of the field
    expected = 1.0 / np.sqrt(4.0 / 3.0 * (h * h + h * k + k * k) / a**2 + l * l / c**2)
    spacing = d_spacing_from_lattice(lattice=lattice, hkl=np.array([[h, k, l]], dtype=np.int32))
    assert spacing[0] == pytest.approx(expected)


@pytest.mark.parametrize("system", list(CrystalSystem))
def test_a_lattice_takes_other_values_and_gives_them_back(system):
    lattice = Lattice(system, CELLS[system])
    moved = lattice.with_free(lattice.free * 1.001)
    np.testing.assert_allclose(moved.free, lattice.free * 1.001)
    assert moved.names == lattice.names


def test_explicit_lines_replace_those_of_symmetry():
    phase = cubic_phase(lines=(((2, 0, 0), 14.0), ((1, 1, 0), 100.0)))
    assert [label_from_hkl(hkl) for hkl in phase.reflections.hkl] == ["110", "200"]
    assert phase.reflections.multiplicity.tolist() == [12, 6]
    assert phase.reflections.relative_intensity.tolist() == [100.0, 14.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space_group": "R -4 q"}, "R -4 q"),
        ({"cell": (3.5, 3.6, 3.5, 90, 90, 90)}, "not cubic"),
        ({"cell": (0.0, 0.0, 0.0, 90, 90, 90)}, "span a volume"),
        ({"cell": (float("nan"),) * 6}, "span a volume"),
        ({"lines": (((1, 0, 0), 1.0),)}, "cannot have the line"),
        ({"lines": (((1, 1, 0), float("nan")),)}, "intensity of 0 or more"),
        ({"ratio": ("110", "300")}, "no line 300"),
        ({"ratio": ("110", "200"), "role": PhaseRole.FREE}, "needs the role LINES"),
        ({"sites": (Site("Qq", 0, 0, 0),)}, "Qq"),
        ({"d_min_A": 50.0}, "no reflection"),
        ({"d_min_A": 0.0}, "above 0 angstrom"),
        ({"size_nm": -1.0}, "size_nm"),
        ({"name": ""}, "needs a name"),
    ],
)
def test_a_phase_that_makes_no_sense_is_refused_in_one_sentence(changes, words):
    with pytest.raises(PhaseError, match=words):
        cubic_phase(**changes)


@pytest.mark.parametrize("text", ["", "not a cif", "data_x\n_cell_length_a 3\n", "data_x\nloop_\n_a\n_b\n1\n"])
def test_a_broken_cif_is_refused_in_one_sentence(text):
    with pytest.raises(PhaseError, match="CIF of broken"):
        phase_from_cif(name="broken", role=PhaseRole.FREE, cif_text=text, d_min_A=1.0, wavelength_m=WAVELENGTH_M)


ZIRCONIA = """data_zirconia
_cell_length_a 5.1505(2)
_cell_length_b 5.2116(2)
_cell_length_c 5.3173(3)
_cell_angle_alpha 90
_cell_angle_beta 99.23(1)
_cell_angle_gamma 90
{group}
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Zr1 0.2754(3) 0.0395(3) 0.2083(2) 1.0
O1 0.0700 0.3317 0.3447 1
O2 0.4496 0.7569 0.4792 1.000(5)
"""
OPERATIONS = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,1/2+y,1/2-z'\n'-x,-y,-z'\n'x,1/2-y,1/2+z'"


@pytest.mark.parametrize(
    "group",
    [
        OPERATIONS,
        "_space_group_name_H-M_alt 'P21/c'",
        "_space_group_name_Hall '-P 2ybc'",
        "_space_group_IT_number 14",
        "_symmetry_Int_Tables_number 14",
    ],
)
def test_a_cif_may_name_its_group_by_symbol_operations_or_number(group):
    """Against intensities from a sum over all atoms of the cell and all reflections of the sphere, done apart."""
    phase = phase_from_cif(
        name="zirconia",
        role=PhaseRole.REFERENCE,
        cif_text=ZIRCONIA.format(group=group),
        d_min_A=1.2,
        wavelength_m=WAVELENGTH_M,
    )
    strengths = dict(zip(map(label_from_hkl, phase.reflections.hkl), phase.reflections.relative_intensity, strict=True))
    assert phase.lattice.cell[4] == pytest.approx(99.23)
    assert strengths["11-1"] == pytest.approx(100.0)
    assert strengths["111"] == pytest.approx(70.5, abs=1.5)


@pytest.mark.parametrize(("group", "words"), [("_space_group_IT_number 227", "two origins"), ("", "0 operations")])
def test_a_cif_whose_group_leaves_something_open_is_refused(group, words):
    with pytest.raises(PhaseError, match=words):
        phase_from_cif(
            name="open",
            role=PhaseRole.FREE,
            cif_text=ZIRCONIA.format(group=group).replace("99.23(1)", "90"),
            d_min_A=1.2,
            wavelength_m=WAVELENGTH_M,
        )

"""The simulators' own crystallography against published figures."""

import numpy as np
import pytest

from ringwatch_simulators.crystals import ALPO4, LAGP, LIOH, LITHIUM, powder_lines, two_theta_deg

WAVELENGTH_A = 0.1173
PUBLISHED_LAGP = {
    (0, 1, 2): (1.1436, 6, 22),
    (1, 0, 4): (1.6066, 6, 75),
    (1, 1, 0): (1.6280, 6, 49),
    (1, 1, 3): (1.8988, 12, 100),
    (2, 1, 1): (2.5081, 12, 18),
    (3, 0, 0): (2.8199, 6, 23),
    (0, 4, 2): (3.8162, 6, 6.7),
    (4, 1, 0): (4.3080, 12, 19),
}


def by_hkl(crystal):
    return {line.hkl: line for line in powder_lines(crystal, WAVELENGTH_A, 1.2)}


def angle(crystal, hkl):
    return float(two_theta_deg(crystal, np.array([hkl]), WAVELENGTH_A)[0])


@pytest.mark.parametrize("hkl", PUBLISHED_LAGP)
def test_lagp_lines_stand_where_published_with_their_multiplicity_and_strength(hkl):
    place, multiplicity, strength = PUBLISHED_LAGP[hkl]
    line = by_hkl(LAGP.with_lattice(a_A=8.2570, c_A=20.632))[hkl]
    assert angle(LAGP.with_lattice(a_A=8.2570, c_A=20.632), hkl) == pytest.approx(place, abs=1e-4)
    assert line.multiplicity == multiplicity
    assert 100 * line.strength == pytest.approx(strength, rel=0.25)


def test_the_lattices_centring_and_glide_planes_extinguish_what_they_must():
    hkl = np.array(list(by_hkl(LAGP)))
    assert np.all((-hkl[:, 0] + hkl[:, 1] + hkl[:, 2]) % 3 == 0)
    on_glide_plane = hkl[:, 0] * hkl[:, 1] == 0
    assert not np.any(hkl[on_glide_plane & (hkl[:, 0] + hkl[:, 1] > 0)] @ [0, 0, 1] % 2)
    assert all(sum(hkl) % 2 == 0 for hkl in by_hkl(LITHIUM))


def test_a_random_lithium_powder_has_a_ratio_of_7_2():
    lines = by_hkl(LITHIUM)
    assert lines[1, 1, 0].strength / lines[2, 0, 0].strength == pytest.approx(7.2, rel=0.02)
    assert angle(LITHIUM, (1, 1, 0)) == pytest.approx(2.7081, abs=1e-4)


@pytest.mark.parametrize(("crystal", "hkl", "place"), [(LIOH, (1, 0, 1), 2.449), (ALPO4, (1, 1, 0), 2.718)])
def test_minor_phases_have_their_strongest_or_nearest_line_where_expected(crystal, hkl, place):
    assert angle(crystal, hkl) == pytest.approx(place, abs=2e-3)
    assert max(line.strength for line in by_hkl(crystal).values()) == 1.0

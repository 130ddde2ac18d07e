"""The fast pattern against the plain sum of Voigt profiles."""

import numpy as np
from scipy.special import voigt_profile

from ringwatch_simulators.cell_model import CellModel, CellParameters
from ringwatch_simulators.radial_profile import Beam, add_lines, lagp_lines, lithium_lines, radial_pattern

GRID_DEG = np.arange(0.5, 8.0, 1e-3)
TRUTH = CellModel(CellParameters()).at(300.0)


def test_cores_and_tails_add_up_to_voigt_profiles_everywhere():
    lines = lagp_lines(TRUTH, Beam())
    fast = np.zeros_like(GRID_DEG)
    add_lines(fast, GRID_DEG, lines)
    plain = sum(
        line.area * voigt_profile(GRID_DEG - line.two_theta_deg, line.gauss_sigma_deg, line.lorentz_hwhm_deg)
        for line in lines
    )
    np.testing.assert_allclose(fast, plain, rtol=0, atol=3e-5 * plain.max())


def test_lithium_has_the_areas_of_the_truth_and_its_lines_follow_its_lattice():
    first, second = lithium_lines(TRUTH, Beam())[:2]
    assert (first.area, second.area) == (TRUTH.area_110, TRUTH.area_200)
    expected_deg = 2.0 * np.degrees(np.arcsin(Beam().wavelength_A * np.sqrt([2.0, 4.0]) / TRUTH.a_li_A / 2.0))
    np.testing.assert_allclose([first.two_theta_deg, second.two_theta_deg], expected_deg, rtol=1e-12)


def test_phases_that_are_not_there_leave_no_trace():
    early = radial_pattern(CellModel(CellParameters()).at(100.0), Beam(), GRID_DEG, 0.0)
    lagp = np.zeros_like(GRID_DEG)
    add_lines(lagp, GRID_DEG, lagp_lines(CellModel(CellParameters()).at(100.0), Beam()))
    np.testing.assert_allclose(early.smooth, lagp, atol=1e-9)

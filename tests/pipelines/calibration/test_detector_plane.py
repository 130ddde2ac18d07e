"""The formula of the flat tilted detector against pyFAI, and its inverse."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch_pipelines.calibration.detector_plane import PARAMETERS, angles_from_plane, plane_from_angles
from ringwatch_pipelines.reduction.integration import geometry_from_poni

PONI = """Detector: Detector
Detector_config: {"pixel1": 0.0002, "pixel2": 0.0003, "max_shape": [30, 40], "orientation": %d}
Distance: 0.2
Poni1: 0.0096
Poni2: 0.0128
Rot1: 0.1
Rot2: -0.2
Rot3: 0.3
Wavelength: 2e-11
"""


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_the_angles_are_pyfais_in_every_orientation(orientation):
    geometry = geometry_from_poni(PONI % orientation, origin="a.poni")
    detector = Detector(2e-4, 3e-4, max_shape=geometry.shape, orientation=orientation)
    integrator = AzimuthalIntegrator(0.2, 0.0096, 0.0128, 0.1, -0.2, 0.3, detector=detector)
    rows, columns, _ = detector.calc_cartesian_positions()
    angle, azimuth, _ = angles_from_plane(geometry=geometry, points_m=np.stack([rows, columns], axis=-1))
    assert np.allclose(angle, integrator.center_array(geometry.shape, "2th_rad", scale=False), atol=1e-7)
    assert np.allclose(azimuth, integrator.center_array(geometry.shape, "chi_rad", scale=False), atol=1e-6)


def test_the_slopes_are_those_of_small_steps():
    geometry = geometry_from_poni(PONI % 3, origin="a.poni")
    points_m = np.random.default_rng(0).uniform(0.0, 0.1, (50, 2))
    _, _, slopes = angles_from_plane(geometry=geometry, points_m=points_m)
    for index, name in enumerate(PARAMETERS):
        sides = []
        for step in (-1e-6, 1e-6):
            moved = dataclasses.replace(geometry, **{name: getattr(geometry, name) + step})
            sides.append(angles_from_plane(geometry=moved, points_m=points_m)[0])
        assert np.allclose(slopes[:, index], (sides[1] - sides[0]) / 2e-6, rtol=1e-5, atol=1e-7)


@given(rot1=st.floats(-0.5, 0.5), rot2=st.floats(-0.5, 0.5), rot3=st.floats(-3, 3), row=st.floats(-0.2, 0.2))
def test_a_ray_meets_the_plane_where_it_came_from(rot1, rot2, rot3, row):
    geometry = dataclasses.replace(
        geometry_from_poni(PONI % 3, origin="a.poni"), rot1_rad=rot1, rot2_rad=rot2, rot3_rad=rot3
    )
    points_m = np.array([[row, 0.03], [0.01, row]])
    angle, azimuth, _ = angles_from_plane(geometry=geometry, points_m=points_m)
    back = plane_from_angles(geometry=geometry, two_theta_rad=angle, azimuth_rad=azimuth)
    assert np.allclose(back, points_m, atol=1e-9)


def test_a_ray_away_from_the_detector_meets_it_nowhere():
    geometry = geometry_from_poni(PONI % 3, origin="a.poni")
    assert np.isnan(plane_from_angles(geometry=geometry, two_theta_rad=np.pi - 0.01, azimuth_rad=0.0)).all()

"""The intensity of a bin belongs to the mean angle of its pixels."""

import numpy as np
import pytest

from pipelines.small_detector import BINS, RANGE_DEG, SHAPE, shadow, small_geometry
from ringwatch_pipelines.patterns import RadialAxis, pattern_from_sums
from ringwatch_pipelines.reduction.corrections import Corrections, Mask
from ringwatch_pipelines.reduction.integration import Binning, build_operator
from ringwatch_simulators.detector_geometry import FlatDetector, pixel_angles

DETECTOR = FlatDetector(SHAPE, 2e-4, 0.2, 0.0096, 0.0128, rot1_rad=0.01, rot2_rad=-0.02, rot3_rad=0.3)


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_a_sloping_intensity_is_found_on_its_slope(splitting):
    operator = build_operator(
        geometry=small_geometry(),
        corrections=Corrections(mask=Mask(shadow(), origin="shadow"), polarization_factor=0.9),
        binning=Binning(BINS, *RANGE_DEG, splitting=splitting),
    )
    pixels = pixel_angles(DETECTOR).two_theta_deg
    weight = operator.fold.weight.reshape(pixels.shape)
    sums = operator.integrate(weight * (100.0 + 50.0 * pixels), dark=None).sums
    pattern = pattern_from_sums(sums=sums, axis=operator.axis)
    filled = np.flatnonzero(np.isfinite(pattern.intensity))[1:-1]  # pixels over the range's ends count in part
    found = (pattern.intensity[filled] - 100.0) / 50.0
    np.testing.assert_allclose(operator.axis.mean_two_theta_deg[filled], found, atol=2e-5)
    assert np.abs(operator.axis.two_theta_deg[filled] - found).max() > 1e-3
    assert np.all(np.diff(operator.axis.mean_two_theta_deg) > 0)


def test_without_pixels_a_bin_stands_at_its_centre():
    axis = RadialAxis(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(axis.mean_two_theta_deg, [1.5, 2.5])

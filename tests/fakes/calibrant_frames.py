"""Frames of a calibrant on a small tilted detector, drawn by pyFAI's own geometry and plain Gaussians."""

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch_pipelines.calibration.calibration import Calibrant
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import geometry_from_poni

SIDE, PIXEL_M = 420, 2e-4
FWHM_PER_SIGMA = 2.354820045
CERIA_A = 5.411651

PONI = f"""Detector: Detector
Detector_config: {{"pixel1": {PIXEL_M}, "pixel2": {PIXEL_M}, "max_shape": [{SIDE}, {SIDE}], "orientation": 3}}
Distance: 0.25
Poni1: 0.0431
Poni2: 0.0397
Rot1: 0.012
Rot2: -0.008
Rot3: 0.0
Wavelength: 1.6e-11
"""


def true_geometry() -> Geometry:
    return geometry_from_poni(PONI, origin="true.poni")


def ceria(lines: int = 14) -> Calibrant:
    squares = sorted(
        {h * h + k * k + j * j for h in range(9) for k in range(h + 1) for j in range(k + 1) if h % 2 == k % 2 == j % 2}
    )[1:]
    spacings = CERIA_A / np.sqrt(squares[:lines])
    return Calibrant("ceria", spacings, np.ones_like(spacings))


def pixel_angles(geometry: Geometry):
    """Scattering angle in degree and azimuth in radian of every pixel, by pyFAI."""
    integrator = AzimuthalIntegrator(
        geometry.distance_m,
        geometry.poni1_m,
        geometry.poni2_m,
        geometry.rot1_rad,
        geometry.rot2_rad,
        geometry.rot3_rad,
        detector=Detector(PIXEL_M, PIXEL_M, max_shape=geometry.shape),
        wavelength=geometry.wavelength_m,
    )
    two_theta = integrator.center_array(geometry.shape, "2th_rad", scale=False)
    return np.rad2deg(two_theta), integrator.center_array(geometry.shape, "chi_rad", scale=False)


def bragg_deg(calibrant: Calibrant, geometry: Geometry):
    return np.rad2deg(2 * np.arcsin(geometry.wavelength_m * 1e10 / (2 * calibrant.d_spacing_A)))


def ring_frame(
    geometry: Geometry,
    calibrant: Calibrant,
    *,
    fwhm_deg=lambda two_theta_deg: 0.09 + 0 * two_theta_deg,
    height=3000.0,
    background=400.0,
    texture=0.0,
    spots=0,
    seed=0,
):
    """Poisson counts of Gaussian rings; `spots` are grains that stand off their ring."""
    rng = np.random.default_rng(seed)
    angle, azimuth = pixel_angles(geometry)
    rate = background * (0.4 + np.exp(-angle / 5))
    for index, line in enumerate(bragg_deg(calibrant, geometry)):
        sigma = fwhm_deg(line) / FWHM_PER_SIGMA
        ring = height * (1 + texture * np.cos(2 * azimuth + index)) / (1 + 0.1 * index)
        rate = rate + ring * np.exp(-0.5 * ((angle - line) / sigma) ** 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for row, column in rng.uniform(5, SIDE - 5, (spots, 2)):
        rate = rate + 20 * height * np.exp(-0.5 * ((rows - row) ** 2 + (columns - column) ** 2) / 1.5)
    return rng.poisson(rate).astype(np.uint32)

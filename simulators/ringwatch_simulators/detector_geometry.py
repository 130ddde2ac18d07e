"""A flat, tilted detector in the convention of PONI files.

The detector's own axes are 1 (rows, upward index) and 2 (columns); 3 runs along the beam. A pixel
centre at ``(p1, p2, L)`` from the point of normal incidence is turned about axis 1 by rot1, then
about axis 2 by rot2, then about the beam by rot3, with the signs of the PONI format.
"""

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FlatDetector:
    """Where the detector stands.

    Parameters
    ----------
    shape
        (rows, columns).
    pixel_m
        Edge of a pixel along the rows' numbers, of a square one along both.
    distance_m
        From the sample to the point of normal incidence.
    poni1_m, poni2_m
        Point of normal incidence from the corner of pixel (0, 0), along rows and columns.
    rot1_rad, rot2_rad, rot3_rad
        Tilts.
    wavelength_A
        Of the beam.
    displacement_m
        How far the sample really stands behind (upstream of) the place that the other numbers say.
    pixel2_m
        Edge along the columns' numbers where pixels are not square.
    orientation
        Where the first pixel of the array stands: at the beginning of axis 1 (3, 4) or at its end (1, 2), and at the
        beginning of axis 2 (2, 3) or at its end (1, 4).
    """

    shape: tuple[int, int]
    pixel_m: float
    distance_m: float
    poni1_m: float
    poni2_m: float
    rot1_rad: float = 0.0
    rot2_rad: float = 0.0
    rot3_rad: float = 0.0
    wavelength_A: float = 0.1173
    displacement_m: float = 0.0
    pixel2_m: float | None = None
    orientation: int = 3

    @property
    def pixels_m(self) -> tuple[float, float]:
        """Edges along axes 1 and 2."""
        return self.pixel_m, self.pixel_m if self.pixel2_m is None else self.pixel2_m

    def poni_text(self) -> str:
        """The nominal geometry, without the displacement, as a PONI file, version 2.1."""
        config = {
            "pixel1": self.pixels_m[0],
            "pixel2": self.pixels_m[1],
            "max_shape": list(self.shape),
            "orientation": self.orientation,
        }
        lines = (
            "# Geometry of a simulated detector",
            "poni_version: 2.1",
            "Detector: Detector",
            f"Detector_config: {json.dumps(config)}",
            f"Distance: {self.distance_m!r}",
            f"Poni1: {self.poni1_m!r}",
            f"Poni2: {self.poni2_m!r}",
            f"Rot1: {self.rot1_rad!r}",
            f"Rot2: {self.rot2_rad!r}",
            f"Rot3: {self.rot3_rad!r}",
            f"Wavelength: {self.wavelength_A * 1e-10!r}",
        )
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, eq=False)
class PixelAngles:
    """What every pixel sees, each (rows, columns).

    Parameters
    ----------
    two_theta_deg
        Scattering angle at the pixel's centre.
    azimuth_rad
        From axis 2 (horizontal) towards axis 1.
    solid_angle
        Relative to a pixel at the point of normal incidence: cosine of incidence cubed.
    """

    two_theta_deg: FloatArray
    azimuth_rad: FloatArray
    solid_angle: FloatArray


def pixel_angles(detector: FlatDetector) -> PixelAngles:
    """Angles of all pixel centres."""
    along1_m, along2_m = pixel_centres_m(detector)
    p1, p2 = (along1_m - detector.poni1_m)[:, None], (along2_m - detector.poni2_m)[None, :]
    turn = rotation(detector)
    x1, x2, x3 = (axis[0] * p1 + axis[1] * p2 + axis[2] * detector.distance_m for axis in turn)
    two_theta = np.degrees(np.arctan2(np.hypot(x1, x2), x3 + detector.displacement_m))
    incidence = detector.distance_m / np.sqrt(p1**2 + p2**2 + detector.distance_m**2)
    return PixelAngles(two_theta, np.arctan2(x1, x2), incidence**3)


def pixel_centres_m(detector: FlatDetector) -> tuple[FloatArray, FloatArray]:
    """(rows,) and (columns,) places of the pixels' centres along axes 1 and 2."""
    reversed_axes = (detector.orientation in {1, 2}, detector.orientation in {1, 4})
    along1_m, along2_m = (
        np.asarray((np.arange(pixels) + 0.5) * edge_m)[:: -1 if is_reversed else 1]
        for pixels, edge_m, is_reversed in zip(detector.shape, detector.pixels_m, reversed_axes, strict=True)
    )
    return along1_m, along2_m


def lattice_scale_seen(detector: FlatDetector, two_theta_deg: float) -> float:
    """Lattice as the nominal geometry sees it over the true one, from lines around an angle.

    A ring of radius R stands at ``tan 2theta = R / (L + displacement)`` and is taken for ``R / L``.
    """
    true = np.radians(two_theta_deg)
    along = detector.distance_m / (np.cos(detector.rot1_rad) * np.cos(detector.rot2_rad))
    seen = np.arctan(np.tan(true) * (1.0 + detector.displacement_m / along))
    return float(np.sin(true / 2.0) / np.sin(seen / 2.0))


def beam_from_poni_m(detector: FlatDetector) -> FloatArray:
    """(2,) where the direct beam meets the detector, along axes 1 and 2 from the point of normal incidence."""
    beam = rotation(detector)[2]
    return np.asarray(detector.distance_m * beam[:2] / beam[2])


def rotation(detector: FlatDetector) -> FloatArray:
    """(3, 3) matrix from the detector's axes to the laboratory's."""
    (c1, c2, c3), (s1, s2, s3) = (
        [function(angle) for angle in (detector.rot1_rad, detector.rot2_rad, detector.rot3_rad)]
        for function in (np.cos, np.sin)
    )
    about1 = np.array([[1.0, 0.0, 0.0], [0.0, c1, s1], [0.0, -s1, c1]])
    about2 = np.array([[c2, 0.0, -s2], [0.0, 1.0, 0.0], [s2, 0.0, c2]])
    about3 = np.array([[c3, -s3, 0.0], [s3, c3, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(about3 @ about2 @ about1)


def polarisation_factor(angles: PixelAngles, degree: float) -> FloatArray:
    """Share of the scattered intensity that polarisation leaves, for a horizontal `degree` from -1 to 1.

    ``(1 + cos^2 2theta - P cos 2phi sin^2 2theta) / 2`` (Kahn et al. 1982, J. Appl. Cryst. 15, 330).
    """
    cosine_square = np.cos(np.radians(angles.two_theta_deg)) ** 2
    return np.asarray(0.5 * (1.0 + cosine_square - degree * np.cos(2 * angles.azimuth_rad) * (1.0 - cosine_square)))

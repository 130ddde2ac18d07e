"""A sample that does not stand where the calibrant stood, and what its lines then look like."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.patterns import FloatArray

_MM_PER_M = 1e3


@dataclass(frozen=True, slots=True)
class Displacement:
    """The distance is refined: a phase whose lattice is known, by a narrow prior, tells where the sample stands.

    Parameters
    ----------
    distance_m
        From the calibrated place of the sample to the detector, along the beam.
    sigma_mm
        How well the place of the sample is known beforehand, one sigma. It is all that is known while the phase of
        known lattice is not seen.
    """

    distance_m: float
    sigma_mm: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 < self.distance_m < np.inf and 0.0 < self.sigma_mm < np.inf):
            raise PhaseError(f"a displacement needs a distance and a sigma above 0, got {self}")


def seen_angle_from_displacement(
    *, two_theta_deg: FloatArray, displacement_mm: float, distance_m: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The angle at which the calibrated geometry sees a line, ``tan seen = (1 + s / L) tan 2theta``.

    Exact for a flat detector across the beam, since the radius of a ring is ``(L + s) tan 2theta`` and is taken for
    ``L tan seen``. A tilt changes L around the ring by its small angle times the radius.

    Parameters
    ----------
    two_theta_deg
        (lines,) true scattering angles.
    displacement_mm
        s; above 0 where the sample stands further from the detector than calibrated.

    Returns
    -------
    seen_deg, by_angle, by_displacement
        (lines,) each: in degree, and its slopes, without unit and in degree per mm.
    """
    stretch = 1.0 + displacement_mm / (_MM_PER_M * distance_m)
    sine, cosine = np.sin(np.radians(two_theta_deg)), np.cos(np.radians(two_theta_deg))
    square = cosine**2 + (stretch * sine) ** 2
    seen = np.degrees(np.arctan2(stretch * sine, cosine))
    return seen, stretch / square, np.degrees(sine * cosine / square) / (_MM_PER_M * distance_m)

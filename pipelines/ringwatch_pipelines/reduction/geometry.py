"""Where the detector stands: everything that decides in which bin a pixel falls."""

import hashlib
import json
from dataclasses import asdict, dataclass

from ringwatch_pipelines.errors import GeometryError


@dataclass(frozen=True, slots=True)
class Geometry:
    """A calibrated detector, in the convention of the ``.poni`` file.

    Parameters
    ----------
    detector
        Name of the detector as pyFAI knows it.
    detector_config
        JSON of what sets this detector up (pixel sizes, orientation, shape), keys sorted.
    shape
        (rows, columns) of a frame.
    distance_m, poni1_m, poni2_m
        Distance from the sample to the point of normal incidence, and that point's place along rows and columns.
    rot1_rad, rot2_rad, rot3_rad
        Tilts of the detector (Kieffer et al. 2020, J. Synchrotron Rad. 27, 558).
    wavelength_m
        Wavelength of the beam.
    orientation
        Where the first pixel of the array stands, EXIF numbering; 3 is the usual one.
    """

    detector: str
    detector_config: str
    shape: tuple[int, int]
    distance_m: float
    poni1_m: float
    poni2_m: float
    rot1_rad: float
    rot2_rad: float
    rot3_rad: float
    wavelength_m: float
    orientation: int = 3

    def __post_init__(self) -> None:
        if not (len(self.shape) == 2 and min(self.shape) > 0):
            raise GeometryError(f"a detector needs a shape of positive (rows, columns), got {self.shape}")
        for name in ("distance_m", "wavelength_m"):
            value = getattr(self, name)
            if not 0.0 < value < float("inf"):
                raise GeometryError(f"a geometry needs a positive {name}, got {value:g}")

    @property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 of everything that decides the bins; equal geometries have equal fingerprints."""
        text = json.dumps(asdict(self), sort_keys=True, allow_nan=True)
        return hashlib.sha256(text.encode()).hexdigest()

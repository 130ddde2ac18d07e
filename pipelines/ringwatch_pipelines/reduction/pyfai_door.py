"""The door to pyFAI: its detectors, its geometry, its bins and its calibrants. No other file imports it."""

import json
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyFAI.calibrant import get_calibrant
from pyFAI.calibrant import names as calibrant_names
from pyFAI.detectors import Detector, detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.poni_text import (
    detector_config_of,
    number_of,
    poni_entries,
    positive_of,
    require_entries,
)

VERSION = version("pyFAI")

BoolArray = NDArray[np.bool_]


def geometry_from_poni(text: str, *, origin: str, shape: tuple[int, int] | None = None) -> Geometry:
    """Geometry from the text of a ``.poni`` file, versions 1 to 2.1.

    Parameters
    ----------
    text
        Content of the file.
    origin
        File it came from, for messages.
    shape
        (rows, columns) of the frames where it is known; needed for a detector without a shape of its own.

    Raises
    ------
    GeometryError
        The text is no calibration, lacks something, or does not fit `shape`.
    """
    entries = poni_entries(text)
    require_entries(entries, origin)
    detector = _detector_from_entries(entries, origin)
    rows_columns = _shape_of(detector, shape, origin)
    config = {key: value for key, value in detector.get_config().items() if key != "orientation"}
    orientation = int(detector.orientation) or 3
    if type(detector) is Detector:
        config["max_shape"] = list(rows_columns)
    return Geometry(
        detector=type(detector).__name__,
        detector_config=json.dumps({**config, "orientation": orientation}, sort_keys=True, default=str),
        shape=rows_columns,
        distance_m=positive_of(entries, "distance", origin),
        poni1_m=number_of(entries, "poni1", origin),
        poni2_m=number_of(entries, "poni2", origin),
        rot1_rad=number_of(entries, "rot1", origin, default=0.0),
        rot2_rad=number_of(entries, "rot2", origin, default=0.0),
        rot3_rad=number_of(entries, "rot3", origin, default=0.0),
        wavelength_m=positive_of(entries, "wavelength", origin),
        orientation=orientation,
    )


def _detector_from_entries(entries: dict[str, str], origin: str) -> Any:
    name = entries.get("detector", "Detector")
    config = detector_config_of(entries, origin)
    try:
        return detector_factory(name, config)
    # Its constructors raise whatever they meet; all of it means an unusable detector.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise GeometryError(
            f"a detector known to pyFAI was expected, but {origin} names {name} with {config}: {reason}"
        ) from error


def _shape_of(detector: Any, shape: tuple[int, int] | None, origin: str) -> tuple[int, int]:
    if not (detector.pixel1 and detector.pixel2):
        raise GeometryError(f"pixel sizes were expected, but the detector of {origin} has none")
    known = detector.shape or detector.max_shape
    if known is None and shape is None:
        raise GeometryError(f"the detector of {origin} has no shape of its own: the shape of the frames is needed")
    own = (int(known[0]), int(known[1])) if known is not None else None
    if own is not None and shape is not None and own != tuple(shape):
        raise GeometryError(
            f"{origin} is for frames of {own} (rows, columns) with pixels of {detector.pixel1 * 1e6:g} um, "
            f"but the frames have {tuple(shape)}"
        )
    chosen = own or shape
    assert chosen is not None
    return (int(chosen[0]), int(chosen[1]))


class Instrument:
    """What pyFAI says of every pixel of a calibrated detector."""

    def __init__(self, geometry: Geometry) -> None:
        detector = detector_factory(geometry.detector, json.loads(geometry.detector_config))
        self._shape = geometry.shape
        self._integrator = AzimuthalIntegrator(
            dist=geometry.distance_m,
            poni1=geometry.poni1_m,
            poni2=geometry.poni2_m,
            rot1=geometry.rot1_rad,
            rot2=geometry.rot2_rad,
            rot3=geometry.rot3_rad,
            detector=detector,
            wavelength=geometry.wavelength_m,
        )

    @property
    def is_flat(self) -> bool:
        """Whether all pixels lie in one plane."""
        return bool(self._integrator.detector.IS_FLAT)

    @property
    def pixel_m(self) -> float:
        """Side of a square pixel of the same area."""
        detector = self._integrator.detector
        return float(np.sqrt(detector.pixel1 * detector.pixel2))

    def gaps(self) -> BoolArray:
        """(rows, columns) True where the detector has no pixel."""
        mask = self._integrator.detector.mask
        return np.zeros(self._shape, dtype=np.bool_) if mask is None else np.array(mask, dtype=np.bool_)

    def two_theta_deg(self) -> FloatArray:
        """(rows, columns) scattering angle of the centres."""
        radians = self._integrator.array_from_unit(self._shape, "center", "2th_deg", scale=False)
        return np.rad2deg(np.asarray(radians, dtype=np.float64))

    def azimuth_rad(self) -> FloatArray:
        """(rows, columns) azimuth of the centres, as pyFAI counts chi."""
        return np.asarray(self._integrator.center_array(self._shape, "chi_rad", scale=False), dtype=np.float64)

    def weight(self, *, solid_angle: bool, polarization_factor: float | None) -> FloatArray:
        """(rows, columns) solid angle x polarisation, whichever is asked for."""
        weight = np.ones(self._shape)
        if solid_angle:
            weight *= self._integrator.solidAngleArray(self._shape)
        if polarization_factor is not None:
            weight *= self._integrator.polarization(self._shape, polarization_factor)
        return weight

    def bins(self, *, bins: int, masked: BoolArray, range_deg: tuple[float, float] | None, splitting: str) -> Any:
        """The bins of equal width in scattering angle, as the engine that would fill them.

        Its ``indptr``, ``indices`` and ``data`` list the pixels of each bin and their shares; ``pos0_min`` and
        ``delta`` are the start and the width of the bins in radian.
        """
        return self._integrator.setup_sparse_integrator(
            self._shape,
            bins,
            mask=masked.astype(np.int8),
            pos0_range=range_deg,
            unit="2th_deg",
            split=splitting,
            algo="CSR",
        )


def calibrant_spacings_A(name: str) -> FloatArray:
    """(lines,) d spacings of a calibrant that pyFAI knows, descending.

    Raises
    ------
    GeometryError
        pyFAI knows no calibrant of that name.
    """
    known = sorted(calibrant_names())
    if name not in known:
        raise GeometryError(f"expected a calibrant, as in {', '.join(known)}, got {name}")
    return np.array(sorted(get_calibrant(name).dspacing, reverse=True))

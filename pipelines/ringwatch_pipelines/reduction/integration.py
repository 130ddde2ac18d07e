"""The door to pyFAI: its calibrations, its geometry and its bins become one folded operator.

pyFAI says where each pixel lies, how large it looks from the sample and into which bin it falls.
Applying that to a frame is `ringwatch_pipelines.reduction.operators`. No other file imports pyFAI.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pyFAI.calibrant import get_calibrant
from pyFAI.calibrant import names as calibrant_names
from pyFAI.detectors import Detector, detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch_pipelines.errors import CorrectionError, GeometryError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray, RadialAxis
from ringwatch_pipelines.reduction.block_offsets import BlockOperator, ReadoutBlocks, block_operator
from ringwatch_pipelines.reduction.corrections import BoolArray, Corrections, Dark, VarianceModel, select_dark
from ringwatch_pipelines.reduction.fold_building import BinLists, histogram_fold, sector_fold, split_fold
from ringwatch_pipelines.reduction.folds import Fold
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.operators import (
    DarkSums,
    Integrated,
    IntegrationOperator,
    SectorOperator,
    SectorPattern,
)
from ringwatch_pipelines.reduction.poni_text import (
    detector_config_of,
    number_of,
    poni_entries,
    positive_of,
    require_entries,
)

__all__ = [
    "Binning",
    "Corrections",
    "Dark",
    "DarkSums",
    "Geometry",
    "Integrated",
    "IntegrationOperator",
    "Reach",
    "SectorOperator",
    "SectorPattern",
    "VarianceModel",
    "bin_width_deg",
    "build_block_operator",
    "build_operator",
    "build_sector_operator",
    "calibrant_spacings_A",
    "geometry_from_poni",
    "reach_of",
    "select_dark",
]


@dataclass(frozen=True, slots=True)
class Binning:
    """The bins of a pattern.

    Parameters
    ----------
    bins
        Number of bins of equal width in scattering angle.
    two_theta_min_deg, two_theta_max_deg
        Range; None takes the detector's own.
    splitting
        ``none`` puts each pixel in one bin (bins independent of each other, peaks as sharp as they are);
        ``bbox`` spreads a pixel over the bins that its bounding box touches.
    """

    bins: int
    two_theta_min_deg: float | None = None
    two_theta_max_deg: float | None = None
    splitting: Literal["none", "bbox"] = "none"

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise GeometryError(f"a pattern needs at least one bin, got {self.bins}")
        if self.splitting not in {"none", "bbox"}:
            raise GeometryError(f"splitting must be none or bbox, got {self.splitting}")
        low, high = self.two_theta_min_deg, self.two_theta_max_deg
        if low is not None and high is not None and not low < high:
            raise GeometryError(f"the range of two theta must ascend, got {low:g} to {high:g} degree")


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


def _integrator(geometry: Geometry) -> Any:
    detector = detector_factory(geometry.detector, json.loads(geometry.detector_config))
    return AzimuthalIntegrator(
        dist=geometry.distance_m,
        poni1=geometry.poni1_m,
        poni2=geometry.poni2_m,
        rot1=geometry.rot1_rad,
        rot2=geometry.rot2_rad,
        rot3=geometry.rot3_rad,
        detector=detector,
        wavelength=geometry.wavelength_m,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """What geometry and corrections say of each pixel: (rows, columns) arrays."""

    integrator: Any = field(repr=False)
    masked: BoolArray
    weight: NDArray[np.float64]
    """Solid angle x polarisation x flat; 0 where the pixel never counts."""


def _pixels(geometry: Geometry, corrections: Corrections) -> _Pixels:
    corrections.require_shape(geometry.shape)
    integrator = _integrator(geometry)
    masked = np.zeros(geometry.shape, dtype=np.bool_)
    if integrator.detector.mask is not None:
        masked |= np.asarray(integrator.detector.mask, dtype=np.bool_)
    if corrections.mask is not None:
        masked |= corrections.mask.image
    weight = np.ones(geometry.shape)
    if corrections.solid_angle:
        weight *= integrator.solidAngleArray(geometry.shape)
    if corrections.polarization_factor is not None:
        weight *= integrator.polarization(geometry.shape, corrections.polarization_factor)
    if corrections.flat is not None:
        weight *= np.where(corrections.flat.usable, corrections.flat.image, 0.0)
    weight[masked | ~np.isfinite(weight) | (weight < 0)] = 0.0
    if not weight.any():
        raise CorrectionError("mask, detector gaps and flat together leave no pixel to integrate")
    return _Pixels(integrator, masked, weight)


def build_operator(
    *, geometry: Geometry, corrections: Corrections, binning: Binning, threads: int = 2
) -> IntegrationOperator:
    """Fold geometry, bins and all static corrections into one operator.

    Parameters
    ----------
    geometry, corrections, binning
        What decides every number.
    threads
        Threads that share a frame; no result depends on it.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    GeometryError
        No pixel lies in the range of two theta.
    """
    pixels = _pixels(geometry, corrections)
    engine = pixels.integrator.setup_sparse_integrator(
        geometry.shape,
        binning.bins,
        mask=pixels.masked.astype(np.int8),
        pos0_range=_radial_range(pixels, binning),
        unit="2th_deg",
        split={"none": "no", "bbox": "bbox"}[binning.splitting],
        algo="CSR",
    )
    lists = BinLists(starts=engine.indptr, pixels=engine.indices, shares=engine.data)
    make = histogram_fold if binning.splitting == "none" else split_fold
    fold: Fold = make(lists=lists, weight=pixels.weight)
    norm, squares = _norm_and_squares(fold)
    if not norm.any():
        raise GeometryError(
            f"no pixel counts between {binning.two_theta_min_deg} and {binning.two_theta_max_deg} degree two theta"
        )
    edges = np.rad2deg(engine.pos0_min + engine.delta * np.arange(binning.bins + 1))
    return IntegrationOperator(
        fold=fold,
        shape=geometry.shape,
        corrections=corrections,
        norm=norm,
        squares=squares,
        threads=threads,
        axis=RadialAxis(read_only(edges), _mean_two_theta_deg(pixels, fold, norm, edges)),
        geometry_fingerprint=geometry.fingerprint,
        masked_fraction=float(np.mean(pixels.weight == 0)),
    )


def _mean_two_theta_deg(pixels: _Pixels, fold: Fold, norm: FloatArray, edges_deg: FloatArray) -> FloatArray:
    """(bins,) mean angle of the pixels of each bin; the centre of an empty one."""
    total, _ = fold.static_sums(pixels.weight * _two_theta_deg(pixels))
    centres = 0.5 * (edges_deg[1:] + edges_deg[:-1])
    mean = np.where(norm > 0, total / np.where(norm > 0, norm, 1.0), centres)
    return read_only(np.clip(mean, edges_deg[:-1], edges_deg[1:]))


def _norm_and_squares(fold: Fold) -> tuple[FloatArray, FloatArray]:
    norm, _ = fold.static_sums(fold.weight)
    _, squares = fold.static_sums((fold.weight > 0).astype(np.float32))
    return read_only(norm), read_only(squares)


def _radial_range(pixels: _Pixels, binning: Binning) -> tuple[float, float] | None:
    """Range in degree; None leaves pyFAI its own choice."""
    low, high = binning.two_theta_min_deg, binning.two_theta_max_deg
    if low is None and high is None:
        return None
    inside = _two_theta_deg(pixels)[~pixels.masked]
    return (
        float(inside.min()) if low is None else low,
        float(inside.max()) if high is None else high,
    )


def bin_width_deg(*, geometry: Geometry, corrections: Corrections, binning: Binning) -> float:
    """Width of the bins that `build_operator` makes, in degree.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    low, high = binning.two_theta_min_deg, binning.two_theta_max_deg
    if low is None or high is None:
        pixels = _pixels(geometry, replace(corrections, solid_angle=False, polarization_factor=None))
        inside = _two_theta_deg(pixels)[~pixels.masked]
        low = float(inside.min()) if low is None else low
        high = float(inside.max()) if high is None else high
    return (high - low) / binning.bins


def _two_theta_deg(pixels: _Pixels) -> FloatArray:
    radians = pixels.integrator.array_from_unit(pixels.weight.shape, "center", "2th_deg", scale=False)
    return np.rad2deg(np.asarray(radians, dtype=np.float64))


def build_sector_operator(
    *,
    geometry: Geometry,
    corrections: Corrections,
    two_theta_min_deg: float,
    two_theta_max_deg: float,
    radial_bins: int,
    sectors: int,
    threads: int = 2,
) -> SectorOperator:
    """Fold the pixels of a window into sectors of azimuth by radial bins; each pixel lies in one.

    Parameters
    ----------
    two_theta_min_deg, two_theta_max_deg
        The window; pixels outside cost nothing.
    radial_bins, sectors
        Bins of equal width over the window, and sectors of equal width over the circle.

    Raises
    ------
    GeometryError
        The window is empty, or no pixel lies in it.
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    if sectors < 1 or radial_bins < 1 or not two_theta_min_deg < two_theta_max_deg:
        raise GeometryError(
            f"sectors need an ascending window and at least one bin, got {sectors} sectors and {radial_bins} bins "
            f"from {two_theta_min_deg:g} to {two_theta_max_deg:g} degree"
        )
    pixels = _pixels(geometry, corrections)
    edges = np.linspace(two_theta_min_deg, two_theta_max_deg, radial_bins + 1)
    fold = sector_fold(
        two_theta_deg=_two_theta_deg(pixels),
        azimuth_rad=pixels.integrator.center_array(geometry.shape, "chi_rad", scale=False),
        weight=pixels.weight,
        edges_deg=edges,
        sectors=sectors,
    )
    norm, squares = _norm_and_squares(fold)
    if not norm.any():
        raise GeometryError(f"no pixel counts between {two_theta_min_deg:g} and {two_theta_max_deg:g} degree two theta")
    return SectorOperator(
        fold=fold,
        shape=geometry.shape,
        corrections=corrections,
        norm=norm,
        squares=squares,
        threads=threads,
        axis=RadialAxis(read_only(edges)),
        azimuth_deg=read_only((np.arange(sectors) + 0.5) * 360.0 / sectors),
        geometry_fingerprint=geometry.fingerprint,
    )


def build_block_operator(
    *, geometry: Geometry, corrections: Corrections, axis: RadialAxis, blocks: ReadoutBlocks
) -> BlockOperator:
    """Fold a part of the pixels into readout blocks by the bins of `axis`.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    pixels = _pixels(geometry, corrections)
    return block_operator(
        blocks=blocks,
        two_theta_deg=_two_theta_deg(pixels),
        azimuth_rad=pixels.integrator.center_array(geometry.shape, "chi_rad", scale=False),
        weight=pixels.weight,
        edges_deg=axis.edges_two_theta_deg,
        limits=(corrections.minimum_counts, corrections.saturation_counts),
    )


@dataclass(frozen=True, slots=True)
class Reach:
    """The angles that a detector sees.

    Parameters
    ----------
    two_theta_min_deg, two_theta_max_deg
        Of the pixels that count.
    pixel_deg
        Angle that a pixel takes at normal incidence.
    """

    two_theta_min_deg: float
    two_theta_max_deg: float
    pixel_deg: float


def counting_pixels(*, geometry: Geometry, corrections: Corrections) -> BoolArray:
    """(rows, columns) False for pixels that never count: masked, in gaps of the detector, dead in the flat.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    return _pixels(geometry, replace(corrections, solid_angle=False, polarization_factor=None)).weight > 0


def reach_of(*, geometry: Geometry, corrections: Corrections) -> Reach:
    """Angles that the pixels see which are not masked.

    Raises
    ------
    GeometryError
        The detector is not flat.
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    # Neither of the two masks a pixel, and both take their time.
    pixels = _pixels(geometry, replace(corrections, solid_angle=False, polarization_factor=None))
    detector = pixels.integrator.detector
    if not detector.IS_FLAT:
        raise GeometryError(f"a flat detector was expected, but {geometry.detector} is not")
    inside = _two_theta_deg(pixels)[pixels.weight > 0]
    pixel_m = float(np.sqrt(detector.pixel1 * detector.pixel2))
    return Reach(
        two_theta_min_deg=float(inside.min()),
        two_theta_max_deg=float(inside.max()),
        pixel_deg=float(np.degrees(pixel_m / geometry.distance_m)),
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

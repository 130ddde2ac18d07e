"""The door to pyFAI: its calibrations, its geometry and its bins become one folded operator.

pyFAI says where each pixel lies, how large it looks from the sample and into which bin it falls.
Applying that to a frame is `ringwatch_pipelines.operators`. No other file imports pyFAI.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pyFAI.detectors import Detector, detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from scipy.sparse import csr_array

from ringwatch_pipelines.corrections import BoolArray, Corrections, Dark, VarianceModel, select_dark
from ringwatch_pipelines.errors import CorrectionError, GeometryError
from ringwatch_pipelines.folds import Fold, HistogramFold, SplitFold, WindowFold
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.geometry import Geometry
from ringwatch_pipelines.operators import DarkSums, Integrated, IntegrationOperator, SectorOperator, SectorPattern
from ringwatch_pipelines.patterns import FloatArray, RadialAxis

__all__ = [
    "Binning",
    "Corrections",
    "Dark",
    "DarkSums",
    "Geometry",
    "Integrated",
    "IntegrationOperator",
    "SectorOperator",
    "SectorPattern",
    "VarianceModel",
    "build_operator",
    "build_sector_operator",
    "geometry_from_poni",
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
    entries = _poni_entries(text)
    _require_entries(entries, origin)
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
        distance_m=_positive(entries, "distance", origin),
        poni1_m=_number(entries, "poni1", origin),
        poni2_m=_number(entries, "poni2", origin),
        rot1_rad=_number(entries, "rot1", origin, default=0.0),
        rot2_rad=_number(entries, "rot2", origin, default=0.0),
        rot3_rad=_number(entries, "rot3", origin, default=0.0),
        wavelength_m=_positive(entries, "wavelength", origin),
        orientation=orientation,
    )


def _poni_entries(text: str) -> dict[str, str]:
    """Keys in lower case; the last entry of a key counts, as in pyFAI."""
    entries = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.lstrip().startswith("#"):
            entries[key.strip().lower()] = value.strip()
    if "dist" in entries:
        entries.setdefault("distance", entries["dist"])
    return entries


def _require_entries(entries: dict[str, str], origin: str) -> None:
    missing = [key for key in ("distance", "poni1", "poni2") if key not in entries]
    if missing:
        raise GeometryError(f"a .poni calibration was expected, but {origin} lacks {', '.join(missing)}")
    if entries.get("wavelength", "None") == "None":
        raise GeometryError(f"a wavelength in metres was expected, but {origin} has none: add a line 'Wavelength: ...'")
    if entries.get("parallax", "false").lower() == "true":
        raise GeometryError(f"{origin} asks for a parallax correction, which is not supported: calibrate without it")


def _number(entries: dict[str, str], key: str, origin: str, default: float | None = None) -> float:
    value = entries.get(key)
    if value is None and default is not None:
        return default
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise GeometryError(f"a number was expected for {key} in {origin}, got {value!r}")
    return number


def _positive(entries: dict[str, str], key: str, origin: str) -> float:
    number = _number(entries, key, origin)
    if number <= 0:
        raise GeometryError(f"a positive {key} was expected in {origin}, got {number:g}")
    return number


def _detector_from_entries(entries: dict[str, str], origin: str) -> Any:
    name = entries.get("detector", "Detector")
    config = _detector_config(entries, origin)
    try:
        return detector_factory(name, config)
    # Its constructors raise whatever they meet; all of it means an unusable detector.
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise GeometryError(
            f"a detector known to pyFAI was expected, but {origin} names {name} with {config}: {reason}"
        ) from error


def _detector_config(entries: dict[str, str], origin: str) -> dict[str, Any]:
    text = entries.get("detector_config")
    if text is None:
        sizes = {f"pixel{axis}": f"pixelsize{axis}" for axis in (1, 2)}
        return {new: _number(entries, old, origin) for new, old in sizes.items() if old in entries}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise GeometryError(f"JSON was expected for Detector_config in {origin}, got {text!r}") from error
    if not isinstance(config, dict):
        raise GeometryError(f"a JSON object was expected for Detector_config in {origin}, got {text!r}")
    return config


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
    make = _histogram_fold if binning.splitting == "none" else _split_fold
    fold: Fold = make(engine, pixels.weight)
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
        axis=RadialAxis(read_only(edges)),
        geometry_fingerprint=geometry.fingerprint,
        masked_fraction=float(np.mean(pixels.weight == 0)),
    )


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


def _two_theta_deg(pixels: _Pixels) -> FloatArray:
    radians = pixels.integrator.array_from_unit(pixels.weight.shape, "center", "2th_deg", scale=False)
    return np.rad2deg(np.asarray(radians, dtype=np.float64))


def _histogram_fold(engine: Any, weight: NDArray[np.float64]) -> HistogramFold:
    """The bin of each pixel, from the pixels of each bin that pyFAI lists."""
    sizes = np.diff(engine.indptr)
    dtype = np.uint16 if engine.bins < np.iinfo(np.uint16).max else np.int32
    bin_of_pixel = np.full(weight.size, engine.bins, dtype=dtype)
    bin_of_pixel[engine.indices] = np.repeat(np.arange(engine.bins, dtype=dtype), sizes)
    bin_of_pixel[weight.ravel() == 0] = engine.bins
    return HistogramFold(
        bin_of_pixel=read_only(bin_of_pixel.reshape(weight.shape)),
        weight=read_only(weight.astype(np.float32)),
        bins=int(engine.bins),
        most_pixels=int(sizes.max(initial=0)),
    )


def _split_fold(engine: Any, weight: NDArray[np.float64]) -> SplitFold:
    """The shares of each pixel, from the shares in each bin that pyFAI lists."""
    by_bin = csr_array((engine.data, engine.indices, engine.indptr), shape=(engine.bins, weight.size))
    by_pixel = by_bin[:, np.flatnonzero(weight)].tocsc()
    by_pixel.sort_indices()
    spread = np.zeros(weight.size, dtype=np.uint16)
    spread[np.flatnonzero(weight)] = np.diff(by_pixel.indptr)
    first_bin = np.zeros(weight.size, dtype=np.uint16 if engine.bins <= np.iinfo(np.uint16).max else np.uint32)
    ends = np.cumsum(spread, dtype=np.int64)
    listed = np.flatnonzero(spread)
    first_bin[listed] = by_pixel.indices[ends[listed] - spread[listed]]
    if (by_pixel.indices[ends[listed] - 1] - first_bin[listed] + 1 != spread[listed]).any():
        raise GeometryError("a pixel was expected to spread over neighbouring bins, but pyFAI left some out")
    columns = weight.shape[1]
    return SplitFold(
        first_bin=read_only(first_bin.reshape(weight.shape)),
        bins_of_pixel=read_only(spread.reshape(weight.shape)),
        coefficients=read_only(np.asarray(by_pixel.data, dtype=np.float32)),
        row_starts=read_only((ends - spread)[::columns]),
        weight=read_only(weight.astype(np.float32)),
        bins=int(engine.bins),
    )


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
    fold = _sector_fold(pixels, edges, sectors)
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


def _sector_fold(pixels: _Pixels, edges: FloatArray, sectors: int) -> WindowFold:
    two_theta_deg = _two_theta_deg(pixels).ravel()
    inside = (two_theta_deg >= edges[0]) & (two_theta_deg < edges[-1]) & (pixels.weight.ravel() > 0)
    listed = np.flatnonzero(inside)
    bins = sectors * (edges.size - 1)
    chi = np.mod(pixels.integrator.center_array(pixels.weight.shape, "chi_rad", scale=False).ravel()[listed], 2 * np.pi)
    sector = np.minimum((chi / (2 * np.pi) * sectors).astype(np.int64), sectors - 1)
    radial = np.searchsorted(edges, two_theta_deg[listed], side="right") - 1
    grid = _grid_of(listed.size)
    bin_of_pixel = np.full(grid, bins, dtype=np.int32)
    bin_of_pixel.ravel()[: listed.size] = sector * (edges.size - 1) + radial
    # The rest of the last row repeats pixel 0, in the bin of pixels that never count.
    window = np.zeros(grid, dtype=np.int32)
    window.ravel()[: listed.size] = listed
    weight = pixels.weight.astype(np.float32)
    inner = HistogramFold(
        bin_of_pixel=read_only(bin_of_pixel),
        weight=read_only(weight.ravel()[window]),
        bins=bins,
        most_pixels=int(np.bincount(bin_of_pixel.ravel())[:bins].max(initial=0)),
    )
    return WindowFold(pixels=read_only(window), inner=inner, weight=read_only(weight))


def _grid_of(pixels: int, columns: int = 1024) -> tuple[int, int]:
    """(rows, columns) of a small frame that holds so many pixels."""
    return (max(1, -(-pixels // columns)), columns)

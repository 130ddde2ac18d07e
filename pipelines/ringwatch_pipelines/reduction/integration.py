"""From geometry, corrections and bins to the operators that are applied to every frame."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray, RadialAxis
from ringwatch_pipelines.reduction.array_store import ArrayStore, NothingKept
from ringwatch_pipelines.reduction.block_offsets import BlockOperator, ReadoutBlocks, block_operator
from ringwatch_pipelines.reduction.corrections import BoolArray, Corrections, Dark, VarianceModel, select_dark
from ringwatch_pipelines.reduction.fold_building import histogram_fold, sector_fold, split_fold
from ringwatch_pipelines.reduction.folds import Fold
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.operators import (
    DarkSums,
    Integrated,
    IntegrationOperator,
    SectorOperator,
    SectorPattern,
)
from ringwatch_pipelines.reduction.pixel_maps import Binning, PixelMaps
from ringwatch_pipelines.reduction.pyfai_door import calibrant_spacings_A, geometry_from_poni

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
    "counting_pixels",
    "geometry_from_poni",
    "reach_of",
    "select_dark",
]

NOTHING_KEPT = NothingKept()


def build_operator(
    *,
    geometry: Geometry,
    corrections: Corrections,
    binning: Binning,
    threads: int = 2,
    store: ArrayStore = NOTHING_KEPT,
) -> IntegrationOperator:
    """Fold geometry, bins and all static corrections into one operator.

    Parameters
    ----------
    geometry, corrections, binning
        What decides every number.
    threads
        Threads that share a frame; no result depends on it.
    store
        Remembers what takes long to work out.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    GeometryError
        No pixel lies in the range of two theta.
    """
    maps = PixelMaps(geometry, corrections, store)
    weight = maps.weight
    lists, edges = maps.bins(binning)
    make = histogram_fold if binning.splitting == "none" else split_fold
    fold: Fold = make(lists=lists, weight=weight)
    folded = _folded(fold, geometry, corrections, edges, threads)
    return IntegrationOperator(
        **folded,
        axis=RadialAxis(read_only(edges), _mean_two_theta_deg(maps, fold, folded["norm"], edges)),
        masked_fraction=float(np.mean(weight == 0)),
    )


def _mean_two_theta_deg(maps: PixelMaps, fold: Fold, norm: FloatArray, edges_deg: FloatArray) -> FloatArray:
    """(bins,) mean angle of the pixels of each bin; the centre of an empty one."""
    total, _ = fold.static_sums(maps.weight * maps.two_theta_deg)
    centres = 0.5 * (edges_deg[1:] + edges_deg[:-1])
    mean = np.where(norm > 0, total / np.where(norm > 0, norm, 1.0), centres)
    return read_only(np.clip(mean, edges_deg[:-1], edges_deg[1:]))


class _Folded(TypedDict):
    """What every operator is made of; `FoldedOperator` explains it."""

    fold: Fold
    shape: tuple[int, int]
    corrections: Corrections
    norm: FloatArray
    squares: FloatArray
    threads: int
    geometry_fingerprint: str


def _folded(fold: Fold, geometry: Geometry, corrections: Corrections, edges_deg: FloatArray, threads: int) -> _Folded:
    """The static sums of a fold; raises GeometryError where not one pixel is in it."""
    norm, _ = fold.static_sums(fold.weight)
    _, squares = fold.static_sums((fold.weight > 0).astype(np.float32))
    if not norm.any():
        raise GeometryError(f"no pixel counts between {edges_deg[0]:g} and {edges_deg[-1]:g} degree two theta")
    return _Folded(
        fold=fold,
        shape=geometry.shape,
        corrections=corrections,
        norm=read_only(norm),
        squares=read_only(squares),
        threads=threads,
        geometry_fingerprint=geometry.fingerprint,
    )


def bin_width_deg(
    *, geometry: Geometry, corrections: Corrections, binning: Binning, store: ArrayStore = NOTHING_KEPT
) -> float:
    """Width of the bins that `build_operator` makes, in degree.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    low, high = binning.two_theta_min_deg, binning.two_theta_max_deg
    if low is None or high is None:
        maps = PixelMaps(geometry, corrections, store)
        inside = maps.two_theta_deg[~maps.masked]
        low = float(inside.min()) if low is None else low
        high = float(inside.max()) if high is None else high
    return (high - low) / binning.bins


def build_sector_operator(
    *,
    geometry: Geometry,
    corrections: Corrections,
    two_theta_min_deg: float,
    two_theta_max_deg: float,
    radial_bins: int,
    sectors: int,
    threads: int = 2,
    store: ArrayStore = NOTHING_KEPT,
) -> SectorOperator:
    """Fold the pixels of a window into sectors of azimuth by radial bins; each pixel lies in one.

    Parameters
    ----------
    two_theta_min_deg, two_theta_max_deg
        The window; pixels outside cost nothing.
    radial_bins, sectors
        Bins of equal width over the window, and sectors of equal width over the circle.
    store
        Remembers what takes long to work out.

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
    maps = PixelMaps(geometry, corrections, store)
    edges = np.linspace(two_theta_min_deg, two_theta_max_deg, radial_bins + 1)
    fold = sector_fold(
        two_theta_deg=maps.two_theta_deg,
        azimuth_rad=maps.azimuth_rad,
        weight=maps.weight,
        edges_deg=edges,
        sectors=sectors,
    )
    return SectorOperator(
        **_folded(fold, geometry, corrections, edges, threads),
        axis=RadialAxis(read_only(edges)),
        azimuth_deg=read_only((np.arange(sectors) + 0.5) * 360.0 / sectors),
    )


def build_block_operator(
    *,
    geometry: Geometry,
    corrections: Corrections,
    axis: RadialAxis,
    blocks: ReadoutBlocks,
    store: ArrayStore = NOTHING_KEPT,
) -> BlockOperator:
    """Fold a part of the pixels into readout blocks by the bins of `axis`.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    maps = PixelMaps(geometry, corrections, store)
    return block_operator(
        blocks=blocks,
        two_theta_deg=maps.two_theta_deg,
        azimuth_rad=maps.azimuth_rad,
        weight=maps.weight,
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
    return PixelMaps(geometry, corrections).counting


def reach_of(*, geometry: Geometry, corrections: Corrections) -> Reach:
    """Angles that the pixels see which are not masked.

    Raises
    ------
    GeometryError
        The detector is not flat.
    CorrectionError
        Mask or flat do not have the geometry's shape, or leave no pixel.
    """
    maps = PixelMaps(geometry, corrections)
    if not maps.instrument.is_flat:
        raise GeometryError(f"a flat detector was expected, but {geometry.detector} is not")
    inside = maps.two_theta_deg[maps.counting]
    return Reach(
        two_theta_min_deg=float(inside.min()),
        two_theta_max_deg=float(inside.max()),
        pixel_deg=float(np.degrees(maps.instrument.pixel_m / geometry.distance_m)),
    )

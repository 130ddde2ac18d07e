"""What geometry and static corrections say of each pixel, made once and remembered where there is a store.

Angles and weights of a large detector take seconds to work out and depend on the calibration alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from ringwatch_pipelines.errors import CorrectionError, GeometryError
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.array_store import Arrays, ArrayStore, NothingKept, remembered
from ringwatch_pipelines.reduction.corrections import BoolArray, Corrections, checksum_of
from ringwatch_pipelines.reduction.fold_building import BinLists
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.pyfai_door import VERSION, Instrument

_LAYOUT = 1
"""Part of every key: raised when the meaning of what is kept changes."""


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


@dataclass(frozen=True, eq=False)
class PixelMaps:
    """Maps of the detector, (rows, columns) each, worked out when first asked for.

    Raises
    ------
    CorrectionError
        Mask or flat do not have the geometry's shape, or, asked for the weight, leave no pixel.
    """

    geometry: Geometry
    corrections: Corrections
    store: ArrayStore = field(default_factory=NothingKept)

    def __post_init__(self) -> None:
        self.corrections.require_shape(self.geometry.shape)

    @cached_property
    def instrument(self) -> Instrument:
        """Whom to ask."""
        return Instrument(self.geometry)

    @cached_property
    def masked(self) -> BoolArray:
        """True in gaps of the detector and under the mask."""
        gaps, mask = self.instrument.gaps(), self.corrections.mask
        return gaps if mask is None else gaps | mask.image

    @cached_property
    def two_theta_deg(self) -> FloatArray:
        """Scattering angle."""
        return self._kept("two_theta_deg", self.instrument.two_theta_deg)

    @cached_property
    def azimuth_rad(self) -> FloatArray:
        """Azimuth, as pyFAI counts chi."""
        return self._kept("azimuth_rad", self.instrument.azimuth_rad)

    @cached_property
    def weight(self) -> FloatArray:
        """Solid angle x polarisation x flat; 0 where the pixel never counts."""
        corrections = self.corrections
        solid_angle, factor = corrections.solid_angle, corrections.polarization_factor
        weight = self._kept(
            f"weight solid_angle={solid_angle} polarization={factor!r}",
            lambda: self.instrument.weight(solid_angle=solid_angle, polarization_factor=factor),
        )
        if corrections.flat is not None:
            weight = weight * np.where(corrections.flat.usable, corrections.flat.image, 0.0)
        weight = np.where(self.masked | ~np.isfinite(weight) | (weight < 0), 0.0, weight)
        if not weight.any():
            raise CorrectionError("mask, detector gaps and flat together leave no pixel to integrate")
        return weight

    @property
    def counting(self) -> BoolArray:
        """False where the pixel never counts."""
        corrections = self.corrections
        counting = ~self.masked
        if corrections.flat is not None:
            counting &= corrections.flat.usable
        if not counting.any():
            raise CorrectionError("mask, detector gaps and flat together leave no pixel to integrate")
        return counting

    def bins(self, binning: Binning) -> tuple[BinLists, FloatArray]:
        """The pixels of each bin, and (bins + 1,) edges of the bins in degree."""
        range_deg = self._range_deg(binning)
        mask = checksum_of(self.masked)
        key = self._key(f"bins {binning.bins} range={range_deg!r} splitting={binning.splitting} mask={mask}")
        arrays = remembered(self.store, key, lambda: self._made_bins(binning, range_deg))
        shares = np.broadcast_to(arrays["shares"], arrays["pixels"].shape)
        return BinLists(arrays["starts"], arrays["pixels"], shares), arrays["edges_deg"]

    def _made_bins(self, binning: Binning, range_deg: tuple[float, float] | None) -> Arrays:
        splitting = {"none": "no", "bbox": "bbox"}[binning.splitting]
        engine = self.instrument.bins(bins=binning.bins, masked=self.masked, range_deg=range_deg, splitting=splitting)
        edges = np.rad2deg(engine.pos0_min + engine.delta * np.arange(binning.bins + 1))
        # A pixel that is not split has a share of 1 in its bin, which needs no storing.
        shares = np.ones(1, dtype=np.float32) if binning.splitting == "none" else np.asarray(engine.data)
        return {
            "starts": np.asarray(engine.indptr),
            "pixels": np.asarray(engine.indices),
            "shares": shares,
            "edges_deg": edges,
        }

    def _range_deg(self, binning: Binning) -> tuple[float, float] | None:
        """Range in degree; None leaves pyFAI its own choice."""
        low, high = binning.two_theta_min_deg, binning.two_theta_max_deg
        if low is not None and high is not None:
            return low, high
        if low is None and high is None:
            return None
        inside = self.two_theta_deg[~self.masked]
        return (float(inside.min()) if low is None else low, float(inside.max()) if high is None else high)

    def _kept(self, name: str, make: Callable[[], FloatArray]) -> FloatArray:
        arrays = remembered(self.store, self._key(name), lambda: {"map": make()})
        return np.asarray(arrays["map"], dtype=np.float64)

    def _key(self, what: str) -> str:
        return f"{_LAYOUT} pyFAI {VERSION} {self.geometry.fingerprint} {what}"

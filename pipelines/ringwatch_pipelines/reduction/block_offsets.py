"""Offsets of readout blocks that have drifted since the dark was taken, told by the frame itself.

The blocks of a flat panel have amplifiers of their own, whose offsets drift by counts within hours. At one angle all
blocks should agree; where they do not, something is left of their offsets. With ``y`` the counts of a block's pixels in
a bin less their dark, ``n`` their normalisation, ``p`` their number::

    y = n I (1 + a1 cos phi + b1 sin phi + a2 cos 2 phi + b2 sin 2 phi) + p o

is solved by weighted least squares for the offsets ``o`` of all blocks, with one intensity ``I`` a bin. The harmonics
take what a tilt, an absorber or a wrong polarisation does to the scatter between the rings. Bins with rings, which may
have texture, are left out. A prior holds the offsets near 0: what the frame does not tell stays as it was.

An offset that all blocks share is not seen, and does no harm: it is a part of a smooth background.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.compiled import compiled
from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.corrections import VarianceModel
from ringwatch_pipelines.reduction.frame_limits import Limits, limits_for, prepared_image

SAMPLED_PIXELS = 500_000
"""About so many pixels are looked at, row by row: they tell the offset of a block of 128 x 1024 to 0.2 counts."""

RADIAL_BINS = 400
"""About so many: narrower than a ring, and not more than the equations need."""

_HARMONICS = 4
_HARMONIC_PRIOR = 0.05
_NEIGHBOURS = 32
_QUIET = 1.15
"""A bin with more than this part of its neighbours' lower quartile has a ring in it."""


@dataclass(frozen=True, slots=True)
class ReadoutBlocks:
    """How a detector is read out.

    Parameters
    ----------
    rows, columns
        Size of a block; blocks begin at pixel (0, 0).
    drift_counts
        Standard deviation of the offset of a block when its dark is due to be taken again.
    """

    rows: int
    columns: int
    drift_counts: float = 2.0

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or not self.drift_counts > 0.0:
            raise CorrectionError(f"readout blocks need a size and a drift above 0, got {self}")

    def block_of_pixel(self, shape: tuple[int, int]) -> NDArray[np.int64]:
        """(rows, columns) number of the block."""
        across = -(-shape[1] // self.columns)
        down, along = np.arange(shape[0]) // self.rows, np.arange(shape[1]) // self.columns
        return np.asarray(down[:, np.newaxis] * across + along, dtype=np.int64)

    def number(self, shape: tuple[int, int]) -> int:
        """How many there are."""
        return int(-(-shape[0] // self.rows) * -(-shape[1] // self.columns))


@dataclass(frozen=True, slots=True, eq=False)
class BlockCounts:
    """What one frame tells of its blocks, each (blocks, bins).

    Parameters
    ----------
    raw
        Sum of the counts of the pixels looked at.
    lost
        How many of them are bad in this frame.
    """

    raw: FloatArray
    lost: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Offsets:
    """Offsets of the blocks with their covariance: (blocks,) and (blocks, blocks), in counts."""

    value: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BlockOperator:
    """Frames to blocks by radial bins, from every `step`-th row.

    Parameters
    ----------
    cell
        (sampled rows, columns) number of the block times the bins plus that of the bin; the last one never counts.
    pixels, norm
        (blocks, bins) number and normalisation at monitor 1 of the pixels looked at.
    harmonics
        (4, blocks, bins) sums of the normalisation times cos phi, sin phi, cos 2 phi and sin 2 phi.
    limits
        Smallest and largest count of a good pixel; None for none.
    """

    blocks: ReadoutBlocks
    shape: tuple[int, int]
    step: int
    cell: NDArray[np.int32]
    pixels: FloatArray
    norm: FloatArray
    harmonics: FloatArray
    limits: tuple[float | None, float | None]

    def count(self, image: NDArray[Any]) -> BlockCounts:
        """Sums of a frame (rows, columns); raises what `FoldedOperator.count` raises."""
        counts = prepared_image(image, shape=self.shape)
        limits = limits_for(dtype=counts.dtype, minimum_counts=self.limits[0], saturation_counts=self.limits[1])
        return self._counted(counts, limits)

    def dark_sums(self, dark: NDArray[Any]) -> FloatArray:
        """(blocks, bins) sums of a dark (rows, columns)."""
        image = np.ascontiguousarray(dark, dtype=dark.dtype.newbyteorder("="))
        limits = limits_for(dtype=image.dtype, minimum_counts=None, saturation_counts=None)
        return self._counted(image, limits).raw

    def _counted(self, image: NDArray[Any], limits: Limits) -> BlockCounts:
        sums, lost = np.zeros((2, self.pixels.size + 1)), np.zeros(self.pixels.size + 1)
        add_cells(image, self.cell, self.step, limits.low, limits.high, sums, lost)
        return BlockCounts(
            raw=(sums[0] + sums[1])[:-1].reshape(self.pixels.shape), lost=lost[:-1].reshape(self.pixels.shape)
        )


def block_operator(
    *,
    blocks: ReadoutBlocks,
    two_theta_deg: FloatArray,
    azimuth_rad: FloatArray,
    weight: FloatArray,
    edges_deg: FloatArray,
    limits: tuple[float | None, float | None],
) -> BlockOperator:
    """Fold a part of the rows into blocks by radial bins.

    Parameters
    ----------
    two_theta_deg, azimuth_rad, weight
        (rows, columns) of each pixel; a pixel of weight 0 never counts.
    edges_deg
        (edges,) of the bins of a pattern, ascending; neighbours are taken together.
    """
    edges_deg = edges_deg[:: max(1, (edges_deg.size - 1) // RADIAL_BINS)]
    shape, bins = weight.shape, edges_deg.size - 1
    step = max(1, weight.size // SAMPLED_PIXELS)
    angle, norm, phi = (values[::step].ravel() for values in (two_theta_deg, weight, azimuth_rad))
    number = blocks.number((shape[0], shape[1]))
    cell = blocks.block_of_pixel((shape[0], shape[1]))[::step].ravel() * bins
    cell += np.searchsorted(edges_deg, angle, side="right") - 1
    cell[(angle < edges_deg[0]) | (angle >= edges_deg[-1]) | (norm <= 0)] = number * bins

    def summed(values: FloatArray) -> FloatArray:
        sums = np.bincount(cell, weights=values, minlength=number * bins + 1)[:-1]
        return read_only(np.asarray(sums, dtype=np.float64).reshape(number, bins))

    waves = (np.cos(phi), np.sin(phi), np.cos(2.0 * phi), np.sin(2.0 * phi))
    return BlockOperator(
        blocks=blocks,
        shape=(shape[0], shape[1]),
        step=step,
        cell=read_only(cell.astype(np.int32).reshape(-1, shape[1])),
        pixels=summed(np.ones(norm.size)),
        norm=summed(norm),
        harmonics=read_only(np.stack([summed(norm * wave) for wave in waves])),
        limits=limits,
    )


def offsets_from_counts(
    *,
    operator: BlockOperator,
    counts: BlockCounts,
    dark: FloatArray,
    frames_of_dark: int,
    monitor: float,
    variance: VarianceModel,
) -> Offsets:
    """Offsets that are left after the dark.

    Parameters
    ----------
    dark
        (blocks, bins) from `BlockOperator.dark_sums`.
    monitor
        Of the frame, relative to its reference.
    """
    signal = counts.raw - dark
    pixels, norm, waves = operator.pixels, operator.norm, operator.harmonics
    if counts.lost.any():
        good = 1.0 - counts.lost / np.maximum(pixels, 1.0)
        signal, pixels, norm, waves = counts.raw - dark * good, pixels * good, norm * good, waves * good
    used = _quiet_bins(signal.sum(axis=0), norm.sum(axis=0))
    signal, pixels, norm = signal[:, used], pixels[:, used], norm[:, used] * monitor
    intensity = signal.sum(axis=0) / norm.sum(axis=0)
    noise = variance.gain * np.maximum(signal.sum(axis=0), variance.gain)
    noise += variance.pedestal_variance(frames_of_dark=frames_of_dark) * pixels.sum(axis=0)
    normal, right = _normal_equations(
        pixels, norm, waves[:, :, used] * (monitor * intensity), norm.sum(axis=0) / noise, signal - norm * intensity
    )
    blocks = len(pixels)
    prior = np.concatenate([np.full(blocks, operator.blocks.drift_counts), np.full(_HARMONICS, _HARMONIC_PRIOR)])
    covariance = np.linalg.inv(normal + np.diag(prior**-2))
    lit = pixels.sum(axis=1) > 0
    # What all blocks share is not told: it is taken out of the values and of their errors.
    centred = np.diag(lit.astype(np.float64)) - np.outer(lit, lit) / max(lit.sum(), 1)
    value = centred @ (covariance @ right)[:blocks]
    return Offsets(read_only(value), read_only(centred @ covariance[:blocks, :blocks] @ centred.T))


def _quiet_bins(signal: FloatArray, norm: FloatArray) -> NDArray[np.int64]:
    """Indices of the bins that are filled and hold no ring."""
    filled = norm > 0
    intensity = np.where(filled, signal / np.where(filled, norm, 1.0), np.inf)
    padded = np.pad(intensity, (0, -intensity.size % _NEIGHBOURS), constant_values=np.inf).reshape(-1, _NEIGHBOURS)
    usual = np.repeat(np.sort(padded, axis=1)[:, _NEIGHBOURS // 4], _NEIGHBOURS)[: intensity.size]
    return np.flatnonzero((intensity > 0) & (intensity <= _QUIET * usual) & filled)


def _normal_equations(
    pixels: FloatArray, norm: FloatArray, waves: FloatArray, weight: FloatArray, residual: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(blocks + 4, blocks + 4) and (blocks + 4,), with the intensity of every bin eliminated.

    `weight` (bins,) is one over the variance of a pixel of norm 1.
    """
    blocks = len(pixels)
    total = norm.sum(axis=0)
    together = weight / total
    weight = np.divide(weight, norm, out=np.zeros_like(norm), where=norm > 0)
    normal = np.zeros((blocks + _HARMONICS, blocks + _HARMONICS))
    normal[:blocks, :blocks] = np.diag(np.sum(weight * pixels**2, axis=1))
    weighted = waves * weight
    normal[blocks:, :blocks] = np.sum(weighted * pixels, axis=2)
    normal[:blocks, blocks:] = normal[blocks:, :blocks].T
    normal[blocks:, blocks:] = np.tensordot(weighted, waves, axes=([1, 2], [1, 2]))
    columns = np.concatenate([pixels, waves.sum(axis=1)])
    normal -= (columns * together) @ columns.T
    right = np.concatenate([np.sum(weight * pixels * residual, axis=1), np.sum(weighted * residual, axis=(1, 2))])
    return normal, right


@compiled
def add_cells(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    image: NDArray[Any],
    cell: NDArray[np.int32],
    step: int,
    low: Any,
    high: Any,
    sums: FloatArray,
    lost: FloatArray,
) -> None:
    """Add the counts of every `step`-th row to their cells; pixels out of limits are counted as lost.

    `sums` is (2, cells): neighbours, which mostly share a cell, do not wait for each other.
    """
    columns = image.shape[1]
    for row in range(cell.shape[0]):
        counts, cells = image[row * step], cell[row]
        for i in range(columns):
            if (counts[i] >= low) & (counts[i] <= high):
                sums[i & 1, cells[i]] += counts[i]
            else:
                lost[cells[i]] += 1.0

"""What the detector and the beam do to the light: everything that a real frame has and an ideal one has not."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


@dataclass(frozen=True, slots=True)
class DetectorResponse:
    """How the detector turns light into counts.

    Parameters
    ----------
    adu_per_photon
        Gain, the variance over the mean of the light's counts before blur.
    read_noise_adu
        Standard deviation of the noise that is there without light.
    pedestal_adu, block_step_adu, block_columns
        Mean of the dark image, largest step between readout blocks, and their width.
    block_drift_adu
        Standard deviation over the blocks of how far their offsets have wandered at the end of the run.
    gain_spread, block_gain_spread
        Standard deviation of the sensitivities of pixels, and of readout blocks.
    flat_error
        Standard deviation of a pixel of the flat image around its true sensitivity.
    lag
        Share of the light of the last frame, of the one before it, and so on, that is seen again.
    blur
        Share of a pixel's photons that are seen in each of its two neighbours, along rows and along columns.
    zingers
        Mean number of single pixels hit in a frame, each by `zinger_adu` on the average.
    bad_pixels, bad_lines
        How many dead or hot pixels and dead columns.
    beam_stop_deg
        Radius of the beam stop's shadow; 0 for none. Its arm points along axis 1.
    largest_count
        Where the detector saturates.
    dtype
        Of the frames, a real numpy type.
    polarisation
        Degree of horizontal polarisation.
    """

    adu_per_photon: float = 1.5
    read_noise_adu: float = 4.0
    pedestal_adu: float = 2800.0
    block_step_adu: float = 300.0
    block_columns: int = 128
    block_drift_adu: float = 0.0
    gain_spread: float = 0.0
    block_gain_spread: float = 0.0
    flat_error: float = 0.0
    lag: tuple[float, ...] = ()
    blur: float = 0.0
    zingers: float = 0.0
    zinger_adu: float = 1500.0
    bad_pixels: int = 400
    bad_lines: int = 2
    beam_stop_deg: float = 0.55
    largest_count: int = 65535
    dtype: str = "uint16"
    polarisation: float = 0.99


def lag_from_exponentials(*terms: tuple[float, float], frames: int) -> tuple[float, ...]:
    """Shares for `DetectorResponse.lag` of traps that empty exponentially.

    Parameters
    ----------
    terms
        Share in the first frame afterwards, and time constant in frames, of each kind of trap.
    frames
        How many frames back the detector remembers.
    """
    back = np.arange(frames)
    shares = np.sum([first * np.exp(-back / constant) for first, constant in terms], axis=0)
    return tuple(shares.tolist())


class MishapKind(StrEnum):
    """What can go wrong with a single frame, told by its counts alone."""

    DUMP = "dump"
    """The beam is gone, and the monitor reads its noise."""
    SHUTTER = "shutter"
    """The shutter is closed behind the monitor, and nobody says so."""
    HALF = "half"
    """Half of the exposure, with the monitor of a whole one."""
    TRUNCATED = "truncated"
    """The last third of the rows was not read out and is zero."""
    FIRST = "first"
    """A first frame after a start: a raised offset, and part of the light."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """One bad frame of a run; `index` counts from 0, darks included."""

    index: int
    kind: MishapKind

    @property
    def light_share(self) -> float:
        """Part of the light that reaches the detector."""
        return {MishapKind.DUMP: 0.0, MishapKind.SHUTTER: 0.0, MishapKind.HALF: 0.5, MishapKind.FIRST: 0.3}.get(
            self.kind, 1.0
        )

    @property
    def offset_adu(self) -> float:
        """What is added to every pixel."""
        return 150.0 if self.kind is MishapKind.FIRST else 0.0

    @property
    def rows_read(self) -> float:
        """Part of the rows that was read out."""
        return 2.0 / 3.0 if self.kind is MishapKind.TRUNCATED else 1.0

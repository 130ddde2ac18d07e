"""What the analysis says of a frame. Poor data are values with a state, never exceptions.

A number that could not be measured is NaN with a state beside it; a phase or line that is
absent keeps its measured (small, possibly negative) value, its sigma and an upper limit.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.patterns import BinSums, FloatArray, Pattern


class FitState(StrEnum):
    """The outcome of one whole-pattern fit."""

    CONVERGED = "CONVERGED"
    MISFIT = "MISFIT"
    """Converged on a model that does not describe the pattern: the values are kept, their sigmas are too small."""
    OUTLIER = "OUTLIER"
    """The model suddenly fits far worse than in the frames before: taken for a bad frame, without values."""
    NOT_CONVERGED = "NOT_CONVERGED"
    TOO_FEW_COUNTS = "TOO_FEW_COUNTS"
    SUMMED = "SUMMED"
    """The frame went into a sum that a later frame's fit stands for."""
    NOT_FITTED = "NOT_FITTED"

    @property
    def has_values(self) -> bool:
        """Whether the tracks of such a fit hold numbers."""
        return self in {FitState.CONVERGED, FitState.MISFIT}


class PeakState(StrEnum):
    """Whether a phase or line is seen."""

    PRESENT = "PRESENT"
    ABSENT = "ABSENT"
    """Below the detection limit: the value stays, with an upper limit."""
    UNDETERMINED = "UNDETERMINED"
    """Outside the range, or the fit failed."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with one standard deviation; both NaN where nothing was measured."""

    value: float = float("nan")
    sigma: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class PeakTable:
    """The peaks of a phase with free intensities, in the order of the phase's peak groups.

    Parameters
    ----------
    hkl
        (peaks, 3) leading reflection of each group.
    two_theta_deg, two_theta_errors_deg
        (peaks,) position and one sigma.
    shift_deg
        (peaks,) position minus the position of the configured lattice.
    area, area_errors
        (peaks,) intensity x degree.
    fwhm_deg
        (peaks,) full width at half maximum.
    """

    hkl: NDArray[np.int32]
    two_theta_deg: FloatArray
    two_theta_errors_deg: FloatArray
    shift_deg: FloatArray
    area: FloatArray
    area_errors: FloatArray
    fwhm_deg: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class FreePhaseTrack:
    """A phase fitted with free intensities: lattice, size, strain and every peak."""

    name: str
    state: PeakState
    lattice: tuple[tuple[str, Estimate], ...]
    """Free lattice parameters in angstrom or degree, as (``a``, estimate), (``c``, estimate)."""
    size_nm: Estimate
    strain: Estimate
    peaks: PeakTable


@dataclass(frozen=True, slots=True)
class LineTrack:
    """One line with an area free in sign."""

    label: str
    """Miller indices written together, as in ``110``."""
    area: Estimate
    state: PeakState
    upper_limit: float
    """95 % upper limit of the area."""


@dataclass(frozen=True, slots=True)
class LinePhaseTrack:
    """A phase of few, free lines on one lattice, with the ratio of two of them."""

    name: str
    state: PeakState
    lattice: tuple[tuple[str, Estimate], ...]
    lines: tuple[LineTrack, ...]
    ratio: Estimate
    ratio_state: PeakState
    """ABSENT where the denominator lies below its limit: then the ratio is a lower limit."""
    ratio_labels: tuple[str, str] | None = None
    """The lines above and below the stroke; None where no ratio is configured."""


@dataclass(frozen=True, slots=True)
class ReferencePhaseTrack:
    """A phase with reference intensities: one amount."""

    name: str
    state: PeakState
    amount: Estimate
    upper_limit: float
    z: float
    """Root of the chi-square that the phase saves, with the sign of its amount: how surely it is told from none."""
    noise: float = float("nan")
    """Sigma of the amount with the shape of its lines held: what it scatters by while there is none of the phase."""


PhaseTrack = FreePhaseTrack | LinePhaseTrack | ReferencePhaseTrack


@dataclass(frozen=True, slots=True)
class TextureTrack:
    """Azimuthal distribution of one line.

    Parameters
    ----------
    label
        Miller indices of the line.
    spot_fraction
        Share of the line's intensity that stands in spots of coarse grains.
    smooth
        Area of the smooth part; indicative.
    a2
        Amplitude of the second azimuthal harmonic over the mean.
    """

    label: str
    spot_fraction: Estimate = Estimate()
    smooth: Estimate = Estimate()
    a2: Estimate = Estimate()


@dataclass(frozen=True, slots=True, eq=False)
class FittedCurves:
    """A fit as curves over the bins of its pattern; NaN in a bin that does not count in it.

    Parameters
    ----------
    model, background
        (bins,) in the unit of the pattern's intensity; the model has the background in it.
    """

    model: FloatArray
    background: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Tracked:
    """One fit's entry in the tracks."""

    fit_state: FitState
    chi_square: float = float("nan")
    """Reduced chi-square."""
    phases: tuple[PhaseTrack, ...] = ()
    hump: Estimate = Estimate()
    displacement_mm: Estimate | None = None
    """How much further from the detector than calibrated the sample stands; None where that is not refined."""
    texture: tuple[TextureTrack, ...] = ()
    curves: FittedCurves | None = None
    """None where the fit has no values."""
    later_s: tuple[tuple[str, float], ...] = ()
    """Of phases in a scan: how much later than its middle their lines were measured; empty for a frame."""

    def measured_later_s(self, phase: str) -> float:
        """How much later than the time of the pattern the lines of a phase were measured; 0 in a frame."""
        return dict(self.later_s).get(phase, 0.0)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something an operator should see, found by the analysis in this frame.

    Parameters
    ----------
    standing
        It holds for the rest of the run, which is flagged with it.
    timestamp_ns
        UTC of what it tells of; None for the time of the frame.
    """

    kind: str
    text: str
    sigma_h: float = float("nan")
    standing: bool = False
    timestamp_ns: int | None = None


class Refusal(StrEnum):
    """Why the analysis does not take a frame."""

    WRONG_SHAPE = "WRONG_SHAPE"
    WRONG_TYPE = "WRONG_TYPE"
    NOT_FINITE = "NOT_FINITE"
    NO_VALID_DARK = "NO_VALID_DARK"
    OFFSET_ALREADY_SUBTRACTED = "OFFSET_ALREADY_SUBTRACTED"
    NO_MONITOR = "NO_MONITOR"
    NO_BEAM = "NO_BEAM"
    PARTIAL_EXPOSURE = "PARTIAL_EXPOSURE"
    """The rings have less light than monitor and earlier frames tell, with their shape unchanged."""
    FIRST_FRAME = "FIRST_FRAME"
    """Among the first after a start, which are configured to be bad."""
    TRUNCATED = "TRUNCATED"
    """A part of the rows was not read out."""
    REPEATED = "REPEATED"
    """The counts of the light frame before, once more."""
    BEFORE_FIRST_DARK = "BEFORE_FIRST_DARK"
    UNKNOWN_CELL = "UNKNOWN_CELL"
    """Of several cells, nobody knows which one was in the beam."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """All that the analysis says of one frame.

    Exactly one of three: `refusal` is set; or `pattern` is (with `tracked`); or neither, for a
    frame that was taken in as a dark.
    """

    refusal: Refusal | None = None
    text: str = ""
    """One sentence to a refusal."""
    sums: BinSums | None = None
    pattern: Pattern | None = None
    tracked: Tracked | None = None
    dark_index: int = -1
    """Index into the darks of the run; -1 where no dark was taken off."""
    saturated_pixels: int = 0
    notices: tuple[Notice, ...] = field(default=())

"""What a whole-pattern fit is made of, as configured."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.crystals.phases import Phase
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit.displacement import Displacement
from ringwatch_pipelines.fit.peak_widths import InstrumentProfile
from ringwatch_pipelines.patterns import FloatArray


@dataclass(frozen=True, slots=True)
class Hump:
    """A broad Gaussian of an amorphous part, of free height."""

    two_theta_deg: float
    fwhm_deg: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.two_theta_deg) and self.fwhm_deg > 0.0):
            raise PhaseError(f"a hump needs a position and a width above 0, got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceBackground:
    """A measured background, as of an empty cell, that enters with a free scale.

    Parameters
    ----------
    two_theta_deg
        (points,) ascending; it is interpolated onto the bins and must cover them.
    intensity
        (points,)
    """

    two_theta_deg: FloatArray
    intensity: FloatArray

    def __post_init__(self) -> None:
        finite = np.all(np.isfinite(self.two_theta_deg)) and np.all(np.isfinite(self.intensity))
        if self.two_theta_deg.shape != self.intensity.shape or not finite or np.any(np.diff(self.two_theta_deg) <= 0.0):
            raise PhaseError("a reference background needs ascending angles and as many finite intensities")


@dataclass(frozen=True, slots=True, eq=False)
class FitRecipe:
    """Everything that decides a fit but the pattern.

    Parameters
    ----------
    phases
        Any number of phases, each with a name of its own.
    two_theta_range_deg
        Bins whose centre lies within count. Phases should know their lines a few widths beyond its upper end too.
    instrument
        Width of an ideal sample; the bins add theirs to it.
    bin_width_deg
        Width of the bins that a pattern averages over; 0 for a scan, whose points average over nothing.
    excluded_deg
        Regions of two_theta whose bins do not count.
    background_terms
        Chebyshev polynomials; fewer than 20 bias weak lines, unless a reference background is given.
    hump
        An amorphous hump, if any.
    reference_background
        A measured background, if any.
    displacement
        Refine where the sample stands; None takes it where the calibrant stood. One phase at least should have a
        narrow `Phase.lattice_prior` then.
    scherrer_constant
        K of Scherrer's equation.
    max_iterations
        After these a fit counts as not converged.
    merge_fwhm
        Neighbouring lines of a FREE phase nearer than this part of their FWHM share one intensity.
    """

    phases: tuple[Phase, ...]
    wavelength_m: float
    two_theta_range_deg: tuple[float, float]
    instrument: InstrumentProfile
    bin_width_deg: float = 0.0
    excluded_deg: tuple[tuple[float, float], ...] = ()
    background_terms: int = 24
    hump: Hump | None = None
    reference_background: ReferenceBackground | None = None
    displacement: Displacement | None = None
    scherrer_constant: float = 0.9
    max_iterations: int = 30
    merge_fwhm: float = 0.03

    def __post_init__(self) -> None:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise PhaseError(f"every phase needs a name of its own, got {', '.join(names)}")
        if not 1e-13 < self.wavelength_m < 1e-8:
            raise PhaseError(f"expected a wavelength in metre, as 1.173e-11, got {self.wavelength_m}")
        for low, high in (self.two_theta_range_deg, *self.excluded_deg):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise PhaseError(f"a range of two_theta needs a lower and a higher end, got {low} to {high} degree")
        if not 0.0 <= self.bin_width_deg < np.inf:
            raise PhaseError(f"the width of a bin must be 0 degree or more, got {self.bin_width_deg}")
        if self.background_terms < 1 or self.max_iterations < 2 or not self.scherrer_constant > 0.0:
            raise PhaseError("a fit needs at least 1 background term, 2 iterations and a Scherrer constant above 0")

"""The fit of a pattern and the watch for onsets."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from ringwatch_daemon.settings.sections import Label, NotNegative, OrOff, Positive, Section


class InstrumentSettings(Section):
    """Width of the instrument: FWHM^2 = U tan^2 + V tan + W (Gaussian), FWHM = X / cos + Y tan (Lorentzian), degree.

    ``ringwatch calibrate`` measures it. The width of a bin is no part of it: the fit adds that by itself.
    """

    u_deg2: float = 0.0
    v_deg2: float = 0.0
    w_deg2: Positive = 3.8e-4
    x_deg: NotNegative = 0.0
    y_deg: NotNegative = 0.0


class HumpSettings(Section):
    """A broad amorphous hump of known place."""

    two_theta_deg: Positive
    fwhm_deg: Positive


class FitSettings(Section):
    """The whole-pattern fit."""

    two_theta_min_deg: NotNegative | None = None
    two_theta_max_deg: Positive | None = None
    excluded_deg: tuple[tuple[float, float], ...] = Field((), description="two-theta regions left out")
    background_terms: int = Field(24, ge=1, le=80, description="Chebyshev terms")
    merge_fwhm: NotNegative = Field(
        0.03, description="lines of a free phase nearer than this part of their width share one intensity"
    )
    background_file: Path | None = Field(
        None, description="pattern of an empty cell, scale free: columns of 2theta and intensity, or a run's file"
    )
    standard: Label | None = Field(
        None,
        description="phase of known lattice (its lattice_prior_relative) that tells where the sample stands along the"
        " beam; without one, lattices are as the nominal geometry sees them",
    )
    displacement_sigma_mm: Positive = Field(1.0, description="for standard: how well the place is known beforehand")
    scherrer_constant: Positive = 0.9
    max_iterations: int = Field(30, ge=2, le=500, description="after these a fit counts as not converged")
    hump: HumpSettings | None = None
    texture_half_window_deg: Positive = Field(0.06, description="how far the sectors of a textured line reach")
    instrument: InstrumentSettings = InstrumentSettings()


class OnsetSettings(Section):
    """When a reference phase or the hump has appeared."""

    false_alarms_per_run: OrOff[Annotated[float, Field(gt=0, lt=1)]] = Field(
        0.01, description="how often a run without any onset may raise an alarm; false looks for none"
    )
    expected_frames: int = Field(2000, gt=10, description="fits of a run, for the rate of false alarms")
    burn_in_frames: int = Field(40, ge=10, description="first fits of the run, which tell what is usual")

    @model_validator(mode="after")
    def _is_longer_than_its_burn_in(self) -> "OnsetSettings":
        if self.expected_frames <= self.burn_in_frames:
            raise ValueError("onset.expected_frames must be more than onset.burn_in_frames")
        return self

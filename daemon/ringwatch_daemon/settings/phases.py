"""The phases: cells, sites, lines and roles."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ringwatch_daemon.settings.sections import Label, NotNegative, Positive, ReflectionLabel, Section


class LatticeSettings(Section):
    """A cell in angstrom and degree; what symmetry fixes may be left out."""

    a_A: Positive
    b_A: Positive | None = None
    c_A: Positive | None = None
    alpha_deg: Positive | None = None
    beta_deg: Positive | None = None
    gamma_deg: Positive | None = None


class SiteSettings(Section):
    """One site of the asymmetric unit."""

    element: str
    x: float
    y: float
    z: float
    occupancy: Annotated[float, Field(gt=0, le=1)] = 1.0
    u_iso_A2: NotNegative = 0.01


class LineSettings(Section):
    """One reflection to use, instead of all that symmetry allows."""

    hkl: tuple[int, int, int]
    intensity: NotNegative = Field(1.0, description="relative to the other lines of the phase")


class PhaseSettings(Section):
    """A crystalline phase, by its cell (and sites) or a CIF."""

    name: Label
    role: Literal["free", "lines", "reference"] = Field(
        description="free: every group of lines has its own intensity; lines: few lines, each free in sign, with a"
        " ratio of two; reference: one amount on reference intensities"
    )
    cif: Path | None = None
    space_group: str = ""
    lattice: LatticeSettings | None = None
    sites: tuple[SiteSettings, ...] = ()
    lines: tuple[LineSettings, ...] = Field((), description="reflections to use; all in range when empty")
    ratio: tuple[ReflectionLabel, ReflectionLabel] | None = None
    reported_lines: tuple[ReflectionLabel, ...] = Field((), description="intensities with a dataset of their own")
    lattice_prior_relative: Positive | None = Field(None, description="one sigma of a prior on the lattice")
    size_nm: Positive = Field(60.0, description="first guess of the crystallite size")
    strain: NotNegative = Field(5e-4, description="first guess of the microstrain")
    texture: tuple[ReflectionLabel, ...] = Field((), description="lines whose azimuthal texture is followed")

    @model_validator(mode="after")
    def _has_a_cell(self) -> "PhaseSettings":
        if self.cif is None and self.lattice is None:
            raise ValueError(f"phase {self.name} needs a cif or a lattice")
        if self.cif is not None and (self.lines or self.sites):
            raise ValueError(f"phase {self.name} has a cif, which tells its lines and sites; leave out lines and sites")
        if self.lattice is not None and not self.space_group:
            raise ValueError(f"phase {self.name} has a lattice but no space_group")
        return self

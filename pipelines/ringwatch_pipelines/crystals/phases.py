"""A phase as a user configures it, with the reflections that follow from its cell."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.crystals.lattices import Cell, Lattice, d_spacing_from_lattice
from ringwatch_pipelines.crystals.structure_factors import (
    Reflections,
    Site,
    crystal_system_from_group,
    reflections_from_cell,
    space_group_from_name,
    structure_from_cif,
    structure_from_sites,
)
from ringwatch_pipelines.errors import PhaseError

__all__ = ["Phase", "PhaseRole", "Reflections", "Site", "label_from_hkl", "phase_from_cell", "phase_from_cif"]

Line = tuple[tuple[int, int, int], float]
"""Miller indices and relative intensity of an explicit line."""


class PhaseRole(StrEnum):
    """How a phase enters the fit."""

    FREE = "FREE"
    """Every group of lines has its own intensity; lattice, size and strain are refined."""
    LINES = "LINES"
    """Few lines, each area free in sign, on one lattice; a ratio of two of them."""
    REFERENCE = "REFERENCE"
    """One amount on reference intensities, with a width of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A phase of the sample.

    Parameters
    ----------
    name
        Short name, also of its group in the file.
    lattice
        The configured lattice: start of the fit, zero of the peak shifts.
    reflections
        Lines that may appear.
    lattice_prior
        Relative sigma of the configured lattice lengths (angles: of a radian), a Gaussian prior. None takes
        2 % for FREE phases, 0.2 % for LINES phases; a REFERENCE phase keeps its lattice where it is None.
    size_nm
        Crystallite size to start from; for LINES and REFERENCE phases also the centre of a prior on 1 / size.
    strain
        Microstrain to start from.
    size_prior
        Relative sigma of the prior on 1 / size of LINES and REFERENCE phases: it holds the width of an absent phase.
        0.7 is a size known to a factor of two, the sigma of its logarithm being ln 2.
    ratio
        Labels of the two lines of a LINES phase whose areas are divided.
    reported_lines
        Labels of lines whose intensity is reported by name.
    """

    name: str
    role: PhaseRole
    lattice: Lattice
    reflections: Reflections
    lattice_prior: float | None = None
    size_nm: float = 60.0
    strain: float = 0.0
    size_prior: float = 0.7
    ratio: tuple[str, str] | None = None
    reported_lines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise PhaseError("a phase needs a name")
        _check_numbers(self)
        known = {label_from_hkl(hkl) for hkl in self.reflections.hkl}
        for label in (*(self.ratio or ()), *self.reported_lines):
            if label not in known:
                raise PhaseError(f"phase {self.name} has no line {label}; its lines are {', '.join(sorted(known))}")
        if self.ratio and self.role is not PhaseRole.LINES:
            raise PhaseError(f"phase {self.name} has a ratio, which needs the role LINES, got {self.role.value}")


class PhaseOptions(TypedDict, total=False):
    """What may be said of a phase besides its structure, as `Phase` explains it."""

    lattice_prior: float | None
    size_nm: float
    strain: float
    size_prior: float
    ratio: tuple[str, str] | None
    reported_lines: tuple[str, ...]


def label_from_hkl(hkl: NDArray[np.int32]) -> str:
    """Miller indices written together, as in ``110`` or ``1-210``."""
    return "".join(str(int(index)) for index in hkl)


def phase_from_cell(
    *,
    name: str,
    role: PhaseRole,
    cell: Cell,
    space_group: str,
    d_min_A: float,
    wavelength_m: float,
    sites: tuple[Site, ...] = (),
    lines: tuple[Line, ...] = (),
    **options: Unpack[PhaseOptions],
) -> Phase:
    """A phase from its cell and space group.

    Parameters
    ----------
    d_min_A
        Reflections with a larger spacing are taken.
    sites
        Asymmetric unit, for reference intensities.
    lines
        Lines with their relative intensities, instead of all that symmetry allows.

    Raises
    ------
    PhaseError
        The cell, the space group, the sites or the lines make no sense.
    """
    group = space_group_from_name(name=space_group, cell=cell)
    lattice = Lattice(crystal_system_from_group(group), cell)
    structure = structure_from_sites(cell=cell, group=group, sites=sites) if sites else None
    reflections = reflections_from_cell(
        lattice=lattice, group=group, d_min_A=d_min_A, wavelength_m=wavelength_m, structure=structure
    )
    if lines:
        reflections = _chosen_lines(reflections, lines, lattice, name)
    return Phase(
        name=name,
        role=role,
        lattice=lattice,
        reflections=reflections,
        **options,
    )


def phase_from_cif(
    *,
    name: str,
    role: PhaseRole,
    cif_text: str,
    d_min_A: float,
    wavelength_m: float,
    cell: Cell | None = None,
    **options: Unpack[PhaseOptions],
) -> Phase:
    """A phase from the text of a CIF; `cell` replaces that of the CIF, for a substituted relative of the structure.

    Raises
    ------
    PhaseError
        The CIF has no cell, space group or sites, or they contradict each other.
    """
    structure = structure_from_cif(text=cif_text, name=name, cell=cell)
    group = structure.spacegroup
    a, b, c, alpha, beta, gamma = structure.cell.parameters
    lattice = Lattice(crystal_system_from_group(group), (a, b, c, alpha, beta, gamma))
    return Phase(
        name=name,
        role=role,
        lattice=lattice,
        reflections=reflections_from_cell(
            lattice=lattice, group=group, d_min_A=d_min_A, wavelength_m=wavelength_m, structure=structure
        ),
        **options,
    )


def _chosen_lines(allowed: Reflections, lines: tuple[Line, ...], lattice: Lattice, name: str) -> Reflections:
    """Explicit lines, each of which symmetry must allow; multiplicities come from symmetry."""
    by_hkl = {tuple(hkl): int(count) for hkl, count in zip(allowed.hkl.tolist(), allowed.multiplicity, strict=True)}
    for hkl, intensity in lines:
        if hkl not in by_hkl:
            listed = ", ".join(label_from_hkl(known) for known in allowed.hkl)
            raise PhaseError(f"phase {name} cannot have the line {hkl}; expected one of {listed}")
        if not intensity >= 0.0:
            raise PhaseError(f"the line {hkl} of phase {name} needs an intensity of 0 or more, got {intensity}")
    indices = np.array([hkl for hkl, _ in lines], dtype=np.int32)
    order = np.argsort(-d_spacing_from_lattice(lattice=lattice, hkl=indices), kind="stable")
    multiplicity = np.array([by_hkl[hkl] for hkl, _ in lines], dtype=np.int32)
    return Reflections(indices[order], multiplicity[order], np.array([value for _, value in lines], float)[order])


def _check_numbers(phase: Phase) -> None:
    positive = {"size_nm": phase.size_nm, "size_prior": phase.size_prior}
    if phase.lattice_prior is not None:
        positive["lattice_prior"] = phase.lattice_prior
    for field, value in positive.items():
        if not (np.isfinite(value) and value > 0.0):
            raise PhaseError(f"{field} of phase {phase.name} must be above 0, got {value}")
    if not 0.0 <= phase.strain < 0.1:
        raise PhaseError(f"the strain of phase {phase.name} must lie between 0 and 0.1, got {phase.strain}")

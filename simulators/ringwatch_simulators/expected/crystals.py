"""Crystals out of somebody's phases: a CIF, or a cell with its space group and sites."""

from dataclasses import replace

import gemmi
import numpy as np

from ringwatch_simulators.crystals import (
    Crystal,
    FloatArray,
    PowderLine,
    Site,
    d_spacing_A,
    lines_from_squares,
    planes_from,
    powder_lines,
)
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.expected.beamline import ExpectedPhase, ExpectedSite

_OPERATOR_TAGS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_SAME_SPACING_A = 1e-5
_PRIMITIVE = ((0.0, 0.0, 0.0),)

Cell = tuple[float, float, float, float, float, float]


def crystal_from_phase(phase: ExpectedPhase) -> Crystal:
    """The crystal of a phase; without sites where none are given.

    Raises
    ------
    ScenarioError
        The CIF cannot be read, or there is no such space group.
    """
    if phase.cif is not None:
        return _crystal_from_cif(phase)
    if phase.cell is None:
        raise ScenarioError(f"expected a CIF or a cell for the phase {phase.name}, got neither")
    group = space_group_of(phase)
    sites = tuple(_site(site) for site in phase.sites)
    return _crystal(phase.name, phase.cell, _triplets(group), sites, group.xhm())


def space_group_of(phase: ExpectedPhase) -> gemmi.SpaceGroup:
    """The space group by its symbol or number; of two settings the one that the angles tell.

    Raises
    ------
    ScenarioError
        There is none of that name.
    """
    if phase.cif is not None:
        group = _structure(phase).spacegroup
    elif phase.space_group.strip().isdigit():
        group = gemmi.find_spacegroup_by_number(int(phase.space_group))
    else:
        _, _, _, alpha, _, gamma = phase.cell or (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
        group = gemmi.find_spacegroup_by_name(phase.space_group, alpha, gamma)
    if group is None:
        raise ScenarioError(f"expected a space group for the phase {phase.name}, got {phase.space_group!r}")
    return group


def lines_of_phase(
    phase: ExpectedPhase, crystal: Crystal, wavelength_A: float, d_min_A: float
) -> tuple[PowderLine, ...]:
    """The lines of a phase: by its sites, else those that it lists, else all that symmetry allows, alike in ``|F|``."""
    if crystal.sites:
        return powder_lines(crystal, wavelength_A, d_min_A)
    planes = planes_from(crystal, d_min_A)
    group = space_group_of(phase).operations()
    allowed = np.array([not group.is_systematically_absent(plane) for plane in planes.tolist()], dtype=np.float64)
    lines = lines_from_squares(crystal, planes, allowed, wavelength_A)
    return _listed(phase, crystal, lines) if phase.lines else lines


def _listed(phase: ExpectedPhase, crystal: Crystal, lines: tuple[PowderLine, ...]) -> tuple[PowderLine, ...]:
    spacing = {line: float(_spacings(crystal, line.hkl)[0]) for line in lines}
    strongest = max((line.intensity for line in phase.lines), default=1.0) or 1.0
    wanted = [(float(_spacings(crystal, line.hkl)[0]), line.intensity / strongest) for line in phase.lines]
    return tuple(
        replace(line, strength=strength)
        for d_A, strength in wanted
        for line in lines
        if abs(spacing[line] - d_A) < _SAME_SPACING_A
    )


def _spacings(crystal: Crystal, hkl: tuple[int, int, int]) -> FloatArray:
    return d_spacing_A(crystal, np.array([hkl]))


def _crystal_from_cif(phase: ExpectedPhase) -> Crystal:
    structure, block = _structure(phase), _block(phase)
    texts = next((column for tag in _OPERATOR_TAGS if (column := list(block.find_values(tag)))), [])
    # Of the file itself where it lists them: they are in the setting of its sites.
    triplets = tuple(gemmi.Op(gemmi.cif.as_string(text)).triplet() for text in texts) or _triplets(
        space_group_of(phase)
    )
    sites = tuple(
        Site(
            site.element.name,
            site.fract.x,
            site.fract.y,
            site.fract.z,
            occupancy=site.occ,
            u_A2=site.u_iso,
        )
        for site in structure.sites
    )
    return _crystal(phase.name, phase.cell or structure.cell.parameters, triplets, sites, str(phase.cif))


def _structure(phase: ExpectedPhase) -> gemmi.SmallStructure:
    return gemmi.make_small_structure_from_block(_block(phase))


def _block(phase: ExpectedPhase) -> gemmi.cif.Block:
    try:
        return gemmi.cif.read(str(phase.cif)).sole_block()
    except (OSError, ValueError, RuntimeError) as error:
        raise ScenarioError(f"expected a CIF of the phase {phase.name} in {phase.cif}, got {error}") from error


def _triplets(group: gemmi.SpaceGroup) -> tuple[str, ...]:
    return tuple(operation.triplet() for operation in group.operations())


def _crystal(name: str, cell: Cell, triplets: tuple[str, ...], sites: tuple[Site, ...], reference: str) -> Crystal:
    a_A, b_A, c_A, *angles = cell
    alpha, beta, gamma = angles
    return Crystal(name, a_A, c_A, False, triplets, _PRIMITIVE, sites, reference, b_A, (alpha, beta, gamma))


def _site(site: ExpectedSite) -> Site:
    return Site(site.element, site.x, site.y, site.z, occupancy=site.occupancy, u_A2=site.u_iso_A2)

"""Reflections of a cell: absences, multiplicities and reference intensities, by gemmi.

Wojdyr 2022, J. Open Source Softw. 7, 4200.
"""

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.crystals.lattices import Cell, CrystalSystem, Lattice, d_spacing_from_lattice
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import METRES_PER_ANGSTROM


@dataclass(frozen=True, slots=True)
class Site:
    """An atom of the asymmetric unit.

    Parameters
    ----------
    element
        Chemical symbol.
    x, y, z
        Fractional coordinates.
    u_iso_A2
        Isotropic mean-square displacement in angstrom^2.
    """

    element: str
    x: float
    y: float
    z: float
    occupancy: float = 1.0
    u_iso_A2: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Reflections:
    """Reflections of a powder in the order of falling spacing.

    Parameters
    ----------
    hkl
        (reflections, 3) one representative of each set of equivalents.
    multiplicity
        (reflections,) equivalents, Friedel mates included.
    relative_intensity
        (reflections,) reference intensity, the strongest is 100.
    """

    hkl: NDArray[np.int32]
    multiplicity: NDArray[np.int32]
    relative_intensity: FloatArray

    def __post_init__(self) -> None:
        if not (len(self.hkl) == len(self.multiplicity) == len(self.relative_intensity)):
            raise PhaseError(
                f"reflections need arrays of one length, got {len(self.hkl)}, {len(self.multiplicity)} and "
                f"{len(self.relative_intensity)}"
            )


def space_group_from_name(*, name: str, cell: Cell) -> gemmi.SpaceGroup:
    """The space group by Hermann-Mauguin symbol or number; the cell's angles decide between the axes of R groups.

    Raises
    ------
    PhaseError
        No space group has that name.
    """
    group: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_name(name, cell[3], cell[5])
    if group is None and name.strip().isdigit():
        group = gemmi.find_spacegroup_by_number(int(name))
    if group is None:
        raise PhaseError(f"expected a space group as in 'R -3 c', got '{name}'")
    return group


def crystal_system_from_group(group: gemmi.SpaceGroup) -> CrystalSystem:
    """The crystal system, told apart for the two axes of rhombohedral groups."""
    if group.ext == "R":
        return CrystalSystem.RHOMBOHEDRAL
    return CrystalSystem(group.crystal_system_str().upper())


def structure_from_sites(*, cell: Cell, group: gemmi.SpaceGroup, sites: tuple[Site, ...]) -> gemmi.SmallStructure:
    """A crystal structure from its asymmetric unit."""
    structure = gemmi.SmallStructure()
    structure.cell = gemmi.UnitCell(*cell)
    structure.spacegroup_hall = group.hall
    structure.determine_and_set_spacegroup("H")
    for index, site in enumerate(sites):
        structure.add_site(_gemmi_site(site, f"{site.element}{index + 1}"))
    structure.setup_cell_images()
    _weigh_special_positions(structure)
    return structure


def structure_from_cif(*, text: str, name: str, cell: Cell | None = None) -> gemmi.SmallStructure:
    """The crystal structure in the text of a CIF; `cell` replaces the CIF's own.

    Raises
    ------
    PhaseError
        The text is no CIF, or has no cell, space group or sites.
    """
    try:
        document = gemmi.cif.read_string(text)
        structures = [gemmi.make_small_structure_from_block(block) for block in document]
    except (ValueError, RuntimeError) as problem:
        raise PhaseError(f"the CIF of {name} cannot be read: {problem}") from problem
    for structure in structures:
        if structure.sites and structure.cell.is_crystal():
            _require_space_group(structure, name)
            if cell is not None:
                structure.cell = gemmi.UnitCell(*cell)
                structure.setup_cell_images()
            _weigh_special_positions(structure)
            return structure
    raise PhaseError(f"the CIF of {name} has no block with a cell and atomic sites")


def reflections_from_cell(
    *,
    lattice: Lattice,
    group: gemmi.SpaceGroup,
    d_min_A: float,
    wavelength_m: float,
    structure: gemmi.SmallStructure | None = None,
) -> Reflections:
    """Every reflection with ``d > d_min`` that symmetry allows.

    The reference intensity is multiplicity x |F|^2 x Lorentz factor. Without a structure |F|^2 is 1.
    """
    if not d_min_A > 0.0:
        raise PhaseError(f"the smallest spacing must be above 0 angstrom, got {d_min_A}")
    unit_cell = gemmi.UnitCell(*lattice.cell)
    unique = np.asarray(gemmi.make_miller_array(unit_cell, group, d_min_A), dtype=np.int32)
    if len(unique) == 0:
        raise PhaseError(f"no reflection of the cell {lattice.cell} has a spacing above {d_min_A} angstrom")
    operations = group.operations()
    orbits = [_equivalents(operations, hkl) for hkl in unique.tolist()]
    hkl = np.array([max(orbit, key=_preference) for orbit in orbits], dtype=np.int32)
    multiplicity = np.array([len(orbit) for orbit in orbits], dtype=np.int32)
    spacing = d_spacing_from_lattice(lattice=lattice, hkl=hkl)
    intensity = multiplicity * lorentz_factor(d_spacing_A=spacing, wavelength_m=wavelength_m)
    if structure is not None:
        intensity = intensity * _structure_factors_squared(structure, hkl)
    order = np.argsort(-spacing, kind="stable")
    return Reflections(hkl[order], multiplicity[order], _normalised(intensity)[order])


def lorentz_factor(*, d_spacing_A: FloatArray, wavelength_m: float) -> FloatArray:
    """Lorentz factor of a powder ring, ``1 / (sin^2 theta cos theta)``; 0 where no angle diffracts.

    The polarisation factor is left out: integration has already divided by it.
    International Tables for Crystallography C, chapter 6.2.
    """
    sine = wavelength_m / METRES_PER_ANGSTROM / (2.0 * d_spacing_A)
    reached = sine < 1.0
    safe = np.where(reached, sine, 0.5)
    return np.where(reached, 1.0 / (safe**2 * np.sqrt(1.0 - safe**2)), 0.0)


def _require_space_group(structure: gemmi.SmallStructure, name: str) -> None:
    """Symbol and operations name the setting; a number alone means the standard one, where there is only one."""
    number, symbol = structure.spacegroup_number, structure.spacegroup_hm
    if _group_of(structure) is None and number > 0 and not symbol.strip(" ?."):
        structure.determine_and_set_spacegroup("N")
        structure.setup_cell_images()
        found = _group_of(structure)
        if found is not None and found.ext in {"1", "2"}:
            raise PhaseError(
                f"the CIF of {name} has the space group {number} by its number only, which leaves open one of two "
                "origins: add its symbol or its operations"
            )
    if _group_of(structure) is None:
        raise PhaseError(
            f"the CIF of {name} has no known space group, got the symbol '{symbol}' and "
            f"{len(structure.symops)} operations"
        )


def _group_of(structure: gemmi.SmallStructure) -> gemmi.SpaceGroup | None:
    return structure.spacegroup


def _weigh_special_positions(structure: gemmi.SmallStructure) -> None:
    """The sum over all operations meets an atom on a special position more than once."""
    structure.change_occupancies_to_crystallographic()


def _gemmi_site(site: Site, label: str) -> gemmi.SmallStructure.Site:
    element = gemmi.Element(site.element)
    if element.atomic_number == 0:
        raise PhaseError(f"expected a chemical symbol, got '{site.element}'")
    made = gemmi.SmallStructure.Site()
    made.label = label
    made.element = element
    made.type_symbol = element.name
    made.fract = gemmi.Fractional(site.x, site.y, site.z)
    made.occ = site.occupancy
    made.u_iso = site.u_iso_A2
    return made


def _equivalents(operations: gemmi.GroupOps, hkl: list[int]) -> set[tuple[int, int, int]]:
    """Distinct equivalents under the Laue group."""
    images = {_triple(operation.apply_to_hkl(hkl)) for operation in operations.sym_ops}
    return images | {(-image[0], -image[1], -image[2]) for image in images}


def _triple(hkl: list[int]) -> tuple[int, int, int]:
    return hkl[0], hkl[1], hkl[2]


def _preference(hkl: tuple[int, int, int]) -> tuple[int, tuple[int, int, int]]:
    """Crystallographers write the representative with the fewest minus signs and the largest first index."""
    return -sum(index < 0 for index in hkl), hkl


def _structure_factors_squared(structure: gemmi.SmallStructure, hkl: NDArray[np.int32]) -> FloatArray:
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    factors = [calculator.calculate_sf_from_small_structure(structure, indices) for indices in hkl.tolist()]
    return np.square(np.abs(np.array(factors, dtype=np.complex128)))


def _normalised(intensity: FloatArray) -> FloatArray:
    strongest = float(np.max(intensity))
    return 100.0 * intensity / strongest if strongest > 0.0 else np.full_like(intensity, 100.0)

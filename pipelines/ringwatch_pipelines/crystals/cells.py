"""A whole cell from the few numbers that its symmetry leaves free."""

from ringwatch_pipelines.crystals.lattices import Cell
from ringwatch_pipelines.crystals.structure_factors import crystal_system_from_group, space_group_from_name
from ringwatch_pipelines.errors import PhaseError

HEXAGONAL_AXES: Cell = (1.0, 1.0, 1.0, 90.0, 90.0, 120.0)


def completed_cell(
    *,
    space_group: str,
    a_A: float,
    b_A: float | None = None,
    c_A: float | None = None,
    alpha_deg: float | None = None,
    beta_deg: float | None = None,
    gamma_deg: float | None = None,
) -> Cell:
    """Fill in what symmetry fixes.

    Parameters
    ----------
    space_group
        Hermann-Mauguin symbol or number. Trigonal groups take hexagonal axes unless all angles are given.
    a_A, b_A, c_A
        Lengths in angstrom.
    alpha_deg, beta_deg, gamma_deg
        Angles in degree.

    Raises
    ------
    PhaseError
        Something that symmetry leaves free is missing.
    """
    system = crystal_system_from_group(space_group_from_name(name=space_group, cell=HEXAGONAL_AXES)).value.lower()
    one_length = system in {"cubic", "rhombohedral"}
    two_lengths = one_length or system in {"tetragonal", "trigonal", "hexagonal"}
    if c_A is None and not one_length:
        raise PhaseError(f"a lattice of {space_group} ({system}) needs c_A")
    if b_A is None and not two_lengths:
        raise PhaseError(f"a lattice of {space_group} ({system}) needs b_A")
    if beta_deg is None and system in {"monoclinic", "triclinic"}:
        raise PhaseError(f"a lattice of {space_group} ({system}) needs beta_deg")
    if (alpha_deg is None or gamma_deg is None) and system == "triclinic":
        raise PhaseError(f"a lattice of {space_group} ({system}) needs alpha_deg and gamma_deg")
    usual_gamma_deg = 120.0 if system in {"trigonal", "hexagonal"} else 90.0
    return (
        a_A,
        a_A if b_A is None else b_A,
        a_A if c_A is None else c_A,
        90.0 if alpha_deg is None else alpha_deg,
        90.0 if beta_deg is None else beta_deg,
        usual_gamma_deg if gamma_deg is None else gamma_deg,
    )

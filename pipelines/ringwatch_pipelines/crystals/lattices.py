"""Lattices of all crystal systems and the angles at which they diffract."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.compiled import compiled
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import METRES_PER_ANGSTROM

Cell = tuple[float, float, float, float, float, float]
"""a, b, c in angstrom, alpha, beta, gamma in degree."""

CELL_PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")


class CrystalSystem(StrEnum):
    """Which cell parameters are free; TRIGONAL stands on hexagonal axes, RHOMBOHEDRAL on its own."""

    CUBIC = "CUBIC"
    TETRAGONAL = "TETRAGONAL"
    HEXAGONAL = "HEXAGONAL"
    TRIGONAL = "TRIGONAL"
    RHOMBOHEDRAL = "RHOMBOHEDRAL"
    ORTHORHOMBIC = "ORTHORHOMBIC"
    MONOCLINIC = "MONOCLINIC"
    TRICLINIC = "TRICLINIC"


_TIES: dict[CrystalSystem, tuple[tuple[int, ...], ...]] = {
    CrystalSystem.CUBIC: ((0, 1, 2),),
    CrystalSystem.TETRAGONAL: ((0, 1), (2,)),
    CrystalSystem.HEXAGONAL: ((0, 1), (2,)),
    CrystalSystem.TRIGONAL: ((0, 1), (2,)),
    CrystalSystem.RHOMBOHEDRAL: ((0, 1, 2), (3, 4, 5)),
    CrystalSystem.ORTHORHOMBIC: ((0,), (1,), (2,)),
    CrystalSystem.TRICLINIC: ((0,), (1,), (2,), (3,), (4,), (5,)),
}
"""Members of the cell that each free parameter sets; the first one names it."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """A cell and which of its parameters are free.

    Parameters
    ----------
    system
        The crystal system.
    cell
        a, b, c in angstrom and alpha, beta, gamma in degree, in keeping with the system.
    """

    system: CrystalSystem
    cell: Cell

    def __post_init__(self) -> None:
        _check_cell(self.cell, self.system)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters, as in ``("a", "c")``."""
        return tuple(CELL_PARAMETERS[tied[0]] for tied in self._ties)

    @property
    def free(self) -> FloatArray:
        """(free,) values of the free parameters in angstrom or degree."""
        return np.array([self.cell[tied[0]] for tied in self._ties])

    def with_free(self, values: FloatArray) -> "Lattice":
        """The lattice with other values of its free parameters."""
        return Lattice(self.system, self._cell_with(values))

    def two_theta_deg(
        self, *, hkl: NDArray[np.int32], wavelength_m: float, free: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Scattering angles of reflections and their derivatives.

        Parameters
        ----------
        hkl
            (reflections, 3) Miller indices.
        free
            (free,) other values of the free parameters.

        Returns
        -------
        two_theta_deg, slopes
            (reflections,) in degree, NaN where the reflection cannot diffract, and (reflections, free) in degree per
            angstrom or per degree.
        """
        cell = self.cell if free is None else self._cell_with(free)
        inverse_square, by_cell = inverse_square_spacing(cell=cell, hkl=hkl)
        by_free = np.empty((len(hkl), len(self._ties)))
        for column, tied in enumerate(self._ties):
            by_free[:, column] = by_cell[:, tied[0]] if len(tied) == 1 else by_cell[:, tied].sum(axis=1)
        two_theta_deg = np.empty(len(hkl))
        _to_angles(inverse_square, wavelength_m / METRES_PER_ANGSTROM, two_theta_deg, by_free)
        return two_theta_deg, by_free

    @property
    def _ties(self) -> tuple[tuple[int, ...], ...]:
        if self.system is CrystalSystem.MONOCLINIC:
            return (0,), (1,), (2,), (_monoclinic_angle(self.cell),)
        return _TIES[self.system]

    def _cell_with(self, values: FloatArray) -> Cell:
        cell = list(self.cell)
        for tied, value in zip(self._ties, values, strict=True):
            for member in tied:
                cell[member] = float(value)
        return cell[0], cell[1], cell[2], cell[3], cell[4], cell[5]


def inverse_square_spacing(*, cell: Cell, hkl: NDArray[np.int32]) -> tuple[FloatArray, FloatArray]:
    """``1/d^2 = h G^-1 h`` with the metric tensor G, and its derivatives by the six cell parameters.

    Giacovazzo et al., Fundamentals of Crystallography, chapter 2; the derivative of an inverse is
    ``-G^-1 dG G^-1``, so one formula serves all systems.

    Returns
    -------
    inverse_square, slopes
        (reflections,) in 1/angstrom^2 and (reflections, 6).
    """
    inverse_square, slopes = np.empty(len(hkl)), np.empty((len(hkl), len(CELL_PARAMETERS)))
    _to_spacings(hkl, np.array(cell), inverse_square, slopes)
    return inverse_square, slopes


def d_spacing_from_lattice(*, lattice: Lattice, hkl: NDArray[np.int32]) -> FloatArray:
    """(reflections,) spacings in angstrom."""
    inverse_square, _ = inverse_square_spacing(cell=lattice.cell, hkl=hkl)
    return 1.0 / np.sqrt(inverse_square)


@compiled
def _metric_tensor(cell: FloatArray) -> tuple[FloatArray, FloatArray]:
    """G (3, 3) and dG (6, 3, 3), per angstrom and per degree; the cell is (6,)."""
    lengths, angles = cell[:3], np.radians(cell[3:])
    cosines, slopes = np.eye(3), np.zeros((6, 3, 3))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        cosines[i, j] = cosines[j, i] = np.cos(angles[k])
        slopes[3 + k, i, j] = slopes[3 + k, j, i] = -lengths[i] * lengths[j] * np.radians(np.sin(angles[k]))
    metric = np.outer(lengths, lengths) * cosines
    for k in range(3):
        slopes[k, k, :] += lengths * cosines[k]
        slopes[k, :, k] += lengths * cosines[k]
    return metric, slopes


@compiled
def _to_spacings(hkl: NDArray[np.int32], cell: FloatArray, inverse_square: FloatArray, slopes: FloatArray) -> None:
    """Fill in ``h G^-1 h`` and ``-h G^-1 dG G^-1 h`` of each reflection: (reflections,) and (reflections, 6)."""
    metric, metric_slopes = _metric_tensor(cell)
    inverse = np.linalg.inv(metric)
    reciprocal = np.zeros(3)
    for r in range(hkl.shape[0]):
        inverse_square[r] = 0.0
        for i in range(3):
            reciprocal[i] = hkl[r, 0] * inverse[0, i] + hkl[r, 1] * inverse[1, i] + hkl[r, 2] * inverse[2, i]
            inverse_square[r] += reciprocal[i] * hkl[r, i]
        for p in range(slopes.shape[1]):
            total = 0.0
            for i in range(3):
                for j in range(3):
                    total += reciprocal[i] * metric_slopes[p, i, j] * reciprocal[j]
            slopes[r, p] = -total


@compiled
def _to_angles(inverse_square: FloatArray, wavelength_A: float, two_theta_deg: FloatArray, slopes: FloatArray) -> None:
    """Bragg's law: fill in the angles, and turn slopes of ``1/d^2`` into those of the angle."""
    for r in range(inverse_square.size):
        sine = 0.5 * wavelength_A * np.sqrt(inverse_square[r])
        cosine = np.sqrt(1.0 - sine**2)
        two_theta_deg[r] = 2.0 * np.degrees(np.arcsin(sine))
        slopes[r] *= np.degrees(wavelength_A**2 / (4.0 * sine * cosine))


def _monoclinic_angle(cell: Cell) -> int:
    """Index of the angle that differs from 90 degrees; beta where none does."""
    departures = [abs(angle - 90.0) for angle in cell[3:]]
    return 3 + departures.index(max(departures)) if max(departures) > 0.0 else 4


def _check_cell(cell: Cell, system: CrystalSystem) -> None:
    if not np.all(np.isfinite(cell)) or min(cell[:3]) <= 0.0 or np.linalg.det(_metric_tensor(np.array(cell))[0]) <= 0.0:
        raise PhaseError(f"a cell needs three lengths and three angles that span a volume, got {cell}")
    a, b, c, alpha, beta, gamma = cell
    angles = {
        CrystalSystem.CUBIC: (a == b == c) and alpha == beta == gamma == 90.0,
        CrystalSystem.TETRAGONAL: a == b and alpha == beta == gamma == 90.0,
        CrystalSystem.HEXAGONAL: a == b and (alpha, beta, gamma) == (90.0, 90.0, 120.0),
        CrystalSystem.TRIGONAL: a == b and (alpha, beta, gamma) == (90.0, 90.0, 120.0),
        CrystalSystem.RHOMBOHEDRAL: a == b == c and alpha == beta == gamma,
        CrystalSystem.ORTHORHOMBIC: alpha == beta == gamma == 90.0,
        CrystalSystem.MONOCLINIC: sum(angle == 90.0 for angle in (alpha, beta, gamma)) >= 2,
        CrystalSystem.TRICLINIC: True,
    }
    if not angles[system]:
        raise PhaseError(f"the cell {cell} is not {system.value.lower()}")

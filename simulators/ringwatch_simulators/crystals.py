"""Crystals of the cell and the powder lines they give: structure factors from sites, own code.

Symmetry is written out as in the International Tables; form factors are those of the
International Tables, volume C, table 6.1.1.4, as gemmi holds them.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import gemmi
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_ALAMI_1991 = "Alami Talbi et al. (1991), J. Solid State Chem. 90, 185"
_TERM = re.compile(r"([+-]?)(\d+/\d+|[xyz])")
_R_CENTRING = ((0.0, 0.0, 0.0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))
_I_CENTRING = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
_F_CENTRING = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_P_CENTRING = ((0.0, 0.0, 0.0),)
_IDENTITY = ("x,y,z",)
_R_3C = (
    "x,y,z", "-y,x-y,z", "-x+y,-x,z", "y,x,-z+1/2", "x-y,-y,-z+1/2", "-x,-x+y,-z+1/2",
    "-x,-y,-z", "y,-x+y,-z", "x-y,x,-z", "-y,-x,z+1/2", "-x+y,y,z+1/2", "x,x-y,z+1/2",
)  # fmt: skip
_P3121 = ("x,y,z", "-y,x-y,z+1/3", "-x+y,-x,z+2/3", "y,x,-z", "x-y,-y,-z+2/3", "-x,-x+y,-z+1/3")


@dataclass(frozen=True, slots=True)
class Site:
    """Atoms on one position: element, fractional coordinates, occupancy and isotropic U in square angstrom."""

    element: str
    x: float
    y: float
    z: float
    occupancy: float = 1.0
    u_A2: float = 0.006


@dataclass(frozen=True, slots=True)
class Crystal:
    """A crystal with a lattice of orthogonal or hexagonal axes.

    Parameters
    ----------
    a_A, c_A
        Lattice parameters; cubic and tetragonal cells have b = a.
    hexagonal
        Angle of 120 degree between a and b.
    operators, centring
        Symmetry, as coordinate triplets and translations.
    reference
        Where the sites come from.
    b_A, angles_deg
        Of any other cell: its second length, and alpha, beta, gamma.
    """

    name: str
    a_A: float
    c_A: float
    hexagonal: bool
    operators: tuple[str, ...]
    centring: tuple[tuple[float, float, float], ...]
    sites: tuple[Site, ...]
    reference: str
    b_A: float | None = None
    angles_deg: tuple[float, float, float] | None = None

    @property
    def cell(self) -> tuple[float, float, float, float, float, float]:
        """a, b, c in angstrom and alpha, beta, gamma in degree."""
        angles = self.angles_deg or (90.0, 90.0, 120.0 if self.hexagonal else 90.0)
        return (self.a_A, self.a_A if self.b_A is None else self.b_A, self.c_A, *angles)

    def with_lattice(self, *, a_A: float, c_A: float) -> "Crystal":
        """The same atoms in another cell."""
        return replace(self, a_A=a_A, c_A=c_A)

    def stretched(self, along_a: float, along_c: float) -> "Crystal":
        """The same atoms in a cell whose a and b are longer by one factor and whose c is by another."""
        b_A = None if self.b_A is None else self.b_A * along_a
        return replace(self, a_A=self.a_A * along_a, b_A=b_A, c_A=self.c_A * along_c)


@dataclass(frozen=True, slots=True)
class PowderLine:
    """One line of a powder pattern.

    Parameters
    ----------
    hkl
        One of the equivalent planes.
    multiplicity
        How many planes share the line.
    strength
        Area of the line relative to the strongest one of the crystal.
    """

    hkl: tuple[int, int, int]
    multiplicity: int
    strength: float


LAGP = Crystal(
    "lagp", 8.2590, 20.6320, True, _R_3C, _R_CENTRING,
    (
        Site("Li", 0.0, 0.0, 0.0, u_A2=0.03),
        Site("Ge", 0.0, 0.0, 0.14097, occupancy=0.75),
        Site("Al", 0.0, 0.0, 0.14097, occupancy=0.25),
        Site("P", 0.2879, 0.0, 0.25),
        Site("O", 0.1802, -0.0152, 0.1883, u_A2=0.010),
        Site("O", 0.1845, 0.1593, 0.0821, u_A2=0.010),
    ),
    f"Li1.5Al0.5Ge1.5(PO4)3 on the sites of LiGe2(PO4)3, {_ALAMI_1991}",
)  # fmt: skip
LITHIUM = Crystal(
    "li", 3.5100, 3.5100, False, _IDENTITY, _I_CENTRING, (Site("Li", 0.0, 0.0, 0.0, u_A2=0.0554),),
    "body-centred cubic lithium",
)  # fmt: skip
LIOH = Crystal(
    "lioh", 3.546, 4.334, False, _IDENTITY, _P_CENTRING,
    (
        Site("Li", 0.0, 0.0, 0.0, u_A2=0.015), Site("Li", 0.5, 0.5, 0.0, u_A2=0.015),
        Site("O", 0.0, 0.5, 0.1941, u_A2=0.012), Site("O", 0.5, 0.0, -0.1941, u_A2=0.012),
        Site("H", 0.0, 0.5, 0.4072, u_A2=0.03), Site("H", 0.5, 0.0, -0.4072, u_A2=0.03),
    ),
    "P4/nmm LiOH, sites of AMCSD 11636",
)  # fmt: skip
ALPO4 = Crystal(
    "alpo4", 4.946, 10.953, True, _P3121, _P_CENTRING,
    (
        Site("Al", 0.46649, 0.0, 1 / 3, u_A2=0.011), Site("P", 0.46689, 0.0, 5 / 6, u_A2=0.011),
        Site("O", 0.4157, 0.2911, 0.39763, u_A2=0.017), Site("O", 0.4150, 0.2575, 0.8840, u_A2=0.017),
    ),
    "berlinite, sites of AMCSD 4489",
)  # fmt: skip

COPPER = Crystal(
    "copper", 3.6150, 3.6150, False, _IDENTITY, _F_CENTRING, (Site("Cu", 0.0, 0.0, 0.0, u_A2=0.0069),),
    "face-centred cubic copper",
)  # fmt: skip

CERIA = Crystal(
    "ceria", 5.4113, 5.4113, False, _IDENTITY, _F_CENTRING,
    (
        Site("Ce", 0.0, 0.0, 0.0, u_A2=0.004),
        Site("O", 0.25, 0.25, 0.25, u_A2=0.007), Site("O", 0.75, 0.75, 0.75, u_A2=0.007),
    ),
    "fluorite structure; lattice of a line position standard",
)  # fmt: skip


def d_spacing_A(crystal: Crystal, hkl: NDArray[np.int64]) -> FloatArray:
    """(n,) spacing of planes (n, 3), from ``1/d^2`` of hexagonal, orthogonal or any other axes."""
    if crystal.angles_deg is not None:
        return _spacing_from_axes(crystal, np.asarray(hkl, dtype=np.float64))
    h, k, l = np.asarray(hkl, dtype=np.float64).T  # noqa: E741 - Miller's index
    basal = (4.0 / 3.0) * (h * h + h * k + k * k) if crystal.hexagonal else h * h + k * k
    return np.asarray(1.0 / np.sqrt(basal / crystal.a_A**2 + l * l / crystal.c_A**2))


def _spacing_from_axes(crystal: Crystal, hkl: FloatArray) -> FloatArray:
    """``1/d^2 = h G^-1 h`` with the metric ``G`` of the axes (International Tables, volume B, 1.1)."""
    lengths, angles = np.array(crystal.cell[:3]), np.radians(crystal.cell[3:])
    cosine = np.eye(3)
    for (i, j), angle in zip(((1, 2), (0, 2), (0, 1)), angles, strict=True):
        cosine[i, j] = cosine[j, i] = np.cos(angle)
    metric = cosine * np.outer(lengths, lengths)
    return np.asarray(1.0 / np.sqrt(np.einsum("ni,ij,nj->n", hkl, np.linalg.inv(metric), hkl)))


def two_theta_deg(crystal: Crystal, hkl: NDArray[np.int64], wavelength_A: float) -> FloatArray:
    """(n,) angles of lines by Bragg's law; NaN where the wavelength is too long."""
    sine = wavelength_A / (2.0 * d_spacing_A(crystal, hkl))
    return np.asarray(2.0 * np.degrees(np.arcsin(np.where(sine <= 1.0, sine, np.nan))))


@cache
def powder_lines(crystal: Crystal, wavelength_A: float, d_min_A: float) -> tuple[PowderLine, ...]:
    """Lines down to `d_min_A`, from the widest spacing on, each with its area.

    The area of a line of an azimuthally averaged pattern, against 2theta and without polarisation, goes
    with ``m |F|^2 / (sin theta sin 2theta)`` (Warren 1969, X-ray Diffraction, chapter 4).
    """
    planes = planes_from(crystal, d_min_A)
    return lines_from_squares(crystal, planes, np.abs(structure_factors(crystal, planes)) ** 2, wavelength_A)


def lines_from_squares(
    crystal: Crystal, planes: NDArray[np.int64], square: FloatArray, wavelength_A: float
) -> tuple[PowderLine, ...]:
    """The same from the planes (n, 3) and their ``|F|^2`` (n,)."""
    spacing = d_spacing_A(crystal, planes)
    theta = np.arcsin(wavelength_A / (2.0 * spacing))
    areas = square / (np.sin(theta) * np.sin(2.0 * theta))
    lines: dict[tuple[float, float], list[int]] = {}
    for number in np.argsort(-spacing, kind="stable"):
        lines.setdefault((round(float(spacing[number]), 6), round(float(square[number]), 2)), []).append(int(number))
    summed = [(members, float(areas[members].sum())) for members in lines.values()]
    strongest = max(area for _, area in summed)
    return tuple(
        PowderLine(_nicest(planes[members]), len(members), area / strongest)
        for members, area in summed
        if area > 1e-6 * strongest
    )


def structure_factors(crystal: Crystal, planes: NDArray[np.int64]) -> NDArray[np.complex128]:
    """(n,) structure factors of planes (n, 3), in electrons a cell."""
    square_s = 1.0 / (4.0 * d_spacing_A(crystal, planes) ** 2)
    total = np.zeros(len(planes), np.complex128)
    for site in crystal.sites:
        form = np.array([gemmi.Element(site.element).it92.calculate_sf(float(value)) for value in square_s])
        displacement = np.exp(-8.0 * np.pi**2 * site.u_A2 * square_s)
        phases = np.exp(2j * np.pi * (planes @ _positions(crystal, site).T)).sum(axis=1)
        total += site.occupancy * form * displacement * phases
    return total


def planes_from(crystal: Crystal, d_min_A: float) -> NDArray[np.int64]:
    """(n, 3) all planes of at least that spacing."""
    # A plane with index h cuts a into h parts, so its spacing is a / h at most; so for the others.
    reach = [int(np.ceil(length / d_min_A)) for length in crystal.cell[:3]]
    axes = np.meshgrid(*(np.arange(-most, most + 1) for most in reach), indexing="ij")
    candidates = np.stack(axes, axis=-1).reshape(-1, 3)
    candidates = candidates[np.any(candidates != 0, axis=1)]
    return np.asarray(candidates[d_spacing_A(crystal, candidates) >= d_min_A])


def _positions(crystal: Crystal, site: Site) -> FloatArray:
    """(atoms, 3) all different positions of a site in the cell."""
    points: list[FloatArray] = []
    for operator, shift in product(crystal.operators, crystal.centring):
        point = np.mod(_applied(operator, site) + np.array(shift), 1.0)
        if not any(np.all(np.abs(np.mod(point - other + 0.5, 1.0) - 0.5) < 1e-4) for other in points):
            points.append(point)
    return np.array(points)


def _applied(operator: str, site: Site) -> FloatArray:
    values = {"x": site.x, "y": site.y, "z": site.z}
    return np.array(
        [sum(_term(sign, token, values) for sign, token in _TERM.findall(part)) for part in operator.split(",")]
    )


def _term(sign: str, token: str, values: dict[str, float]) -> float:
    if token in values:
        value = values[token]
    else:
        numerator, denominator = token.split("/")
        value = int(numerator) / int(denominator)
    return -value if sign == "-" else value


def _nicest(planes: NDArray[np.int64]) -> tuple[int, int, int]:
    """The name that people use: few minus signs, then large h, k, l in this order."""
    best = min(planes.tolist(), key=lambda hkl: (sum(i < 0 for i in hkl), [-i for i in hkl]))
    return int(best[0]), int(best[1]), int(best[2])

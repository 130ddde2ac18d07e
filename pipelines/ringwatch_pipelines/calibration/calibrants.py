"""Substances whose spacings are known: certified standards and pure metals, by name or from any phase."""

import numpy as np

from ringwatch_pipelines.calibration.calibration import Calibrant
from ringwatch_pipelines.crystals.lattices import Cell, d_spacing_from_lattice
from ringwatch_pipelines.crystals.phases import Phase, PhaseRole, Site, phase_from_cell, phase_from_cif
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.integration import calibrant_spacings_A

_CUBIC_DEG = (90.0, 90.0, 90.0)


def _cubic(a_A: float) -> Cell:
    return (a_A, a_A, a_A, *_CUBIC_DEG)


_KNOWN: dict[str, tuple[Cell, str, tuple[Site, ...], str]] = {
    "CeO2": (
        _cubic(5.411651),
        "F m -3 m",
        (Site("Ce", 0.0, 0.0, 0.0), Site("O", 0.25, 0.25, 0.25)),
        "NIST SRM 674b",
    ),
    "LaB6": (
        _cubic(4.156826),
        "P m -3 m",
        (Site("La", 0.0, 0.0, 0.0), Site("B", 0.1993, 0.5, 0.5)),
        "NIST SRM 660c",
    ),
    "Si": (_cubic(5.431179), "F d -3 m:2", (Site("Si", 0.125, 0.125, 0.125),), "NIST SRM 640e"),
    "Ni": (_cubic(3.52387), "F m -3 m", (Site("Ni", 0.0, 0.0, 0.0),), "Wyckoff 1963, Crystal Structures"),
}
"""Lattices of the certificates, with sites for the strengths of the lines."""


def calibrant_by_name(name: str, *, wavelength_m: float, d_min_A: float) -> Calibrant:
    """One of the usual standards; any other name is one of pyFAI's calibrants, whose lines then count alike.

    Raises
    ------
    GeometryError
        Nobody knows a calibrant of that name.
    """
    if name not in _KNOWN:
        spacings = calibrant_spacings_A(name)
        return Calibrant(name, spacings, np.ones_like(spacings), "pyFAI")
    cell, group, sites, source = _KNOWN[name]
    phase = phase_from_cell(
        name=name,
        role=PhaseRole.FREE,
        cell=cell,
        space_group=group,
        sites=sites,
        d_min_A=d_min_A,
        wavelength_m=wavelength_m,
    )
    return calibrant_from_phase(phase, source=source)


def calibrant_from_cif(text: str, *, name: str, wavelength_m: float, d_min_A: float) -> Calibrant:
    """A calibrant from the text of a CIF.

    Raises
    ------
    PhaseError
        The CIF has no cell, space group or sites.
    """
    phase = phase_from_cif(name=name, role=PhaseRole.FREE, cif_text=text, d_min_A=d_min_A, wavelength_m=wavelength_m)
    return calibrant_from_phase(phase, source=name)


def calibrant_from_phase(phase: Phase, *, source: str) -> Calibrant:
    """The lines of a phase; those of one spacing are one line.

    Raises
    ------
    PhaseError
        The phase has no line.
    """
    spacings = d_spacing_from_lattice(lattice=phase.lattice, hkl=phase.reflections.hkl)
    if not spacings.size:
        raise PhaseError(f"{phase.name} was expected to have lines in reach of the detector, but it has none")
    strengths = phase.reflections.relative_intensity
    order = np.argsort(-spacings, kind="stable")
    merged, total = _merged(spacings[order], strengths[order])
    seen = total > 1e-3 * total.max()
    return Calibrant(phase.name, merged[seen], total[seen], source)


def _merged(spacings: FloatArray, strengths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lines closer than a part in a million are the same line, as (333) and (511) of a cubic lattice."""
    group = np.cumsum(-np.diff(spacings, prepend=np.inf) > 1e-6 * spacings) - 1
    total: FloatArray = np.bincount(group, weights=strengths).astype(np.float64)
    first = np.searchsorted(group, np.arange(total.size))
    return spacings[first], total

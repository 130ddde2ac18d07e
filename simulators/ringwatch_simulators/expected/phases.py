"""What a phase does in the course of a run: those of a lithium cell what they are known to do, any other little."""

from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np

from ringwatch_simulators.course_curves import (
    FULL_COURSE_H,
    LATTICE_LOSS,
    SIZE_LOSS,
    aged_share,
    grown_since,
    lithium_growth,
    lithium_ratio,
)
from ringwatch_simulators.crystals import Crystal, PowderLine

_SWOLLEN = 2.4e-4
"""A free lattice is larger than expected by so much at the start, since nobody knows it beforehand."""
_SLOW_LOSS = 1.0e-4
_TRUE_SIZE, _TRUE_STRAIN = 1.375, 0.8
"""Truth in units of what was expected."""


class Course(StrEnum):
    """How the amount and the lattice of a phase change."""

    STEADY = "steady"
    ELECTROLYTE = "electrolyte"
    LITHIUM = "lithium"
    LATE = "late"
    LATER = "later"


_KNOWN: tuple[tuple[Course, int, float, float, float], ...] = (
    (Course.ELECTROLYTE, 167, 8.257, 20.632, 0.02),
    (Course.LITHIUM, 229, 3.510, 3.510, 0.01),
    (Course.LATE, 129, 3.546, 4.334, 0.02),
    (Course.LATER, 152, 4.946, 10.953, 0.02),
    (Course.LATER, 154, 4.946, 10.953, 0.02),
)
"""Course, number of the space group, a, c, and how far from that the cell may be: LAGP, lithium, LiOH, berlinite."""


def course_of(group_number: int, crystal: Crystal) -> Course:
    """What a phase of this group and cell does; steady where it is none of a lithium cell's."""
    for course, number, a_A, c_A, tolerance in _KNOWN:
        if group_number == number and np.allclose([crystal.a_A, crystal.c_A], [a_A, c_A], rtol=tolerance):
            return course
    return Course.STEADY


@dataclass(frozen=True, slots=True)
class PhaseTruth:
    """A phase at one moment.

    Parameters
    ----------
    area
        Of its strongest line, counts x degree; (110) of lithium.
    ratio
        Of the areas of (110) and (200), where the phase has a course of its own for it.
    """

    name: str
    a_A: float
    b_A: float
    c_A: float
    area: float
    size_nm: float
    strain: float
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class PhaseModel:
    """A phase over time.

    Parameters
    ----------
    crystal, lines
        As expected.
    drifts
        Its lattice is not known beforehand and changes.
    area
        Largest area of its strongest line, counts x degree.
    size_nm, strain
        True ones at the start.
    textured
        Its lines vary along their rings.
    """

    name: str
    crystal: Crystal
    lines: tuple[PowderLine, ...]
    course: Course
    drifts: bool
    area: float
    size_nm: float
    strain: float
    textured: bool = False

    def at(self, course_h: float, breath: float) -> PhaseTruth:
        """The phase when so much of a course of 340 h is over; `breath` is the lattice's factor by the charge."""
        crystal = self.crystal_at(course_h, breath)
        aged = aged_share(course_h) if self.course is Course.ELECTROLYTE else 0.0
        a_A, b_A, c_A = crystal.cell[:3]
        return PhaseTruth(
            self.name,
            a_A,
            b_A,
            c_A,
            area=self.area * self._amount(course_h),
            size_nm=self.size_nm * (1.0 - SIZE_LOSS * aged),
            strain=self.strain * (1.0 + 0.25 * aged),
            ratio=lithium_ratio(course_h) if self.course is Course.LITHIUM else None,
        )

    def crystal_at(self, course_h: float, breath: float) -> Crystal:
        """Its cell."""
        if not self.drifts:
            return self.crystal
        lost = LATTICE_LOSS * aged_share(course_h)
        if self.course is not Course.ELECTROLYTE:
            lost = _SLOW_LOSS * course_h / FULL_COURSE_H
            return self.crystal.stretched((1.0 + _SWOLLEN - lost) * breath, (1.0 + _SWOLLEN - lost) * breath)
        return self.crystal.stretched((1.0 + _SWOLLEN - lost) * breath, (1.0 - lost) / breath)

    def _amount(self, course_h: float) -> float:
        match self.course:
            case Course.ELECTROLYTE:
                return 1.0 - 0.15 * aged_share(course_h)
            case Course.LITHIUM:
                return lithium_growth(course_h)
            case Course.LATE:
                return grown_since(course_h, 120.0)
            case Course.LATER:
                return grown_since(course_h, 250.0)
            case _:
                return 1.0


def facts_of(truth: PhaseTruth) -> dict[str, object]:
    """For the file of truths, without what there is nothing to tell of."""
    return {name: value for name, value in asdict(truth).items() if value is not None}


def true_size_nm(expected_nm: float) -> float:
    """The size that a simulated phase has, other than what somebody guessed."""
    return _TRUE_SIZE * expected_nm


def true_strain(expected: float) -> float:
    """The same for its strain."""
    return _TRUE_STRAIN * expected

"""What is in the beam of an expected beamline, and what goes with its frames."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ringwatch_simulators.cell_current import CyclingState
from ringwatch_simulators.cell_model import CellTruth
from ringwatch_simulators.expected.phases import Course, PhaseModel, PhaseTruth
from ringwatch_simulators.radial_profile import (
    Beam,
    FloatArray,
    Line,
    RadialPattern,
    add_lines,
    gaussian,
    placed_lines,
)
from ringwatch_simulators.supply import AttributeValue

_FLOOR, _FALL_OF_RANGE = 0.30, 0.33
"""A background where none is measured: what is left at large angles, and where in the range it has fallen to 1/e."""


@dataclass(frozen=True, slots=True)
class Tidings:
    """What goes with each frame, under the names that are expected.

    Parameters
    ----------
    monitor
        Attribute with the monitor of the beam, which reads `reference` when the beam is full; empty for none.
    dark
        Attributes that are 1 in a frame without beam.
    mark
        Attribute that switches with the cycler, and what it is of it; empty for none.
    fixed
        What is the same in every frame.
    """

    monitor: str = ""
    reference: float = 1.0
    dark: tuple[str, ...] = ()
    mark: str = ""
    quantity: Literal["voltage_V", "current_A", "step", "cycle"] = "voltage_V"
    fixed: tuple[tuple[str, AttributeValue], ...] = ()

    def of(self, *, closed: bool, monitor: float, cycler: CyclingState) -> tuple[tuple[str, AttributeValue], ...]:
        """The attributes of one frame."""
        told = list(self.fixed)
        if self.monitor:
            told.append((self.monitor, self.reference * monitor))
        told.extend((name, int(closed)) for name in self.dark)
        if self.mark:
            told.append((self.mark, _quantity(self.quantity, cycler)))
        return tuple(told)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is in the beam.

    Parameters
    ----------
    range_deg
        Where the phases' lines are.
    background
        Angles and counts of a measured one; None for a smooth fall.
    hump
        Place and width of an amorphous hump, degree.
    """

    phases: tuple[PhaseModel, ...]
    range_deg: tuple[float, float]
    background: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    hump: tuple[float, float] | None = None
    tidings: Tidings = Tidings()

    def pattern(self, truth: CellTruth, beam: Beam, grid_deg: FloatArray, background_counts: float) -> RadialPattern:
        """The pattern on `grid_deg`, which has equal steps; what varies along its rings apart."""
        smooth, varied = background_counts * self._background(grid_deg), np.zeros_like(grid_deg)
        if self.hump is not None:
            smooth += gaussian(grid_deg, *self.hump, truth.hump_counts)
        for phase, state in zip(self.phases, truth.phases, strict=True):
            add_lines(varied if phase.textured else smooth, grid_deg, _lines(phase, state, beam))
        return RadialPattern(smooth, varied)

    def varied_lines(self, truth: CellTruth, beam: Beam) -> list[Line]:
        """Lines whose intensity varies along their rings, from the smallest angle on."""
        pairs = zip(self.phases, truth.phases, strict=True)
        return [line for phase, state in pairs if phase.textured for line in _lines(phase, state, beam)]

    def _background(self, grid_deg: FloatArray) -> FloatArray:
        if self.background is not None:
            return np.interp(grid_deg, *self.background)
        return np.asarray(_FLOOR + (1.0 - _FLOOR) * np.exp(-grid_deg / (_FALL_OF_RANGE * self.range_deg[1])))


def _lines(phase: PhaseModel, state: PhaseTruth, beam: Beam) -> list[Line]:
    if state.area <= 0.0:
        return []
    crystal = phase.crystal.stretched(state.a_A / phase.crystal.a_A, state.c_A / phase.crystal.c_A)
    lines = placed_lines(phase.lines, crystal, beam, state.area, size_nm=state.size_nm, strain=state.strain)
    if phase.course is not Course.LITHIUM or state.ratio is None:
        return lines
    areas = {(1, 1, 0): state.area, (2, 0, 0): state.area / state.ratio}
    return [
        Line(line.two_theta_deg, areas.get(known.hkl, line.area), line.gauss_sigma_deg, line.lorentz_hwhm_deg)
        for known, line in zip(phase.lines, lines, strict=False)
    ]


def _quantity(name: str, cycler: CyclingState) -> AttributeValue:
    return {
        "voltage_V": cycler.voltage_V,
        "current_A": cycler.current_A,
        "step": cycler.step,
        "cycle": max(0, cycler.half_cycle) // 2 + 1,
    }[name]

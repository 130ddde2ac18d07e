"""A Li | LAGP | Li cell that ages while it cycles: what is true at every moment.

The course follows what the published in-situ study saw over 340 h at 1 mA/cm2: a and c of LAGP
shrink by 0.1 %, its crystallites by 27 %, its lines weaken, broaden and shift up; the lines of
lithium start weak and grow, (110)/(200) is high before 130 h and then falls to that of a random
powder; LiOH appears after 120 h; AlPO4 and an amorphous hump come late. Between these anchors the
curves are invented, smooth and documented here.

Areas are those of the pattern: the azimuthal mean of (counts - pedestal) / (solid angle relative
to normal incidence x polarisation factor) for monitor 1, integrated over 2theta in degree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ringwatch_simulators.cell_current import CellCurrent, CyclingState, ShortCircuits
from ringwatch_simulators.course_curves import (
    FULL_COURSE_H,
    LATTICE_LOSS,
    LITHIUM_RATIO_RANDOM,
    SIZE_LOSS,
    aged_share,
    grown_since,
    lithium_growth,
    lithium_ratio,
)
from ringwatch_simulators.expected.phases import PhaseModel, PhaseTruth

__all__ = ["FULL_COURSE_H", "LITHIUM_RATIO_RANDOM", "CellModel", "CellParameters", "CellTruth"]


@dataclass(frozen=True, slots=True)
class CellParameters:
    """What can be chosen about the cell.

    Parameters
    ----------
    duration_h
        Length of the course; the anchors at 120, 130 and 250 h scale with it.
    lagp_area
        Area of LAGP (113) at the start, counts x degree.
    lithium_share
        Li (110) at full growth, in units of `lagp_area`.
    lioh_share, alpo4_share
        Strongest line of each at the end, in units of `lagp_area`.
    hump_counts
        Height of the amorphous hump at the end.
    copper_share, window_share
        Strongest line of the copper ring and of the polypropylene window, in units of `lagp_area`.
    pellet
        False for an empty cell: window, copper and background, but no LAGP, lithium or what grows from them.
    ceria_area
        Strongest line of a calibrant, counts x degree.
    background_counts
        Height of the smooth background at small angles.
    breathing
        Relative change of a, and the opposite of c, over a half-cycle: it follows the charge.
    spot_fraction
        Share of lithium's intensity in spots of coarse grains.
    second_harmonic
        Amplitude of the smooth ring's cos(2 azimuth) modulation, texture of the foil.
    current_density_mA_cm2, area_cm2, half_cycle_h, rest_h
        The cycler's programme: a rest, then a square wave.
    pause_h
        Rest after each half-cycle.
    shorts
        Short circuits of the pellet.
    beam_decays
        False for a beam that stays as it is after a top-up.
    """

    duration_h: float = FULL_COURSE_H
    lagp_area: float = 50.0
    lithium_share: float = 0.057
    lioh_share: float = 0.012
    alpo4_share: float = 0.006
    hump_counts: float = 4.5
    copper_share: float = 0.0
    window_share: float = 0.0
    pellet: bool = True
    ceria_area: float = 0.0
    background_counts: float = 215.0
    breathing: float = 2.0e-5
    spot_fraction: float = 0.10
    second_harmonic: float = 0.05
    current_density_mA_cm2: float = 1.0
    area_cm2: float = 0.785
    half_cycle_h: float = 12.0
    rest_h: float = 2.0
    pause_h: float = 0.0
    shorts: ShortCircuits = field(default_factory=ShortCircuits)
    beam_decays: bool = True

    def with_light(self, factor: float) -> "CellParameters":
        """The same cell in a beam, or for an exposure, `factor` times as strong."""
        return replace(
            self,
            lagp_area=self.lagp_area * factor,
            hump_counts=self.hump_counts * factor,
            background_counts=self.background_counts * factor,
        )


@dataclass(frozen=True, slots=True)
class CellTruth:
    """The cell at one moment.

    Parameters
    ----------
    time_h
        Since the start of the course.
    a_A, c_A
        Lattice of LAGP.
    size_nm
        Its crystallites: Lorentzian FWHM 0.9 wavelength / (size cos theta).
    strain
        Its microstrain e: Gaussian FWHM 4 e tan theta.
    area_113
        Area of LAGP (113).
    a_li_A
        Lattice of lithium.
    area_110, area_200, ratio
        Areas of lithium's lines and (110)/(200).
    lioh_area, alpo4_area
        Area of the strongest line of each.
    hump_counts
        Height of the amorphous hump.
    copper_area, window_area, ceria_area
        Area of the strongest line of the copper ring, the window, the calibrant.
    spot_fraction, second_harmonic
        Share of lithium in spots; cos(2 azimuth) amplitude of its smooth ring.
    monitor
        Incident beam, 1 after a top-up.
    voltage_V, current_A
        At the cell's terminals.
    half_cycle
        Number of the half-cycle from 0, -1 during the first rest.
    short_circuit
        ``none``, ``soft`` or ``hard``.
    phases
        Those of a configuration, where they are what is in the beam; nothing above is true of them.
    """

    time_h: float
    a_A: float
    c_A: float
    size_nm: float
    strain: float
    area_113: float
    a_li_A: float
    area_110: float
    area_200: float
    ratio: float
    lioh_area: float
    alpo4_area: float
    hump_counts: float
    copper_area: float
    window_area: float
    ceria_area: float
    spot_fraction: float
    second_harmonic: float
    monitor: float
    voltage_V: float
    current_A: float
    half_cycle: int
    short_circuit: str
    phases: tuple[PhaseTruth, ...] = ()


class CellModel:
    """The cell over time; a pure function of the parameters.

    Parameters
    ----------
    phases
        What is in the beam instead of the cell that the parameters describe.
    """

    def __init__(self, parameters: CellParameters, phases: Sequence[PhaseModel] = ()) -> None:
        self.parameters = parameters
        self._phases = tuple(phases)
        self._current = CellCurrent(
            density_A_cm2=1e-3 * parameters.current_density_mA_cm2,
            area_cm2=parameters.area_cm2,
            rest_h=parameters.rest_h,
            half_cycle_h=parameters.half_cycle_h,
            pause_h=parameters.pause_h,
            course_h=parameters.duration_h,
            shorts=parameters.shorts,
        )

    def at(self, time_h: float) -> CellTruth:
        """The cell at `time_h`; before the start it is pristine."""
        p = self.parameters
        course_h = np.clip(time_h / p.duration_h, 0.0, 1.0) * FULL_COURSE_H
        aged = aged_share(course_h)
        cycling = self.cycling_at(time_h)
        breath = 1.0 + p.breathing * (cycling.charged_share - 0.5)
        present = p.lagp_area if p.pellet else 0.0
        area_110 = present * p.lithium_share * lithium_growth(course_h)
        ratio = lithium_ratio(course_h)
        return CellTruth(
            time_h=float(time_h),
            a_A=8.2590 * (1.0 - LATTICE_LOSS * aged) * breath,
            c_A=20.6320 * (1.0 - LATTICE_LOSS * aged) / breath,
            size_nm=110.0 * (1.0 - SIZE_LOSS * aged),
            strain=4.0e-4 * (1.0 + 0.25 * aged),
            area_113=present * (1.0 - 0.15 * aged),
            a_li_A=3.5100,
            area_110=area_110,
            area_200=area_110 / ratio,
            ratio=ratio,
            lioh_area=present * p.lioh_share * grown_since(course_h, 120.0),
            alpo4_area=present * p.alpo4_share * grown_since(course_h, 250.0),
            hump_counts=p.hump_counts * grown_since(course_h, 230.0) * p.pellet,
            copper_area=p.lagp_area * p.copper_share,
            window_area=p.lagp_area * p.window_share,
            ceria_area=p.ceria_area,
            spot_fraction=p.spot_fraction,
            second_harmonic=p.second_harmonic,
            monitor=_beam(time_h) if p.beam_decays else 1.0,
            voltage_V=cycling.voltage_V,
            current_A=cycling.current_A,
            half_cycle=cycling.half_cycle,
            short_circuit=p.shorts.name_at(time_h),
            phases=tuple(phase.at(course_h, breath) for phase in self._phases),
        )

    def cycling_at(self, time_h: float) -> CyclingState:
        """The cycler at `time_h`."""
        return self._current.at(time_h)

    def switches_h(self, after_h: float, until_h: float) -> list[float]:
        """Times in (after, until] at which the cycler begins another step."""
        return self._current.switches_h(after_h, until_h)


def _beam(time_h: float, fill_h: float = 12.0, lifetime_h: float = 150.0) -> float:
    """Beam that decays between top-ups every 12 h."""
    return float(np.exp(-np.mod(time_h, fill_h) / lifetime_h))

"""What the cycler drives through the cell, and the voltage that the cell answers with."""

from dataclasses import dataclass

import numpy as np

SEPARATION_V = 0.020
RELAXATION_H = 0.25
"""How fast the voltage of the separated charges builds up and relaxes."""
_RELAXATIONS_SEEN = 40.0


@dataclass(frozen=True, slots=True)
class ShortCircuits:
    """When lithium bridges the pellet.

    Parameters
    ----------
    soft_h, hard_h
        Beginning of each since the start of the course; None for never.
    soft_share, hard_share
        Part of the sound resistance that is left.
    flicker
        The bridge of a soft short circuit comes and goes: relative change of the resistance, at every moment another.
    """

    soft_h: float | None = None
    hard_h: float | None = None
    soft_share: float = 0.6
    hard_share: float = 0.02
    flicker: float = 0.03

    def name_at(self, time_h: float) -> str:
        """``none``, ``soft`` or ``hard``."""
        for name, begins_h in (("hard", self.hard_h), ("soft", self.soft_h)):
            if begins_h is not None and time_h >= begins_h:
                return name
        return "none"

    def share_at(self, time_h: float) -> float:
        """Part of the sound resistance."""
        name = self.name_at(time_h)
        if name == "none":
            return 1.0
        if name == "hard":
            return self.hard_share
        # A sum of incommensurable waves looks like noise from sample to sample, and needs no memory.
        restless = np.sin(7919.0 * time_h) + np.sin(6151.7 * time_h + 1.0) + np.sin(5417.3 * time_h + 2.0)
        return float(self.soft_share * (1.0 + self.flicker * restless))


@dataclass(frozen=True, slots=True)
class CyclingState:
    """The cycler at one moment.

    Parameters
    ----------
    current_A
        Signed; positive takes lithium from the working electrode.
    phase
        Of the half-cycle, 0 to 1.
    capacity_mAh
        Charge of the half-cycle so far.
    charged_share
        Net charge since the start, in units of one half-cycle.
    step
        0 for the first rest, 1 and 2 for the two directions, 3 and 4 for the pauses after them.
    full_C
        Charge of a whole half-cycle.
    """

    current_A: float
    voltage_V: float
    half_cycle: int
    phase: float
    capacity_mAh: float
    charged_share: float
    step: int
    full_C: float = 0.0

    @property
    def charge_C(self) -> float:
        """Net charge since the start."""
        return self.charged_share * self.full_C


@dataclass(frozen=True, slots=True)
class CellCurrent:
    """The programme of the cycler, a rest and then a square wave, and a symmetric cell's answer.

    The voltage is ``I R``, and 20 mV in the direction of the current that build up within a quarter of an hour and
    relax in a pause. R grows by 60 % over the course, and by 5 % within each half-cycle as lithium is used up.
    """

    density_A_cm2: float
    area_cm2: float
    rest_h: float
    half_cycle_h: float
    pause_h: float
    course_h: float
    shorts: ShortCircuits

    def at(self, time_h: float) -> CyclingState:
        """The cycler and the cell at a time since the start of the course."""
        since_h = time_h - self.rest_h
        if since_h < 0.0:
            return CyclingState(0.0, 0.0, -1, 0.0, 0.0, 0.0, 0)
        number, within_h = divmod(since_h, self.half_cycle_h + self.pause_h)
        half_cycle = int(number)
        even = half_cycle % 2 == 0
        paused_h = within_h - self.half_cycle_h
        flows = paused_h < 0.0
        phase = min(1.0, within_h / self.half_cycle_h)
        direction = 1.0 if even else -1.0
        drive_A = direction * self.density_A_cm2 * self.area_cm2
        size_V = self._driven_V(time_h, phase, within_h) if flows else self._left_V(time_h, paused_h)
        return CyclingState(
            current_A=drive_A if flows else 0.0,
            voltage_V=direction * size_V,
            half_cycle=half_cycle,
            phase=phase,
            capacity_mAh=abs(drive_A) * 1e3 * phase * self.half_cycle_h,
            charged_share=phase if even else 1.0 - phase,
            step=(1 if even else 2) + (0 if flows else 2),
            full_C=abs(drive_A) * 3600.0 * self.half_cycle_h,
        )

    def switches_h(self, after_h: float, until_h: float) -> list[float]:
        """Times in (after, until] at which the cycler begins another step."""
        period_h = self.half_cycle_h + self.pause_h
        last = int((until_h - self.rest_h) // period_h)
        turns = [self.rest_h + number * period_h for number in range(last + 1)]
        pauses = [turn + self.half_cycle_h for turn in turns] if self.pause_h > 0.0 else []
        return sorted(time_h for time_h in (*turns, *pauses) if after_h < time_h <= until_h)

    def _driven_V(self, time_h: float, phase: float, driven_h: float) -> float:
        """Size of the voltage, so long after the current was switched on."""
        resistance_ohm_cm2 = 60.0 * (1.0 + 0.6 * min(1.0, time_h / self.course_h)) * (1.0 + 0.05 * phase)
        sound_V = self.density_A_cm2 * resistance_ohm_cm2 + SEPARATION_V * (1.0 - _left_of(driven_h))
        return self.shorts.share_at(time_h) * sound_V

    def _left_V(self, time_h: float, paused_h: float) -> float:
        """What is left of it, so long after the current was switched off."""
        return self.shorts.share_at(time_h) * SEPARATION_V * _left_of(paused_h)


def _left_of(elapsed_h: float) -> float:
    return float(np.exp(-min(elapsed_h / RELAXATION_H, _RELAXATIONS_SEEN)))

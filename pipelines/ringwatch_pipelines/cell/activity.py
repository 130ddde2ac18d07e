"""What the cell does: which way lithium goes, when it rests, when the circuit is open.

By the cyclers' convention a positive current takes electrons out of the working electrode. In a cell between two
pieces of lithium it is then stripped there and plated on the other side; a negative current plates it.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from ringwatch_pipelines.cell.timeline import C_PER_MAH, BoolArray, FlowSamples, Timeline
from ringwatch_pipelines.results import Notice

_NS_PER_H = 3.6e12
_S_PER_NS = 1e-9
_MOST_TOLD = 1000
_OPEN_VOLTAGE = 3.0


class Activity(StrEnum):
    """What the cell does."""

    STRIPPING = "STRIPPING"
    PLATING = "PLATING"
    CHARGING = "CHARGING"
    DISCHARGING = "DISCHARGING"
    REST = "REST"
    OPEN_CIRCUIT = "OPEN_CIRCUIT"
    """No current although the cycler did not end its step, or a voltage far above what drove the current before."""


_FLOWING = {
    (True, 1): (Activity.STRIPPING, "lithium is stripped from the working electrode and plated on the other"),
    (True, -1): (Activity.PLATING, "lithium is plated on the working electrode and stripped from the other"),
    (False, 1): (Activity.CHARGING, "the cell is charged"),
    (False, -1): (Activity.DISCHARGING, "the cell is discharged"),
}


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Samples of one direction of current, or of none."""

    flow: int
    start_ns: int
    end_ns: int
    current_A: float
    first_voltage_V: float
    last_voltage_V: float
    highest_voltage_V: float
    step: int
    charge_mAh: float

    @property
    def length_h(self) -> float:
        return (self.end_ns - self.start_ns) / _NS_PER_H


class ActivityWatch:
    """Tells of every change, once the samples show it.

    Parameters
    ----------
    timeline
        The samples so far; somebody else adds to it.
    symmetric
        Both electrodes are lithium.
    area_cm2
        Electrode area, NaN where nobody declared one.
    """

    def __init__(self, timeline: Timeline, *, symmetric: bool, area_cm2: float = float("nan")) -> None:
        self._timeline = timeline
        self._symmetric = symmetric
        self._area_cm2 = area_cm2
        self._looked_ns = 0
        self._begun: FlowSamples | None = None
        self._told = 0

    def look(self) -> tuple[Notice, ...]:
        """What the samples that have arrived since the last look tell."""
        samples = self._timeline.samples_after(self._looked_ns)
        if not samples.flow.size:
            return ()
        self._looked_ns = int(samples.cycler_timestamp_ns[-1])
        # A cycler that tells no current at the moment says nothing about it.
        samples = _chosen(samples, np.isfinite(samples.current_A))
        if not samples.flow.size:
            return ()
        joined = samples if self._begun is None else _joined(self._begun, samples)
        turns = np.flatnonzero(np.diff(joined.flow)) + 1
        edges = [0, *turns.tolist(), joined.flow.size]
        stretches = [_chosen(joined, slice(first, last)) for first, last in pairwise(edges)]
        notices = []
        for place, part in enumerate(stretches):
            if place or self._begun is None:
                ended = _stretch(stretches[place - 1]) if place else None
                notices += self._begins(part, ended)
        self._begun = stretches[-1]
        return tuple(notices)

    def _begins(self, part: FlowSamples, ended: _Stretch | None) -> list[Notice]:
        self._told += 1
        if self._told > _MOST_TOLD + 1:
            return []
        at_ns = self._timeline.detector_ns(int(part.cycler_timestamp_ns[0]))
        if self._told > _MOST_TOLD:
            text = f"{_MOST_TOLD} changes of the current were told; those after them stand in the cycler's series only"
            return [Notice("ACTIVITY", text, timestamp_ns=at_ns)]
        kind, what = self._activity(_stretch(part), ended)
        text = what if ended is None else f"{what}; before: {self._evidence(ended)}"
        return [Notice(kind.value, text, timestamp_ns=at_ns)]

    def _activity(self, now: _Stretch, ended: _Stretch | None) -> tuple[Activity, str]:
        if now.flow:
            activity, what = _FLOWING[self._symmetric, now.flow]
            return activity, f"{what}, by {self._per_area(1e3 * abs(now.current_A), 'mA')}"
        if ended is not None and ended.flow:
            if now.step == ended.step >= 0:
                return Activity.OPEN_CIRCUIT, f"the current has stopped within step {now.step}: the circuit is open"
            if now.highest_voltage_V > _OPEN_VOLTAGE * max(ended.highest_voltage_V, 1e-3):
                text = f"no current flows at {now.highest_voltage_V:.3g} V: the circuit is open"
                return Activity.OPEN_CIRCUIT, text
        return Activity.REST, f"the cell rests, at {now.first_voltage_V:.4g} V"

    def _evidence(self, ended: _Stretch) -> str:
        if not ended.flow:
            return f"no current for {ended.length_h:.2f} h, {ended.last_voltage_V:.4g} V at its end"
        passed = self._per_area(ended.charge_mAh, "mAh")
        told = f"{passed} in {ended.length_h:.2f} h, {ended.last_voltage_V:.4g} V at its end"
        if not self._symmetric or not ended.current_A:
            return told
        return f"{told}, that is {abs(ended.last_voltage_V / ended.current_A):.4g} ohm of polarisation"

    def _per_area(self, value: float, unit: str) -> str:
        if np.isnan(self._area_cm2):
            return f"{value:.4g} {unit}"
        return f"{value / self._area_cm2:.4g} {unit}/cm2"


def _chosen(samples: FlowSamples, which: slice | BoolArray) -> FlowSamples:
    return FlowSamples(**{name: getattr(samples, name)[which] for name in FlowSamples.__dataclass_fields__})


def _joined(one: FlowSamples, other: FlowSamples) -> FlowSamples:
    names = FlowSamples.__dataclass_fields__
    return FlowSamples(**{name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in names})


def _stretch(part: FlowSamples) -> _Stretch:
    stamps = part.cycler_timestamp_ns
    passed_C = np.sum(0.5 * (part.current_A[1:] + part.current_A[:-1]) * np.diff(stamps)) * _S_PER_NS
    known_V = part.voltage_V[np.isfinite(part.voltage_V)]
    return _Stretch(
        flow=int(part.flow[0]),
        start_ns=int(stamps[0]),
        end_ns=int(stamps[-1]),
        current_A=float(np.median(part.current_A)),
        first_voltage_V=float(known_V[0]) if known_V.size else float("nan"),
        last_voltage_V=float(known_V[-1]) if known_V.size else float("nan"),
        highest_voltage_V=float(np.abs(known_V).max()) if known_V.size else float("nan"),
        step=int(part.step[0]),
        charge_mAh=float(passed_C) / C_PER_MAH,
    )

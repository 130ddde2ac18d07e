"""Watches a run for the first appearance of each minor phase and of the hump."""

from dataclasses import dataclass

from ringwatch_pipelines.results import Estimate, Notice, ReferencePhaseTrack, Tracked
from ringwatch_pipelines.tracks.change_points import Onset, OnsetRule, OnsetState, onset_step

HUMP = "hump"
_NS_PER_H = 3.6e12
_S_PER_H = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class OnsetMemory:
    """What the frames so far leave to the next one.

    Parameters
    ----------
    origin_ns
        UTC of the first fit, from which hours are counted; 0 before there was one.
    states
        One test a phase, by its name.
    """

    origin_ns: int = 0
    states: tuple[tuple[str, OnsetState], ...] = ()


class OnsetWatch:
    """One onset test for every reference phase and for the hump.

    Parameters
    ----------
    rule
        The same for all of them; None to look for nothing.
    """

    def __init__(self, rule: OnsetRule | None) -> None:
        self._rule = rule
        self._origin_ns = 0
        self._states: dict[str, OnsetState] = {}

    @property
    def memory(self) -> OnsetMemory:
        """What another watch of the same rule needs to go on from here."""
        return OnsetMemory(self._origin_ns, tuple(self._states.items()))

    def recall(self, memory: OnsetMemory) -> None:
        """Go on where another watch was."""
        self._origin_ns, self._states = memory.origin_ns, dict(memory.states)

    def take(self, tracked: Tracked, *, timestamp_ns: int) -> tuple[Notice, ...]:
        """Take in the next fit, and tell of what it shows to have appeared; of each phase once.

        Parameters
        ----------
        timestamp_ns
            UTC of the fit's pattern; of a scan, of its middle.
        """
        if self._rule is None or not tracked.fit_state.has_values:
            return ()
        self._origin_ns = self._origin_ns or timestamp_ns
        fit_h = (timestamp_ns - self._origin_ns) / _NS_PER_H
        notices = []
        for name, amount in watched_amounts(tracked):
            before = self._states.get(name) or OnsetState(self._rule)
            time_h = fit_h + tracked.measured_later_s(name) / _S_PER_H
            self._states[name], onset = onset_step(before, value=amount.value, sigma=amount.sigma, time_h=time_h)
            if onset is not None:
                notices.append(_notice(name, onset, amount, self._origin_ns))
        return tuple(notices)


def watched_amounts(tracked: Tracked) -> tuple[tuple[str, Estimate], ...]:
    """What may appear during a run, by name: the amount of each reference phase, and the height of the hump.

    The amount is that of which one sigma of noise makes one of z; the error of the fitted one grows with the phase,
    since its width is not known.
    """
    amounts = tuple(
        (phase.name, Estimate(phase.z * phase.noise, phase.noise))
        for phase in tracked.phases
        if isinstance(phase, ReferencePhaseTrack)
    )
    return (*amounts, (HUMP, tracked.hump))


def _notice(name: str, onset: Onset, amount: Estimate, origin_ns: int) -> Notice:
    text = (
        f"{name} appears {onset.time_h:.2f} +- {onset.sigma_h:.2f} h after the first fit; "
        f"seen for sure at {onset.alarm_h:.2f} h, where it is {amount.value / amount.sigma:.1f} sigma"
    )
    began_ns = origin_ns + round(onset.time_h * _NS_PER_H)
    return Notice(f"ONSET_{name.upper()}", text, sigma_h=onset.sigma_h, timestamp_ns=began_ns)

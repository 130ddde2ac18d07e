"""When new phases were told, and how well their beginning was dated."""

import numpy as np

from accuracy.courses import Course
from accuracy.figures import Figure, Measured, watched
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.tracks.change_points import (
    OnsetRule,
    OnsetState,
    onset_step,
    threshold_from_false_alarm_rate,
)

ONSET_H = {"lioh": 120.0, "alpo4": 250.0, "hump": 230.0}
TITLES = {"lioh": "LiOH", "alpo4": "AlPO4", "hump": "hump"}
RATE = 0.01
NULL_RUNS = 400
"""Their alarms tell a rate of 1 % to half a per cent; two of these are allowed for."""
BLOCK = 24
"""Frames that stay together when runs are made of z: what a dark leaves lasts until the next one, a day later."""


def alarm_figures(courses: list[Course], name: str, *, within_h: float, dated_to_h: float | None) -> list[Figure]:
    """The events of the runs: one a run, in time, with its date."""
    told = [[onset for onset in course.onsets if onset.name == name] for course in courses]
    once = all(len(onsets) == 1 for onsets in told)
    delays = [onset.alarm_h - ONSET_H[name] for onsets in told for onset in onsets]
    dates = [onset.date_h - ONSET_H[name] for onsets in told for onset in onsets]
    in_time = once and all(0.0 <= delay <= within_h for delay in delays)
    dated = once and (dated_to_h is None or all(abs(date) <= dated_to_h for date in dates))
    must = "" if dated_to_h is None else f"to {dated_to_h:g} h"
    return [
        Figure(f"{TITLES[name]}: events a run", _numbers(told), "1", once),
        Figure(f"{TITLES[name]}: alarm after its onset", _hours(delays), f"within {within_h:g} h", in_time),
        Figure(f"{TITLES[name]}: date less its onset", _hours(dates), must, dated if must else None),
    ]


def null_run_figures(courses: list[Course], name: str, *, runs: int = NULL_RUNS) -> list[Figure]:
    """Runs in which a phase never appears: no event, and hardly any alarm in runs made of their z."""
    told = sum(onset.name == name for course in courses for onset in course.onsets)
    z = [_z(course.measured[watched(name)]) for course in courses]
    share = false_alarms(z, frames=courses[0].time_h.size, runs=runs)
    frames = sum(one.size for one in z)
    return [
        Figure(f"{TITLES[name]}: events of {len(courses)} runs without it", f"{told}", "0", told == 0, frames),
        Figure(
            f"{TITLES[name]}: false alarms a run, {runs} runs drawn from these",
            f"{share:.1%}",
            f"<= {RATE:.0%} (+1 for {runs})",
            share <= 2.0 * RATE,
            frames,
        ),
    ]


def false_alarms(z: list[FloatArray], *, frames: int, runs: int) -> float:
    """Share of runs with an alarm, among runs drawn block by block from those in `z`."""
    random = np.random.default_rng(1)
    burn_in = min(40, max(10, frames // 4))
    threshold = threshold_from_false_alarm_rate(rate_per_run=RATE, frames_per_run=frames, burn_in=burn_in)
    blocks = [one[start : start + BLOCK] for one in z for start in range(max(1, one.size - BLOCK + 1))]
    alarms = 0
    for _ in range(runs):
        chosen = random.integers(0, len(blocks), -(-frames // BLOCK))
        state, alarm = OnsetState(OnsetRule(threshold, burn_in=burn_in)), False
        for index, value in enumerate(np.concatenate([blocks[choice] for choice in chosen])[:frames]):
            state, onset = onset_step(state, value=float(value), sigma=1.0, time_h=float(index))
            alarm |= onset is not None
        alarms += alarm
    return alarms / runs


def _z(measured: Measured) -> FloatArray:
    known = measured.known
    return np.asarray(measured.value[known] / measured.sigma[known])


def _numbers(told: list[list[object]]) -> str:
    return ", ".join(str(len(onsets)) for onsets in told)


def _hours(values: list[float]) -> str:
    return ", ".join(f"{value:+.1f}" for value in values) + " h" if values else "none"

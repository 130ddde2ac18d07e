"""When new phases were found, and how well their beginning was dated."""

import numpy as np

from accuracy.courses import Course
from accuracy.figures import Figure
from ringwatch_pipelines.tracks.change_points import (
    Onset,
    OnsetRule,
    OnsetState,
    onset_step,
    threshold_from_false_alarm_rate,
)

LIOH_ONSET_H, ALPO4_ONSET_H = 120.0, 250.0
RATE = 0.01
NULL_RUNS = 400
"""Their alarms tell a rate of 1 % to half a per cent; two of these are allowed for."""


def lioh_figures(courses: list[Course]) -> list[Figure]:
    """Alarm, date, and false alarms on noise like that before the onset."""
    onsets = [_onset(course, "lioh") for course in courses]
    delay = [np.inf if onset is None else onset.alarm_h - LIOH_ONSET_H for onset in onsets]
    date = [np.inf if onset is None else onset.time_h - LIOH_ONSET_H for onset in onsets]
    false_share = _false_alarms(courses, "lioh")
    return [
        Figure("LiOH: alarm after its onset", _hours(delay), "within 6 h", met=_within(delay, 6.0)),
        Figure("LiOH: date less its onset", _hours(date), "to 3 h", met=bool(np.all(np.abs(date) <= 3.0))),
        Figure("LiOH: false alarms a run", f"{false_share:.1%}", "<= 1 % (+1 for 400)", met=false_share <= 2.0 * RATE),
    ]


def alpo4_figures(courses: list[Course]) -> list[Figure]:
    """The alarm."""
    onsets = [_onset(course, "alpo4") for course in courses]
    delay = [np.inf if onset is None else onset.alarm_h - ALPO4_ONSET_H for onset in onsets]
    return [Figure("AlPO4: alarm after its onset", _hours(delay), "within 20 h", met=_within(delay, 20.0))]


def _onset(course: Course, name: str) -> Onset | None:
    measured = course.measured[name]
    state = OnsetState(_rule(course.time_h.size))
    for time_h, value, sigma in zip(course.time_h, measured.value, measured.sigma, strict=True):
        state, onset = onset_step(state, value=float(value), sigma=float(sigma), time_h=float(time_h))
        if onset is not None:
            return onset
    return None


def _false_alarms(courses: list[Course], name: str) -> float:
    """Share of runs with an alarm among runs of shuffled z from before the onset."""
    random = np.random.default_rng(1)
    null = [course.measured[name] for course in courses]
    z = np.concatenate([(one.value / one.sigma)[one.truth == 0.0] for one in null])
    frames = courses[0].time_h.size
    rule = _rule(frames)
    alarms = 0
    for _ in range(NULL_RUNS):
        state = OnsetState(rule)
        for index, value in enumerate(random.choice(z, frames)):
            state, onset = onset_step(state, value=float(value), sigma=1.0, time_h=float(index))
            alarms += onset is not None
    return alarms / NULL_RUNS


def _rule(frames: int) -> OnsetRule:
    burn_in = min(40, max(10, frames // 4))
    return OnsetRule(
        threshold_from_false_alarm_rate(rate_per_run=RATE, frames_per_run=frames, burn_in=burn_in), burn_in=burn_in
    )


def _within(delays_h: list[float], most_h: float) -> bool:
    return all(0.0 <= delay_h <= most_h for delay_h in delays_h)


def _hours(values: list[float]) -> str:
    return ", ".join(f"{value:+.1f}" for value in values) + " h"

"""What the cell does is told at every change, with what was before."""

import numpy as np
import pytest

from ringwatch_pipelines.cell.activity import ActivityWatch
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.cell.timeline import Timeline

START_NS = 1_790_000_000_000_000_000
MIN_NS = 60_000_000_000


def samples(parts):
    """A sample a minute; parts are (minutes, current in mA, voltage in V, step)."""
    current_mA, voltage_V, step = (
        np.concatenate([np.full(part[0], part[column], dtype=float) for part in parts]) for column in (1, 2, 3)
    )
    stamps = START_NS + np.arange(current_mA.size) * MIN_NS
    nobody = np.full(current_mA.size, -1, dtype=np.int64)
    unknown = np.full(current_mA.size, np.nan)
    return CyclerSamples(stamps, stamps, voltage_V, 1e-3 * current_mA, nobody, step.astype(np.int64), unknown)


def told(parts, *, at_once=10_000, symmetric=True, area_cm2=float("nan")):
    timeline = Timeline(max_gap_s=3600.0)
    watch = ActivityWatch(timeline, symmetric=symmetric, area_cm2=area_cm2)
    whole, found = samples(parts), []
    for begin in range(0, whole.timestamp_ns.size, at_once):
        block = slice(begin, begin + at_once)
        timeline.append(CyclerSamples(*(getattr(whole, name)[block] for name in CyclerSamples.__dataclass_fields__)))
        found.extend(watch.look())
    return found


CYCLE = [(10, 0.0, 0.0, 0), (60, 1.0, 0.1, 1), (10, 0.0, 0.01, 2), (60, -1.0, -0.1, 3), (60, 1.0, 0.1, 1)]


def minutes(notice):
    return (notice.timestamp_ns - START_NS) / MIN_NS


def test_plating_and_stripping_are_told_apart_each_at_its_beginning():
    found = told(CYCLE)
    assert [notice.kind for notice in found] == ["REST", "STRIPPING", "REST", "PLATING", "STRIPPING"]
    assert [minutes(notice) for notice in found] == [0, 10, 70, 80, 140]
    assert "plated on the working electrode" in found[3].text


def test_each_has_its_evidence():
    found = told(CYCLE, area_cm2=0.5)
    assert "by 2 mA/cm2" in found[1].text
    assert found[2].text.endswith("before: 1.967 mAh/cm2 in 0.98 h, 0.1 V at its end, that is 100 ohm of polarisation")
    assert "no current for 0.15 h, 0.01 V at its end" in found[3].text


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_samples_that_trickle_in_tell_the_same_changes(at_once):
    whole, trickled = told(CYCLE), told(CYCLE, at_once=at_once)
    assert [(one.kind, one.timestamp_ns) for one in trickled] == [(one.kind, one.timestamp_ns) for one in whole]


def test_a_cell_that_is_not_symmetric_is_charged_and_discharged():
    kinds = [notice.kind for notice in told(CYCLE, symmetric=False)]
    assert kinds == ["REST", "CHARGING", "REST", "DISCHARGING", "CHARGING"]
    assert not any("polarisation" in notice.text for notice in told(CYCLE, symmetric=False))


def test_a_current_that_stops_within_its_step_is_an_open_circuit():
    found = told([(60, 1.0, 0.1, 1), (5, 0.0, 0.05, 1)])
    assert found[-1].kind == "OPEN_CIRCUIT"
    assert "within step 1" in found[-1].text


def test_a_voltage_at_the_limit_without_current_is_an_open_circuit():
    assert told([(60, 1.0, 0.1, -1), (5, 0.0, 5.0, -1)], at_once=1000)[-1].kind == "OPEN_CIRCUIT"


def test_a_cycler_that_tells_no_current_says_nothing():
    assert told([(60, np.nan, 0.1, 1)]) == []
    assert [one.kind for one in told([(60, 1.0, 0.1, 1), (5, np.nan, np.nan, 1), (60, 1.0, 0.1, 1)])] == ["STRIPPING"]


def test_a_cycler_that_pulses_all_day_does_not_flood_the_events():
    found = told([(1, (-1.0) ** place, 0.1, 1) for place in range(1500)])
    assert len(found) == 1001
    assert found[-1].kind == "ACTIVITY"

"""How the highest rate is looked for, and what counts as sustained."""

import pytest

from benchmarks.live_rig import Published, Stretch
from benchmarks.live_speed import MOST_STEPS, STEP, _highest


def stretch_at(rate_hz, *, came_hz=None, lost=0, late_s=0.01, growing_s=0.0, fitted=True):
    """Two hundred frames at a rate, the last of them later by `growing_s`."""
    frames = []
    for number in range(200):
        received_s = 10.0 + number / (came_hz or rate_hz)
        heard_s = received_s + late_s + growing_s * number / 200
        frames.append(Published(number, fitted, round(received_s * 1e9), round(heard_s * 1e9)))
    return Stretch(rate_hz, tuple(frames), lost, 0.04)


class FakeRig:
    """Comes through with so many frames a second and no more."""

    def __init__(self, capacity_hz):
        self.capacity_hz = capacity_hz
        self.tried = []

    def stretch(self, rate_hz, seconds):
        self.tried.append(rate_hz)
        if rate_hz <= self.capacity_hz:
            return stretch_at(rate_hz)
        return stretch_at(rate_hz, came_hz=self.capacity_hz, growing_s=3.0)


@pytest.mark.parametrize("capacity_hz", [7.0, 29.0, 40.0, 52.0])
def test_the_highest_rate_lies_within_a_step_of_what_comes_through(capacity_hz):
    found = _highest(FakeRig(capacity_hz), 40.0)
    assert capacity_hz / STEP**2 <= found.asked_hz <= capacity_hz


def test_the_search_ends():
    rig = FakeRig(1e6)
    assert _highest(rig, 40.0).asked_hz == pytest.approx(40.0 * STEP ** (MOST_STEPS - 1))
    assert len(rig.tried) == MOST_STEPS


@pytest.mark.parametrize(
    "spoilt", [{"lost": 1}, {"fitted": False}, {"growing_s": 1.0}, {"came_hz": 30.0}], ids=lambda one: next(iter(one))
)
def test_one_frame_lost_or_not_fitted_or_a_queue_that_grows_is_not_sustained(spoilt):
    assert stretch_at(40.0).sustained
    assert not stretch_at(40.0, **spoilt).sustained


def test_latency_is_told_by_percentile():
    assert stretch_at(40.0, late_s=0.02).latency_s(99) == pytest.approx(0.02)

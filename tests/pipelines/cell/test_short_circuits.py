"""Soft and hard short circuits among half-cycles."""

import numpy as np
import pytest

from fakes.cycler_reading import everything
from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.short_circuits import ShortCircuit, resistances_from_samples, short_circuit_test
from ringwatch_pipelines.cell.timeline import Timeline
from ringwatch_pipelines.errors import PatternError

NONE, SOFT, HARD, OPEN = ShortCircuit.NONE, ShortCircuit.SOFT, ShortCircuit.HARD, ShortCircuit.UNDETERMINED
HOUR_NS = 3_600_000_000_000


def verdicts(resistance, noise=None):
    resistance = np.asarray(resistance, dtype=float)
    return short_circuit_test(
        resistance_ohm=resistance, noise=np.full(resistance.shape, 1e-3) if noise is None else np.asarray(noise)
    )


def sound(count, seed=0):
    return 100 * np.exp(0.02 * np.random.default_rng(seed).standard_normal(count))


def test_the_resistance_is_that_of_the_end_of_the_half_cycle():
    hours = np.arange(0, 24, 0.25)
    half = (hours >= 12).astype(np.int64)
    current_A = np.where(half == 0, 1e-3, -1e-3)
    since = hours - 12 * half
    voltage_V = current_A * np.where(since > 6, 107.0, 300.0)
    found = resistances_from_samples(
        timestamp_ns=(hours * HOUR_NS).astype(np.int64), voltage_V=voltage_V, current_A=current_A, half_cycle=half
    )
    assert [one.half_cycle for one in found] == [0, 1]
    assert [one.resistance_ohm for one in found] == pytest.approx([107.0, 107.0])
    assert [one.end_ns / HOUR_NS for one in found] == [11.75, 23.75]


def test_rests_do_not_count():
    stamps = np.arange(20, dtype=np.int64) * HOUR_NS
    current_A = np.where(np.arange(20) < 10, 1e-3, 0.0)
    [one] = resistances_from_samples(
        timestamp_ns=stamps, voltage_V=np.full(20, 0.1), current_A=current_A, half_cycle=np.zeros(20, dtype=np.int64)
    )
    assert one.resistance_ohm == pytest.approx(100)
    assert one.end_ns == 9 * HOUR_NS


def test_a_sound_cell_is_never_accused():
    for seed in range(50):
        assert set(verdicts(sound(60, seed))[4:]) == {NONE}


def test_the_first_half_cycles_have_nothing_to_be_compared_with():
    assert verdicts(sound(5)) == (OPEN,) * 4 + (NONE,)


def test_a_lasting_drop_is_soft_from_its_second_half_cycle_on():
    assert verdicts([*sound(14), 60.0, 58.0, 61.0])[14:] == (NONE, SOFT, SOFT)


def test_a_single_low_half_cycle_is_no_short():
    assert set(verdicts([*sound(14), 60.0, *sound(5, seed=1)])[4:]) == {NONE}


def test_a_collapse_is_hard_at_once():
    assert verdicts([*sound(14), 2.0, 1.5])[14:] == (HARD, HARD)


def test_no_voltage_at_all_is_hard():
    assert verdicts([*sound(14), 0.0])[14] is HARD


def test_a_jump_in_noise_is_soft():
    noise = np.full(15, 1e-3)
    noise[14] = 8e-3
    assert verdicts(sound(15), noise)[13:] == (NONE, SOFT)


def test_a_slow_change_over_many_half_cycles_is_no_short():
    assert set(verdicts(100 * np.exp(-0.01 * np.arange(80)))[4:]) == {NONE}


def test_a_half_cycle_without_a_resistance_is_undetermined_and_does_no_harm():
    values = [*sound(14), np.nan, *sound(3, seed=2)]
    assert verdicts(values)[14:] == (OPEN, NONE, NONE, NONE)


def test_a_noise_for_each_resistance_is_needed():
    with pytest.raises(PatternError, match="expected a noise for each of 3"):
        short_circuit_test(resistance_ohm=np.ones(3), noise=np.ones(2))


def test_half_cycles_are_compared_with_those_of_their_own_current():
    resistance = np.array([*sound(12), *0.5 * sound(6, seed=1), 0.25, 0.25])
    current_A = np.array([*[1e-3] * 12, *[4e-3] * 6, 4e-3, 4e-3])
    found = short_circuit_test(resistance_ohm=resistance, noise=np.full(20, 1e-3), current_A=current_A)
    assert found[12:16] == (OPEN,) * 4
    assert found[16:18] == (NONE, NONE)
    assert found[18:] == (HARD, HARD)


@pytest.mark.recordings
def test_no_recorded_cell_is_accused(recordings):
    """The symmetric cell is sound; the others are none, and even so nothing of theirs collapses."""
    for path in sorted((recordings / "cycler").rglob("*")):
        if not path.is_file():
            continue
        timeline = Timeline(max_gap_s=86400.0)
        timeline.append(everything(path, zone="Europe/Berlin").samples)
        assert CellWatch(timeline).look() == (), path.name

"""Short circuits told while the samples of a symmetric cell arrive."""

import numpy as np
import pytest

from ringwatch_pipelines.cell.cell_watch import CellWatch
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.cell.timeline import Timeline

START_NS = 1_790_000_000_000_000_000
HOUR_NS = 3_600_000_000_000
HALF_H = 12.0


def samples_of(resistance_ohm, *, seed=0, noise_V=2e-5):
    """A sample each quarter of an hour; half-cycles of 12 h with the given resistances."""
    hours = np.arange(0.0, HALF_H * len(resistance_ohm), 0.25)
    half = (hours // HALF_H).astype(int)
    current_A = np.where(half % 2 == 0, 1e-3, -1e-3)
    voltage_V = current_A * np.asarray(resistance_ohm)[half]
    voltage_V = voltage_V + noise_V * np.random.default_rng(seed).standard_normal(hours.size)
    stamps = START_NS + (hours * HOUR_NS).astype(np.int64)
    nobody = np.full(hours.size, -1, dtype=np.int64)
    return CyclerSamples(stamps, stamps, voltage_V, current_A, nobody, nobody, np.full(hours.size, np.nan))


def part(samples, begin, end):
    columns = (getattr(samples, name)[begin:end] for name in CyclerSamples.__dataclass_fields__)
    return CyclerSamples(*columns)


def notices(samples, *, at_once=10_000):
    timeline = Timeline(max_gap_s=3600.0)
    watch = CellWatch(timeline)
    found = []
    for begin in range(0, samples.timestamp_ns.size, at_once):
        timeline.append(part(samples, begin, begin + at_once))
        found.extend(watch.look())
    return found


def sound(count, seed=0):
    return 100 * np.exp(0.01 * np.random.default_rng(seed).standard_normal(count))


def half_cycle_of(notice):
    return (notice.timestamp_ns - START_NS) / HOUR_NS / HALF_H


def test_a_sound_cell_is_never_accused():
    assert [notice for seed in range(20) for notice in notices(samples_of(sound(28, seed), seed=seed))] == []


def test_a_lasting_drop_is_told_once_at_its_second_half_cycle():
    [notice] = notices(samples_of([*sound(16), *[60.0] * 8], noise_V=0.0))
    assert notice.kind == "SHORT_CIRCUIT_SOFT"
    assert 17 < half_cycle_of(notice) < 18
    assert notice.sigma_h == pytest.approx(HALF_H, abs=0.5)
    assert "60 ohm" in notice.text


def test_a_collapse_is_told_at_the_end_of_its_half_cycle_with_what_was_usual():
    [notice] = notices(samples_of([*sound(16), *[2.0] * 3], noise_V=0.0))
    assert notice.kind == "SHORT_CIRCUIT_HARD"
    assert 16 < half_cycle_of(notice) < 17
    assert "2 ohm" in notice.text


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_samples_that_trickle_in_tell_what_the_whole_file_tells(at_once):
    samples = samples_of([*sound(14), 60.0, 58.0, 61.0, *[1.5] * 4])
    whole = notices(samples)
    assert [notice.kind for notice in whole] == ["SHORT_CIRCUIT_SOFT", "SHORT_CIRCUIT_HARD"]
    assert notices(samples, at_once=at_once) == whole


def test_a_half_cycle_is_judged_once_it_is_over():
    assert notices(samples_of([*sound(16), 2.0])) == []


def test_what_an_earlier_process_has_told_is_not_told_again_and_what_it_has_not_is():
    timeline = Timeline(max_gap_s=3600.0)
    watch = CellWatch(timeline)
    watch.was_told(frozenset({"SHORT_CIRCUIT_SOFT", "ONSET_LIOH"}))
    timeline.append(samples_of([*sound(16), *[60.0] * 8, *[2.0] * 3], noise_V=0.0))
    assert [notice.kind for notice in watch.look()] == ["SHORT_CIRCUIT_HARD"]

"""Short circuits told while the samples of a symmetric cell arrive."""

from dataclasses import replace

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


def test_a_lasting_drop_is_told_once_and_dated_to_its_beginning():
    [notice] = notices(samples_of([*sound(16), *[60.0] * 8], noise_V=0.0))
    assert notice.kind == "SHORT_CIRCUIT_SOFT"
    assert half_cycle_of(notice) == pytest.approx(16.0, abs=0.02)
    assert notice.sigma_h < 0.3
    assert "60 ohm" in notice.text


def test_a_collapse_is_dated_to_its_beginning_with_what_was_usual():
    [notice] = notices(samples_of([*sound(16), *[2.0] * 3], noise_V=0.0))
    assert notice.kind == "SHORT_CIRCUIT_HARD"
    assert half_cycle_of(notice) == pytest.approx(16.0, abs=0.02)
    assert "2 ohm" in notice.text
    assert "100" in notice.text or "99." in notice.text


def with_drop(at, share, *, seed=0):
    """A sound cell whose resistance builds up in each half-cycle, and drops at a time in half-cycles."""
    samples = samples_of(sound(26, seed), seed=seed, noise_V=2e-4)
    place = (samples.timestamp_ns - START_NS) / HOUR_NS / HALF_H
    course = 0.7 + 0.3 * (1.0 - np.exp(-8.0 * (place % 1.0)))
    voltage_V = samples.voltage_V * course * np.where(place >= at, share, 1.0)
    return replace(samples, voltage_V=voltage_V)


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 0.97])
@pytest.mark.parametrize(("share", "kind"), [(0.55, "SHORT_CIRCUIT_SOFT"), (0.02, "SHORT_CIRCUIT_HARD")])
def test_wherever_in_a_half_cycle_a_short_circuit_begins_its_date_is_right(phase, share, kind):
    [notice] = notices(with_drop(15 + phase, share, seed=3))
    assert notice.kind == kind
    error_h = (half_cycle_of(notice) - 15 - phase) * HALF_H
    assert abs(error_h) < max(4 * notice.sigma_h, 0.5)
    assert notice.sigma_h < 0.2 * HALF_H


def test_a_hard_one_after_a_soft_one_has_a_date_of_its_own():
    samples = with_drop(15.4, 0.55, seed=4)
    place = (samples.timestamp_ns - START_NS) / HOUR_NS / HALF_H
    found = notices(replace(samples, voltage_V=samples.voltage_V * np.where(place >= 20.6, 0.03, 1.0)))
    assert [notice.kind for notice in found] == ["SHORT_CIRCUIT_SOFT", "SHORT_CIRCUIT_HARD"]
    assert [half_cycle_of(notice) for notice in found] == pytest.approx([15.4, 20.6], abs=0.1)


def test_a_cell_that_is_driven_harder_and_is_not_ohmic_is_not_accused():
    """Half of the voltage does not grow with the current, as in a rate test."""
    samples = samples_of(sound(40, 1), seed=1)
    half = ((samples.timestamp_ns - START_NS) / HOUR_NS // HALF_H).astype(int)
    factor = np.array([1.0, 2.0, 4.0, 0.5])[half // 10]
    samples = replace(samples, current_A=samples.current_A * factor, voltage_V=samples.voltage_V * (0.5 + 0.5 * factor))
    assert notices(samples) == []


def test_a_clock_that_changes_meanwhile_dates_the_next_one_on_the_new_clock():
    samples = samples_of([*sound(16), *[2.0] * 3], noise_V=0.0)
    timeline = Timeline(max_gap_s=3600.0)
    watch = CellWatch(timeline)
    timeline.append(part(samples, 0, 600))
    assert watch.look() == ()
    timeline.restamp(lambda cycler_ns: cycler_ns + HOUR_NS)
    rest = part(samples, 600, None)
    timeline.append(replace(rest, timestamp_ns=rest.cycler_timestamp_ns + HOUR_NS))
    [notice] = watch.look()
    assert half_cycle_of(notice) == pytest.approx(16.0 + 1.0 / HALF_H, abs=0.02)


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_samples_that_trickle_in_tell_what_the_whole_file_tells(at_once):
    samples = samples_of([*sound(14), 60.0, 58.0, 61.0, *[1.5] * 4])
    whole = notices(samples)
    assert [notice.kind for notice in whole] == ["SHORT_CIRCUIT_SOFT", "SHORT_CIRCUIT_HARD"]
    assert notices(samples, at_once=at_once) == whole


def test_a_drop_that_is_no_collapse_is_judged_once_its_half_cycle_is_over():
    assert notices(samples_of([*sound(16), 60.0, 60.0])) == []


def told_at_h(samples):
    """When each notice came, a sample at a time, in hours since the start."""
    timeline = Timeline(max_gap_s=3600.0)
    watch = CellWatch(timeline)
    found = []
    for at, stamp_ns in enumerate(samples.timestamp_ns):
        timeline.append(part(samples, at, at + 1))
        found += [(float(stamp_ns - START_NS) / HOUR_NS, notice) for notice in watch.look()]
    return found


@pytest.mark.parametrize("phase", [0.0, 0.4, 0.8])
def test_a_collapse_is_told_while_its_half_cycle_runs_and_never_again(phase):
    [(told_h, notice)] = told_at_h(with_drop(15 + phase, 0.02, seed=5))
    assert notice.kind == "SHORT_CIRCUIT_HARD"
    assert 0.0 < told_h - HALF_H * (15 + phase) <= 1.5
    assert abs(half_cycle_of(notice) - 15 - phase) * HALF_H < max(4 * notice.sigma_h, 0.5)
    assert "half-cycle 15 has" in notice.text


def test_a_collapse_after_a_long_file_is_told_within_a_hundredth_of_a_half_cycle_more_than_it_needs():
    samples = slowly_turning(samples_an_hour=600, half_cycles=12)
    hours = (samples.timestamp_ns - START_NS) / HOUR_NS
    samples = replace(samples, voltage_V=np.where(hours > 118.0, 0.02, 1.0) * samples.voltage_V)
    first = int(np.searchsorted(hours, 117.9))
    timeline = Timeline(max_gap_s=3600.0)
    watch = CellWatch(timeline)
    timeline.append(part(samples, 0, first))
    assert watch.look() == ()
    for at in range(first, hours.size):
        timeline.append(part(samples, at, at + 1))
        if watch.look():
            break
    assert 118.0 + 0.01 * HALF_H < hours[at] < 118.0 + 0.02 * HALF_H


def test_a_voltage_that_is_gone_altogether_is_a_collapse_with_a_date():
    samples = with_drop(15.4, 0.02)
    place = (samples.timestamp_ns - START_NS) / HOUR_NS / HALF_H
    [notice] = notices(replace(samples, voltage_V=np.where(place >= 15.4, 0.0, samples.voltage_V)))
    assert notice.kind == "SHORT_CIRCUIT_HARD"
    assert half_cycle_of(notice) == pytest.approx(15.4, abs=0.02)
    assert notice.sigma_h < 0.2


def slowly_turning(*, samples_an_hour=60, half_cycles=20, seed=0):
    """A sound cell whose voltage needs an hour to come through zero after each turn; half-cycles of two lengths."""
    length_h = np.where(np.arange(half_cycles) % 3 == 0, 0.6 * HALF_H, HALF_H)
    starts_h = np.concatenate([[0.0], np.cumsum(length_h)])
    hours = np.arange(0.0, starts_h[-1], 1.0 / samples_an_hour)
    half = np.searchsorted(starts_h, hours, side="right") - 1
    current_A = np.where(half % 2 == 0, 1e-3, -1e-3)
    noise_V = 2e-4 * np.random.default_rng(seed).standard_normal(hours.size)
    course = 1.0 - 1.3 * np.exp(-(hours - starts_h[half]) / 1.0)
    stamps = START_NS + np.rint(hours * HOUR_NS).astype(np.int64)
    nobody = np.full(hours.size, -1, dtype=np.int64)
    return CyclerSamples(
        stamps, stamps, 100 * current_A * course + noise_V, current_A, nobody, nobody, np.full(hours.size, np.nan)
    )


def test_a_voltage_that_comes_slowly_through_zero_after_each_turn_is_no_collapse():
    assert [notice for seed in range(4) for notice in notices(slowly_turning(seed=seed), at_once=997)] == []


def test_contacts_that_open_for_a_moment_are_no_collapse_and_one_that_flickers_is():
    samples = slowly_turning()
    hours = (samples.timestamp_ns - START_NS) / HOUR_NS
    moment = (hours > 150.0) & (hours < 150.0 + 4.5 / 60)
    assert notices(replace(samples, voltage_V=np.where(moment, 0.0, samples.voltage_V))) == []
    flickers = (hours > 150.0) & (np.arange(hours.size) % 20 != 0)
    [notice] = notices(replace(samples, voltage_V=np.where(flickers, 0.02, 1.0) * samples.voltage_V))
    assert notice.kind == "SHORT_CIRCUIT_HARD"
    assert (notice.timestamp_ns - START_NS) / HOUR_NS == pytest.approx(150.0, abs=0.1)


def test_what_an_earlier_process_has_told_is_not_told_again_and_what_it_has_not_is():
    timeline = Timeline(max_gap_s=3600.0)
    watch = CellWatch(timeline)
    watch.was_told(frozenset({"SHORT_CIRCUIT_SOFT", "ONSET_LIOH"}))
    timeline.append(samples_of([*sound(16), *[60.0] * 8, *[2.0] * 3], noise_V=0.0))
    assert [notice.kind for notice in watch.look()] == ["SHORT_CIRCUIT_HARD"]

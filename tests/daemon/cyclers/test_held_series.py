"""Readings of single quantities as one series."""

import math

from ringwatch_daemon.cyclers.held_series import HeldSeries, Lost, Quantity, Reading

S = 1_000_000_000
BOTH = frozenset(Quantity)


def series(offset_s=0.0):
    return HeldSeries(BOTH, clock_offset_ns=round(offset_s * S))


def voltage(time_s, value):
    return Reading(Quantity.VOLTAGE, round(time_s * S), value)


def current(time_s, value):
    return Reading(Quantity.CURRENT, round(time_s * S), value)


def rows(held):
    samples = held.samples()
    if samples is None:
        return []
    columns = (samples.cycler_timestamp_ns / S, samples.voltage_V, samples.current_A)
    return [tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def test_rows_begin_when_both_are_known_and_hold_the_other():
    held = series()
    for reading in (voltage(100, 0.1), current(101, 1e-3), voltage(102, 0.2), current(103, 2e-3)):
        held.take(reading)
    assert rows(held) == [(101, 0.1, 1e-3), (102, 0.2, 1e-3), (103, 0.2, 2e-3)]
    assert rows(held) == []


def test_an_old_set_point_does_not_put_a_new_voltage_into_the_past():
    held = series()
    held.take(voltage(5000, 0.1))
    held.take(current(10, 1e-3))
    assert rows(held) == [(5000, 0.1, 1e-3)]


def test_a_loss_leaves_one_row_without_values_and_the_series_begins_anew():
    held = series()
    held.take(voltage(100, 0.1))
    held.take(current(100, 1e-3))
    held.take(Lost(Quantity.VOLTAGE))
    held.take(Lost(Quantity.CURRENT))
    held.take(voltage(110, 0.3))
    _, marker = rows(held)
    assert marker[0] > 100 - 1e-6
    assert math.isnan(marker[1])
    assert math.isnan(marker[2])
    held.take(current(111, 3e-3))
    assert rows(held) == [(111, 0.3, 3e-3)]


def test_values_that_are_not_posted_again_still_hold():
    held = series()
    held.take(voltage(100, 0.1))
    held.take(current(100, 1e-3))
    held.still_holds(6 * S)
    held.still_holds(5 * S)
    assert rows(held) == [(100, 0.1, 1e-3), (106, 0.1, 1e-3), (111, 0.1, 1e-3)]


def test_nothing_holds_after_a_loss():
    held = series()
    held.take(voltage(100, 0.1))
    held.take(current(100, 1e-3))
    held.take(Lost(Quantity.CURRENT))
    rows(held)
    held.still_holds(5 * S)
    assert rows(held) == []


def test_nothing_holds_before_anything_was_known():
    held = series()
    held.take(voltage(100, 0.1))
    held.still_holds(5 * S)
    assert rows(held) == []


def test_one_quantity_alone_makes_rows_too():
    held = HeldSeries(frozenset({Quantity.VOLTAGE}), clock_offset_ns=0)
    held.take(voltage(1, 0.5))
    [(_, told_V, told_A)] = rows(held)
    assert told_V == 0.5
    assert math.isnan(told_A)


def test_both_clocks_are_kept():
    held = series(offset_s=-7)
    held.take(voltage(100, 0.1))
    held.take(current(100, 1e-3))
    held.still_holds(110 * S)
    samples = held.samples()
    assert (samples.cycler_timestamp_ns / S).tolist() == [100, 210]
    assert (samples.timestamp_ns / S).tolist() == [93, 203]

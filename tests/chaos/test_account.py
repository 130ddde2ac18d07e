"""The account itself: it must find a frame that nobody named."""

from dataclasses import replace

import pytest

from chaos.account import Hearing, Row, account_of
from chaos.beamline import Silence
from ringwatch_simulators.served import ServedFrame

PERIOD_NS = 25_000_000
START_NS = 10**18
END_NS = START_NS + 10**12


def served(*ids: int, start_ns: int = START_NS) -> list[ServedFrame]:
    return [ServedFrame(number, at, start_ns, start_ns + at * PERIOD_NS) for at, number in enumerate(ids)]


def row(frame: ServedFrame, state: str = "PROCESSED", reason: str = "") -> Row:
    return Row(frame.unique_id, frame.counted_ns + 10_000_000, state, reason)


def lost(unique_id: int, reason: str = "GAP_IN_ID") -> Row:
    return Row(unique_id, 0, "LOST", reason)


def account(rows, frames, *, silences=(), deaths=(), stopped_ns=END_NS):
    return account_of(rows, frames, hearing=Hearing(tuple(silences), tuple(deaths)), stopped_ns=stopped_ns)


def test_frames_that_all_have_a_row_leave_nothing_open():
    frames = served(1, 2, 3, 4)
    rows = [row(frames[0]), lost(2), row(frames[2]), row(frames[3])]
    found = account(rows, frames)
    assert (found.served, found.unseen, found.unnamed) == (4, 0, [])
    assert found.states == {"PROCESSED": 3, "LOST": 1}


@pytest.mark.parametrize("forgotten", [1, 2])
def test_a_frame_without_a_row_is_found(forgotten):
    frames = served(1, 2, 3, 4)
    rows = [row(frame) for at, frame in enumerate(frames) if at != forgotten]
    assert len(account(rows, frames).unnamed) == 1


def test_the_end_of_a_count_may_die_with_its_ioc_and_at_no_other_time():
    first, second = served(*range(1, 101)), served(*range(1, 51), start_ns=START_NS + 200 * PERIOD_NS)
    rows = [row(frame) for frame in [*first[:97], *second]]
    death_ns = first[-1].counted_ns + PERIOD_NS
    assert account(rows, first + second, deaths=[death_ns]).unseen == 3
    assert len(account(rows, first + second).unnamed) == 3
    rows = [row(frame) for frame in [*first[:50], *second]]
    assert len(account(rows, first + second, deaths=[death_ns]).unnamed) > 30


def test_a_frame_that_set_the_counter_back_and_was_dropped_is_unseen_and_any_other_first_one_is_not():
    first, second = served(*range(1, 31)), served(*range(1, 11), start_ns=START_NS + 30 * PERIOD_NS)
    rows = [row(frame) for frame in [*first, *second[1:]]]
    assert len(account(rows, first + second).unnamed) == 1
    second[0] = replace(second[0], faults=("drop", "restart"))
    found = account(rows, first + second)
    assert (found.unseen, found.unnamed) == (1, [])


def test_what_an_ioc_counted_without_sockets_and_took_along_is_unseen():
    first, second = served(*range(1, 101)), served(*range(1, 51), start_ns=START_NS + 200 * PERIOD_NS)
    frames = [*first[:60], *(replace(frame, faults=("disconnect",)) for frame in first[60:])]
    rows = [row(frame) for frame in [*first[:60], *second]]
    death_ns = first[-1].counted_ns + 50 * PERIOD_NS
    assert account(rows, frames + second, deaths=[death_ns]).unseen == 40
    assert len(account(rows, frames + second).unnamed) == 40
    frames[80] = first[80]  # there it was back, and told what it had counted
    assert len(account(rows, frames + second, deaths=[death_ns]).unnamed) == 21


def test_what_an_ioc_served_while_nobody_listened_and_took_along_is_unseen():
    first, second = served(*range(1, 101)), served(*range(1, 51), start_ns=START_NS + 200 * PERIOD_NS)
    silence = Silence(first[60].counted_ns, second[10].counted_ns)
    rows = [row(frame) for frame in first[:60]] + [lost(number, "IOC_RESTARTED") for number in range(1, 12)]
    rows += [row(frame) for frame in second[11:]]
    found = account(rows, first + second, silences=[silence])
    assert (found.unseen, found.unnamed) == (40, [])


def test_lost_rows_that_go_on_from_the_old_count_belong_to_it():
    first, second = served(*range(1, 11)), served(*range(1, 11), start_ns=START_NS + 50 * PERIOD_NS)
    rows = [row(frame) for frame in first[:8]]
    rows += [lost(9, "IOC_RESTARTED"), lost(10, "IOC_RESTARTED"), lost(1, "IOC_RESTARTED"), lost(2, "IOC_RESTARTED")]
    rows += [row(frame) for frame in second[2:]]
    assert account(rows, first + second).unnamed == []


def test_lost_rows_of_a_new_count_tell_that_a_frame_with_the_number_that_came_next_is_of_that_count():
    first, second = served(*range(1, 17)), served(*range(1, 22), start_ns=START_NS + 50 * PERIOD_NS)
    rows = [*map(row, first[:15]), lost(16, "IOC_RESTARTED")]
    rows += [*(lost(number, "IOC_RESTARTED") for number in range(1, 16)), *map(row, second[15:])]
    assert account(rows, first + second).unnamed == []


def test_a_frame_that_comes_after_the_counter_began_anew_belongs_to_the_old_count():
    first, second = served(*range(1, 31)), served(*range(1, 11), start_ns=START_NS + 30 * PERIOD_NS)
    rows = [row(frame) for frame in [*first[:29], second[0]]]
    rows.append(Row(30, second[0].counted_ns + 10_000_001, "PROCESSED", ""))
    rows += [row(frame) for frame in second[1:]]
    assert account(rows, first + second).unnamed == []


def test_a_frame_of_the_old_count_is_known_as_such_also_when_the_new_one_has_reached_its_number():
    first, second = served(*range(1, 31)), served(*range(1, 41), start_ns=START_NS + 30 * PERIOD_NS)
    stray = Row(30, second[0].counted_ns + 10_000_001, "PROCESSED", "")
    rows = [*map(row, [*first[:29], second[0]]), stray, *map(row, second[1:])]
    assert account(rows, first + second).unnamed == []


def test_a_frame_that_comes_after_the_first_one_of_its_count_is_named_by_its_late_row():
    first, second = served(*range(1, 31)), served(*range(1, 11), start_ns=START_NS + 30 * PERIOD_NS)
    rows = [*map(row, [*first, second[1]]), row(second[0], "REJECTED", "LATE"), *map(row, second[2:])]
    assert account(rows, first + second).unnamed == []
    assert len(account([each for each in rows if each.reason != "LATE"], first + second).unnamed) == 1


def test_what_came_after_the_stop_is_of_no_run():
    frames = served(*range(1, 101))
    assert account([row(frame) for frame in frames[:50]], frames, stopped_ns=frames[50].counted_ns).unnamed == []

"""Channels between stages: bounded, and never a trap for who waits."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.stages import in_thread
from ringwatch_daemon.core.channels import Channel, ChannelClosed

PATIENCE_S = 60.0


def test_items_leave_in_the_order_in_which_they_came():
    channel: Channel[int] = Channel("numbers", 10)
    for number in range(5):
        assert channel.put(number)
    assert [channel.take(0.0), *channel.take_all(0.0)] == [0, 1, 2, 3, 4]
    assert channel.take(0.0) is None
    assert channel.take_all(0.0) == []


def test_an_offer_to_a_full_channel_is_refused_at_once_and_counted():
    channel: Channel[int] = Channel("numbers", 2)
    assert [channel.offer(number) for number in range(4)] == [True, True, False, False]
    level = channel.level()
    assert (level.name, level.length, level.high_water, level.capacity, level.dropped) == ("numbers", 2, 2, 2, 2)


def test_a_put_waits_for_room():
    channel: Channel[int] = Channel("numbers", 1)
    channel.put(1)
    done: list[bool] = []
    writer = in_thread(lambda: done.append(channel.put(2)))
    assert channel.take(PATIENCE_S) == 1
    writer.join(PATIENCE_S)
    assert done == [True]
    assert channel.take(0.0) == 2


def test_a_put_gives_up_when_no_room_comes_in_time():
    channel: Channel[int] = Channel("numbers", 1)
    assert channel.put(1)
    assert not channel.put(2, timeout_s=0.0)


@pytest.mark.parametrize("method", ["put", "offer"])
def test_a_closed_channel_takes_nothing_more_and_gives_what_it_holds(method):
    channel: Channel[int] = Channel("numbers", 5)
    channel.put(1)
    channel.close()
    assert not getattr(channel, method)(2)
    assert channel.take_all(0.0) == [1]
    with pytest.raises(ChannelClosed):
        channel.take(0.0)
    with pytest.raises(ChannelClosed):
        channel.take_all(0.0)


def test_closing_frees_a_writer_that_waits():
    channel: Channel[int] = Channel("numbers", 1)
    channel.put(1)
    done: list[bool] = []
    writer = in_thread(lambda: done.append(channel.put(2)))
    channel.close()
    writer.join(PATIENCE_S)
    assert done == [False]


def test_closing_frees_a_reader_that_waits():
    channel: Channel[int] = Channel("numbers", 1)
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(ChannelClosed):
            channel.take_all(PATIENCE_S)
        ended.set()

    in_thread(read)
    channel.close()
    assert ended.wait(PATIENCE_S)


@pytest.mark.parametrize("ended_by", ["half of its capacity", "closing"])
def test_gathering_ends_early_when_many_wait_or_none_will_come(ended_by):
    channel = Channel("test", 4)
    channel.put(1)
    gathering = threading.Thread(target=channel.gather, args=(PATIENCE_S,), daemon=True)
    gathering.start()
    if ended_by == "closing":
        channel.close()
    else:
        channel.put(2)
    gathering.join(PATIENCE_S / 2)
    assert not gathering.is_alive()


def test_many_writers_and_one_reader_lose_nothing_and_keep_each_writers_order():
    channel: Channel[tuple[int, int]] = Channel("numbers", 3)
    writers = [in_thread(lambda who=who: [channel.put((who, number)) for number in range(200)]) for who in range(4)]
    got: list[tuple[int, int]] = []
    while len(got) < 800:
        got.extend(channel.take_all(PATIENCE_S))
    for writer in writers:
        writer.join(PATIENCE_S)
    for who in range(4):
        assert [number for writer, number in got if writer == who] == list(range(200))
    assert channel.level().high_water <= 3


@given(st.lists(st.sampled_from(["offer", "take", "take_all"]), max_size=60), st.integers(1, 5))
def test_a_channel_never_holds_more_than_its_capacity_and_forgets_nothing(steps, capacity):
    channel: Channel[int] = Channel("numbers", capacity)
    put, got = [], []
    for number, step in enumerate(steps):
        if step == "offer":
            if channel.offer(number):
                put.append(number)
        elif step == "take":
            item = channel.take(0.0)
            got.extend([] if item is None else [item])
        else:
            got.extend(channel.take_all(0.0))
        assert channel.level().length == len(put) - len(got) <= capacity
    assert put == got + channel.take_all(0.0)

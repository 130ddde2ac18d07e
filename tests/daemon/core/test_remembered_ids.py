from ringwatch_daemon.core.remembered_ids import RememberedIds


def test_the_newest_ids_are_known_with_their_times_and_older_ones_are_not():
    ids = RememberedIds(4)
    for number in range(10):
        ids.remember(number, 100 + number)
    assert [ids.stamp_of(number) for number in range(11)] == [*[None] * 6, 106, 107, 108, 109, None]


def test_nothing_is_known_before_the_first_frame():
    assert RememberedIds(4).stamp_of(0) is None

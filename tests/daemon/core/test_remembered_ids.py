from ringwatch_daemon.core.remembered_ids import RememberedIds


def test_the_newest_ids_are_known_with_their_times_and_older_ones_are_not():
    ids = RememberedIds(4)
    for number in range(10):
        ids.remember(number, 100 + number)
    assert [ids.stamp_of(number) for number in range(11)] == [*[None] * 6, 106, 107, 108, 109, None]


def test_nothing_is_known_before_the_first_frame():
    assert RememberedIds(4).stamp_of(0) is None


def test_the_times_next_above_an_id_come_in_the_order_of_the_ids_without_those_that_have_none():
    ids = RememberedIds(8)
    for number, stamp in [(9, 109), (5, 105), (7, 0), (6, 106), (3, 103)]:
        ids.remember(number, stamp)
    assert ids.stamps_beyond(4, 2) == [105, 106]
    assert ids.stamps_beyond(6, 2) == [109]
    assert ids.stamps_beyond(9, 2) == []

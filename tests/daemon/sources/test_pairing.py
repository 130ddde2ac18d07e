from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.sources.pairing import History, Stamped, is_still, pair_by_bracket

STEPS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=2, max_size=40)


def posts(steps: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(id, stamp of the array, stamp of the id) of frames in the order in which areaDetector posts them."""
    now, made = 1000, []
    for unique_id, (wait, between) in enumerate(steps, start=1):
        array_ns = now + wait
        now = array_ns + between
        made.append((unique_id, array_ns, now))
    return made


@given(STEPS)
def test_every_array_finds_its_own_id(steps: list[tuple[int, int]]):
    made = posts(steps)
    ids: History[int] = History()
    for unique_id, _, id_ns in made:
        ids.add(Stamped(unique_id, id_ns))
    for unique_id, array_ns, _ in made[1:]:
        pair = pair_by_bracket(ids, array_stamp_ns=array_ns)
        assert pair.id_event is not None
        assert pair.id_event.value == unique_id
        assert pair.proven


@given(STEPS, st.data())
def test_a_pairing_is_never_proven_wrongly_when_ids_were_dropped(steps: list[tuple[int, int]], data: st.DataObject):
    made = posts(steps)
    kept = data.draw(st.sets(st.sampled_from(made)))
    ids: History[int] = History()
    for unique_id, _, id_ns in sorted(kept):
        ids.add(Stamped(unique_id, id_ns))
    for unique_id, array_ns, _ in made:
        pair = pair_by_bracket(ids, array_stamp_ns=array_ns)
        if pair.proven:
            assert pair.id_event is not None
            assert pair.id_event.value == unique_id


def test_an_array_that_is_newer_than_every_id_has_to_wait():
    ids: History[int] = History()
    ids.add(Stamped(1, 10))
    assert pair_by_bracket(ids, array_stamp_ns=11).id_event is None


def test_an_array_that_stood_still_while_its_id_was_read_proves_the_id():
    candidate = Stamped(7, 105)
    assert is_still(array_stamp_ns=100, read_id=candidate, stamp_after_ns=100, candidate=candidate)


def test_an_array_that_was_replaced_meanwhile_proves_nothing():
    candidate = Stamped(7, 105)
    assert not is_still(array_stamp_ns=100, read_id=candidate, stamp_after_ns=110, candidate=candidate)
    assert not is_still(array_stamp_ns=100, read_id=Stamped(8, 115), stamp_after_ns=100, candidate=candidate)
    assert not is_still(array_stamp_ns=100, read_id=Stamped(7, 95), stamp_after_ns=100, candidate=candidate)


def test_a_record_has_at_a_time_what_was_posted_last_before_it():
    history: History[str] = History()
    for stamp_ns, value in ((10, "a"), (20, "b")):
        history.add(Stamped(value, stamp_ns))
    assert history.at(9) is None
    assert [event.value for event in (history.at(10), history.at(19), history.at(20)) if event] == ["a", "a", "b"]

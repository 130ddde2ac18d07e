import threading
from collections.abc import Callable

import numpy as np

from fakes.clock import ManualClock
from fakes.intake import RecordingIntake
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.array_plugin import ArrayPlugin, ChannelAccessSourceConfig
from ringwatch_daemon.sources.pairing import Stamped

START_NS = 1_800_000_000_000_000_000
Note = Callable[[Stamped | None], None]


class FakeChannel:
    """A record that holds what a test put into it; `content` is what a get finds, posted or not."""

    def __init__(self, note: Note | None) -> None:
        self.connected = True
        self.content: Stamped | None = None
        self._note = note

    def mend(self, now_s: float) -> None:
        pass

    def get(self, *, count: int | None = None, timeout_s: float) -> Stamped | None:
        if self.content is None or count is None:
            return self.content
        return Stamped(self.content.value[:count], self.content.stamp_ns)

    def post(self, value: object, stamp_ns: int) -> None:
        self.content = Stamped(value, START_NS + stamp_ns)
        if self._note is not None:
            self._note(self.content)

    def repeat(self) -> None:
        assert self._note is not None
        self._note(self.content)

    def forget(self) -> None:
        assert self._note is not None
        self._note(None)

    def close(self) -> None:
        self.connected = False


class FakeIoc:
    """An areaDetector on the other side of an `ArrayPlugin`."""

    def __init__(self) -> None:
        self.channels: dict[str, FakeChannel] = {}
        self.clock, self.intake, wake = ManualClock(START_NS), RecordingIntake(), threading.Event()
        config = ChannelAccessSourceConfig("P:")
        self.plugin = ArrayPlugin(config, self.clock, self.intake, self._channel, wake)
        for name, value in (("ArraySize0_RBV", 4), ("ArraySize1_RBV", 3), ("DataType_RBV", "UInt16")):
            self.channels[f"P:{name}"].post(value, -1000)

    def _channel(self, pv: str, note: Note | None) -> FakeChannel:
        return self.channels.setdefault(pv, FakeChannel(note))

    def post_array(self, number: int, stamp_ns: int) -> None:
        self.channels["P:ArrayData"].post(np.full(12, number, np.int16), stamp_ns)

    def post_id(self, unique_id: int, stamp_ns: int) -> None:
        self.channels["P:UniqueId_RBV"].post(unique_id, stamp_ns)

    def post_frame(self, unique_id: int, stamp_ns: int) -> None:
        self.post_array(unique_id, stamp_ns)
        self.post_id(unique_id, stamp_ns + 1)

    def turn(self, times: int = 2) -> None:
        for _ in range(times):
            self.plugin.turn()

    @property
    def taken(self) -> list[tuple[int, int]]:
        return [(frame.unique_id, int(frame.image[0, 0])) for frame in self.intake.frames]


def test_an_array_waits_for_its_id():
    ioc = FakeIoc()
    ioc.post_frame(1, 10)
    ioc.turn()
    ioc.post_array(2, 20)
    ioc.channels["P:UniqueId_RBV"].repeat()
    ioc.turn()
    assert ioc.taken == [(1, 1)]
    ioc.post_id(2, 21)
    ioc.turn()
    assert ioc.taken == [(1, 1), (2, 2)]


def test_frames_passed_over_are_not_given_another_array():
    ioc = FakeIoc()
    for number in range(1, 6):
        ioc.post_frame(number, 10 * number)
    ioc.turn()
    assert ioc.taken == [(5, 5)]


def test_an_array_replaced_before_its_pairing_is_proven_is_lost_by_name():
    ioc = FakeIoc()
    array = ioc.channels["P:ArrayData"]
    ioc.post_frame(7, 10)
    find = array.get

    def replaced_meanwhile(*, count: int | None = None, timeout_s: float) -> Stamped | None:
        found = find(count=count, timeout_s=timeout_s)
        if count is None:
            array.post(np.full(12, 8, np.int16), 30)
        return found

    array.get = replaced_meanwhile
    ioc.turn(1)
    assert ioc.intake.refusals == []  # the next array may be the one of this id
    array.get = find
    ioc.post_id(8, 31)
    ioc.turn()
    (refusal,) = ioc.intake.refusals
    assert (refusal.unique_id, refusal.reason, refusal.timestamp_ns) == (7, Reason.MISPAIRED, 0)
    assert ioc.taken == [(8, 8)]


def test_an_id_whose_own_array_comes_after_all_is_not_lost():
    ioc = FakeIoc()
    ioc.post_frame(7, 10)
    ioc.turn()
    ioc.post_array(8, 20)  # the id of this one goes unheard
    ioc.channels["P:UniqueId_RBV"].repeat()
    ioc.turn()
    ioc.post_frame(9, 30)
    ioc.turn()
    ioc.clock.go_on(3)
    ioc.turn()
    assert ioc.taken == [(7, 7), (9, 9)]
    assert ioc.intake.refusals == []


def test_an_array_whose_id_never_comes_is_told():
    ioc = FakeIoc()
    ioc.post_frame(1, 10)
    ioc.turn()
    ioc.post_array(2, 20)
    ioc.channels["P:UniqueId_RBV"].repeat()
    ioc.turn()
    ioc.clock.go_on(3)
    ioc.turn()
    assert ioc.intake.warned_of("MISPAIRED")
    ioc.post_frame(3, 40)
    ioc.turn()
    assert ioc.taken == [(1, 1), (3, 3)]


def test_an_array_that_cannot_be_fetched_is_lost_and_the_setting_is_named():
    ioc = FakeIoc()
    ioc.turn()
    ioc.post_id(4, 20)
    ioc.turn()
    ioc.clock.go_on(3)
    ioc.turn()
    (refusal,) = ioc.intake.refusals
    assert (refusal.unique_id, refusal.reason) == (4, Reason.MISPAIRED)
    assert "EPICS_CA_MAX_ARRAY_BYTES" in ioc.intake.warnings[0][1]


def test_the_stamp_of_the_frame_itself_is_taken_where_it_came_with_it():
    ioc = FakeIoc()
    for number, stamp_ns in ((1, 10), (2, 20)):
        ioc.channels["P:EpicsTSSec_RBV"].post(847_888_000 + number, stamp_ns)
        ioc.channels["P:EpicsTSNsec_RBV"].post(5, stamp_ns)
        ioc.post_frame(number, stamp_ns)
        ioc.turn()
    ioc.post_frame(3, 30)  # its header says nothing new: that is the time of another frame
    ioc.turn()
    epoch_ns = (631_152_000 + 847_888_000) * 1_000_000_000
    assert [frame.timestamp_ns for frame in ioc.intake.frames][-2:] == [epoch_ns + 2 * 10**9 + 5, START_NS + 30]


def test_the_header_of_a_frame_whose_id_went_unheard_is_not_given_to_the_next():
    ioc = FakeIoc()
    ioc.post_frame(1, 10)
    ioc.turn()
    ioc.channels["P:EpicsTSSec_RBV"].post(847_888_000, 20)  # of frame 2, of which nothing else is heard
    ioc.channels["P:EpicsTSNsec_RBV"].post(5, 20)
    for name in ("EpicsTSSec_RBV", "EpicsTSNsec_RBV"):  # and those of frame 4 stand there when they are read
        ioc.channels[f"P:{name}"].content = Stamped(847_888_004, START_NS + 40)
    ioc.post_frame(3, 30)
    ioc.turn()
    assert [(frame.unique_id, frame.timestamp_ns) for frame in ioc.intake.frames][-1] == (3, START_NS + 30)


def test_a_frame_whose_predecessor_went_unheard_has_the_time_that_the_header_says_while_its_array_stands():
    ioc = FakeIoc()
    ioc.post_frame(1, 10)
    ioc.turn()
    ioc.channels["P:EpicsTSSec_RBV"].content = Stamped(847_888_003, START_NS + 30)  # read, never heard
    ioc.channels["P:EpicsTSNsec_RBV"].content = Stamped(7, START_NS + 30)
    ioc.post_frame(3, 31)
    ioc.turn()
    epoch_ns = (631_152_000 + 847_888_000) * 1_000_000_000
    assert [(frame.unique_id, frame.timestamp_ns) for frame in ioc.intake.frames][-1] == (3, epoch_ns + 3 * 10**9 + 7)


def test_a_header_that_says_nothing_is_named():
    ioc = FakeIoc()
    ioc.channels["P:DataType_RBV"].forget()
    ioc.turn()
    ioc.clock.go_on(11)
    ioc.turn()
    assert ioc.intake.warned_of("HEADER_MISSING")
    assert "P:DataType_RBV" in ioc.intake.warnings[0][1]
    assert not ioc.intake.is_connected

"""What happens before the first frame is kept within bounds."""

import numpy as np

from fakes.records import START_NS, cycling_samples
from ringwatch_daemon.core.records import CyclingSamples, Event
from ringwatch_daemon.workers.early_records import MERGED, NEWEST_EVENTS, EarlyRecords


def test_samples_come_first_and_nothing_stays():
    early = EarlyRecords()
    early.add_event(Event(START_NS, -1, "STALL", "silence"))
    early.add_samples(cycling_samples())
    assert [type(record) for record in early.release()] == [CyclingSamples, Event]
    assert early.release() == ()


def test_a_week_without_a_frame_keeps_every_sample_in_few_stretches():
    early = EarlyRecords()
    count = 3 * MERGED + 10
    for first in range(count):
        early.add_samples(cycling_samples(first=first, count=1))
    stretches = [record.samples for record in early.release()]
    assert len(stretches) == 3 + 10
    whole = cycling_samples(count=count).samples
    for name in ("timestamp_ns", "voltage_V", "step"):
        together = np.concatenate([getattr(stretch, name) for stretch in stretches])
        np.testing.assert_array_equal(together, getattr(whole, name))


def test_a_week_without_a_frame_keeps_the_newest_events():
    early = EarlyRecords()
    for number in range(NEWEST_EVENTS + 50):
        early.add_event(Event(START_NS, -1, "STALL", f"{number}"))
    texts = [event.text for event in early.release()]
    assert (texts[0], texts[-1], len(texts)) == ("50", f"{NEWEST_EVENTS + 49}", NEWEST_EVENTS)

"""What happens before the first frame waits here, since a run begins with its first frame."""

from collections import deque
from dataclasses import fields

import numpy as np

from ringwatch_daemon.core.records import CyclingSamples, Event, Record
from ringwatch_pipelines.cell.cycling import CyclerSamples

NEWEST_EVENTS = 1000
"""A detector that is off for a week must not fill the memory."""
MERGED = 1024
"""So many small stretches of samples are made one: a sample then costs its 56 bytes and no more."""


class EarlyRecords:
    """Keeps every sample of the cyclers, and the newest events."""

    def __init__(self) -> None:
        self._merged: list[CyclingSamples] = []
        self._single: dict[str, list[CyclerSamples]] = {}
        self._events: deque[Event] = deque(maxlen=NEWEST_EVENTS)

    def add_samples(self, record: CyclingSamples) -> None:
        """Keep a stretch of a cycler's series."""
        single = self._single.setdefault(record.cell_name, [])
        single.append(record.samples)
        if len(single) >= MERGED:
            self._merged.append(CyclingSamples(_merged(single), record.cell_name))
            single.clear()

    def add_event(self, event: Event) -> None:
        """Keep an event; the oldest one goes when there are too many."""
        self._events.append(event)

    def release(self) -> tuple[Record, ...]:
        """Everything kept, samples first; afterwards nothing is."""
        single = [CyclingSamples(stretch, name) for name, found in self._single.items() for stretch in found]
        records: tuple[Record, ...] = (*self._merged, *single, *self._events)
        self._merged.clear()
        self._single.clear()
        self._events.clear()
        return records


def _merged(stretches: list[CyclerSamples]) -> CyclerSamples:
    columns = {
        each.name: np.concatenate([getattr(stretch, each.name) for stretch in stretches])
        for each in fields(CyclerSamples)
    }
    return CyclerSamples(**columns)

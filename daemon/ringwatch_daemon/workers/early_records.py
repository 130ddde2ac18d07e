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
    """Keeps every sample of the cycler, and the newest events."""

    def __init__(self) -> None:
        self._merged: list[CyclerSamples] = []
        self._single: list[CyclerSamples] = []
        self._events: deque[Event] = deque(maxlen=NEWEST_EVENTS)

    def add_samples(self, samples: CyclerSamples) -> None:
        """Keep a stretch of the cycler's series."""
        self._single.append(samples)
        if len(self._single) >= MERGED:
            self._merged.append(_merged(self._single))
            self._single.clear()

    def add_event(self, event: Event) -> None:
        """Keep an event; the oldest one goes when there are too many."""
        self._events.append(event)

    def release(self) -> tuple[Record, ...]:
        """Everything kept, samples first; afterwards nothing is."""
        samples = (CyclingSamples(stretch) for stretch in (*self._merged, *self._single))
        records: tuple[Record, ...] = (*samples, *self._events)
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

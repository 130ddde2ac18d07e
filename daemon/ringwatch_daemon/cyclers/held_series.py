"""Readings of single quantities, each with its own stamp, as one series of samples."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import read_only

NAN = float("nan")


class Quantity(StrEnum):
    """What a live reading tells."""

    VOLTAGE = "VOLTAGE"
    CURRENT = "CURRENT"


@dataclass(frozen=True, slots=True)
class Reading:
    """One value as it was posted; NaN where its sender calls it invalid."""

    quantity: Quantity
    cycler_timestamp_ns: int
    value: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing is known of this quantity from here on."""

    quantity: Quantity


@dataclass(frozen=True, slots=True)
class _Row:
    cycler_timestamp_ns: int
    voltage_V: float
    current_A: float


class HeldSeries:
    """Merges readings: a row whenever one arrives, at the newer of the held stamps, since when all of them hold.

    Channel Access posts a value when it changes, so a value that is not posted again is still the
    value. A loss leaves a row without values: nothing is interpolated over it.

    Parameters
    ----------
    quantities
        Those that are read; rows begin when each of them is known.
    clock_offset_ns
        Added to the cycler's stamps to give the detector's clock.
    """

    def __init__(self, quantities: frozenset[Quantity], *, clock_offset_ns: int) -> None:
        self._quantities = quantities
        self._clock_offset_ns = clock_offset_ns
        self._held: dict[Quantity, Reading] = {}
        self._latest_ns = 0
        self._rows: list[_Row] = []

    def take(self, event: Reading | Lost) -> None:
        """Take in what came, in the order in which it came."""
        if isinstance(event, Lost):
            self._lose(event.quantity)
            return
        self._held[event.quantity] = event
        if self._complete:
            self._add(max(reading.cycler_timestamp_ns for reading in self._held.values()))

    def still_holds(self, elapsed_ns: int) -> None:
        """Repeat the held values, so much later than the newest row: nothing came since, so they are the values."""
        if self._complete:
            self._add(self._latest_ns + elapsed_ns)

    def samples(self) -> CyclerSamples | None:
        """The rows since the last call, in the order of time."""
        rows = sorted(self._rows, key=lambda row: row.cycler_timestamp_ns)
        self._rows = []
        if not rows:
            return None
        stamps = np.array([row.cycler_timestamp_ns for row in rows], dtype=np.int64)
        untold = read_only(np.full(len(rows), -1, dtype=np.int64))
        return CyclerSamples(
            timestamp_ns=read_only(stamps + self._clock_offset_ns),
            cycler_timestamp_ns=read_only(stamps),
            voltage_V=read_only(np.array([row.voltage_V for row in rows])),
            current_A=read_only(np.array([row.current_A for row in rows])),
            cycle=untold,
            step=untold,
            charge_C=read_only(np.full(len(rows), np.nan)),
        )

    @property
    def _complete(self) -> bool:
        return self._held.keys() == self._quantities

    def _add(self, stamp_ns: int) -> None:
        voltage_V, current_A = (self._held[quantity].value if quantity in self._held else NAN for quantity in Quantity)
        self._rows.append(_Row(stamp_ns, voltage_V, current_A))
        self._latest_ns = max(self._latest_ns, stamp_ns)

    def _lose(self, quantity: Quantity) -> None:
        if self._complete:
            # Just behind the newest row, since when it was lost is not known better.
            self._latest_ns += 1
            self._rows.append(_Row(self._latest_ns, NAN, NAN))
        self._held.pop(quantity, None)

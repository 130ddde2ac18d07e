"""What a watcher knows of a run: a value. `ringwatch_daemon.dashboard.updates` makes it anew from each message."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.records import Event, QueueLevel, Totals
from ringwatch_daemon.dashboard.contents import number
from ringwatch_daemon.dashboard.quantities import Quantity
from ringwatch_daemon.dashboard.series import Series


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """The newest row of the ledger."""

    row: int
    unique_id: int
    state: str


@dataclass(frozen=True, slots=True, eq=False)
class FitEntry:
    """The newest fit: its frame, and its values by their paths."""

    row: int
    state: str
    chi_square: float
    values: Mapping[str, Any]

    def estimate(self, path: str) -> tuple[float, float]:
        """Value and sigma of a column."""
        return number(self.values.get(path)), number(self.values.get(f"{path}_errors"))


@dataclass(frozen=True, slots=True)
class CellEntry:
    """The cell at a frame for which its state is known."""

    row: int
    voltage_V: float
    current_A: float
    current_density_mA_cm2: float
    cycle: int
    half_cycle: int
    name: str = ""
    """Of the cell, in a run of several."""


@dataclass(frozen=True, slots=True, eq=False)
class RunView:
    """A run as its messages have told it so far.

    Parameters
    ----------
    started_ns
        None where the start of the run was not heard.
    quantities, curves
        What is followed, and each quantity over the fits that converged; in a run of several cells, of each cell.
    first_timestamp_ns, timestamp_ns
        Data time of the first frame that was heard of and of the newest.
    arrivals_ns
        When the daemon received the newest frames.
    cell_reason
        State of the coupling at the newest frame: ``KNOWN``, or why it is not.
    events_seen
        Number of events so far, of which `events` holds the newest.
    missed, holes
        Messages that did not come, and in how many places.
    frame_heard_s
        The watcher's own clock when the newest frame was heard of.
    stopped
        Why the run ended; None while it goes on.
    """

    run: str = ""
    started_ns: int | None = None
    quantities: tuple[Quantity, ...] = ()
    curves: Mapping[str, Series] = field(default_factory=lambda: MappingProxyType({}))
    totals: Totals = field(default_factory=Totals)
    frame: FrameEntry | None = None
    first_timestamp_ns: int | None = None
    timestamp_ns: int | None = None
    arrivals_ns: tuple[int, ...] = ()
    fit: FitEntry | None = None
    cell: CellEntry | None = None
    cell_reason: str = ""
    voltage: Series = field(default_factory=Series)
    source_state: str = ""
    source_text: str = ""
    queues: tuple[QueueLevel, ...] = ()
    latency_s: float = math.nan
    flags: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    events_seen: int = 0
    next_seq: int = 0
    missed: int = 0
    holes: int = 0
    frame_heard_s: float | None = None
    stopped: str | None = None

    @property
    def elapsed_h(self) -> float:
        """Hours of data time from the first frame to the newest."""
        if self.timestamp_ns is None or self.first_timestamp_ns is None:
            return math.nan
        return (self.timestamp_ns - self.first_timestamp_ns) / NS_PER_S / 3600

    @property
    def frames_per_s(self) -> float:
        """Rate at which the daemon receives frames, over the newest of them; NaN while unknown."""
        if len(self.arrivals_ns) < 2:
            return math.nan
        span_s = (self.arrivals_ns[-1] - self.arrivals_ns[0]) / NS_PER_S
        return (len(self.arrivals_ns) - 1) / span_s if span_s > 0 else math.nan

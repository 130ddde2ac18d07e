"""What all figures of a report share: the run's time, its fitted frames and its cell."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from ringwatch_daemon.core.records import FrameState, Reason
from ringwatch_daemon.reporting.cell_series import CellSeries, cell_series_from_file
from ringwatch_daemon.reporting.marks import Grouping, Marks, grouping_from_rows
from ringwatch_daemon.reporting.run_file import NS_PER_H, BoolArray, EventEntry, IntArray, RunFile
from ringwatch_pipelines.cell.cycling import Coupling
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.results import FitState

S_PER_H = 3600.0
LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")


class Kind(StrEnum):
    """How a phase was fitted, by what the file holds of it."""

    FREE = "free"
    LINES = "lines"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class PhaseGroup:
    """A phase of the file."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class DatedEvent:
    """An event within the time of the run's frames."""

    time_h: float
    event: EventEntry


class RunSeries:
    """A run with its time axis.

    Parameters
    ----------
    file
        Open for as long as figures are made.
    """

    def __init__(self, file: RunFile) -> None:
        self.file = file
        stamps = file.integers("frames/timestamp_ns")
        self.timestamp_ns: IntArray = np.zeros(0, np.int64) if stamps is None else stamps
        known = self.timestamp_ns > 0
        begun = known & self.light if (known & self.light).any() else known
        self.zero_ns = int(self.timestamp_ns[begun].min()) if begun.any() else 0
        self.time_h: FloatArray = np.where(known, (self.timestamp_ns - self.zero_ns) / NS_PER_H, np.nan)

    @cached_property
    def light(self) -> BoolArray:
        """(frames,) whether the frame was taken with beam and became a pattern."""
        states, reasons = self.file.texts("frames/state"), self.file.texts("frames/reason")
        if states is None or reasons is None:
            return np.zeros(self.timestamp_ns.shape, dtype=bool)
        return np.asarray((states == FrameState.PROCESSED.value) & (reasons != Reason.DARK.value))

    @cached_property
    def phases(self) -> tuple[PhaseGroup, ...]:
        """Every phase in the order in which the fit had them, as far as that is known."""
        told = [name.strip() for name in self.file.text("reduction/input/phases").split(",")]
        found = [name for name in told if name] or []
        names = dict.fromkeys((*found, *self.file.names("tracking")))
        groups = ((name, self._kind(name)) for name in names)
        return tuple(PhaseGroup(name, kind) for name, kind in groups if kind is not None)

    @cached_property
    def fitted(self) -> Grouping:
        """The frames whose fit converged, grouped into marks."""
        return grouping_from_rows(self.fitted_rows)

    @cached_property
    def fitted_rows(self) -> IntArray:
        """Rows of the frames whose fit converged and whose time is known, in the order of time."""
        states = self.file.texts("tracking/fit_state")
        if states is None:
            return np.zeros(0, dtype=np.int64)
        return self.in_time_order(np.isin(states, [state.value for state in FitState if state.has_values]))

    @cached_property
    def marks_h(self) -> FloatArray:
        """(marks,) mean time of each mark."""
        return self.fitted.plain(self.time_h)

    def later_h(self, phase: str) -> FloatArray:
        """(frames,) how much later than the time of a scan the lines of a phase were measured; 0 in a frame."""
        share = self.file.number(f"tracking/{phase}/measured_at")
        length_s = self.file.numbers("frames/exposure_s")
        if not np.isfinite(share) or length_s is None:
            return np.zeros(self.time_h.shape)
        return (share - 0.5) * np.nan_to_num(length_s) / S_PER_H

    def marks_h_of(self, phase: str) -> FloatArray:
        """(marks,) mean time at which the lines of a phase were measured."""
        return self.fitted.plain(self.time_h + self.later_h(phase))

    @cached_property
    def cell(self) -> CellSeries | None:
        """The cycler's series."""
        return cell_series_from_file(self.file, zero_ns=self.zero_ns)

    @property
    def symmetric(self) -> bool:
        """Whether V / I is the resistance of the cell; taken for true where the file does not tell."""
        return self.file.number("sample/symmetric") != 0.0

    @cached_property
    def coupled(self) -> BoolArray:
        """(frames,) whether the state of the cell at the frame is known."""
        states = self.file.texts("cycling/at_frame/state")
        return np.zeros(self.time_h.shape, bool) if states is None else np.asarray(states == Coupling.KNOWN.value)

    @cached_property
    def span_h(self) -> tuple[float, float]:
        """First and last time of a frame with beam, or of any frame where none has."""
        known = np.isfinite(self.time_h)
        known = self.time_h[known & self.light if (known & self.light).any() else known]
        return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)

    @cached_property
    def events(self) -> tuple[DatedEvent, ...]:
        """Events within the time of the frames; those on another clock are in the table only."""
        first_h, last_h = self.span_h
        dated = (DatedEvent((event.timestamp_ns - self.zero_ns) / NS_PER_H, event) for event in self.file.events())
        margin_h = 0.02 * (last_h - first_h) + 1e-6
        return tuple(one for one in dated if first_h - margin_h <= one.time_h <= last_h + margin_h)

    @property
    def onsets(self) -> tuple[DatedEvent, ...]:
        """Events that date the appearance of something."""
        return tuple(one for one in self.events if one.event.kind.startswith("ONSET_"))

    def in_time_order(self, chosen: BoolArray) -> IntArray:
        """Rows of the chosen frames whose time is known."""
        rows = np.flatnonzero(chosen & np.isfinite(self.time_h))
        return rows[np.argsort(self.time_h[rows], kind="stable")]

    def marks(self, path: str) -> Marks | None:
        """A tracked number with its errors, one a mark; None where the file has none."""
        value, sigma = self.file.numbers(f"tracking/{path}"), self.file.numbers(f"tracking/{path}_errors")
        if value is None or sigma is None or value.ndim != 1:
            return None
        marks = self.fitted.mean(value, sigma)
        return marks if np.isfinite(marks.value).any() else None

    def long_name(self, path: str) -> str:
        """What a tracked number is, in words."""
        return self.file.attribute(f"tracking/{path}", "long_name") or path

    def unit(self, path: str) -> str:
        """Unit of a tracked number, as the file writes it."""
        return self.file.attribute(f"tracking/{path}", "units")

    def lattice_names(self, phase: PhaseGroup) -> tuple[str, ...]:
        """Free lattice parameters of a phase."""
        return tuple(name for name in LATTICE if self.file.has(f"tracking/{phase.name}/{name}"))

    def line_labels(self, phase: PhaseGroup, prefix: str) -> tuple[str, ...]:
        """Labels of the lines with a column of their own, as in ``area_110``."""
        names = self.file.names(f"tracking/{phase.name}")
        found = (re.fullmatch(rf"{prefix}_(-?\w+?)_errors", name) for name in names)
        return tuple(match.group(1) for match in found if match)

    def _kind(self, name: str) -> Kind | None:
        names = set(self.file.names(f"tracking/{name}"))
        if "size_nm" in names:
            return Kind.FREE
        if "ratio" in names:
            return Kind.LINES
        return Kind.REFERENCE if "amount" in names else None

"""The instrument that charges the cell: a CSV file that grows, and two PVs."""

import threading
import time
from pathlib import Path
from typing import Protocol

import numpy as np

from ringwatch_simulators.cell_current import CyclingState
from ringwatch_simulators.cell_model import CellModel
from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.cycler_table import CyclerTable
from ringwatch_simulators.database import CyclerPvs
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.records import Records

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_H = 3600 * NS_PER_S
WRITTEN_HERE = ".simulated"
"""Added to the name of a file: beside it lies the word that a simulated cycler wrote it."""


class Cycler:
    """Writes what the cell model says of current and voltage, up to the data time it is told.

    Parameters
    ----------
    model
        The cell.
    start_ns
        UTC, nanoseconds since 1970, of the start of the course.
    begin_ns
        First sample; the cycler was switched on before the course.
    go_on
        Add to a file that an earlier process began.
    """

    def __init__(
        self, model: CellModel, *, start_ns: int, begin_ns: int, options: CyclerOptions, go_on: bool = False
    ) -> None:
        self._model = model
        self._start_ns = start_ns
        self._begin_ns = begin_ns
        self._options = options
        written = _rows_in(options.path, options.table) if go_on else 0
        self._next_ns = begin_ns
        self._forget(written)
        if options.path is not None and written == 0:
            _begin(options.path, options)

    def state(self, data_ns: int) -> CyclingState:
        """Current and voltage at a data time."""
        return self._model.cycling_at((data_ns - self._start_ns) / NS_PER_H)

    def states(self, data_ns: int) -> tuple[CyclingState, ...]:
        """The same, as of one among several."""
        return (self.state(data_ns),)

    def advance(self, data_ns: int) -> int:
        """Write every row up to `data_ns`, whole lines at once; return how many."""
        rows = [self._row(at_ns) for at_ns in self._due(data_ns)]
        if rows and self._options.path is not None:
            with self._options.path.open("a", encoding="utf-8") as file:
                file.write("".join(rows))
        return len(rows)

    @property
    def _step_ns(self) -> int:
        return int(self._options.sample_s * NS_PER_S)

    def _due(self, data_ns: int) -> list[int]:
        """Times of the rows up to `data_ns` that are not written yet."""
        due: list[int] = []
        while self._next_ns <= data_ns:
            due.extend(self._switches_before(self._next_ns))
            due.append(self._next_ns)
            self._next_ns += self._step_ns
        return due

    def _switches_before(self, row_ns: int) -> list[int]:
        """Rows at the switches since the regular row before this one."""
        if not self._options.rows_at_switches:
            return []
        since_h, until_h = ((at_ns - self._start_ns) / NS_PER_H for at_ns in (row_ns - self._step_ns, row_ns))
        switches = [self._start_ns + round(at_h * NS_PER_H) for at_h in self._model.switches_h(since_h, until_h)]
        around = [at_ns + side * NS_PER_MS for at_ns in switches for side in (-1, 1)]
        return [at_ns for at_ns in around if row_ns - self._step_ns < at_ns < row_ns]

    def _forget(self, written: int) -> None:
        """Go on behind the rows that an earlier process wrote."""
        while written > 0:
            written -= len(self._due(self._next_ns))

    def _row(self, data_ns: int) -> str:
        state = self.state(data_ns)
        voltage_V = state.voltage_V
        if self._options.noise_V > 0.0:
            # By its time, so that a row is the same whoever writes it.
            random = np.random.default_rng([self._options.seed, data_ns // NS_PER_MS])
            voltage_V += self._options.noise_V * float(random.standard_normal())
        since_s = (data_ns - self._begin_ns) / NS_PER_S
        return self._options.table.row(self._stamp(data_ns), state, voltage_V=voltage_V, test_time_s=since_s)

    def _stamp(self, data_ns: int) -> str:
        own_ns = data_ns + int(self._options.clock_offset_s * NS_PER_S)
        own_ns += int((data_ns - self._start_ns) * self._options.clock_drift_ppm * 1e-6)
        return self._options.time_form.text(own_ns, self._options.table.decimal)


def _begin(path: Path, options: CyclerOptions) -> None:
    word = path.with_name(path.name + WRITTEN_HERE)
    if options.spares_foreign and path.exists() and not word.exists():
        raise ScenarioError(
            f"expected to make the cycler's file {path} anew, but a real one may be there: move it away"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if options.spares_foreign:
        word.write_text(f"{path.name} is written by a simulated cycler\n", encoding="utf-8")
    path.write_text(options.table.head, encoding="utf-8")


def _rows_in(path: Path | None, table: CyclerTable) -> int:
    if path is None or not path.is_file():
        return 0
    return max(0, len(path.read_text(encoding="utf-8").splitlines()) - len(table.head.splitlines()))


class FollowsTime(Protocol):
    """One cycler, or several."""

    def states(self, data_ns: int) -> tuple[CyclingState, ...]:
        """Current and voltage of each at a data time."""
        ...

    def advance(self, data_ns: int) -> int:
        """Write every row up to `data_ns`; return how many."""
        ...


class CyclerThread:
    """Lets the cycler follow the detector's data time, and posts its PVs with their data time.

    Between frames the data time runs on at the run's speed, by at most `lead_s`.
    """

    def __init__(
        self, cycler: FollowsTime, records: Records, names: tuple[CyclerPvs, ...], *, speed: float, lead_s: float
    ) -> None:
        self._cycler = cycler
        self._records = records
        self._names = names
        self._speed = speed
        self._lead_s = lead_s
        self._reached: tuple[int, float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cycler", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def reach(self, data_ns: int) -> None:
        """The detector's data time is now `data_ns`."""
        self._reached = (data_ns, time.monotonic())

    def close(self) -> None:
        """Write what is due and stop."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            self._follow()
        self._follow()

    def _follow(self) -> None:
        reached = self._reached
        if reached is None:
            return
        data_ns, at_s = reached
        now_ns = data_ns + int(min((time.monotonic() - at_s) * self._speed, self._lead_s) * NS_PER_S)
        self._cycler.advance(now_ns)
        for names, state in zip(self._names, self._cycler.states(now_ns), strict=True):
            told = {names.voltage: state.voltage_V, names.current: state.current_A, names.half_cycle: state.half_cycle}
            for name, value in told.items():
                if name:
                    self._records.post_at(name, value, now_ns)

"""How the simulated cycler writes."""

from dataclasses import dataclass, field
from pathlib import Path

from ringwatch_simulators.cycler_table import CyclerTable, TimeForm


@dataclass(frozen=True, slots=True)
class CyclerOptions:
    """How the cycler writes.

    Parameters
    ----------
    path
        The CSV file, None for PVs only.
    sample_s
        Data time between rows.
    zone
        Name of the zone whose local time is written, as ``Europe/Berlin``.
    naive
        Leave the zone away, as most cyclers do.
    clock_offset_s, clock_drift_ppm
        The cycler's clock is ahead by this much, and gains so much since the start.
    rows_at_switches
        Write a row in the last and in the first millisecond of every step besides, as cyclers do.
    noise_V, seed
        Standard deviation of the voltages as written.
    table, time
        The columns, and how the time is written where not by `zone` and `naive`.
    spares_foreign
        Refuse to write over a file that no simulated cycler wrote.
    """

    path: Path | None = None
    sample_s: float = 300.0
    zone: str = "UTC"
    naive: bool = False
    clock_offset_s: float = 0.0
    clock_drift_ppm: float = 0.0
    rows_at_switches: bool = False
    noise_V: float = 0.0
    seed: int = 0
    table: CyclerTable = field(default_factory=CyclerTable)
    time: TimeForm | None = None
    spares_foreign: bool = False

    @property
    def time_form(self) -> TimeForm:
        """How the time is written."""
        return self.time or TimeForm(zone=self.zone, naive=self.naive)

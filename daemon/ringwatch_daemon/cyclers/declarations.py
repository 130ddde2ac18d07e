"""What a cycler's file does not tell itself."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Declarations:
    """What the user says of a file whose format tells the rest.

    Parameters
    ----------
    zone
        IANA name or offset of stamps that carry none. Required by every format with such stamps.
    start
        ISO stamp at which time is zero, where a file only counts from its start.
    pattern
        `strptime` pattern of stamps that could be read in two ways.
    clock_offset_s
        Detector's clock minus cycler's clock.
    """

    zone: str | None = None
    start: str | None = None
    pattern: str | None = None
    clock_offset_s: float = 0.0

    @property
    def clock_offset_ns(self) -> int:
        """The offset in the unit of the stamps."""
        return round(self.clock_offset_s * 1e9)


@dataclass(frozen=True, slots=True)
class FileCyclerConfig:
    """A cycler's file of any known format, told by its content.

    Parameters
    ----------
    path
        May appear later and change at any time. A pattern, as in ``cell_*_C01.mpr``, takes the
        linked files of one run together.
    """

    path: Path
    declared: Declarations = Declarations()

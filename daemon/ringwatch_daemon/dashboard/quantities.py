"""Which of a run's columns the live view follows, found by what their paths end in."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
_UNITS = {"angstrom": "Å", "degree": "°"}


class Family(IntEnum):
    """What a quantity is; lower ones are shown first."""

    RATIO = 0
    LATTICE = 1
    SIZE = 2
    AMOUNT = 3


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a phase that is followed over the run.

    Parameters
    ----------
    path
        Of its value below ``/entry/tracking``; that of its sigma ends in ``_errors``.
    label
        As the field calls it: ``ratio (110)/(200)``, ``a``, ``size``, ``amount``.
    unit
        Short, empty where it says nothing.
    of_free_phase
        The phase is fitted with free intensities, so its lattice is what the run is about.
    """

    path: str
    phase: str
    label: str
    family: Family
    unit: str = ""
    of_free_phase: bool = False

    @property
    def state_path(self) -> str:
        """Path of the state that says whether the number is one."""
        return f"{self.phase}/ratio_state" if self.family is Family.RATIO else f"{self.phase}/state"


def quantities_from_columns(columns: Iterable[tuple[str, str, str]]) -> tuple[Quantity, ...]:
    """Every ratio, lattice parameter, size and amount: phases with a ratio first, then free ones, then the others.

    Parameters
    ----------
    columns
        Path, unit and long name of each column of the run.
    """
    listed = tuple(columns)
    units = {path: unit for path, unit, _ in listed}
    found = [_quantity(path, long_name, units) for path, _, long_name in listed]
    quantities = [quantity for quantity in found if quantity is not None]
    places = {phase: place for place, phase in enumerate(dict.fromkeys(path.partition("/")[0] for path in units))}
    return tuple(sorted(quantities, key=lambda quantity: (_rank(quantity.phase, units, places), quantity.family)))


def _quantity(path: str, long_name: str, units: dict[str, str]) -> Quantity | None:
    phase, slash, name = path.partition("/")
    unit = units[path]
    if not slash:
        return None
    free = f"{phase}/size_nm" in units
    if name == "ratio":
        return Quantity(path, phase, _ratio_label(long_name), Family.RATIO)
    if name in LATTICE:
        return Quantity(path, phase, name, Family.LATTICE, _UNITS.get(unit, unit), of_free_phase=free)
    if name == "size_nm":
        return Quantity(path, phase, "size", Family.SIZE, "nm", of_free_phase=True)
    if name == "amount":
        return Quantity(path, phase, name, Family.AMOUNT)
    return None


def _ratio_label(long_name: str) -> str:
    """``ratio (110)/(200)``, or ``ratio`` alone where the column does not tell its lines."""
    lines = re.search(r"\(\w+\)/\(\w+\)", long_name)
    return f"ratio {lines.group()}" if lines else "ratio"


def _rank(phase: str, units: dict[str, str], places: dict[str, int]) -> int:
    """Order of a phase; sorting keeps the configured order among equals, but phases must not interleave."""
    kind = 0 if f"{phase}/ratio" in units else 1 if f"{phase}/size_nm" in units else 2
    return kind * len(places) + places[phase]

"""Text exports of every known family, told by their first lines."""

from collections.abc import Callable, Sequence

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers import arbin, battery_data_format, biologic, landt, maccor, neware
from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import TableLayout

_Layout = Callable[[Sequence[str], Declarations], TableLayout | None]

FAMILIES: tuple[_Layout, ...] = (
    biologic.layout,
    battery_data_format.layout,
    maccor.layout,
    arbin.layout,
    landt.layout,
    neware.layout,
)
"""A new family is one new file and one new line here."""


def layout_from_lines(lines: Sequence[str], declared: Declarations) -> TableLayout:
    """What the columns of a text export mean.

    Raises
    ------
    CyclerError
        It is of no known family, or of one that needs a declaration.
    """
    for layout in FAMILIES:
        found = layout(lines, declared)
        if found is not None:
            return found
    begins = lines[0][:60] if lines else ""
    raise CyclerError(
        "expected a file of BioLogic, Neware, Maccor, Arbin, Landt or in the Battery Data Format, got one that begins"
        f" {begins!r}: declare its columns as a cycler of kind csv"
    )

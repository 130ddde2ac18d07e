"""Maccor: text exports. Currents carry no sign there; the state column tells the direction."""

from collections.abc import Sequence

from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import TableLayout
from ringwatch_daemon.cyclers.text_family import StateNames, TextFamily, TimeNames, layout_from_family, names
from ringwatch_daemon.cyclers.written_dates import month_and_day

_VOLTAGE = names(r"volt(s|age)( ?[\[(](?P<unit>m?v)[\])])?")
_CURRENT = names(r"(amps|current)( ?[\[(](?P<unit>[muμ]?a)[\])])?")
_STATE = names("state|md")

FAMILY = TextFamily(
    name="Maccor",
    marks=(names("rec#?"), _STATE, _VOLTAGE, _CURRENT),
    times=(TimeNames(names("dpt ?time"), "stamp"), TimeNames(names(r"test ?time( ?[\[(]s(ec)?[\])])?"), "duration")),
    voltage=_VOLTAGE,
    current=_CURRENT,
    cycle=names("cyc#|cycle [pc]"),
    step=names("step"),
    state=StateNames(_STATE, names("d.*")),
)


def layout(lines: Sequence[str], declared: Declarations) -> TableLayout | None:
    """What the columns mean, None where it is another format; capacities begin again and are left out."""
    return layout_from_family(FAMILY, lines, declared, known_day=_day_of_test(lines))


def _day_of_test(lines: Sequence[str]) -> tuple[int, int] | None:
    """Above the table the month is written out, below it month and day are two numbers."""
    for line in lines[:3]:
        _, found, after = line.partition("Date of Test:")
        if found:
            return month_and_day(after)
    return None

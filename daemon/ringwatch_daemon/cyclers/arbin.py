"""Arbin: CSV and Excel exports of the raw channel data, with names in both of its spellings."""

from collections.abc import Sequence

from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import TableLayout
from ringwatch_daemon.cyclers.text_family import TextFamily, TimeNames, layout_from_family, names

_TEST_TIME = names(r"test[_ ]time ?\(s\)")
_VOLTAGE = names(r"voltage ?\((?P<unit>m?v)\)")
_CURRENT = names(r"current ?\((?P<unit>[muμ]?a)\)")

FAMILY = TextFamily(
    name="Arbin",
    marks=(names(r"data[_ ]point"), _TEST_TIME, _VOLTAGE, _CURRENT),
    times=(TimeNames(names(r"date[_ ]time"), "stamp"), TimeNames(_TEST_TIME, "elapsed")),
    voltage=_VOLTAGE,
    current=_CURRENT,
    cycle=names(r"cycle[_ ]index"),
    step=names(r"step[_ ]index"),
)


def layout(lines: Sequence[str], declared: Declarations) -> TableLayout | None:
    """What the columns mean, None where it is another format; capacities begin again and are left out."""
    return layout_from_family(FAMILY, lines, declared)

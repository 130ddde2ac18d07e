"""Battery Data Format: a CSV with the fixed labels of the Battery Data Alliance, or their machine-readable names."""

from collections.abc import Sequence

from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import TableLayout
from ringwatch_daemon.cyclers.text_family import TextFamily, TimeNames, layout_from_family, names

_VOLTAGE = names(r"voltage / v|voltage_volt")
_CURRENT = names(r"current / a|current_ampere")
_TEST_TIME = names(r"test time / s|test_time_second")

FAMILY = TextFamily(
    name="Battery Data Format",
    marks=(_TEST_TIME, _VOLTAGE, _CURRENT),
    times=(TimeNames(names(r"unix time / s|unix_time_second"), "epoch"), TimeNames(_TEST_TIME, "elapsed")),
    voltage=_VOLTAGE,
    current=_CURRENT,
    cycle=names(r"cycle (count|index) / 1|cycle_(count|index)"),
    step=names(r"step count / 1|step_count|step index / 1|step_index"),
)


def layout(lines: Sequence[str], declared: Declarations) -> TableLayout | None:
    """What the columns mean, None where it is another format; charges that begin again are left out."""
    return layout_from_family(FAMILY, lines, declared)

"""Landt (LAND): exports of its data program as text or Excel, and the CSV of its newer one."""

from collections.abc import Sequence

from ringwatch_daemon.cyclers.declarations import Declarations
from ringwatch_daemon.cyclers.layout import TableLayout
from ringwatch_daemon.cyclers.text_family import StateNames, TextFamily, TimeNames, layout_from_family, names

_VOLTAGE = names(r"voltage/(?P<unit>m?v)")
_CURRENT = names(r"current/(?P<unit>[muμ]?a)")

EXPORT = TextFamily(
    name="Landt",
    marks=(_VOLTAGE, _CURRENT, names(r"record|index|test ?time(/.*)?")),
    times=(
        TimeNames(names(r"sys ?time|date/?time|abs ?time"), "stamp"),
        TimeNames(names(r"test ?time/s(ec)?"), "elapsed"),
        TimeNames(names(r"test ?time/min"), "elapsed", "min"),
        TimeNames(names(r"test ?time/h(our)?"), "elapsed", "h"),
        TimeNames(names(r"test ?time(/h:m:s.*)?"), "duration"),
    ),
    voltage=_VOLTAGE,
    current=_CURRENT,
    cycle=names(r"cycle(-index)?"),
    step=names(r"step(-index)?"),
    # Some versions write currents without a sign.
    state=StateNames(names("(step-?)?(state|status|type|name)"), names(".*(dchg|disch).*|d_.*")),
)

TABLE = TextFamily(
    name="Landt",
    marks=(names("channel_index"), names("test_time_s"), names("voltage_v"), names("current_a")),
    times=(
        TimeNames(names("date_time_iso_string"), "stamp"),
        TimeNames(names("test_time_s"), "elapsed"),
    ),
    voltage=names("voltage_v"),
    current=names("current_a"),
    cycle=names("cycle_index"),
    step=names("step_index"),
)


def layout(lines: Sequence[str], declared: Declarations) -> TableLayout | None:
    """What the columns mean, None where it is another format; capacities begin again and are left out."""
    return layout_from_family(EXPORT, lines, declared) or layout_from_family(TABLE, lines, declared)

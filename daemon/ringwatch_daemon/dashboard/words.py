"""What the view says about a run, in words: shared by the live panels and the plain lines."""

import math
from datetime import UTC, datetime, timedelta

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.records import Totals
from ringwatch_daemon.dashboard.contents import text
from ringwatch_daemon.dashboard.quantities import Family, Quantity
from ringwatch_daemon.dashboard.run_view import CellEntry, FitEntry, RunView
from ringwatch_daemon.dashboard.uncertainty import value_with_uncertainty

SILENCE_WORTH_TELLING_S = 3.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = "-"


def utc(timestamp_ns: int | None) -> str:
    """A time as in ``2026-09-22 08:13:20 UTC``; ``-`` for none, or one that no calendar has."""
    if timestamp_ns is None:
        return NEVER
    try:
        return f"{_EPOCH + timedelta(seconds=timestamp_ns // NS_PER_S):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return NEVER


def estimate(fit: FitEntry, quantity: Quantity) -> str:
    """Value, uncertainty and unit."""
    number = value_with_uncertainty(*fit.estimate(quantity.path))
    return f"{number} {quantity.unit}".rstrip()


def state(fit: FitEntry, quantity: Quantity, *, with_limit: bool = True) -> str:
    """The state of a quantity as its run tells it, and what follows from it."""
    told = text(fit.values.get(quantity.state_path)).lower()
    if quantity.family is Family.RATIO and told == "absent":
        return "a lower limit"
    if quantity.family is not Family.AMOUNT:
        return told
    z = fit.estimate(f"{quantity.phase}/z")[0]
    limit = fit.estimate(f"{quantity.phase}/limit")[0]
    words = [told] if told else []
    if math.isfinite(z):
        words.append(f"z {z:.1f}")
    if with_limit and told == "absent" and math.isfinite(limit):
        words.append(f"below {limit:.3g}")
    return ", ".join(words)


def rate(frames_per_s: float) -> str:
    """A rate of frames."""
    return f"{frames_per_s:.0f} frames/s" if frames_per_s >= 100 else f"{frames_per_s:.2f} frames/s"


def cell(entry: CellEntry) -> str:
    """Voltage, current and where in the cycling: what of it is known."""
    words = [entry.name] if entry.name else []
    words += [f"{entry.voltage_V:.4f} V"] if math.isfinite(entry.voltage_V) else []
    if math.isfinite(entry.current_density_mA_cm2):
        words.append(f"{entry.current_density_mA_cm2:+.4g} mA/cm²")
    elif math.isfinite(entry.current_A):
        words.append(f"{entry.current_A * 1e3:+.4g} mA")
    if entry.cycle >= 0:
        words.append(f"cycle {entry.cycle}")
    if entry.half_cycle >= 0:
        words.append(f"half-cycle {entry.half_cycle}")
    return "  ".join(words)


def reasons(totals: Totals) -> str:
    """Why frames were lost or rejected, as in ``GAP_IN_ID 3, DUPLICATE 1``."""
    return ", ".join(f"{name} {count}" for name, count in totals.reasons if count)


def hole(view: RunView) -> str:
    """What of the stream did not come; empty when all did."""
    if not view.missed:
        return ""
    places = "one place" if view.holes == 1 else f"{view.holes} places"
    messages = "1 message" if view.missed == 1 else f"{view.missed} messages"
    return f"{messages} of the stream did not come, in {places}: what is shown here may lack frames and events"


def silence(view: RunView, now_s: float) -> str:
    """How long no frame has come; empty while they do, and after the run."""
    if view.stopped is not None or view.frame_heard_s is None:
        return ""
    quiet_s = now_s - view.frame_heard_s
    return f"no frame for {duration(quiet_s)}" if quiet_s >= SILENCE_WORTH_TELLING_S else ""


def duration(seconds: float) -> str:
    """A length of time as in ``12 s``, ``4 min 10 s``, ``3 h 2 min``."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

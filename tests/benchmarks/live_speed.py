"""The whole path, detector to published result, in the processes that a beamline has, and the start of the daemon."""

import tempfile
from pathlib import Path

from benchmarks.live_rig import Rig, Stretch, rig
from benchmarks.measuring import Ratio, Report, Timing

ASKED_HZ = {"pva": 40.0, "ca": 30.0}
DETECTOR_HZ = 15.0
LATENCY_MS = 1e3 / DETECTOR_HZ
STRETCH_S = 20.0
STEP = 1.15
"""From one rate that was sustained to the next."""
MOST_STEPS = 6
START_S = 10.0


def measure(rounds: int) -> Report:
    """Latency at the detector's rate, and the highest rate at which nothing queues or is lost, over both protocols."""
    timings: list[Timing] = []
    ratios: list[Ratio] = []
    starts: list[float] = []
    with tempfile.TemporaryDirectory(prefix="ringwatch-live-") as folder:
        for protocol, asked_hz in ASKED_HZ.items():
            with rig(protocol, Path(folder)) as beamline:
                starts.append(beamline.start_s)
                calm = beamline.stretch(DETECTOR_HZ, STRETCH_S)
                highest = _highest(beamline, asked_hz)
            timings += _timings(protocol.upper(), calm, highest)
            ratios += _ratios(protocol.upper(), calm, highest, asked_hz)
    cold_s, warm_s = starts
    timings.append(Timing("start of the daemon to the first result, nothing in the cache", cold_s))
    ratios.append(Ratio("start of the daemon to the first result, s, with a warm cache", warm_s, at_most=START_S))
    title = "detector IOC, daemon and subscriber on this machine, 2048 x 2048 uint16, a fit on every frame"
    return Report(title, tuple(timings), tuple(ratios))


def _timings(name: str, calm: Stretch, highest: Stretch | None) -> list[Timing]:
    found = [
        Timing(f"{name} at {stretch.asked_hz:.0f}/s: frame to published result, p{percent}", stretch.latency_s(percent))
        for stretch in (calm, highest)
        if stretch is not None
        for percent in (50, 99)
    ]
    return [*found, Timing(f"{name}: processor time a frame, detector and daemon together", calm.processor_s)]


def _ratios(name: str, calm: Stretch, highest: Stretch | None, asked_hz: float) -> list[Ratio]:
    late = f"{name}: ms to a result at {DETECTOR_HZ:g}/s, p99"
    return [
        Ratio(f"{name}: frames/s without loss or queue", highest.rate_hz if highest else 0.0, at_least=asked_hz),
        Ratio(late, 1e3 * calm.latency_s(99), at_most=LATENCY_MS),
        Ratio(f"{name}: frames lost at {DETECTOR_HZ:g}/s", float(calm.lost), at_most=0.0),
    ]


def _highest(beamline: Rig, asked_hz: float) -> Stretch | None:
    """The fastest stretch that was sustained: from what is asked for on upwards, or else from what came through."""
    found = None
    rate_hz = asked_hz
    for _ in range(MOST_STEPS):
        stretch = beamline.stretch(rate_hz, STRETCH_S)
        if stretch.sustained and (found is None or stretch.rate_hz > found.rate_hz):
            found = stretch
            rate_hz *= STEP
        elif found is not None:
            return found
        else:
            rate_hz = min(rate_hz, stretch.rate_hz) / STEP
    return found

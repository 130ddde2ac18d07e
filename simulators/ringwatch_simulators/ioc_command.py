"""The command ``ioc``: from arguments to a running IOC."""

import argparse
from dataclasses import dataclass, replace

from ringwatch_simulators.cycler import Cycler
from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.database import CyclerPvs, PvNames
from ringwatch_simulators.detector import Pace
from ringwatch_simulators.detector_ioc import DetectorIoc, IocOptions
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.faults import FaultSchedule, fault_from_text
from ringwatch_simulators.outage import Resumption
from ringwatch_simulators.recorded import RecordedFrames
from ringwatch_simulators.scenario import Scenario, SyntheticFrames, scenario_from_options, start_ns_for, write_truth
from ringwatch_simulators.supply import AttributeValue, CountingFrames, FramesInMemory, FrameSupply
from ringwatch_simulators.turns import CyclersInTurn, FramesInTurn, turn_from_text


@dataclass(frozen=True, slots=True)
class IocRequest:
    """What the command line asked for.

    Parameters
    ----------
    arguments
        The words themselves, to begin the same IOC anew.
    """

    options: argparse.Namespace
    attributes: tuple[tuple[str, AttributeValue], ...]
    arguments: tuple[str, ...]


def serve(request: IocRequest) -> int:
    """Serve until asked to end; return the exit code."""
    options = request.options
    resumption = Resumption.from_json(options.resume) if options.resume else None
    common = IocOptions(
        names=PvNames(options.prefix, options.camera, options.ca_image, options.pva_image),
        cycler=CyclerPvs.below(options.cycler_prefix),
        faults=FaultSchedule(tuple(fault_from_text(text) for text in options.fault)),
        attributes=request.attributes,
        autostart=not options.start_paused,
        callbacks_enabled=not options.callbacks_off,
        exit_with_parent=options.exit_with_parent,
        again=request.arguments,
        served=options.served,
    )
    if options.frames or options.scenario == "counting":
        return _serve_plain(options, common, resumption)
    return _serve_scenario(options, common, resumption)


def _serve_plain(options: argparse.Namespace, common: IocOptions, resumption: Resumption | None) -> int:
    supply: FrameSupply
    if options.frames:
        recorded = RecordedFrames(options.frames, options.darks)
        supply = FramesInMemory(recorded) if options.in_memory else recorded
    else:
        supply = CountingFrames(count=options.count or 10, shape=_shape(options.shape), dtype=options.dtype)
    wall_period_s = 1.0 / options.rate if options.rate else 1.0
    exposure_s = options.exposure or wall_period_s
    period_s = max(exposure_s, wall_period_s)
    speed = period_s / wall_period_s if options.rate else options.speed or 1.0
    pace = Pace(speed=speed, own_rate=options.own_rate, loop=options.loop)
    ioc_options = replace(common, exposure_s=exposure_s, period_s=period_s, pace=pace)
    return DetectorIoc(supply, ioc_options, resumption=resumption).serve()


def _serve_scenario(options: argparse.Namespace, common: IocOptions, resumption: Resumption | None) -> int:
    scenario = scenario_from_options(options, frames=options.count)
    start_ns = options.start_ns if options.start_ns is not None else start_ns_for(scenario)
    turns = tuple(turn_from_text(text) for text in options.cell)
    in_turn = FramesInTurn(scenario, start_ns, turns, frozenset(options.unnamed)) if turns else None
    frames = in_turn or SyntheticFrames(scenario, start_ns)
    if options.truth is not None and resumption is None:
        write_truth(options.truth, frames)
    begin_ns, go_on = frames.end_ns(0) - int(scenario.cadence_s * 1e9), resumption is not None
    cycler_options = _cycler_options(options, scenario)
    cycler: Cycler | CyclersInTurn
    if in_turn is None:
        cycler = Cycler(frames.model, start_ns=start_ns, begin_ns=begin_ns, options=cycler_options, go_on=go_on)
    else:
        cycler = CyclersInTurn(in_turn, turns, begin_ns=begin_ns, options=cycler_options, go_on=go_on)
    ioc_options = replace(
        common,
        exposure_s=scenario.exposure_s,
        period_s=scenario.cadence_s,
        pace=Pace(speed=_speed(options, scenario), loop=options.loop),
        again=_again(common.again, start_ns),
    )
    return DetectorIoc(frames, ioc_options, cycler=cycler, resumption=resumption).serve()


def _cycler_options(options: argparse.Namespace, scenario: Scenario) -> CyclerOptions:
    """The scenario's cycler, changed where the command line asks for it."""
    asked = {
        "sample_s": options.cycler_sample_s,
        "zone": options.cycler_zone,
        "naive": options.cycler_naive or None,
        "clock_offset_s": options.cycler_offset_s,
        "clock_drift_ppm": options.cycler_drift_ppm,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    return replace(scenario.cycler, path=options.cycler_csv, seed=scenario.seed, **changes)


def _speed(options: argparse.Namespace, scenario: Scenario) -> float:
    if options.rate:
        return float(options.rate * scenario.cadence_s)
    return float(options.speed or scenario.default_speed)


def _again(arguments: tuple[str, ...], start_ns: int) -> tuple[str, ...]:
    """The same course after an outage: its start is told, not taken from the clock again."""
    return arguments if "--start-ns" in arguments else (*arguments, "--start-ns", str(start_ns))


def _shape(text: str) -> tuple[int, int]:
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ScenarioError(f"a shape reads ROWSxCOLUMNS, got {text!r}")
    return int(parts[0]), int(parts[1])

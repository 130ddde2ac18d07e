"""The command ``ioc``: from arguments to a running IOC."""

import argparse
from dataclasses import dataclass, replace

from ringwatch_simulators.cycler import Cycler, FollowsTime
from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.database import CyclerPvs, PvNames
from ringwatch_simulators.detector import Pace
from ringwatch_simulators.detector_ioc import DetectorIoc, IocOptions
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.expected.beamline import read_expected_beamline
from ringwatch_simulators.expected.cycler import expected_cycler_options
from ringwatch_simulators.expected.scenario import expected_run
from ringwatch_simulators.faults import FaultSchedule, fault_from_text
from ringwatch_simulators.outage import Resumption
from ringwatch_simulators.recorded import RecordedFrames
from ringwatch_simulators.scenario import (
    Scenario,
    SyntheticFrames,
    scenario_from_options,
    start_ns_for,
    with_mishaps,
    write_truth,
)
from ringwatch_simulators.supply import AttributeValue, CountingFrames, FramesInMemory, FrameSupply
from ringwatch_simulators.turns import CyclersInTurn, FramesInTurn, Turn, options_of_turn, turn_from_text

COUNTING = "counting"
"""Name of the frames that tell their own number."""


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
        faults=FaultSchedule(tuple(fault_from_text(text) for text in options.fault)),
        attributes=request.attributes,
        autostart=not options.start_paused,
        callbacks_enabled=not options.callbacks_off,
        exit_with_parent=options.exit_with_parent,
        again=request.arguments,
        served=options.served,
    )
    counting = options.scenario == COUNTING or (options.scenario is None and options.beamline is None)
    if options.frames or counting:
        return _serve_plain(options, common, resumption)
    return _serve_scenario(options, common, resumption)


def _serve_plain(options: argparse.Namespace, common: IocOptions, resumption: Resumption | None) -> int:
    supply: FrameSupply
    if options.frames:
        recorded = RecordedFrames(options.frames, options.darks)
        supply = FramesInMemory(recorded) if options.in_memory else recorded
    else:
        supply = CountingFrames(count=options.count or 10, shape=_shape(options.shape), dtype=options.dtype or "uint16")
    wall_period_s = 1.0 / options.rate if options.rate else 1.0
    exposure_s = options.exposure or wall_period_s
    period_s = max(exposure_s, wall_period_s)
    speed = period_s / wall_period_s if options.rate else options.speed or 1.0
    pace = Pace(speed=speed, own_rate=options.own_rate, loop=options.loop)
    ioc_options = replace(common, exposure_s=exposure_s, period_s=period_s, pace=pace)
    return DetectorIoc(supply, ioc_options, resumption=resumption).serve()


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A course to serve.

    Parameters
    ----------
    turns
        Cells that take turns; empty where there is one.
    cyclers
        How the cycler of each writes.
    pvs
        What the records of each cycler are called.
    attribute_pvs
        See `IocOptions`.
    """

    frames: SyntheticFrames
    turns: tuple[Turn, ...]
    cyclers: tuple[CyclerOptions, ...]
    pvs: tuple[CyclerPvs, ...]
    attribute_pvs: tuple[tuple[str, str], ...] = ()


def _serve_scenario(options: argparse.Namespace, common: IocOptions, resumption: Resumption | None) -> int:
    run = _named_run(options) if options.scenario or options.beamline is None else _expected_run(options)
    frames = run.frames
    if options.truth is not None and resumption is None:
        write_truth(options.truth, frames)
    scenario = frames.scenario
    ioc_options = replace(
        common,
        cyclers=run.pvs,
        attribute_pvs=run.attribute_pvs,
        exposure_s=scenario.exposure_s,
        period_s=scenario.cadence_s,
        pace=Pace(speed=_speed(options, scenario), loop=options.loop),
        again=_again(common.again, frames.start_ns),
    )
    cycler = _cycler(run, go_on=resumption is not None)
    return DetectorIoc(frames, ioc_options, cycler=cycler, resumption=resumption).serve()


def _cycler(run: _Run, *, go_on: bool) -> FollowsTime:
    frames = run.frames
    begin_ns = frames.end_ns(0) - int(frames.scenario.cadence_s * 1e9)
    if isinstance(frames, FramesInTurn):
        return CyclersInTurn(frames, run.turns, begin_ns=begin_ns, options=run.cyclers, go_on=go_on)
    (only,) = run.cyclers
    return Cycler(frames.model, start_ns=frames.start_ns, begin_ns=begin_ns, options=only, go_on=go_on)


def _named_run(options: argparse.Namespace) -> _Run:
    scenario = scenario_from_options(options, frames=options.count)
    start_ns = _start_ns(options, scenario)
    turns = tuple(turn_from_text(text) for text in options.cell)
    usual, cycler = CyclerPvs.below(options.cycler_prefix), _cycler_options(options, scenario)
    if not turns:
        return _Run(SyntheticFrames(scenario, start_ns), (), (cycler,), (usual,))
    frames = FramesInTurn(scenario, start_ns, turns, frozenset(options.unnamed))
    # The first one tells its state by PVs.
    pvs = (usual, *(CyclerPvs("", "", "") for _ in turns[1:]))
    return _Run(frames, turns, tuple(options_of_turn(cycler, turn) for turn in turns), pvs)


def _expected_run(options: argparse.Namespace) -> _Run:
    beamline = read_expected_beamline(options.beamline)
    found = expected_run(
        beamline, frames=options.count, seed=options.seed, light=options.light, dtype=options.dtype or None
    )
    scenario, maps = with_mishaps(found.scenario, options), found.maps
    start_ns, usual = _start_ns(options, scenario), _cycler_options(options, scenario)
    names = frozenset(phase.name for phase in beamline.phases)
    turns = tuple(
        Turn(cell.told, absent=names - set(cell.phases) if cell.phases else frozenset()) for cell in beamline.cells
    )
    attribute = beamline.cell_attribute
    expected = [cell.cycler for cell in beamline.cells] or [beamline.cycler]
    return _Run(
        FramesInTurn(scenario, start_ns, turns, attribute=attribute, maps=maps)
        if turns
        else SyntheticFrames(scenario, start_ns, maps),
        turns,
        tuple(expected_cycler_options(cycler, usual) for cycler in expected),
        tuple(CyclerPvs(cycler.voltage_pv, cycler.current_pv, "") for cycler in expected),
        tuple(beamline.attribute_pvs.items()),
    )


def _start_ns(options: argparse.Namespace, scenario: Scenario) -> int:
    return options.start_ns if options.start_ns is not None else start_ns_for(scenario)


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

"""``python -m ringwatch_simulators``: a simulated beamline on the command line."""

import argparse
import logging
import os
import sys
from pathlib import Path

from ringwatch_simulators.errors import SimulatorError
from ringwatch_simulators.supply import AttributeValue


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = _parser().parse_args(arguments)
    try:
        if options.command == "files":
            return _write_files(options)
        return _serve_ioc(options, arguments)
    except SimulatorError as error:
        print(f"ringwatch_simulators: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ringwatch_simulators", description="A simulated beamline.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_ioc_arguments(commands.add_parser("ioc", help="a detector IOC with synthetic or recorded frames"))
    files = commands.add_parser(
        "files", help="write geometry.poni, mask.edf, flat.edf, truth_header.json of a scenario"
    )
    files.add_argument("--scenario", default="lagp-demo")
    _add_scenario_arguments(files)
    files.add_argument("-o", "--output", type=Path, required=True)
    return parser


def _add_ioc_arguments(ioc: argparse.ArgumentParser) -> None:
    add = ioc.add_argument
    add("--prefix", default="13PE1:", help="what the detector's names begin with")
    add("--camera", default="cam1:", help="prefix of the camera's, below that")
    add("--ca-image", default="image1:", help="prefix of the plugin for Channel Access, below that")
    add("--pva-image", default="Pva1:Image", help="the NTNDArray, below that")
    add("--cycler-prefix", default="CYC1:", help="what the cycler's names begin with")
    add("--scenario", help="counting (by default), small, quick, shorted, lagp-demo, full, empty or ceria")
    add("--beamline", type=Path, metavar="JSON", help="instead: the beamline that somebody expects, as plain facts")
    add("--frames", nargs="+", metavar="PATH", help="recorded frames instead: files, folders, FILE.h5::/dataset")
    add("--darks", nargs="+", default=[], metavar="PATH", help="recorded darks, served first")
    add("--in-memory", action="store_true", help="read all recorded frames before the first is served")
    add("--count", type=int, help="number of frames of a scenario")
    add("--shape", default="64x64", help="ROWSxCOLUMNS of counting frames")
    add("--dtype", help="type of counting frames, uint16 by default, or of those of a beamline")
    _add_scenario_arguments(ioc)
    add("--start-ns", type=int, help="start of a scenario's course, UTC ns; by default it ends now")
    add("--served", type=Path, help="keep account of every frame that is counted, JSON lines")
    add("--truth", type=Path, help="write what is true of each frame, JSON lines")
    add("--cell", action="append", default=[], metavar="NAME[@HOURS]", help="cells in turns, so much further each")
    add("--unnamed", action="append", default=[], type=int, metavar="INDEX", help="a frame that names none of them")
    add("--cycler-csv", type=Path, help="the cycler's file; with --cell one each, {cell} is its name")
    add("--cycler-sample-s", type=float, help="data time between its rows; by default as the scenario says")
    add("--cycler-zone", help="time zone of its stamps")
    add("--cycler-naive", action="store_true", help="leave the zone out of its stamps")
    add("--cycler-offset-s", type=float, help="its clock is ahead by so much")
    add("--cycler-drift-ppm", type=float, help="its clock gains so much")
    pace = ioc.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=float, help="frames per second of wall time")
    pace.add_argument("--own-rate", action="store_true", help="recorded frames follow each other as their times say")
    add("--exposure", type=float, metavar="S", help="AcquireTime of recorded or counting frames; by default the period")
    add("--speed", type=float, help="data seconds per second of wall time")
    add("--attribute", action="append", default=[], metavar="NAME=VALUE", help="goes with every frame")
    add("--fault", action="append", default=[], metavar="KIND@ID[:SECONDS]", help="see ringwatch_simulators.faults")
    add("--start-paused", action="store_true", help="acquire only when Acquire is written")
    add("--loop", action="store_true", help="begin again after the last frame")
    add("--callbacks-off", action="store_true", help="plugins start disabled, as in a real areaDetector")
    add("--exit-with-parent", action="store_true", help="end when the parent process does")
    add("--resume", help=argparse.SUPPRESS)


def _add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seed", type=int, help="of a scenario")
    add("--light", type=float, default=1.0, help="factor on all counts of a scenario")
    add("--tilt", type=float, nargs=2, metavar="RAD", help="rot1 and rot2 of a scenario's detector")
    add("--mishap", action="append", default=[], metavar="KIND@INDEX", help="dump, shutter, half, truncated, first")


def _write_files(options: argparse.Namespace) -> int:
    from ringwatch_simulators.scenario import (  # noqa: PLC0415 - each command imports what it needs
        SyntheticFrames,
        scenario_from_options,
        write_beamline_files,
    )

    frames = SyntheticFrames(scenario_from_options(options), 0)
    for path in write_beamline_files(options.output, frames):
        print(path)
    return 0


def _serve_ioc(options: argparse.Namespace, arguments: list[str]) -> int:
    from ringwatch_simulators.ioc_command import (  # noqa: PLC0415 - EPICS and its threads are for this command only
        IocRequest,
        serve,
    )

    attributes = tuple(_attribute(text) for text in options.attribute)
    return serve(IocRequest(options, attributes, tuple(_without_resumption(arguments))))


def _attribute(text: str) -> tuple[str, AttributeValue]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise SimulatorError(f"an attribute reads NAME=VALUE, got {text!r}")
    for convert in (int, float):
        try:
            return name, convert(value)
        except ValueError:
            continue
    return name, value


def _without_resumption(arguments: list[str]) -> list[str]:
    if "--resume" not in arguments:
        return arguments
    at = arguments.index("--resume")
    return [*arguments[:at], *arguments[at + 2 :]]


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # the exit handlers of the EPICS libraries may hang on their own threads

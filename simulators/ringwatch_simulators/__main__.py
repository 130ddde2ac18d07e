"""``python -m ringwatch_simulators``: a simulated beamline on the command line."""

import argparse
import logging
import os
import sys

from ringwatch_simulators.errors import SimulatorError
from ringwatch_simulators.faults import FaultSchedule, fault_from_text
from ringwatch_simulators.supply import AttributeValue, CountingFrames, FrameSupply


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except SimulatorError as error:
        print(f"ringwatch_simulators: {error}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ringwatch_simulators", description="A simulated beamline.")
    commands = parser.add_subparsers(required=True)
    ioc = commands.add_parser("ioc", help="a detector IOC with synthetic or recorded frames")
    ioc.set_defaults(run=_serve_ioc)
    ioc.add_argument("--prefix", default="13PE1:")
    ioc.add_argument("--scenario", default="counting")
    ioc.add_argument("--count", type=int, help="number of frames")
    ioc.add_argument("--shape", default="64x64", help="ROWSxCOLUMNS of the scenario counting")
    ioc.add_argument("--dtype", default="uint16", help="type of the frames of the scenario counting")
    ioc.add_argument("--rate", type=float, help="frames per second of wall time")
    ioc.add_argument("--speed", type=float, help="data seconds per second of wall time")
    ioc.add_argument("--attribute", action="append", default=[], metavar="NAME=VALUE")
    ioc.add_argument("--fault", action="append", default=[], metavar="KIND@ID[:SECONDS]")
    ioc.add_argument("--start-paused", action="store_true", help="acquire only when Acquire is written")
    ioc.add_argument("--loop", action="store_true", help="begin again after the last frame")
    ioc.add_argument("--callbacks-off", action="store_true", help="plugins start disabled, as in a real areaDetector")
    ioc.add_argument("--exit-with-parent", action="store_true")
    ioc.add_argument("--resume", help=argparse.SUPPRESS)
    return parser


def _serve_ioc(options: argparse.Namespace) -> int:
    from ringwatch_simulators.detector import Pace  # noqa: PLC0415 - the EPICS libraries are for this command only
    from ringwatch_simulators.detector_ioc import DetectorIoc, IocOptions, Resumption  # noqa: PLC0415

    supply = _supply(options)
    period_s = 1.0 / options.rate if options.rate else 1.0
    ioc = DetectorIoc(
        supply,
        IocOptions(
            prefix=options.prefix,
            exposure_s=period_s,
            period_s=period_s,
            pace=Pace(speed=options.speed or 1.0, loop=options.loop),
            faults=FaultSchedule(tuple(fault_from_text(text) for text in options.fault)),
            attributes=tuple(_attribute(text) for text in options.attribute),
            autostart=not options.start_paused,
            callbacks_enabled=not options.callbacks_off,
            exit_with_parent=options.exit_with_parent,
        ),
        Resumption.from_json(options.resume) if options.resume else None,
    )
    return ioc.serve()


def _supply(options: argparse.Namespace) -> FrameSupply:
    rows, columns = (int(part) for part in options.shape.split("x"))
    return CountingFrames(count=options.count or 10, shape=(rows, columns), dtype=options.dtype)


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


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)

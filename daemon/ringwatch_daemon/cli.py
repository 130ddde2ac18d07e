"""The commands. Each does its work through `app` and ends with a code that means something.

0 done; 1 something failed on the way, what came before is kept; 2 the call, the configuration or
an input file is wrong; 3 a comparison with the truth did not hold (``demo``).
"""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from ringwatch_daemon.core.errors import InputFileError, SettingsError
from ringwatch_daemon.stop_signals import stop_on_signals
from ringwatch_pipelines.errors import CorrectionError, GeometryError, PhaseError, RingwatchError

if TYPE_CHECKING:
    from ringwatch_daemon.client import Subscription

FAILED, WRONG_INPUT = 1, 2
WRONG_INPUTS = (SettingsError, InputFileError, GeometryError, CorrectionError, PhaseError)

cli = typer.Typer(
    help="From detector frames to lattice, size and lithium ratio, live.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="configuration, a TOML file", show_default=False)]
FramePaths = Annotated[
    list[str], typer.Argument(metavar="FRAMES...", help="files, patterns or folders", show_default=False)
]
OutputFile = Annotated[Path, typer.Option("--output", "-o", metavar="RUN.h5", help="file to write", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace RUN.h5 where it is there already")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="say more on the way")]


class Protocol(StrEnum):
    """How frames come."""

    PVA = "pva"
    CA = "ca"


class FigureFormat(StrEnum):
    """What a report's figures are written as."""

    SVG = "svg"
    PNG = "png"
    PDF = "pdf"


@cli.command()
def serve(
    config: ConfigFile,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="RUN.h5", help="file to write")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="begin a new run, also after one that was cut off")] = False,
    verbose: Verbose = False,
) -> None:
    """Run the daemon: take frames until asked to stop."""
    stop = stop_on_signals()  # before the imports, which take seconds
    from ringwatch_daemon.app import serve as run  # noqa: PLC0415 - a command pays for its own imports only

    _log_to_stderr(verbose=verbose)
    run(config, output=output, fresh=fresh, stop=stop)


@cli.command()
def reprocess(  # noqa: PLR0917 - a command's arguments
    config: ConfigFile,
    frames: FramePaths,
    output: OutputFile,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="dask scheduler whose workers read, as in tcp://host:8786")
    ] = None,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
) -> None:
    """Analyse recorded frames without EPICS, as fast as it goes."""
    stop = stop_on_signals()
    from ringwatch_daemon.offline import reprocess as run  # noqa: PLC0415

    _log_to_stderr(verbose=verbose)
    run(config, frames, output, dask=dask, overwrite=overwrite, stop=stop, console=Console(stderr=True))


@cli.command()
def replay(  # noqa: PLR0917 - a command's arguments
    config: ConfigFile,
    frames: FramePaths,
    output: OutputFile,
    protocol: Annotated[Protocol | None, typer.Option(help="instead of the configuration's")] = None,
    rate: Annotated[float, typer.Option(help="frames a second", min=0.01)] = 5.0,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
) -> None:
    """Serve recorded frames over EPICS and take them from there."""
    from ringwatch_daemon.offline import replay as run  # noqa: PLC0415

    _log_to_stderr(verbose=verbose)
    chosen = None if protocol is None else protocol.value
    run(
        config,
        frames,
        output,
        protocol=chosen,
        rate_Hz=rate,
        overwrite=overwrite,
        stop=stop_on_signals(),
        console=Console(stderr=True),
    )


@cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def simulate(
    context: typer.Context,
    config: ConfigFile,
    frames: Annotated[list[str] | None, typer.Option(help="recorded frames to serve instead of synthetic ones")] = None,
) -> None:
    """Run the simulated detector and cycler that CONFIG expects. Other options go to the simulator."""
    from ringwatch_daemon.offline import simulator_arguments  # noqa: PLC0415

    command = [sys.executable, "-m", "ringwatch_simulators", "ioc"]
    os.execv(sys.executable, [*command, *simulator_arguments(config, frames or []), *context.args])  # noqa: S606


@cli.command()
def watch(  # noqa: PLR0917 - a command's arguments
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="as in tcp://127.0.0.1:5606")],
    snapshot_endpoint: Annotated[str | None, typer.Option(help="late joiners' socket; the next port")] = None,
    server_key: Annotated[str | None, typer.Option(help="the publisher's public CURVE key")] = None,
    timeout: Annotated[float | None, typer.Option(help="longest silence to bear, in seconds")] = None,
    page: Annotated[
        int | None, typer.Option(metavar="PORT", help="as a page for browsers instead; 0 takes a free port", min=0)
    ] = None,
    page_host: Annotated[str, typer.Option(help="who may reach the page; this machine only by default")] = "127.0.0.1",
) -> None:
    """Show a run live, from its start on."""
    from ringwatch_daemon.client import subscribe  # noqa: PLC0415
    from ringwatch_daemon.dashboard.terminal import show  # noqa: PLC0415

    with subscribe(endpoint, snapshot_endpoint=snapshot_endpoint, server_key=server_key, timeout_s=timeout) as messages:
        if page is None:
            show(messages)
        else:
            _show_page(messages, host=page_host, port=page)


def _show_page(messages: "Subscription", *, host: str, port: int) -> None:
    """Serve the page, one run after the other, until Ctrl-C."""
    from ringwatch_daemon.dashboard.page.model import PageModel  # noqa: PLC0415
    from ringwatch_daemon.dashboard.page.server import PageServer  # noqa: PLC0415

    model = PageModel()
    with PageServer(model, host=host, port=port) as server, suppress(KeyboardInterrupt):
        typer.echo(f"{server.address} shows the run; Ctrl-C ends it")
        for message in messages:
            model.take(message)


@cli.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN.h5", help="file of a run", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="folder to write", show_default=False)],
    at: Annotated[
        list[float] | None,
        typer.Option(metavar="HOURS", help="list lattice and size also then, in hours since the first pattern"),
    ] = None,
    form: Annotated[list[FigureFormat] | None, typer.Option("--format", help="of the figures; all by default")] = None,
) -> None:
    """Make the figures (SVG, PNG, PDF), their numbers (CSV) and one page (HTML) of a run."""
    from ringwatch_daemon.report import report as make  # noqa: PLC0415

    formats = [each.value for each in form or FigureFormat]
    make(run, output, at_h=at or [], formats=formats, console=Console(stderr=True))


@cli.command()
def calibrate(  # noqa: PLR0917 - a command's arguments
    config: ConfigFile,
    frames: Annotated[
        list[str], typer.Argument(metavar="CALIBRANT_FRAME...", help="files, patterns or folders", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="folder to write")] = Path(
        "calibration"
    ),
    calibrant: Annotated[
        str, typer.Option(metavar="NAME|CIF", help="CeO2, LaB6, Si, Ni, any of pyFAI's, or a CIF")
    ] = "",
    phase: Annotated[str, typer.Option(help="phase of CONFIG instead; geometry.ring_test by default")] = "",
    dark: Annotated[list[str] | None, typer.Option(help="frames without beam; CONFIG's by default")] = None,
    refine_wavelength: Annotated[
        bool, typer.Option("--refine-wavelength", help="at small angles it cannot be told from the distance")
    ] = False,
    size_nm: Annotated[float, typer.Option(help="certified crystallite size", min=1.0)] = float("inf"),
    strain: Annotated[float, typer.Option(help="certified microstrain", min=0.0)] = 0.0,
    check_only: Annotated[
        bool, typer.Option("--check", help="only say whether the rings lie where they should")
    ] = False,
) -> None:
    """Refine the geometry, the instrument's width and the detector's noise by frames of a calibrant."""
    from ringwatch_daemon.calibrating import CalibrationOrder  # noqa: PLC0415
    from ringwatch_daemon.calibrating import calibrate as run  # noqa: PLC0415

    order = CalibrationOrder(
        frames=tuple(frames),
        darks=tuple(dark or ()),
        calibrant=calibrant,
        phase=phase,
        refine_wavelength=refine_wavelength,
        size_nm=size_nm,
        strain=strain,
        check_only=check_only,
    )
    run(config, order, output, console=Console())


@cli.command()
def check(config: ConfigFile) -> None:
    """Say what a configuration means and what is wrong with it. The detector is left alone."""
    from ringwatch_daemon.checking import check as run  # noqa: PLC0415

    run(config, console=Console())


@cli.command()
def init(directory: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")]) -> None:
    """Write a complete example beamline to start from."""
    from ringwatch_daemon.examples import copy_example  # noqa: PLC0415

    for path in copy_example(directory):
        typer.echo(path)


@cli.command()
def demo(
    frames: Annotated[int, typer.Option(help="frames of the simulated run, with its 8 darks", min=12)] = 240,
    speed: Annotated[float | None, typer.Option(help="data seconds a second of the clock on the wall")] = None,
    directory: Annotated[Path, typer.Option(help="where the run's files go")] = Path("demo"),
) -> None:
    """Show the whole job without hardware. What was found is compared with the truth of the simulation."""
    from ringwatch_daemon.demo import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(frames=frames, speed=speed, directory=directory, console=Console()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error is one sentence on stderr.

    Parameters
    ----------
    arguments
        Of the command line; those of this process where they are left out.
    """
    try:
        cli(arguments, prog_name="ringwatch")
    except WRONG_INPUTS as error:
        return _complain(error, WRONG_INPUT)
    except RingwatchError as error:
        return _complain(error, FAILED)
    except OSError as error:
        # The machine's own words: a full disk, a file that nobody may write.
        return _complain(error, FAILED)
    except MemoryError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else FAILED
    return 0


def _complain(error: RingwatchError | OSError | MemoryError, code: int) -> int:
    typer.echo(f"ringwatch: {str(error) or 'no memory is left'}", err=True)
    return code


def _log_to_stderr(*, verbose: bool) -> None:
    under_systemd = "JOURNAL_STREAM" in os.environ
    handler = logging.StreamHandler() if under_systemd else RichHandler(console=Console(stderr=True), show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    # Libraries speak at INFO of what concerns nobody here, and FabIO warns of harmless tags in areaDetector's TIFFs.
    logging.getLogger("ringwatch_daemon").setLevel(logging.INFO if verbose or under_systemd else logging.WARNING)
    logging.getLogger("fabio").setLevel(logging.ERROR)

"""The whole job without hardware, and what it found held against the simulator's truth."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from ringwatch_daemon.client import subscribe
from ringwatch_daemon.core.errors import SubscriptionError
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.daemon_process import DaemonProcess
from ringwatch_daemon.dashboard.page.model import PageModel
from ringwatch_daemon.dashboard.page.server import PageServer, follow
from ringwatch_daemon.dashboard.terminal import show
from ringwatch_daemon.examples import CONFIGURATION, example_folder
from ringwatch_daemon.local_beamline import SimulatedBeamline, free_ports, free_tcp_pair
from ringwatch_daemon.sources.pva import put
from ringwatch_daemon.verdict import print_verdict

TRUTH_NOT_MET = 3
PREFIX = "13PE1:"
SILENCE_S = 15.0
"""A daemon that lives tells its status more often, but on a busy machine."""
LAST_SAMPLE_WAIT_S = 10.0
"""How long the cycler's sample after the last frame is waited for."""


def run_demo(*, frames: int, speed: float | None, directory: Path, console: Console) -> int:
    """Run the demonstration and return the exit code.

    Parameters
    ----------
    frames
        Of the simulated run, darks included.
    speed
        Data seconds a second of the clock on the wall; about two minutes in all by default.
    directory
        Gets the run, the cycler's table and the truth.

    Raises
    ------
    RingwatchError
        A part did not start, or ended early.
    """
    directory.mkdir(parents=True, exist_ok=True)
    output = directory / f"demo-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.h5"
    truth, table = output.with_suffix(".truth.jsonl"), output.with_suffix(".cycler.csv")
    endpoint = free_tcp_pair()
    configuration = _configuration(output.with_suffix(".toml"), table=table, endpoint=endpoint)
    ports = free_ports()
    os.environ.update(ports.client_environment())
    arguments = ["--prefix", PREFIX, "--scenario", "lagp-demo", "--count", str(frames), "--start-paused"]
    arguments += ["--truth", str(truth), "--cycler-csv", str(table)]
    if speed is not None:
        arguments += ["--speed", f"{speed:g}"]
    console.print("Li | LAGP | Li over 340 hours on an accelerated clock; Ctrl-C ends it cleanly.")
    try:
        with SimulatedBeamline(*arguments, ports=ports) as beamline, DaemonProcess(configuration, output) as daemon:
            beamline.wait_ready()
            daemon.wait_connected()
            put(f"{PREFIX}cam1:Acquire", 1)
            model = PageModel()
            with subscribe(endpoint, timeout_s=SILENCE_S) as messages, PageServer(model) as page:
                console.print(f"also as a page, while it runs: {page.address}", highlight=False)
                told = follow(_until_done(messages, frames, daemon), model)
                show(told, console=console, expected_frames=frames)
    except KeyboardInterrupt:
        console.print("stopped by hand")
    if not output.exists():
        console.print("no frame had come, so there is no file")
        return 0
    return 0 if print_verdict(output, truth, console=console) else TRUTH_NOT_MET


def _until_done(messages: Iterator[StreamMessage], frames: int, daemon: DaemonProcess) -> Iterator[StreamMessage]:
    """Every message to the end of the run; the daemon is asked to stop once all frames and their cell are known."""
    patience = threading.Timer(LAST_SAMPLE_WAIT_S, daemon.ask_to_stop)
    patience.daemon = True
    last = frames - 1
    try:
        for message in while_it_lives(messages, daemon):
            yield message
            if message.kind == "frame.tracking" and message.frame == last:
                patience.start()
                if message.data["cell"]["state"] == "KNOWN":
                    daemon.ask_to_stop()
            elif message.kind == "cycling.at_frame" and last in message.array("rows"):
                daemon.ask_to_stop()
            daemon.require_alive_or_stopping()
    finally:
        patience.cancel()


def while_it_lives(messages: Iterator[StreamMessage], daemon: DaemonProcess) -> Iterator[StreamMessage]:
    """The messages of the daemon, until there are no more or it has ended; an end that nobody asked for is an error."""
    while True:
        try:
            yield next(messages)
        except StopIteration:
            return
        except SubscriptionError:
            daemon.require_alive_or_stopping()
            if daemon.ended:
                return


def _configuration(path: Path, *, table: Path, endpoint: str) -> Path:
    """The example beamline with the places of this demonstration."""
    folder = example_folder()
    text = (folder / CONFIGURATION).read_text(encoding="utf-8")
    for name in ("geometry.poni", "mask.edf.gz", "empty_cell.xy"):
        text = text.replace(f'"{name}"', f'"{(folder / name).as_posix()}"')
    text = text.replace('"cycler.csv"', f'"{table.resolve().as_posix()}"')
    text = text.replace('"tcp://127.0.0.1:5606"', f'"{endpoint}"')
    path.write_text(text, encoding="utf-8")
    return path

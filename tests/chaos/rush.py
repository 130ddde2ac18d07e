"""Ten thousand connections and subscribers that never read, while frames come: the daemon must not feel it."""

import threading
from contextlib import ExitStack
from pathlib import Path

from chaos.beamline import Beamline
from chaos.checks import check_newcomer, check_recovered
from chaos.crowd import Pace, connect_and_leave, deaf_crowd, pace_of, resident_MiB
from chaos.violations import Violation

CONNECTIONS = 10_000
DEAF = 3
FIRST_FRAMES = 100
QUIET_S = 5.0
SLOWEST = 0.5
"""Least part of the quiet pace; the crowd itself takes CPU time, of which a busy machine has little."""
MOST_GROWTH_MIB = 150.0


def rush(folder: Path, *, connections: int = CONNECTIONS) -> str:
    """Let them come, and say in one line how the daemon fared.

    Raises
    ------
    Violation
        It was slowed down, grew, lost a frame, or no longer serves a newcomer.
    """
    runs = folder / "runs"
    runs.mkdir()
    beamline = Beamline(folder, runs, "pva")
    with ExitStack() as leaving:
        leaving.callback(beamline.close)
        beamline.open()
        frames = beamline.listener.frames
        beamline.wait_until(lambda: len(frames) >= FIRST_FRAMES, "the first frames")
        quiet = pace_of(beamline.daemon.pid, frames, for_s=QUIET_S)
        busy, let_in = _while_they_come(beamline, connections)
        check_newcomer(beamline)
        check_recovered(beamline)
        grown_MiB = resident_MiB(beamline.daemon.pid) - quiet.resident_MiB
    if busy.frames_a_s < SLOWEST * quiet.frames_a_s or grown_MiB > MOST_GROWTH_MIB:
        raise Violation(f"{connections} connections: {quiet} became {busy}, {grown_MiB:.0f} MiB more at the end")
    return (
        f"{connections} connections, {let_in} let in, beside {DEAF} subscribers that never read:"
        f" {quiet.frames_a_s:.0f} frames/s before, {busy.frames_a_s:.0f} meanwhile; memory {grown_MiB:+.0f} MiB"
    )


def _while_they_come(beamline: Beamline, connections: int) -> tuple[Pace, int]:
    let_in: list[int] = []
    storm = threading.Thread(
        target=lambda: let_in.append(connect_and_leave(beamline.endpoint, connections=connections)), daemon=True
    )
    with deaf_crowd(beamline.endpoint, count=DEAF):
        storm.start()
        busy = pace_of(beamline.daemon.pid, beamline.listener.frames, for_s=QUIET_S)
        storm.join()
    return busy, let_in[0]

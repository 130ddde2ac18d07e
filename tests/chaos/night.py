"""A chaotic night: faults one after the other, and what they cost."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chaos.beamline import Beamline
from chaos.checks import check_ended, check_newcomer, check_recovered
from chaos.disk import Disk, disk_at
from chaos.faults import FAULTS, Fault, Scene, stop_daemon
from chaos.readers import SwmrReader
from chaos.table import Tally
from chaos.violations import Violation

NS_PER_S = 1e9
FIRST_FRAMES = 5
NEWCOMER_EVERY = 4
LASTING_ROUNDS = 6


@dataclass(slots=True)
class Night:
    """What is to happen.

    Parameters
    ----------
    faults
        One a round.
    protocol
        Over which frames come.
    tell
        Hears of each round.
    """

    seed: int
    first_round: int
    faults: Sequence[Fault]
    protocol: str
    tally: Tally
    tell: Callable[[str], None] = field(default=print)

    def go_through(self, folder: Path) -> None:
        """Let it all happen in a new folder.

        Raises
        ------
        Violation
            A promise was broken; the message tells how to see it again.
        """
        with disk_at(folder / "runs") as disk:
            beamline = Beamline(folder, disk.folder, self.protocol)
            with ExitStack() as leaving:
                leaving.callback(beamline.close)
                beamline.open()
                _Rounds(self, beamline, disk, leaving).all()


class _Rounds:
    def __init__(self, night: Night, beamline: Beamline, disk: Disk, leaving: ExitStack) -> None:
        self._night = night
        self._beamline = beamline
        self._disk = disk
        self._leaving = leaving
        self._lasting: ExitStack
        self._reader: SwmrReader
        self._begin()

    def all(self) -> None:
        for number, fault in enumerate(self._night.faults, start=self._night.first_round):
            try:
                self._round(number, fault)
            except Violation as error:
                raise Violation(f"round {number} of seed {self._night.seed}, {fault.kind}: {error}") from error
        stopped_ns = time.time_ns()
        stop_daemon(self._scene(random.Random(self._night.seed)), signal.SIGTERM)
        self._end(stopped_ns)

    def _round(self, number: int, fault: Fault) -> None:
        chance = random.Random(f"{self._night.seed}/{number}")
        beamline = self._beamline
        if number % LASTING_ROUNDS == 0:
            self._let_go()
        time.sleep(chance.uniform(0.0, 0.5))
        beamline.require_alive()
        beamline.may_end = False
        began_ns = time.time_ns()
        well_ns = fault.act(self._scene(chance))
        if fault.ends_run:
            self._end(began_ns)
            beamline.begin_run()
        recovered_ns = beamline.wait_taken(well_ns)
        if fault.ends_run:
            self._begin()
        if number % NEWCOMER_EVERY == 0:
            check_newcomer(beamline)
        check_recovered(beamline)
        took_s = (recovered_ns - well_ns) / NS_PER_S
        self._night.tally.recoveries_s[fault.kind].append(took_s)
        self._night.tell(f"round {number}: {fault.kind}, {beamline.protocol}, well again after {took_s:.2f} s")

    def _scene(self, chance: random.Random) -> Scene:
        return Scene(self._beamline, self._disk, chance, self._lasting)

    def _begin(self) -> None:
        self._beamline.wait_until(lambda: len(self._beamline.listener.frames) >= FIRST_FRAMES, "the first frames")
        self._beamline.hears(time.time_ns())
        self._reader = SwmrReader(self._beamline.output)
        self._leaving.callback(self._reader.abandon)
        self._lasting = ExitStack()
        self._leaving.callback(self._lasting.close)

    def _let_go(self) -> None:
        self._lasting.close()
        self._lasting = ExitStack()
        self._leaving.callback(self._lasting.close)

    def _end(self, stopped_ns: int) -> None:
        """The run is over: hold it against the truth, and count it."""
        self._let_go()
        tally, beamline = self._night.tally, self._beamline
        tally.account.add(check_ended(beamline, stopped_ns=stopped_ns))
        tally.published += len(beamline.listener.frames)
        tally.runs += 1
        tally.starts += beamline.starts
        beamline.starts = 0
        self._reader.close()
        beamline.listener.close()


def faults_for(seed: int, rounds: int, *, kind: str = "") -> list[Fault]:
    """A fault for each round, by the weights of their kinds; with `kind` only those whose name has it."""
    chance, faults = random.Random(seed), [fault for fault in FAULTS if kind in fault.kind]
    return chance.choices(faults, weights=[fault.weight for fault in faults], k=rounds)

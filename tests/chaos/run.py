"""``make chaos``: kills and faults at random moments, nonsense on every way in, nights of the ledger, from a seed.

Ends with 0 when every promise held, else with 1 and the seed and round that broke one.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

from chaos.fuzz import fuzz, fuzz_table
from chaos.fuzz_targets import BURST, SOCKETS, TARGETS
from chaos.ledger_nights import ledger_nights
from chaos.night import Night, faults_for
from chaos.rush import CONNECTIONS, rush
from chaos.table import Tally, table_of
from chaos.violations import Violation

ROUNDS_A_BEAMLINE = 50
CHANNEL_ACCESS_EVERY = 4
MESSAGES = 100_000
LEDGER_NIGHTS = 500


def main(arguments: list[str]) -> int:
    """Run it; return the exit code."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally, begun_s, complaint = Tally(), time.monotonic(), ""
    print(f"chaos with seed {options.seed}, {options.rounds} rounds", flush=True)
    try:
        _rounds(options, tally)
        print(f"{tally.rounds} rounds in {time.monotonic() - begun_s:.0f} s", flush=True)
        _crowds(options)
        _nonsense(options)
        ledger_nights(options.seed, nights=options.ledger_nights, tell=_say)
    except Violation as error:
        complaint = str(error)
    except KeyboardInterrupt:
        complaint = "stopped by hand"
    print(table_of(tally))
    print(f"{time.monotonic() - begun_s:.0f} s in all")
    if complaint:
        print(f"FAILED {complaint}")
        print(f"again: make chaos SEED={options.seed} ROUNDS={options.rounds}")
    return int(bool(complaint))


def _rounds(options: argparse.Namespace, tally: Tally) -> None:
    faults = faults_for(options.seed, options.rounds, kind=options.kind)
    for block, first in enumerate(range(0, len(faults), ROUNDS_A_BEAMLINE), start=1):
        part = faults[first : first + ROUNDS_A_BEAMLINE]
        protocol = options.protocol or ("ca" if block % CHANNEL_ACCESS_EVERY == 0 else "pva")
        with tempfile.TemporaryDirectory(prefix="ringwatch-chaos-", dir=options.folder) as folder:
            night = Night(options.seed, first, part, protocol, tally, tell=_say)
            night.go_through(Path(folder))


def _crowds(options: argparse.Namespace) -> None:
    if options.connections:
        with tempfile.TemporaryDirectory(prefix="ringwatch-chaos-", dir=options.folder) as folder:
            _say(rush(Path(folder), connections=options.connections))


def _nonsense(options: argparse.Namespace) -> None:
    if options.messages:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.disable()  # the words of libraries on a hundred thousand broken files
            outcomes = fuzz(TARGETS, seed=options.seed, messages=options.messages)
            outcomes += fuzz([SOCKETS], seed=options.seed, messages=max(1, options.messages // (100 * BURST)))
        logging.disable(logging.NOTSET)
        _say(fuzz_table(outcomes))


def _say(text: str) -> None:
    print(text, flush=True)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "little"))
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--protocol", choices=("pva", "ca"), help="all the time; by default Channel Access a quarter of it"
    )
    parser.add_argument("--kind", default="", help="only faults whose name has this")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="connections at once; 0 for none")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="of nonsense; 0 for none")
    parser.add_argument("--ledger-nights", type=int, default=LEDGER_NIGHTS, help="of the ledger alone, in made-up time")
    parser.add_argument("--folder", type=Path, help="where the runs are written for the time being")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

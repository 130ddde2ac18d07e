"""What a frame costs after a million others, and what memory a run has after a hundred thousand."""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.long_runs import lengthened, write_cut_off_run
from benchmarks.measuring import Ratio, Report, Timing, medians
from fakes import records
from ringwatch_daemon.sinks.nexus import NexusFile

SOAKED, FIRST = 100_000, 1_000
FEW, MANY = 1_000, 1_000_000
BINS = 64
BATCHES = (1, 8, 64)
REPEATS = 20
"""Batches in one timed call, since a single one is too short for the clock of a busy machine."""


def measure(rounds: int) -> Report:
    """The figures of a long run; takes some minutes."""
    resident = soaked(SOAKED, FIRST)
    with tempfile.TemporaryDirectory(prefix="ringwatch-long-") as folder:
        opened, timings = _cost_of_rows(Path(folder), rounds)
    mega = 2**20
    ratios = [
        Ratio(
            f"resident memory after {SOAKED} frames ({resident[SOAKED] / mega:.1f} MiB) over that after {FIRST}",
            resident[SOAKED] / resident[FIRST],
            at_most=1.02,
        )
    ]
    for batch in BATCHES:
        few, many = (timings[_name(rows, batch)].median_s for rows in (FEW, MANY))
        ratios.append(
            Ratio(f"cost of a frame at {MANY} rows over that at {FEW}, flushed by {batch}", many / few, at_most=1.05)
        )
    return Report("a long run", (*timings.values(), *opened), tuple(ratios))


def soaked(frames: int, first: int) -> dict[int, int]:
    """Resident bytes of a process that carries out a run, by the frames it has behind it."""
    program = Path(__file__).with_name("soak.py")
    told = subprocess.run(
        [sys.executable, str(program), str(frames), str(first)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return {int(count): int(size) for count, size in map(str.split, told.splitlines())}


def _cost_of_rows(folder: Path, rounds: int) -> tuple[tuple[Timing, ...], dict[str, Timing]]:
    few = write_cut_off_run(folder / "few.h5", rows=FEW, bins=BINS)
    many = lengthened(few, folder / "many.h5", rows=MANY)
    opened, sinks = [], {}
    for rows, path in ((FEW, few), (MANY, many)):
        begin_s = time.perf_counter()
        sinks[rows] = NexusFile(path=path, resume=True, sync_s=float("inf"))
        sinks[rows].accept(records.run_start(bins=BINS))
        opened.append(Timing(f"to go on with {rows} rows", time.perf_counter() - begin_s))
    next_rows = {rows: itertools.count(rows) for rows in sinks}
    tasks = {
        _name(rows, batch): _writing(sink, next_rows[rows], batch) for batch in BATCHES for rows, sink in sinks.items()
    }
    timings = medians(tasks, rounds=rounds)
    for sink in sinks.values():
        sink.close()
    return tuple(opened), timings


def _writing(sink: NexusFile, rows: "itertools.count[int]", batch: int) -> Callable[[], None]:
    def write() -> None:
        for _ in range(REPEATS):
            for row in itertools.islice(rows, batch):
                sink.accept(records.frame_record(row, bins=BINS))
            sink.flush()

    return write


def _name(rows: int, batch: int) -> str:
    return f"{REPEATS} times {batch} frames at {rows} rows"

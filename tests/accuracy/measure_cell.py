"""How right the cell's side is: runs of 340 h with a wrong clock and two short circuits, held against their truth.

``make accuracy-cell`` ends with 1 when a figure misses what it must reach.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the machine
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from accuracy.cell_figures import (
    clock_figures,
    date_figures,
    measured_run,
    null_run_figures,
    short_circuit_figures,
    shorted,
    sound,
)
from accuracy.figures import Figure, table

PROCESSES = 2
NULL_SHARE = 4
CYCLERS = 20


def main() -> int:
    """Run all and print the table; 1 when a figure misses."""
    options = _options()
    began = time.monotonic()
    with ProcessPoolExecutor(PROCESSES) as pool:
        figures = _figures(pool, options)
    sys.stdout.write(f"{table(figures)}\n\n{time.monotonic() - began:.0f} s\n")
    return 0 if all(figure.met is not False for figure in figures) else 1


def _figures(pool: ProcessPoolExecutor, options: argparse.Namespace) -> list[Figure]:
    files = pool.submit(short_circuit_figures, range(CYCLERS))
    full = [shorted(seed, options.frames) for seed in options.seeds]
    null = [sound(1000 + seed, options.frames // NULL_SHARE) for seed in options.seeds]
    shorted_runs, null_runs = (list(pool.map(measured_run, scenarios)) for scenarios in (full, null))
    return [
        *clock_figures(shorted_runs),
        *date_figures(shorted_runs, full[0]),
        *null_run_figures(null_runs),
        *files.result(),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure clocks, onsets and short circuits on simulated runs.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--frames", type=int, default=2048, help="of each run; 2048 are one each ten minutes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

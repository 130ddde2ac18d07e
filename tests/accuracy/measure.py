"""How right the numbers are: simulated courses with every fault of a real detector, held against their truth.

``make accuracy`` ends with 1 when a figure misses what it must reach.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the machine
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from accuracy.courses import Course, run_course
from accuracy.figures import Figure, Measured, figures_of, null_figures, table
from accuracy.onset_figures import alpo4_figures, lioh_figures
from accuracy.single_fits import fit_figures, hump_figures
from ringwatch_simulators.scenario import Scenario, scenario_named

PROCESSES = 2
TILTS_RAD = ((0.0041, -0.0027), (0.012, 0.007), (-0.008, 0.015), (0.002, -0.02))
DARKS = 8


def main() -> int:
    """Run the courses and print the table; 1 when a figure misses."""
    options = _options()
    began = time.monotonic()
    scenarios = [accuracy_scenario(seed, options.frames) for seed in options.seeds]
    with ProcessPoolExecutor(PROCESSES) as pool:
        hump = pool.submit(hump_figures)
        courses = list(pool.map(_course, scenarios))
        figures = figures_of(joined(courses)) + onset_figures(courses) + hump.result()
    figures += [] if options.no_timing else fit_figures()
    frames = sum(course.time_h.size for course in courses)
    left_out = sum(course.unfitted for course in courses)
    chi_square = float(np.median(np.concatenate([course.chi_square for course in courses])))
    sys.stdout.write(table(figures) + "\n\n")
    sys.stdout.write(
        f"{frames} frames of {len(courses)} seeds fitted, {left_out} not; median chi-square {chi_square:.2f}; "
        f"{time.monotonic() - began:.0f} s\n"
    )
    return 0 if all(figure.met is not False for figure in figures) else 1


def accuracy_scenario(seed: int, lights: int) -> Scenario:
    """The full course of a seed, with a tilt of its own."""
    scenario = scenario_named("full", seed=seed, tilt_rad=TILTS_RAD[seed % len(TILTS_RAD)])
    series = max(0, lights - 1) // scenario.dark_every
    return replace(scenario, frames=DARKS + lights + series * scenario.dark_series, darks=DARKS)


def joined(courses: list[Course]) -> dict[str, Measured]:
    """All courses' frames together."""
    names = courses[0].measured
    return {
        name: Measured(
            *(
                np.concatenate([getattr(course.measured[name], part) for course in courses])
                for part in ("value", "sigma", "truth")
            )
        )
        for name in names
    }


def onset_figures(courses: list[Course]) -> list[Figure]:
    """Alarms, dates and what z does before."""
    together = joined(courses)
    null = null_figures("LiOH", together["lioh"]) + null_figures("AlPO4", together["alpo4"])
    return [*lioh_figures(courses), *alpo4_figures(courses), *null]


def _course(scenario: Scenario) -> Course:
    with tempfile.TemporaryDirectory() as folder:
        return run_course(scenario, Path(folder))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure bias, scatter and coverage on simulated courses.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--frames", type=int, default=340, help="light frames of each seed; 340 are one an hour")
    parser.add_argument("--no-timing", action="store_true", help="leave out how long a fit takes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""How right the numbers are: simulated courses with every fault of a real detector, held against their truth.

``make accuracy`` ends with 1 when a figure misses what it must reach. Each seed has its own tilt and displacement.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the machine
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from accuracy.courses import Course, run_course
from accuracy.empty_cell import hump_figures, with_empty_cell, with_faint_hump
from accuracy.figures import Figure, Measured, figures_of, honest_figures, null_figures, table
from accuracy.onset_figures import alarm_figures, null_run_figures
from accuracy.single_fits import fit_figures
from ringwatch_simulators.scenario import Scenario, scenario_named

PROCESSES = 2
TILTS_RAD = ((0.0041, -0.0027), (0.012, 0.007), (-0.008, 0.015), (0.002, -0.02))
DISPLACEMENTS_M = (1e-4, -2e-4, 3e-4, 0.0)
DARKS = 8
FAINT_LIGHT, FAINT_FRAMES = 0.01, 240
HUMP_FROM_H, HUMP_A_H = 205.0, 2


def main() -> int:
    """Run the courses and print the table; 1 when a figure misses."""
    options = _options()
    began = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = {
            name: [pool.submit(job, seed, options.frames) for seed in seeds]
            for name, job, seeds in (
                ("full", full_course, options.seeds),
                ("hump", hump_course, options.seeds[:2]),
                ("null", null_course, options.seeds[:1]),
                ("faint", faint_course, options.seeds[:2]),
            )
        }
        courses = {name: [job.result() for job in listed] for name, listed in jobs.items()}
    figures = all_figures(courses) + ([] if options.no_timing else fit_figures())
    sys.stdout.write(table(figures) + "\n\n" + _summary(courses, time.monotonic() - began))
    return 0 if all(figure.met is not False for figure in figures) else 1


def all_figures(courses: dict[str, list[Course]]) -> list[Figure]:
    """Every row of the table but those of single fits."""
    full, null = joined(courses["full"]), joined(courses["null"])
    faint, hump = joined(courses["faint"]), joined(courses["hump"])
    return [
        *figures_of(full),
        *alarm_figures(courses["full"], "lioh", within_h=6.0, dated_to_h=3.0),
        *alarm_figures(courses["full"], "alpo4", within_h=20.0, dated_to_h=None),
        *alarm_figures(courses["hump"], "hump", within_h=20.0, dated_to_h=None),
        *hump_figures(hump["hump"]),
        *null_figures("LiOH", full, "lioh"),
        *null_figures("AlPO4", full, "alpo4"),
        *null_figures("hump, in runs without it", null, "hump"),
        *(figure for name in ("lioh", "alpo4", "hump") for figure in null_run_figures(courses["null"], name)),
        *honest_figures("counts / 100, a", faint["a"]),
        *honest_figures("counts / 100, size", faint["size"]),
        *honest_figures("counts / 100, Li (110)", faint["110"]),
        *honest_figures("counts / 100, LiOH", faint["lioh"]),
    ]


def full_course(seed: int, lights: int) -> Course:
    """340 h, a frame an hour."""
    return _run(accuracy_scenario(seed, lights))


def null_course(seed: int, lights: int) -> Course:
    """A cell in which nothing new appears, before the background of an empty one."""
    scenario = accuracy_scenario(1000 + seed, lights)
    nothing = replace(scenario.cell, lioh_share=0.0, alpo4_share=0.0, hump_counts=0.0)
    return _run(replace(scenario, cell=nothing), empty_cell=True)


def hump_course(seed: int, lights: int) -> Course:
    """The later part of a cell whose hump stays faint, before the background of an empty one."""
    return _run(with_faint_hump(accuracy_scenario(2000 + seed, HUMP_A_H * lights)), empty_cell=True, from_h=HUMP_FROM_H)


def faint_course(seed: int, lights: int) -> Course:
    """A hundredth of the counts; as much light in the calibrant and as many struck pixels as ever."""
    scenario = accuracy_scenario(3000 + seed, min(lights, FAINT_FRAMES))
    return _run(replace(scenario, cell=scenario.cell.with_light(FAINT_LIGHT)))


def accuracy_scenario(seed: int, lights: int) -> Scenario:
    """The full course of a seed, with a tilt and a displacement of its own."""
    scenario = scenario_named("full", seed=seed, tilt_rad=TILTS_RAD[seed % len(TILTS_RAD)])
    series = max(0, lights - 1) // scenario.dark_every
    return replace(
        scenario,
        detector=replace(scenario.detector, displacement_m=DISPLACEMENTS_M[seed % len(DISPLACEMENTS_M)]),
        frames=DARKS + lights + series * scenario.dark_series,
        darks=DARKS,
    )


def joined(courses: list[Course]) -> dict[str, Measured]:
    """All courses' frames together."""
    return {
        name: Measured(
            *(
                np.concatenate([getattr(course.measured[name], part) for course in courses])
                for part in ("value", "sigma", "truth")
            )
        )
        for name in courses[0].measured
    }


def _run(scenario: Scenario, *, empty_cell: bool = False, from_h: float = 0.0) -> Course:
    with tempfile.TemporaryDirectory() as folder:
        if not empty_cell:
            return run_course(scenario, Path(folder), from_h=from_h)
        return run_course(scenario, Path(folder), prepared=partial(with_empty_cell, scenario=scenario), from_h=from_h)


def _summary(courses: dict[str, list[Course]], seconds: float) -> str:
    listed = [course for group in courses.values() for course in group]
    frames, left_out = sum(course.time_h.size for course in listed), sum(course.unfitted for course in listed)
    chi_square = float(np.median(np.concatenate([course.chi_square for course in courses["full"]])))
    return (
        f"{frames} frames of {len(listed)} runs fitted, {left_out} not; median chi-square {chi_square:.2f}; "
        f"{seconds:.0f} s\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure bias, scatter and coverage on simulated courses.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--frames", type=int, default=340, help="light frames of each seed; 340 are one an hour")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="runs side by side")
    parser.add_argument("--no-timing", action="store_true", help="leave out how long a fit takes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

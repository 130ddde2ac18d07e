"""Speed as ratios within one run: ``make bench``. A subject is a file with a function ``measure(rounds)``."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import fit_speed, integration_speed, live_speed, memory, reprocess_speed
from benchmarks.measuring import table

SUBJECTS = {
    "integration": integration_speed.measure,
    "fit": fit_speed.measure,
    "live": live_speed.measure,
    "reprocess": reprocess_speed.measure,
    "memory": memory.measure,
}


def main() -> int:
    """Print a table for each subject; 1 when something asked for is missed."""
    parser = argparse.ArgumentParser(description="Measure speed as ratios within one run.")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of a few calls each; the median counts")
    arguments = parser.parse_args()
    unknown = set(arguments.subjects) - set(SUBJECTS)
    if unknown or arguments.rounds < 1:
        parser.error(f"subjects among {', '.join(SUBJECTS)} and one round or more were expected")
    reports = [SUBJECTS[name](arguments.rounds) for name in arguments.subjects or SUBJECTS]
    sys.stdout.write("\n\n".join(table(report) for report in reports) + "\n")
    return 0 if all(ratio.met for report in reports for ratio in report.ratios) else 1


if __name__ == "__main__":
    sys.exit(main())

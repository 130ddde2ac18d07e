"""A run held against the truth that its simulator wrote."""

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

FloatArray = NDArray[np.float64]
SIGMAS = 3.0
LEAST_SHARE = 0.95
COMPARED = (
    ("Li (110)/(200)", "li/ratio", "ratio", ""),
    ("LAGP a", "lagp/a", "a_A", "angstrom"),
    ("LAGP c", "lagp/c", "c_A", "angstrom"),
)
REPORTED = (
    *COMPARED,
    ("LAGP size", "lagp/size_nm", "size_nm", "nm"),
    ("Li (110)", "li/area_110", "area_110", ""),
    ("LiOH", "lioh/amount", "lioh_area", ""),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity over all fitted frames.

    Parameters
    ----------
    pulls
        (fits,) measured minus true, in stated sigmas.
    bias_percent
        Median of measured minus true over the median truth.
    """

    name: str
    first: str
    last: str
    pulls: FloatArray
    bias_percent: float

    @property
    def spread(self) -> float:
        """Standard deviation of the pulls, NaN where there are none."""
        return float(self.pulls.std()) if self.pulls.size else float("nan")

    @property
    def share_within(self) -> float:
        """Share of the frames that agree with the truth within three sigma."""
        return float(np.mean(np.abs(self.pulls) < SIGMAS)) if self.pulls.size else 0.0


def print_verdict(output: Path, truth: Path, *, console: Console) -> bool:
    """Say what the file holds and whether it agrees with the truth.

    Returns
    -------
    bool
        Ratio and lattice agree within three sigma on at least 95 % of the frames that can be compared.
    """
    true_frames = [line for line in map(json.loads, truth.read_text().splitlines()) if not line["dark"]]
    with h5py.File(output) as file:
        comparisons = {name: _compare(file, true_frames, name, path, key) for name, path, key, _ in REPORTED}
        totals = {
            name: int(file[f"entry/ledger/{name}"][()]) for name in ("announced", "processed", "rejected", "lost")
        }
        events = [text.decode() for text in file["entry/events/text"][()]]
    table = Table(
        "quantity", "at the start", "at the end", "within 3 sigma", "sd of pulls", "bias", title="against the truth"
    )
    for name, _, _, unit in REPORTED:
        one = comparisons[name]
        label = f"{name} / {unit}" if unit else name
        table.add_row(
            label,
            one.first,
            one.last,
            f"{one.share_within:.0%}",
            f"{one.spread:.2f}",
            f"{one.bias_percent:+.4f} %",
        )
    console.print(table)
    console.print(", ".join(f"{count} {name}" for name, count in totals.items()) + f"; {len(events)} events")
    console.print(f"file: {output}", soft_wrap=True, highlight=False)
    return all(comparisons[name].share_within >= LEAST_SHARE for name, *_ in COMPARED)


def _compare(file: h5py.File, true_frames: list[dict[str, float]], name: str, path: str, key: str) -> Comparison:
    true = {int(frame["unique_id"]): frame[key] for frame in true_frames}
    unique_id = file["entry/frames/unique_id"][()]
    value, sigma = file[f"entry/tracking/{path}"][()], file[f"entry/tracking/{path}_errors"][()]
    rows = [row for row in range(len(unique_id)) if np.isfinite(sigma[row]) and int(unique_id[row]) in true]
    truths = np.array([true[int(unique_id[row])] for row in rows])
    if not rows:
        return Comparison(name, "-", "-", np.zeros(0), np.nan)
    difference = value[rows] - truths
    bias = 100 * float(np.median(difference) / np.median(truths)) if np.median(truths) else np.nan
    return Comparison(name, f"{value[rows[0]]:.5g}", f"{value[rows[-1]]:.5g}", difference / sigma[rows], bias)

"""A run held against the truth: it passes when its errors hold what they promise, and fails when they do not."""

import io
import json

import h5py
import numpy as np
import pytest
from rich.console import Console

from ringwatch_daemon.verdict import COMPARED, REPORTED, print_verdict

FRAMES = 40
TRUE = {"ratio": 6.0, "a_A": 8.257, "c_A": 20.632, "size_nm": 80.0, "area_110": 5.0, "lioh_area": 1.0}
SIGMA = {key: 0.01 * value for key, value in TRUE.items()}


def written(folder, *, fitted=FRAMES, shift_in_sigmas=0.0):
    """A run whose values scatter around the truth as their sigmas say, and the truth."""
    noise = np.random.default_rng(5)
    with h5py.File(folder / "run.h5", "w") as file:
        for name, count in {"announced": FRAMES, "processed": fitted, "rejected": 0, "lost": FRAMES - fitted}.items():
            file[f"entry/ledger/{name}"] = count
        file["entry/events/text"] = np.array([b"one frame lost"])
        file["entry/frames/unique_id"] = np.arange(1, FRAMES + 1)
        for _, path, key, _ in REPORTED:
            sigma = np.where(np.arange(FRAMES) < fitted, SIGMA[key], np.nan)
            file[f"entry/tracking/{path}"] = TRUE[key] + sigma * (noise.standard_normal(FRAMES) + shift_in_sigmas)
            file[f"entry/tracking/{path}_errors"] = sigma
    lines = [json.dumps({"unique_id": number, "dark": False, **TRUE}) for number in range(1, FRAMES + 1)]
    (folder / "truth.jsonl").write_text("\n".join(lines))
    return folder / "run.h5", folder / "truth.jsonl"


def verdict(*paths) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=160)
    return print_verdict(*paths, console=console), console.file.getvalue()


def test_a_run_that_agrees_with_the_truth_passes(tmp_path):
    passed, text = verdict(*written(tmp_path))
    assert passed
    assert f"{FRAMES} announced, {FRAMES} processed, 0 rejected, 0 lost; 1 events" in text
    for name, *_ in COMPARED:
        assert name in text


@pytest.mark.parametrize("shift", [-5.0, 5.0])
def test_a_run_that_is_off_by_more_than_it_says_fails(tmp_path, shift):
    assert not verdict(*written(tmp_path, shift_in_sigmas=shift))[0]


def test_frames_that_were_not_fitted_are_not_compared(tmp_path):
    assert verdict(*written(tmp_path, fitted=FRAMES // 2))[0]


def test_a_run_without_a_fit_fails(tmp_path):
    assert not verdict(*written(tmp_path, fitted=0))[0]

"""Whole simulated runs of a cell with its cycler, through the daemon's own stages into the file of a run."""

import json
import threading
from dataclasses import replace
from pathlib import Path

from accuracy.courses import START_NS, live_frame
from ringwatch_daemon.app import carry_out
from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.examples import CONFIGURATION, example_folder
from ringwatch_daemon.settings_file import load_settings
from ringwatch_simulators.cycler import Cycler
from ringwatch_simulators.scenario import Scenario, SyntheticFrames, write_beamline_files, write_truth

RUN, TRUTH, CYCLER = "run.h5", "truth.jsonl", "cycler.csv"


class SyntheticSource:
    """The frames of a scenario as a source of the daemon, as fast as they are taken."""

    def __init__(self, frames: SyntheticFrames) -> None:
        self._frames = frames

    def run(self, intake, stop) -> None:
        """Hand every frame over."""
        for index in range(len(self._frames)):
            if stop.is_set():
                return
            intake.frame(live_frame(self._frames, index))


def write_run(scenario: Scenario, folder: Path, *, cycler: str = "", burn_in_frames: int = 40) -> Path:
    """Simulate a run and analyse it; return its file, with the truth beside it.

    Parameters
    ----------
    cycler
        Further settings of the cycler, as TOML.
    burn_in_frames
        Frames on which the onsets learn their noise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames = SyntheticFrames(scenario, START_NS)
    write_truth(folder / TRUTH, frames)
    _write_cycler(scenario, frames, folder / CYCLER)
    configuration = _configuration(folder, frames, cycler, burn_in_frames)
    plan = RunPlan(
        settings=load_settings(configuration),
        configuration=configuration.read_text(encoding="utf-8"),
        source=SyntheticSource(frames),
        overflow=Overflow.WAIT,
        output=folder / RUN,
        overwrite=True,
        publish=False,
    )
    carry_out(plan, stop=threading.Event())
    return folder / RUN


def light_truths(folder: Path) -> list[dict[str, object]]:
    """What is true of every frame with beam."""
    lines = (folder / TRUTH).read_text(encoding="utf-8").splitlines()
    return [truth for truth in map(json.loads, lines) if not truth["dark"]]


def _write_cycler(scenario: Scenario, frames: SyntheticFrames, path: Path) -> None:
    options = replace(scenario.cycler, path=path, seed=scenario.seed)
    begin_ns = frames.end_ns(0) - 3600 * 10**9
    cycler = Cycler(frames.model, start_ns=START_NS, begin_ns=begin_ns, options=options)
    cycler.advance(frames.end_ns(len(frames) - 1) + 3600 * 10**9)


def _configuration(folder: Path, frames: SyntheticFrames, cycler: str, burn_in_frames: int) -> Path:
    """The example beamline in front of the simulated detector, with its cycler's file."""
    write_beamline_files(folder, frames)
    text = (example_folder() / CONFIGURATION).read_text(encoding="utf-8")
    for old, new in (
        ("[onset] ", f"[onset]\nburn_in_frames = {burn_in_frames} "),
        ('"mask.edf.gz"', '"mask.edf"'),
        ("background_terms = 10 ", "background_terms = 24 "),
        ('background_file = "empty_cell.xy"', ""),
        ('file = "cycler.csv"', f'file = "{CYCLER}"\n{cycler}'),
    ):
        assert old in text
        text = text.replace(old, new)
    # Free terms of the background make a broad hump themselves.
    start, end = text.index("[fit.hump]"), text.index("[onset]")
    path = folder / CONFIGURATION
    path.write_text(text[:start] + text[end:], encoding="utf-8")
    return path

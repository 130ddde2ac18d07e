"""A whole simulated run: data time that has passed, truth beside the frames, a cycler that keeps up."""

import csv
import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime

import fabio
import numpy as np
import pytest

from fakes.ioc import run_client, running_ioc
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.scenario import SCENARIOS, Scenario, SyntheticFrames, scenario_named, start_ns_for
from ringwatch_simulators.supply import Exposure


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_frame_of_a_run_lies_in_the_future(name):
    scenario = scenario_named(name)
    now_ns = time.time_ns()
    start_ns = start_ns_for(scenario, now_ns)
    last_ns = start_ns + int(((scenario.frames - 1 - scenario.darks) * scenario.cadence_s + scenario.exposure_s) * 1e9)
    assert now_ns - 1.01e9 * scenario.cadence_s < last_ns < now_ns
    assert scenario.frames * scenario.cadence_s / scenario.default_speed == pytest.approx(scenario.wall_s)


def test_the_course_takes_its_whole_length_however_many_frames_show_it():
    for count in (12, 40):
        frames = SyntheticFrames(scenario_named("small", frames=count), 0)
        truths = list(frames.truths())
        lights = [truth for truth in truths if not truth.dark]
        assert len(truths) == count
        assert 0.0 < lights[0].cell.time_h < 0.1
        assert 340.0 * (1 - 1.1 / len(lights)) < lights[-1].cell.time_h < 340.0
        assert {truth.dark for truth in truths[: count - len(lights)]} == {True}


def test_unknown_scenarios_and_runs_of_darks_only_are_refused():
    with pytest.raises(ScenarioError, match="lagp-demo"):
        scenario_named("nonsense")
    with pytest.raises(ScenarioError, match="more frames than"):
        Scenario("darks", scenario_named("small").detector, frames=3, darks=3)


def test_a_longer_exposure_collects_more_light_and_a_closed_shutter_none():
    frames = SyntheticFrames(scenario_named("small"), 0)
    once, twice = (frames.light(Exposure(9, seconds)) for seconds in (60.0, 120.0))
    np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-5)
    dark = frames.frame(Exposure(9, 60.0, dark=1))
    good = frames.renderer.mask() == 0
    pedestal = frames.renderer.pedestal.reshape(dark.image.shape)
    assert dark.shutter_closed
    assert (dark.image[good] - pedestal[good]).mean() == pytest.approx(0.0, abs=0.1)


def test_the_command_files_writes_geometry_mask_and_truth(tmp_path):
    command = [sys.executable, "-m", "ringwatch_simulators", "files", "--scenario", "small", "-o", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    header = json.loads((tmp_path / "truth_header.json").read_text())
    mask = fabio.open(str(tmp_path / "mask.edf")).data
    assert mask.shape == tuple(header["scenario"]["detector"]["shape"])
    assert 0.0 < mask.mean() < 0.05
    assert "Distance: 1.6\n" in (tmp_path / "geometry.poni").read_text()


def test_a_wrong_argument_ends_the_command_with_one_sentence():
    command = [sys.executable, "-m", "ringwatch_simulators", "ioc", "--fault", "explode@1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "explode@1" in done.stderr


@pytest.mark.sockets
def test_frames_truth_and_cycler_of_a_served_run_belong_together(tmp_path):
    script = """
from p4p.client.thread import Context
import epics
context = Context("pva", nt=False)
got = []
def event(value):
    if value.dimension:
        stamp = value.timeStamp.secondsPastEpoch * 10**9 + value.timeStamp.nanoseconds
        got.append([value.uniqueId, stamp, {one.name: one.value for one in value.attribute}])
watch = context.monitor(P + "Pva1:Image", event, request="field()record[queueSize=64]")
context.get(P + "Pva1:Image", timeout=20.0)
assert epics.caput(P + "cam1:Acquire", 1, wait=True, timeout=40.0) == 1
end = time.monotonic() + 10
while len(got) < 8 and time.monotonic() < end:
    time.sleep(0.02)
voltage = epics.PV("CYC1:Voltage", form="time")
print(json.dumps({"got": got, "voltage": voltage.get(timeout=10.0), "stamp": voltage.timestamp}))
"""
    truth_file, cycler_file = tmp_path / "truth.jsonl", tmp_path / "cell.csv"
    arguments = ("--scenario", "small", "--count", "8", "--rate", "4")
    outputs = ("--truth", str(truth_file), "--cycler-csv", str(cycler_file), "--cycler-sample-s", "3600")
    with running_ioc("--start-paused", *arguments, *outputs) as ioc:
        seen = run_client(ioc, script)
        assert ioc.terminate() == 0
    truths = [json.loads(line) for line in truth_file.read_text().splitlines()]
    half_exposure_ns = 30 * 10**9
    assert [[one[0], one[1] - half_exposure_ns] for one in seen["got"]] == [
        [truth["unique_id"], truth["timestamp_ns"]] for truth in truths
    ]
    for (_, _, attributes), truth in zip(seen["got"], truths, strict=True):
        assert attributes["ShutterClosed"] == int(truth["dark"])
        assert attributes["IonChamber"] == (0.0 if truth["dark"] else truth["monitor"])
    with cycler_file.open() as file:
        rows = list(csv.DictReader(file))
    stamps = [datetime.fromisoformat(row["time"]).timestamp() for row in rows]
    assert stamps[0] < truths[0]["timestamp_ns"] / 1e9
    assert truths[-1]["timestamp_ns"] / 1e9 < stamps[-1] <= time.time()
    assert abs(seen["voltage"]) > 0.05
    assert stamps[0] < seen["stamp"] <= time.time()


def test_darks_are_taken_again_in_the_course_of_a_run():
    scenario = replace(scenario_named("small", frames=22), darks=2, dark_every=6, dark_series=3)
    frames = SyntheticFrames(scenario, 0)
    assert [index for index in range(len(frames)) if frames.truth(index).dark] == [0, 1, 8, 9, 10, 17, 18, 19]
    series = [frames.frame(Exposure(index, 60.0)) for index in (8, 11)]
    assert [supplied.shutter_closed for supplied in series] == [True, False]
    assert series[0].image.mean() < series[1].image.mean()

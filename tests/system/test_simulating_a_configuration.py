"""`serve CONFIG` beside `simulate CONFIG`: a beamline of somebody's own, and its truth found again."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from fakes.ioc import running_ioc
from fakes.service import PROGRAM, assert_whole, serving, texts, wait_until

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

FRAMES = 13
PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 0.000172, "pixel2": 0.000172, "max_shape": [600, 500], "orientation": 1}
Distance: 0.3
Poni1: 0.021
Poni2: -0.004
Rot1: 0.0524
Rot2: -0.011
Rot3: 0.7
Wavelength: 1.665e-11
"""
LAB6 = """data_LaB6
_cell_length_a 4.1569
_cell_length_b 4.1569
_cell_length_c 4.1569
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
La 0 0 0
B 0.1996 0.5 0.5
"""
CONFIGURATION = """[run]
directory = "runs"
[detector]
protocol = "ca"
prefix = "OWN:"
camera = "cam:"
ca_image = "std1:"
pva_image = "pva7:Image"
saturation_counts = 200000
gain_counts = 2.0
read_noise_counts = 3.0
[detector.monitor]
attribute = "I0"
reference = 4.0e5
[detector.pvs]
I0 = "OWN:I0"
[geometry]
poni = "own.poni"
ring_test = "ni"
[dark]
files = ["dark.npy"]
exposure_s = 5.0
[binning]
bins = 900
two_theta_min_deg = 2.0
two_theta_max_deg = 17.0
[fit]
background_terms = 20
[fit.instrument]
w_deg2 = 1.6e-3
u_deg2 = 4.0e-3
[[phases]]
name = "ni"
role = "free"
space_group = "F m -3 m"
lattice = { a_A = 3.5238 }
sites = [{ element = "Ni", x = 0.0, y = 0.0, z = 0.0 }]
[[phases]]
name = "lab6"
role = "free"
cif = "lab6.cif"
[cycler]
kind = "csv"
file = "own cycler.csv"
[cycler.table]
time = { column = "Zeit", pattern = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin" }
voltage = { column = "Ewe", unit = "mV" }
current = { column = "I", unit = "uA" }
cycle = "Zyklus"
separator = ";"
decimal = ","
header_line = 3
[stream]
enabled = false
[result_pvs]
prefix = "OWN:RW:"
"""


def write_beamline(folder: Path, text: str = CONFIGURATION) -> Path:
    (folder / "own.poni").write_text(PONI)
    (folder / "lab6.cif").write_text(LAB6)
    np.save(folder / "dark.npy", np.full((600, 500), 40.0 + np.arange(500) % 7, np.float32))
    (folder / "own.toml").write_text(text)
    return folder / "own.toml"


def newest_lattice_A(path: Path) -> float:
    with h5py.File(path) as file:
        return float(file["entry/tracking/ni/a"][FRAMES - 1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The file of a run, what was true of it, its folder, and the lattice that its PV told last."""
    folder = tmp_path_factory.mktemp("own")
    configuration = write_beamline(folder)
    program = (*PROGRAM, "simulate", str(configuration))
    paused = ("--start-paused", "--count", str(FRAMES), "--rate", "4", "--exit-with-parent")
    output = folder / "run.h5"
    with (
        running_ioc(*paused, prefix="OWN:", program=program) as ioc,
        serving(configuration, output, ioc.epics) as daemon,
    ):
        daemon.wait_heard("STATUS=connected")
        ioc.put("cam:Acquire", 1)
        daemon.wait_rows(lambda ids: ids.size == FRAMES, "all frames")
        wait_until(lambda: float(ioc.get("RW:Ni:A")) == newest_lattice_A(output), "the newest lattice as a PV")
        told_A = float(ioc.get("RW:Ni:A"))
        assert daemon.stop() == 0, daemon.log
    truth = (folder / "runs" / "run-simulated.truth.jsonl").read_text().splitlines()
    return output, [json.loads(line) for line in truth], folder, told_A


def test_frames_of_the_own_detector_come_under_its_own_names_and_are_all_used(run):
    output, truth, *_ = run
    assert len(truth) == FRAMES
    assert_whole(output)
    with h5py.File(output) as file:
        assert set(file["entry/frames/state"][()]) == {b"PROCESSED"}
        assert set(file["entry/frames/reason"][()]) == {b""}
        assert set(file["entry/tracking/fit_state"][()]) == {b"CONVERGED"}
        told = np.array([one["monitor"] for one in truth])
        np.testing.assert_allclose(file["entry/frames/monitor"][()], 4.0e5 * told, rtol=1e-9)
        chi_square = file["entry/tracking/chi_square"][()]
    assert 0.85 < np.median(chi_square) < 1.25


def test_the_rings_lie_where_the_own_calibration_puts_them(run):
    output, *_ = run
    (verdict,) = [
        text for kind, text in zip(texts(output, "kind"), texts(output, "text"), strict=True) if "RING" in kind
    ]
    assert "passed" in verdict


@pytest.mark.parametrize("phase", ["ni", "lab6"])
def test_the_lattice_of_each_own_phase_is_found_again_within_its_errors(run, phase):
    output, truth, *_ = run
    with h5py.File(output) as file:
        tracked = file[f"entry/tracking/{phase}"]
        a_A, sigma_A = tracked["a"][()], tracked["a_errors"][()]
    true_A = np.array([one["phases"][phase]["a_A"] for one in truth])
    pulls = (a_A - true_A) / sigma_A
    assert np.all(np.abs(pulls) < 4.5)
    assert abs(pulls.mean()) < 1.5
    assert np.median(sigma_A / a_A) < 3e-5
    # It is not what the configuration says: nobody knows a lattice beforehand.
    assert np.all(np.abs(true_A / {"ni": 3.5238, "lab6": 4.1569}[phase] - 1.0) > 5 * sigma_A / a_A)


def test_the_newest_lattice_is_a_pv_beside_those_of_the_detector(run):
    output, *_, told_A = run
    with h5py.File(output) as file:
        assert told_A == file["entry/tracking/ni/a"][-1]


def test_the_own_table_of_the_cycler_is_understood(run):
    output, truth, folder, _ = run
    table = (folder / "own cycler.csv").read_bytes().decode("utf-8")
    assert table.splitlines()[2] == "Zeit;Ewe;I;Zyklus"
    with h5py.File(output) as file:
        seen = file["entry/cycling/at_frame"]
        state, current_A = seen["state"][()], seen["current_A"][()]
    known = state == b"KNOWN"
    assert known.sum() > FRAMES / 2
    true_A = np.array([one["current_A"] for one in truth])
    np.testing.assert_allclose(current_A[known], true_A[known], rtol=1e-6, atol=1e-12)

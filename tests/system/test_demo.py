"""The demonstration as whoever tries ringwatch first sees it."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from fakes.service import MARK, assert_whole, ringwatch, running_with

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

FRAMES = 16
PATHS = {
    "": "definition sample instrument reduction",
    "azint1d": "I I_errors radial_axis radial_axis_edges norm",
    "frames": "unique_id timestamp_ns received_ns exposure_s monitor state reason dark_index",
    "tracking": "fit_state chi_square",
    "tracking/lagp": "a a_errors c c_errors size_nm size_nm_errors strain strain_errors intensity_113",
    "tracking/lagp/peaks": "hkl two_theta two_theta_errors shift area area_errors fwhm",
    "tracking/li": "a area_110 area_110_errors area_200 area_200_errors area_211 ratio ratio_errors ratio_state",
    "tracking/lioh": "amount amount_errors z",
    "tracking/alpo4": "amount amount_errors z",
    "tracking/hump": "amplitude",
    "tracking/texture": "spot_fraction_110 smooth_110 a2_110",
    "cycling": "timestamp_ns voltage_V current_A cycle step charge_C",
    "cycling/at_frame": "voltage_V current_A current_density_mA_cm2 cycle half_cycle step areal_charge_mAh_cm2 state"
    " total_areal_charge_mAh_cm2 areal_throughput_mAh_cm2",
    "events": "timestamp_ns frame kind text sigma_h",
}
"""The contract of the file, schema 1: other programs read these."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple["subprocess.CompletedProcess[str]", Path]:
    """A short demonstration and its file."""
    folder = tmp_path_factory.mktemp("demo")
    done = ringwatch(
        "demo", "--frames", FRAMES, "--speed", 2e6, "--directory", folder,
        environment={"COLUMNS": "200", MARK: str(folder)},
    )  # fmt: skip
    assert running_with(str(folder)) == []
    (run,) = folder.glob("*.h5")
    return done, run


def test_the_exit_code_is_the_verdict_that_is_printed(demo):
    done, _ = demo
    shares = [
        int(share)
        for name in ("Li (110)/(200)", "LAGP a", "LAGP c")
        for share in re.findall(rf"{re.escape(name)}.*?(\d+)%", done.stdout)
    ]
    assert len(shares) == 3, done.stdout + done.stderr
    assert done.returncode == (0 if min(shares) >= 95 else 3), done.stdout
    assert f"{FRAMES} announced, {FRAMES} processed, 0 rejected, 0 lost" in done.stdout


def test_the_file_keeps_its_contract(demo):
    _, run = demo
    assert assert_whole(run)["processed"] == FRAMES
    with h5py.File(run) as file:
        assert file["entry/schema"][()] == 1
        missing = [f"{group}/{name}" for group, names in PATHS.items() for name in names.split()
                   if f"entry/{group}/{name}" not in file]  # fmt: skip
    assert missing == []


def test_nxvalidate_has_nothing_to_say_about_the_file(demo):
    _, run = demo
    command = [str(Path(sys.executable).with_name("nxvalidate")), "-a", "NXazint1d", str(run)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Total number of warnings: 0" in said
    assert "Total number of errors: 0" in said


def test_every_light_frame_was_fitted_and_knows_the_state_of_its_cell(demo):
    _, run = demo
    with h5py.File(run) as file:
        light = file["entry/frames/reason"][()] != b"DARK"
        assert set(file["entry/tracking/fit_state"][light]) == {b"CONVERGED"}
        assert set(file["entry/cycling/at_frame/state"][light]) == {b"KNOWN"}

"""A series of 1-D patterns and the cycler's own file, coupled by reprocessing."""

import threading
from io import StringIO

import h5py
import numpy as np
import pytest
from rich.console import Console

from ringwatch_daemon.checking import check
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.offline import reprocess

# Diffraction by the copper and the steel around the cell; the wavelength is an assumption that puts copper where it is.
CONFIGURATION = """
[files]
time_zone = "Europe/London"
[scan]
wavelength_A = 0.4959
sweep = "rising"
log.file = "{series}/Log/log_operando_coincell8_LDE2_reduced.csv"
[cycler]
kind = "file"
file = "{series}/Echem/cc8.ndax"
zone = "Europe/London"
[fit]
two_theta_min_deg = 12.5
two_theta_max_deg = 24.0
background_terms = 12
[[phases]]
name = "cu"
role = "free"
space_group = "F m -3 m"
lattice = {{ a_A = 3.615 }}
sites = [{{ element = "Cu", x = 0, y = 0, z = 0 }}]
[[phases]]
name = "steel"
role = "free"
space_group = "F m -3 m"
lattice = {{ a_A = 3.600 }}
sites = [{{ element = "Fe", x = 0, y = 0, z = 0 }}]
"""


@pytest.fixture(scope="module")
def run(recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    series = recordings / "series" / "operando_coincell_I11"
    config = folder / "cell.toml"
    config.write_text(CONFIGURATION.format(series=series))
    output = folder / "run.h5"
    said = Console(file=StringIO())
    check(config, console=said)
    reprocess(config, [str(series / "xrd_data")], output, overwrite=False, stop=threading.Event(), console=said)
    with h5py.File(output) as file:
        yield file["entry"]


pytestmark = [pytest.mark.recordings, pytest.mark.slow]


def test_every_pattern_is_coupled_in_its_time(run):
    states = run["cycling/at_frame/state"].asstr()[:].tolist()
    assert states == ["BEFORE_FIRST_SAMPLE", "KNOWN", "KNOWN", "KNOWN", "KNOWN"]
    middle_ns = run["frames/timestamp_ns"][:]
    samples_ns, voltage_V = run["cycling/timestamp_ns"][:], run["cycling/voltage_V"][:]
    found = run["cycling/at_frame/voltage_V"][:]
    assert np.isnan(found[0])
    assert found[1:] == pytest.approx(np.interp(middle_ns[1:], samples_ns, voltage_V), abs=1e-3)
    # The cell rests for half an hour and is then charged.
    assert run["cycling/at_frame/current_A"][:].tolist()[1:4] == [0.0, 0.0, 0.0]
    assert run["cycling/at_frame/current_A"][4] > 2e-4


def test_the_first_scan_begins_before_the_cycler_and_is_not_extrapolated(run):
    start_ns = run["frames/timestamp_ns"][0] - round(run["frames/exposure_s"][0] * 5e8)
    assert (run["cycling/timestamp_ns"][0] - start_ns) / 1e9 == pytest.approx(131.386)
    for name in ("voltage_V", "current_A", "areal_charge_mAh_cm2"):
        assert np.isnan(run[f"cycling/at_frame/{name}"][0])


def test_the_patterns_are_those_of_the_files(run, recordings):
    folder = recordings / "series" / "operando_coincell_I11" / "xrd_data"
    for row, path in enumerate(sorted(folder.iterdir())):
        angle, counts, sigma = np.loadtxt(path, unpack=True)
        intensity, errors = run["azint1d/I"][row], run["azint1d/I_errors"][row]
        measured = np.isfinite(intensity)
        assert run["azint1d/radial_axis"][:][measured] == pytest.approx(angle, abs=1e-6)
        assert intensity[measured] == pytest.approx(counts, rel=1e-6)
        assert errors[measured] == pytest.approx(sigma, rel=1e-6)
        assert np.sum(~measured) == 6


def test_the_same_fit_and_tracks_as_for_frames(run):
    assert run["tracking/cu/a"][:] == pytest.approx(3.6185, abs=5e-4)
    assert run["tracking/steel/a"][:] == pytest.approx(3.605, abs=5e-4)
    assert run["tracking/cu/peaks/area"].shape[0] == 5


def test_low_angles_are_told_to_be_older_than_high_ones(run):
    angle_deg, measured_at = run["azint1d/radial_axis"][:], run["azint1d/measured_at"][:]
    assert measured_at[[0, -1]].tolist() == [0.0, 1.0]
    assert (np.diff(measured_at) > 0).all()
    # Copper (111) and (200) lie at 13.7 and 15.8 degree: their times within the scan, by the strengths of the lines.
    early, late = (np.interp(line, angle_deg, measured_at) for line in (13.6, 22.5))
    assert early < run["tracking/cu/measured_at"][()] < late
    assert (np.diff(run["tracking/cu/peaks/measured_at"][:]) > 0).all()
    assert early < run["tracking/cu/peaks/measured_at"][0] < run["tracking/cu/measured_at"][()]
    assert run["tracking/cu/measured_at"][()] == pytest.approx(run["tracking/steel/measured_at"][()], abs=0.01)


def test_a_cycler_without_a_declared_zone_is_told_and_couples_nothing(recordings, tmp_path):
    series = recordings / "series" / "operando_coincell_I11"
    config = tmp_path / "cell.toml"
    without_fit = CONFIGURATION.split("[fit]", maxsplit=1)[0]
    config.write_text(without_fit.format(series=series).replace('\nzone = "Europe/London"', ""))
    said, output = StringIO(), tmp_path / "run.h5"
    scan = series / "xrd_data" / "1355647_summed_mythen3.xye"
    reprocess(config, [str(scan)], output, overwrite=False, stop=threading.Event(), console=Console(file=said))
    assert "declare `zone`" in said.getvalue()
    with h5py.File(output) as file:
        assert file["entry/cycling/at_frame/state"].asstr()[0] != "KNOWN"


def test_frames_of_a_detector_need_a_calibration_and_scans_a_wavelength(tmp_path):
    config = tmp_path / "cell.toml"
    config.write_text("[scan]\n")
    with pytest.raises(SettingsError, match=r"needs geometry.poni for frames, or scan.wavelength_A for scans"):
        check(config, console=Console(file=StringIO()))

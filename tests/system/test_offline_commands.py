"""`replay` and `reprocess` as whole programs, on real recordings and on frames of known truth."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from fabio.tifimage import TifImage

from fakes.beamlines import write_plain_beamline, write_small_lagp_beamline
from fakes.service import assert_whole, ringwatch, row_aligned, rows, texts
from ringwatch_daemon.sources.folders import natural_order
from ringwatch_simulators.supply import Exposure
from ringwatch_simulators.tiff_tags import read_tags

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

CALIBRANT = """[detector]
saturation_counts = 65000
[geometry]
poni = "{poni}"
ring_test = "{name}"
{dark}
[binning]
bins = 2000
two_theta_min_deg = 2.0
two_theta_max_deg = {highest_deg}
[fit]
two_theta_min_deg = 2.5
two_theta_max_deg = {highest_deg}
[fit.instrument]
w_deg2 = {w_deg2}
[[phases]]
name = "{name}"
role = "free"
space_group = "F m -3 m"
lattice = {{ a_A = {a_A} }}
{sites}
"""


def results(path: Path) -> dict[str, np.ndarray]:
    """Everything of a run that the analysis made."""
    with h5py.File(path) as file:
        made = {name: item[()] for name, item in row_aligned(file).items() if name.startswith(("azint1d", "tracking"))}
        return made | {name: file[f"entry/azint1d/{name}"][()] for name in ("norm", "radial_axis", "radial_axis_edges")}


def assert_bit_identical(one: Path, other: Path) -> None:
    expected, got = results(one), results(other)
    assert expected.keys() == got.keys()
    for name, values in expected.items():
        assert values.dtype == got[name].dtype, name
        assert values.tobytes() == got[name].tobytes(), name


def assert_replays_like_it_was_reprocessed(folder: Path, configuration: Path, frames: list[Path], reprocessed: Path):
    def replayed(protocol: str) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
        output = folder / f"{protocol}.h5"
        return output, ringwatch("replay", configuration, *frames, "-o", output, "--protocol", protocol, "--rate", 2)

    with ThreadPoolExecutor() as both:
        for output, done in both.map(replayed, ("pva", "ca")):
            assert done.returncode == 0, done.stderr
            assert_whole(output)
            assert_bit_identical(reprocessed, output)


def configuration_for_nickel(folder: Path, recordings: Path, poni: str) -> Path:
    frames = recordings / "frames" / "pe_xpd_Ni_light_dark"
    configuration = folder / "nickel.toml"
    text = CALIBRANT.format(
        poni=frames / poni,
        name="ni",
        dark=f'[dark]\nfiles = ["{frames / "Ni_dark_frame.tiff"}"]',
        highest_deg=20.0,
        w_deg2=0.004,
        a_A=3.5238,
        sites="",
    )
    configuration.write_text(text)
    return configuration


def ring_verdict(run: Path) -> str:
    return texts(run, "text")[texts(run, "kind").index("RING_SELF_TEST")]


def rings_in_place(run: Path) -> tuple[int, float]:
    """How many rings lie where the calibration puts them, and how far off in d, in parts per million."""
    found = re.search(r"passed: (\d+) of \d+ rings .*?([-+]\d+) ppm off in d", ring_verdict(run))
    assert found is not None, ring_verdict(run)
    return int(found[1]), float(found[2])


@pytest.fixture(scope="module")
def nickel(recordings, tmp_path_factory):
    """Configuration, frames (the same one twice, so that the second fit starts warm) and the reprocessed run."""
    folder = tmp_path_factory.mktemp("nickel")
    configuration = configuration_for_nickel(folder, recordings, "refined_Ni_0.1665A.poni")
    light = recordings / "frames" / "pe_xpd_Ni_light_dark" / "Ni_light_frame.tiff"
    frames, output = [light, light], folder / "run.h5"
    done = ringwatch("reprocess", configuration, *frames, "-o", output)
    assert done.returncode == 0, done.stderr
    return configuration, frames, output


@pytest.mark.recordings
def test_nickel_frames_give_the_same_bits_over_both_protocols_as_from_their_files(nickel, tmp_path):
    configuration, frames, output = nickel
    assert_replays_like_it_was_reprocessed(tmp_path, configuration, frames, output)


@pytest.mark.recordings
def test_the_right_calibration_of_nickel_passes_the_ring_self_test(nickel):
    _, _, output = nickel
    assert_whole(output)
    rings, offset_ppm = rings_in_place(output)
    assert rings >= 14
    assert abs(offset_ppm) < 500
    with h5py.File(output) as file:
        assert abs(file["entry/tracking/ni/a"][0] / 3.5238 - 1) < 500e-6
        assert file["entry/ledger/flags"][()] == b""


@pytest.mark.recordings
def test_a_wrong_calibration_of_nickel_is_told_in_one_sentence_and_flags_the_run(recordings, tmp_path):
    configuration = configuration_for_nickel(tmp_path, recordings, "wrong_geometry.poni")
    light = recordings / "frames" / "pe_xpd_Ni_light_dark" / "Ni_light_frame.tiff"
    done = ringwatch("reprocess", configuration, light, "-o", tmp_path / "run.h5")
    assert done.returncode == 0
    verdict = ring_verdict(tmp_path / "run.h5")
    assert verdict.startswith("ring self-test with ni FAILED: ")
    assert "\n" not in verdict
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["entry/ledger/flags"][()].decode() == verdict
    assert verdict.split(":")[0] in done.stderr


@pytest.mark.recordings
def test_a_frame_of_another_panel_in_hdf5_passes_with_the_facility_s_own_calibration(recordings, tmp_path):
    folder = recordings / "frames" / "ge_aps_CeO2"
    configuration = tmp_path / "ceria.toml"
    sites = 'sites = [{ element = "Ce", x = 0.0, y = 0.0, z = 0.0 }, { element = "O", x = 0.25, y = 0.25, z = 0.25 }]'
    text = CALIBRANT.format(
        poni=folder / "CeO2_APS_GE_80p725keV.poni",
        name="ceo2",
        dark="",
        highest_deg=11.0,
        w_deg2=0.0008,
        a_A=5.4113,
        sites=sites,
    )
    configuration.write_text(text)
    stack = f"{folder / 'ge_wppf.h5'}::/images/ge3/images"
    done = ringwatch("reprocess", configuration, stack, "-o", tmp_path / "run.h5")
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path / "run.h5")
    rings, offset_ppm = rings_in_place(tmp_path / "run.h5")
    assert rings >= 14
    assert abs(offset_ppm) < 326
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["entry/tracking/ceo2/a"][0] == pytest.approx(5.4113, rel=326e-6)


@pytest.mark.recordings
def test_a_sequence_of_areadetector_keeps_its_ids_gaps_and_times(recordings, tmp_path):
    folder = recordings / "frames" / "pilatus_areadetector_seq"
    configuration = write_plain_beamline(tmp_path, shape=(1043, 981), pixel_m=172e-6)
    done = ringwatch("reprocess", configuration, folder / "*.tif", "-o", tmp_path / "run.h5")
    assert done.returncode == 0, done.stderr
    tags = [read_tags(path) for path in sorted(folder.glob("*.tif"), key=lambda path: natural_order(path.name))]
    told = rows(tmp_path / "run.h5")
    ids = [number for number, _, _ in told]
    came = [row for row, (_, state, _) in enumerate(told) if state == "PROCESSED"]
    assert [ids[row] for row in came] == [tag.unique_id for tag in tags]
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert {tuple(end) for row, (_, *end) in enumerate(told) if row not in came} == {("LOST", "GAP_IN_ID")}
    with h5py.File(tmp_path / "run.h5") as file:
        stamps, exposures_s = file["entry/frames/timestamp_ns"][()], file["entry/frames/exposure_s"][()]
    middles = [
        tag.timestamp_ns - round(seconds / 2 * 1e9) for tag, seconds in zip(tags, exposures_s[came], strict=True)
    ]
    assert stamps[came].tolist() == middles
    assert not np.delete(stamps, came).any()
    assert_whole(tmp_path / "run.h5")


def test_frames_of_a_changing_cell_give_the_same_bits_over_both_protocols_as_from_their_files(tmp_path):
    configuration, frames = write_small_lagp_beamline(tmp_path)
    lights = [tmp_path / f"light_{index}.tif" for index in (4, 9, 10, 11)]
    for path in [*lights, tmp_path / "dark.tif"]:
        index = 0 if path.stem == "dark" else int(path.stem.split("_")[1])
        TifImage(data=frames.frame(Exposure(index, 60.0)).image).write(str(path))
    output = tmp_path / "run.h5"
    done = ringwatch("reprocess", configuration, tmp_path / "light_*.tif", "-o", output)
    assert done.returncode == 0, done.stderr
    with h5py.File(output) as file:
        assert set(file["entry/tracking/fit_state"][()]) == {b"CONVERGED"}
        assert len(np.unique(file["entry/tracking/lagp/a"][()])) == len(lights)
    assert_replays_like_it_was_reprocessed(tmp_path, configuration, [tmp_path / "light_*.tif"], output)

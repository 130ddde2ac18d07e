import os
import random
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from fakes import records
from ringwatch_daemon.core.columns import STATE_WIDTH
from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.core.records import FrameState, LedgerCorrection, Provenance, Reason
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.nexus_layout import bytes_a_frame
from ringwatch_pipelines.cell.cycling import Coupling
from ringwatch_pipelines.results import FitState, PeakState, Refusal

TESTS = Path(__file__).resolve().parents[2]


class StoppedClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc_ns(self) -> int:
        return records.START_NS + 10 * records.FRAME_NS


def write_a_run(path: Path, frames: int = 12, **options) -> Path:
    sink = NexusFile(path=path, **options)
    sink.accept(records.run_start())
    for row in range(frames):
        sink.accept(records.lost_record(row) if row % 5 == 4 else records.frame_record(row))
        sink.flush()
    sink.accept(records.cycling_samples(0, 5))
    sink.accept(records.cycling_samples(5, 3))
    sink.accept(records.event(4))
    sink.accept(records.status(frames))
    sink.accept(records.run_stop(frames))
    sink.close()
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with h5py.File(write_a_run(tmp_path_factory.mktemp("run") / "run_one.h5")) as file:
        yield file


def datasets(entry: h5py.Group) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    entry.visititems(lambda path, item: found.update({path: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def run_program(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_nxvalidate_finds_nothing_to_say(tmp_path):
    path = write_a_run(tmp_path / "r.h5")
    command = [str(Path(sys.executable).with_name("nxvalidate")), "-a", "NXazint1d", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Application Definition: NXazint1d" in said
    assert "Total number of warnings: 0" in said
    assert "Total number of errors: 0" in said


def test_every_path_of_the_contract_is_there(run):
    entry = run["entry"]
    for group, names in {
        "": "definition schema start_time end_time solid_angle_applied normalization_applied",
        "azint1d": "I I_errors radial_axis radial_axis_edges norm",
        "frames": "unique_id timestamp_ns received_ns exposure_s monitor state reason dark_index",
        "tracking": "fit_state chi_square",
        "tracking/lagp": "a a_errors c c_errors size_nm size_nm_errors strain strain_errors intensity_113",
        "tracking/lagp/peaks": "hkl two_theta two_theta_errors shift area area_errors fwhm",
        "tracking/li": "a area_110 area_110_errors area_200 area_200_errors area_211 ratio ratio_errors ratio_state",
        "tracking/lioh": "amount amount_errors z",
        "tracking/hump": "amplitude",
        "tracking/texture": "spot_fraction_110 smooth_110 a2_110",
        "cycling": "timestamp_ns cycler_timestamp_ns voltage_V current_A cycle step charge_C",
        "cycling/at_frame": "voltage_V current_A current_density_mA_cm2 cycle half_cycle step"
        " areal_charge_mAh_cm2 state",
        "events": "timestamp_ns frame kind text sigma_h",
        "reduction": "program version date reference input",
        "instrument": "name monochromator source detector",
        "sample": "name temperature",
    }.items():
        for name in names.split():
            assert f"{group}/{name}".strip("/") in entry


def test_every_frame_has_a_row_in_every_dataset(run):
    fixed = {"tracking/lagp/peaks/hkl"}
    for path, dataset in datasets(run["entry"]).items():
        if path.startswith(("frames/", "tracking/", "cycling/at_frame/")) or path in {"azint1d/I", "azint1d/I_errors"}:
            assert path in fixed or dataset.shape[0] == 12, path


def test_the_numbers_are_those_of_the_records(run):
    entry = run["entry"]
    assert np.isnan(entry["azint1d/I"][3, 0])
    assert np.all(entry["azint1d/I"][3, 1:] == 3)
    assert entry["azint1d/I"].dtype == entry["azint1d/I_errors"].dtype == np.float32
    assert np.allclose(entry["azint1d/I_errors"][3, 1:], 2)
    assert entry["tracking/li/ratio"][3] == 4
    assert entry["tracking/li/ratio_errors"][3] == pytest.approx(0.04)
    assert entry["tracking/fit_state"][3] == b"CONVERGED"
    assert entry["tracking/lagp/peaks/area"].shape == (12, 3)
    assert np.array_equal(entry["tracking/lagp/peaks/hkl"], records.HKL)
    assert entry["frames/unique_id"][3] == 1003
    assert entry["frames/timestamp_ns"][3] == records.START_NS + 3 * records.FRAME_NS
    assert entry["cycling/at_frame/voltage_V"][3] == pytest.approx(0.3)
    assert entry["cycling/at_frame/state"][3] == b"KNOWN"
    assert np.array_equal(entry["cycling/step"], range(8))
    assert entry["events/text"][0] == b"one frame is missing before this one"
    assert np.isnan(entry["events/sigma_h"][0])


def test_a_lost_frame_is_a_row_of_nan_with_its_reason(run):
    entry = run["entry"]
    assert entry["frames/state"][4] == b"LOST"
    assert entry["frames/reason"][4] == b"GAP_IN_ID"
    assert np.all(np.isnan(entry["azint1d/I"][4]))
    assert np.isnan(entry["tracking/li/ratio"][4])
    assert np.all(np.isnan(entry["tracking/lagp/peaks/area"][4]))
    assert entry["tracking/fit_state"][4] == b""
    assert entry["frames/dark_index"][4] == -1
    assert entry["frames/unique_id"][4] == 1004


def test_the_waterfall_is_the_default_plot(run):
    entry = run[run.attrs["default"]]
    data = entry[entry.attrs["default"]]
    assert data.name == "/entry/azint1d"
    assert data.attrs["signal"] == "I"
    assert list(data.attrs["axes"]) == [".", "radial_axis"]
    assert data.attrs["interpretation"] == "spectrum"
    assert data["radial_axis"].attrs["units"] == "degree"


def test_ratio_and_lattice_have_plots_with_errors(run):
    plots = run["entry/plots"]
    assert set(plots) == {"lagp_a", "lagp_c", "li_a", "li_ratio"}
    assert plots["li_ratio"].attrs["signal"] == "ratio"
    assert plots["li_ratio/ratio"][3] == 4
    assert plots["li_ratio/ratio_errors"] == run["entry/tracking/li/ratio_errors"]


def test_numbers_carry_units_and_long_names(run):
    entry = run["entry"]
    assert entry["tracking/lagp/a"].attrs["units"] == "angstrom"
    assert entry["tracking/lagp/a"].attrs["long_name"] == "lagp lattice parameter a"
    assert entry["cycling/at_frame/current_density_mA_cm2"].attrs["units"] == "mA/cm^2"
    assert entry["frames/timestamp_ns"].attrs["units"] == "ns"
    assert entry["instrument/monochromator/wavelength"].attrs["units"] == "angstrom"
    assert entry["sample/temperature"][()] == 298.15


def test_provenance_keeps_its_types_and_texts(run):
    entry = run["entry"]
    assert entry["solid_angle_applied"][()] == np.True_
    assert entry["reduction/input/configuration"][()].decode() == "[detector]\nprefix = '13PE1:'\n" * 40
    assert np.array_equal(entry["instrument/detector/shape"], [2048, 2048])
    assert entry["instrument"].attrs["NX_class"] == "NXinstrument"


def test_the_end_of_the_run_is_written_where_there_was_room_for_it(run):
    entry = run["entry"]
    assert [entry["ledger"][name][()] for name in ("announced", "processed", "rejected", "lost")] == [12, 11, 0, 1]
    assert entry["ledger/flags"][()] == b"RING_SELF_TEST_FAILED"
    assert entry["ledger/reasons"][()] == b"GAP_IN_ID 1"
    assert entry["ledger/stopped"][()] == b"asked to stop"
    assert entry["end_time"][()] > entry["start_time"][()]


def test_no_text_is_of_variable_length_where_the_file_grows(run):
    for path, dataset in datasets(run["entry"]).items():
        if dataset.chunks:
            assert dataset.dtype.kind != "O", path
            assert dataset.compression is None, path


def test_every_state_and_reason_fits_its_width():
    for names in (FrameState, Reason, Refusal, FitState, PeakState, Coupling):
        assert max(len(name.value) for name in names) <= STATE_WIDTH


@pytest.mark.parametrize("flush_between", [True, False])
def test_corrections_reach_rows_in_memory_and_in_the_file(tmp_path, flush_between):
    sink = NexusFile(path=tmp_path / "r.h5")
    sink.accept(records.run_start())
    for row in range(6):
        sink.accept(records.lost_record(row))
    if flush_between:
        sink.flush()
    sink.accept(LedgerCorrection(2, FrameState.REJECTED, "LATE"))
    sink.accept(records.cell_state_update(5, 1, 2))
    with pytest.raises(SinkError, match="rows from 0 to 5"):
        sink.accept(LedgerCorrection(6, FrameState.REJECTED, "LATE"))
    sink.close()
    with h5py.File(tmp_path / "r.h5") as file:
        entry = file["entry"]
        assert list(entry["frames/state"][1:4]) == [b"LOST", b"REJECTED", b"LOST"]
        assert entry["frames/reason"][2] == b"LATE"
        assert [entry["cycling/at_frame/voltage_V"][row] for row in (1, 2, 5)] == [1, 2, 5]
        assert entry["cycling/at_frame/half_cycle"][5] == 5
        assert np.isnan(entry["cycling/at_frame/voltage_V"][3])
        assert list(entry["cycling/at_frame/state"][1:4]) == [b"KNOWN", b"KNOWN", b"AFTER_LAST_SAMPLE"]


def test_a_killed_run_opens_plainly_with_every_row_that_was_flushed(tmp_path):
    chance = random.Random(5)
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    for attempt in range(5):
        path = tmp_path / f"{attempt}.h5"
        bins, batch = chance.choice([(16, 1), (300, 7), (2048, 3)])
        command = [sys.executable, str(TESTS / "fakes" / "growing_run.py"), str(path), str(bins), str(batch)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randint(1, 120)):
                told = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        with h5py.File(path) as file:
            entry = file["entry"]
            for path_, dataset in datasets(entry).items():
                if path_.startswith(("frames/", "cycling/at_frame/")) or path_ == "azint1d/I":
                    assert dataset.shape[0] >= told, path_
                    dataset[()]
            assert np.array_equal(entry["frames/unique_id"][:told], np.arange(told) + 1000)
            assert np.array_equal(entry["azint1d/I"][:told, -1], np.arange(told))
            assert np.array_equal(entry["tracking/li/ratio"][:told], np.arange(told) + 1)
            assert len(entry["events/frame"]) >= told // batch
        with h5py.File(path, "r+") as file:
            assert file["entry/frames/state"][told - 1] == b"PROCESSED"


READER = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], "r", swmr=sys.argv[2] == "swmr") as file:
    print("open", flush=True)
    rows = 0
    for line in sys.stdin:
        told = int(line)
        with_rows = [file["entry/frames/unique_id"], file["entry/azint1d/I"], file["entry/tracking/li/ratio"]]
        if sys.argv[2] == "swmr":
            for dataset in with_rows:
                dataset.refresh()
            assert all(len(dataset) >= told for dataset in with_rows), told
        rows = min(len(dataset) for dataset in with_rows)
        assert np.array_equal(with_rows[0][:rows], np.arange(rows) + 1000)
        assert np.array_equal(with_rows[1][:rows, -1], np.arange(rows))
        print(rows, flush=True)
"""


@pytest.mark.parametrize("way", ["plain", "swmr"])
def test_a_reader_that_holds_the_file_open_stops_nothing_and_sees_whole_rows(tmp_path, way):
    path = tmp_path / "r.h5"
    sink = NexusFile(path=path)
    sink.accept(records.run_start())
    for row in range(3):
        sink.accept(records.frame_record(row))
    sink.flush()
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path), way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        for row in range(3, 150):
            sink.accept(records.frame_record(row))
            sink.flush()
            if row % 10 == 0:
                reader.stdin.write(f"{row + 1}\n")
                reader.stdin.flush()
                assert int(reader.stdout.readline()) >= (row + 1 if way == "swmr" else 3)
        sink.accept(records.run_stop(150))
        sink.close()
        reader.stdin.close()
        assert reader.wait() == 0


def test_the_file_is_named_after_the_run_in_its_directory(tmp_path):
    sink = NexusFile(directory=tmp_path / "new" / "runs")
    assert sink.path is None
    sink.accept(records.run_start(run_id="cell_7"))
    sink.close()
    assert sink.path == tmp_path / "new" / "runs" / "cell_7.h5"
    with h5py.File(sink.path) as file:
        assert file["entry/run_id"][()] == b"cell_7"


def test_rows_wait_for_the_interval_and_leave_at_the_close(tmp_path):
    clock = StoppedClock()
    sink = NexusFile(path=tmp_path / "r.h5", interval_s=1.0, clock=clock)
    sink.accept(records.run_start())
    sink.flush()
    with h5py.File(tmp_path / "r.h5", "r", swmr=True, locking=False) as file:
        frames = file["entry/frames/unique_id"]
        counts = []
        for row, now_s in enumerate([0.5, 0.9, 1.1]):
            clock.now_s = now_s
            sink.accept(records.frame_record(row))
            sink.flush()
            counts.append(len(frames))
    sink.close()
    assert counts == [0, 0, 3]


def test_many_more_rows_than_a_batch_all_arrive(tmp_path):
    sink = NexusFile(path=tmp_path / "r.h5")
    sink.accept(records.run_start(bins=8))
    for row in range(1500):
        sink.accept(records.frame_record(row, bins=8))
    sink.accept(records.cycling_samples(0, 20_000))
    sink.close()
    with h5py.File(tmp_path / "r.h5") as file:
        assert np.array_equal(file["entry/azint1d/I"][:, -1], range(1500))
        assert np.array_equal(file["entry/cycling/step"], range(20_000))


@pytest.mark.parametrize(("bins", "peaks"), [(300, 20)])
def test_a_frame_takes_the_bytes_that_are_told_for_it(tmp_path, bins, peaks):
    # Whole chunks of every dataset: 1024 rows.
    sizes = []
    for rows in (1024, 3072):
        path = tmp_path / f"{rows}.h5"
        sink = NexusFile(path=path)
        sink.accept(records.run_start(bins=bins, peaks=peaks))
        for row in range(rows):
            sink.accept(records.lost_record(row))
        sink.close()
        sizes.append(path.stat().st_size)
    told = bytes_a_frame(records.run_start(bins=bins, peaks=peaks))
    assert told == pytest.approx((sizes[1] - sizes[0]) / 2048, rel=0.02)


def test_a_run_without_frames_is_a_valid_file(tmp_path):
    sink = NexusFile(path=tmp_path / "r.h5")
    sink.accept(records.run_start())
    sink.accept(records.run_stop(0))
    sink.close()
    sink.close()
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["entry/azint1d/I"].shape == (0, 64)


def test_records_out_of_place_are_told(tmp_path):
    sink = NexusFile(path=tmp_path / "r.h5")
    with pytest.raises(SinkError, match="expected its start first, got Event"):
        sink.accept(records.event())
    sink.flush()
    sink.accept(records.run_start())
    with pytest.raises(SinkError, match="another start: other"):
        sink.accept(records.run_start(run_id="other"))
    with pytest.raises(SinkError, match="row 0 comes next, got row 1"):
        sink.accept(records.frame_record(1))
    sink.close()
    with pytest.raises(SinkError, match="a directory or a path"):
        NexusFile()


def test_a_correction_alone_is_flushed_too(tmp_path):
    sink = NexusFile(path=tmp_path / "r.h5")
    sink.accept(records.run_start())
    sink.accept(records.lost_record(0))
    sink.flush()
    sink.accept(LedgerCorrection(0, FrameState.REJECTED, "LATE"))
    sink.flush()
    copy = tmp_path / "copy.h5"
    copy.write_bytes((tmp_path / "r.h5").read_bytes())
    with h5py.File(copy) as file:
        assert file["entry/frames/state"][0] == b"REJECTED"
    sink.close()


def test_a_file_that_is_there_is_not_overwritten_unless_asked(tmp_path):
    path = write_a_run(tmp_path / "r.h5", frames=3)
    with pytest.raises(SinkError, match="is there already"):
        write_a_run(path)
    with h5py.File(path) as file:
        assert len(file["entry/frames/state"]) == 3
    write_a_run(path, frames=2, overwrite=True)
    with h5py.File(path) as file:
        assert len(file["entry/frames/state"]) == 2


def test_a_file_has_its_name_only_once_it_can_be_opened(tmp_path):
    path = tmp_path / "r.h5"
    seen = []

    def look(event, arguments):
        if event == "os.rename" and str(arguments[1]) == str(path):
            with h5py.File(arguments[0], locking=False) as file:
                seen.append(file["entry/definition"][()])

    sys.addaudithook(look)
    sink = NexusFile(path=path)
    sink.accept(records.run_start())
    assert seen == [b"NXazint1d"]
    assert [found.name for found in tmp_path.iterdir()] == ["r.h5"]
    sink.close()


def test_a_place_that_cannot_be_written_is_told_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "r.h5", Path("/proc/r.h5")):
        with pytest.raises(SinkError, match="cannot be made") as told:
            write_a_run(path)
        assert "\n" not in str(told.value)


def test_a_fact_that_the_definition_needs_is_asked_for(tmp_path):
    start = replace(records.run_start(), provenance=(Provenance("solid_angle_applied", value=True),))
    with pytest.raises(SinkError, match="must tell polarization_applied"):
        NexusFile(path=tmp_path / "r.h5").accept(start)
    assert not (tmp_path / "r.h5").exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from fakes import records
from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.sinks.nexus import NexusFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
sink = NexusFile(path=Path(sys.argv[1]))
sink.accept(records.run_start(bins=20000))
row = 0
try:
    while True:
        sink.accept(records.frame_record(row, bins=20000)); row += 1
        sink.flush()
        print(row, flush=True)
except SinkError as error:
    print(error, file=sys.stderr)
if sys.argv[3] == "room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
try:
    sink.close()
except SinkError as error:
    print(error, file=sys.stderr)
"""


@pytest.mark.parametrize("after", ["full", "room"])
def test_a_full_disk_is_told_and_what_was_written_stays(tmp_path, after):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert soft == hard == resource.RLIM_INFINITY
    path = tmp_path / "r.h5"
    done = run_program(FULL_DISK, str(path), str(48 * 2**20), after)
    assert done.returncode == 0, done.stderr
    told = len(done.stdout.split())
    assert told > 20
    assert "cannot be written" in done.stderr.splitlines()[0]
    with h5py.File(path) as file:
        rows = len(file["entry/frames/unique_id"])
        assert rows == told + 1 if after == "room" else told <= rows <= told + 1
        assert np.array_equal(file["entry/azint1d/I"][:told, -1], range(told))

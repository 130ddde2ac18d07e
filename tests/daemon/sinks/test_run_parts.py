"""A run in parts: its file reads as one, whatever happens while it changes from one part to the next."""

import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from fakes import records
from fakes.service import row_aligned
from ringwatch_daemon.core.errors import SinkError, StorageError
from ringwatch_daemon.core.records import FrameState, LedgerCorrection
from ringwatch_daemon.sinks import run_parts
from ringwatch_daemon.sinks.cut_off_run import find_cut_off_run
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.resumable_file import ResumableFile, fingerprint_of
from ringwatch_pipelines.cell.cycling import Coupling

TESTS = Path(__file__).resolve().parents[2]
PART_ROWS = 5
ROWS = 17


def begun(path: Path, *, part_rows: int | None = PART_ROWS, **options) -> NexusFile:
    sink = NexusFile(path=path, part_rows=part_rows, **options)
    sink.accept(records.run_start())
    return sink


def write_rows(sink: NexusFile, first: int, end: int, *, batch: int = 1) -> None:
    for row in range(first, end):
        sink.accept(records.lost_record(row) if row % 5 == 4 else records.frame_record(row))
        if row == 2:
            sink.accept(records.cycling_samples(0, 7))
        if row % 3 == 0:
            sink.accept(records.event(row))
        if (row + 1) % batch == 0:
            sink.flush()


def ended(sink: NexusFile, rows: int) -> None:
    sink.accept(records.cycling_samples(7, 4))
    sink.accept(records.status(rows))
    sink.accept(records.run_stop(rows))
    sink.close()


def write_a_run(path: Path, *, rows: int = ROWS, batch: int = 1, **options) -> Path:
    sink = begun(path, **options)
    write_rows(sink, 0, rows, batch=batch)
    ended(sink, rows)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return write_a_run(tmp_path_factory.mktemp("whole") / "run_one.h5", part_rows=None)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write_a_run(tmp_path_factory.mktemp("parted") / "run_one.h5")


@pytest.fixture
def parted(written, tmp_path) -> Path:
    """A run in parts, to do with as one likes."""
    shutil.copytree(written.parent, tmp_path / "moved")
    return tmp_path / "moved" / "run_one.h5"


def names_of(path: Path) -> list[str]:
    return [part.name for part in run_parts.parts_there(path)]


def assert_same_run(path: Path, whole: Path) -> None:
    """Every group, dataset, value and attribute of the run in one file is there."""
    with h5py.File(path) as file, h5py.File(whole) as other:
        assert set(other["entry/plots"]) == set(file["entry/plots"])
        compared: list[str] = []

        def compare(name: str, item: h5py.Group | h5py.Dataset) -> None:
            attributes = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
            assert attributes == {key: np.asarray(value).tolist() for key, value in file[name].attrs.items()}, name
            if isinstance(item, h5py.Dataset) and name != "entry/end_time":
                assert file[name].dtype == item.dtype, name
                np.testing.assert_array_equal(file[name][()], item[()], err_msg=name)
                compared.append(name)

        other.visititems(compare)
        assert len(compared) > 80


@pytest.mark.parametrize("batch", [1, 4, 17])
def test_a_run_in_parts_reads_as_the_run_in_one_file(tmp_path, whole, batch):
    path = write_a_run(tmp_path / "run_one.h5", batch=batch)
    assert names_of(path) == ["part0001.h5", "part0002.h5", "part0003.h5", "part0004.h5"]
    assert_same_run(path, whole)
    with h5py.File(path) as file:
        assert file["entry/part_rows"][()] == PART_ROWS


def test_rows_stand_in_the_part_that_their_number_says(parted):
    for index, rows in enumerate([(0, 5), (5, 10), (10, 15), (15, 17)]):
        with h5py.File(run_parts.part_path(parted, index)) as file:
            np.testing.assert_array_equal(file["entry/frames/unique_id"], 1000 + np.arange(*rows))
            assert {len(dataset) for dataset in row_aligned(file).values()} == {rows[1] - rows[0]}
            assert file["entry/azint1d/radial_axis"].shape == (64,)


def test_a_run_that_is_not_longer_than_a_part_is_one_file(tmp_path, whole):
    path = write_a_run(tmp_path / "run_one.h5", part_rows=ROWS)
    assert [found.name for found in tmp_path.iterdir()] == ["run_one.h5"]
    assert_same_run(path, whole)


def test_the_next_part_begins_with_its_first_row_and_not_before(tmp_path):
    path = write_a_run(tmp_path / "run_one.h5", rows=2 * PART_ROWS)
    assert names_of(path) == ["part0001.h5", "part0002.h5"]


def test_the_last_part_takes_all_rows_that_still_come(tmp_path):
    path = write_a_run(tmp_path / "run_one.h5", rows=67, part_rows=1, batch=67)
    assert len(names_of(path)) == run_parts.MOST_PARTS == 64
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry/frames/unique_id"], 1000 + np.arange(67))


@pytest.mark.parametrize("name", ["100 %b of it.h5", "Zelle ü %% %d.h5"])
def test_any_name_will_do(tmp_path, whole, name):
    assert_same_run(write_a_run(tmp_path / name), whole)


def test_nxvalidate_finds_nothing_to_say_of_the_run_and_of_each_part(parted):
    for path in (parted, *run_parts.parts_there(parted)):
        command = [str(Path(sys.executable).with_name("nxvalidate")), "-a", "NXazint1d", str(path)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "Total number of warnings: 0" in said, path
        assert "Total number of errors: 0" in said, path


def test_rows_of_a_part_that_is_missing_are_blank_and_all_others_stay_where_they_are(parted):
    run_parts.part_path(parted, 1).unlink()
    with h5py.File(parted) as file:
        entry = file["entry"]
        assert {len(dataset) for dataset in row_aligned(file).values()} == {ROWS}
        ids = entry["frames/unique_id"][()]
        np.testing.assert_array_equal(ids[5:10], [-1] * 5)
        np.testing.assert_array_equal(np.delete(ids, range(5, 10)), 1000 + np.delete(np.arange(ROWS), range(5, 10)))
        assert np.isnan(entry["azint1d/I"][5:10]).all()
        assert np.isnan(entry["tracking/li/ratio"][5:10]).all()
        assert set(entry["frames/state"][5:10]) == {b""}


def test_parts_of_an_earlier_run_are_not_overwritten_unless_asked(parted, whole):
    parted.unlink()
    with pytest.raises(SinkError, match=r"part0001\.h5 is there already"):
        write_a_run(parted)
    assert len(names_of(parted)) == 4
    write_a_run(parted, rows=3, overwrite=True)
    assert [found.name for found in parted.parent.iterdir()] == ["run_one.h5"]


def late_values(sink: NexusFile) -> None:
    sink.accept(records.cell_state_update(15, 1, 4, 2, 12, 9))
    sink.accept(LedgerCorrection(4, FrameState.REJECTED, "LATE"))


@pytest.mark.parametrize("part_rows", [1, 3, PART_ROWS])
def test_values_that_come_late_reach_rows_in_every_part(tmp_path, part_rows):
    told = []
    for name, rows in (("parts", part_rows), ("one", None)):
        path = tmp_path / name / "run_one.h5"
        sink = begun(path, part_rows=rows)
        write_rows(sink, 0, ROWS, batch=4)
        late_values(sink)
        sink.flush()
        late_values(sink)
        ended(sink, ROWS)
        told.append(path)
    assert_same_run(*told)
    with h5py.File(told[0]) as file:
        at_frame = file["entry/cycling/at_frame"]
        assert [at_frame["voltage_V"][row] for row in (1, 4, 9, 15)] == [1, 4, 9, 15]
        assert at_frame["state"][4] == Coupling.KNOWN.encode()
        assert file["entry/frames/state"][4] == b"REJECTED"


def test_late_values_of_many_rows_cross_the_blocks_of_a_part(tmp_path):
    path, rows = tmp_path / "run_one.h5", 2300
    sink = begun(path, part_rows=2200)
    for row in range(rows):
        sink.accept(records.lost_record(row))
    sink.flush()
    sink.accept(records.cell_state_update(*range(1000, 2250)))
    sink.close()
    with h5py.File(path) as file:
        voltage = file["entry/cycling/at_frame/voltage_V"][()]
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(voltage)), np.arange(1000, 2250))
    np.testing.assert_array_equal(voltage[1000:2250], np.arange(1000, 2250))


def test_late_values_of_a_part_that_was_taken_away_cost_nothing_else(tmp_path, caplog):
    path = tmp_path / "run_one.h5"
    sink = begun(path)
    write_rows(sink, 0, ROWS)
    run_parts.part_path(path, 0).unlink()
    with caplog.at_level(logging.WARNING):
        late_values(sink)
        ended(sink, ROWS)
    assert "what came late for 3 rows of " in caplog.text
    with h5py.File(path) as file:
        assert file["entry/cycling/at_frame/voltage_V"][9] == 9


READER = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], "r", swmr=True) as file:
    for line in sys.stdin:
        told = int(line)
        columns = [file["entry/frames/unique_id"], file["entry/azint1d/I"], file["entry/events/frame"]]
        for dataset in columns:
            dataset.refresh()
        rows = min(len(dataset) for dataset in columns[:2])
        assert np.array_equal(columns[0][:rows], np.arange(rows) + 1000)
        with h5py.File(sys.argv[1]) as plain:
            assert len(plain["entry/frames/unique_id"]) >= told, told
            assert np.array_equal(plain["entry/frames/unique_id"][:told], np.arange(told) + 1000)
        print(rows, len(columns[2]), flush=True)
"""


def test_a_reader_follows_from_part_to_part_once_it_has_the_file_that_reads_as_one(tmp_path):
    path = tmp_path / "run_one.h5"
    sink = begun(path)
    write_rows(sink, 0, PART_ROWS + 1)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for row in range(PART_ROWS + 1, 30):
            write_rows(sink, row, row + 1)
            reader.stdin.write(f"{row + 1}\n")
            reader.stdin.flush()
            rows, events = map(int, reader.stdout.readline().split())
            assert rows == row + 1
            assert events == 1 + row // 3
        reader.stdin.close()
        assert reader.wait() == 0
    ended(sink, 30)


REFUSALS: dict[str, list[int]] = {}
"""Errors that the next calls get, by the event of the interpreter and the folder that it is about."""


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    for key, errors in REFUSALS.items():
        wanted, folder = key.split(" ", 1)
        if errors and event == wanted and str(arguments[-2 if event == "os.mkdir" else 0]).startswith(folder):
            number = errors.pop()
            raise OSError(number, os.strerror(number))


def test_a_file_system_without_hard_links_keeps_the_run_in_one_file(tmp_path, whole, caplog):
    sys.addaudithook(_refuse)
    REFUSALS[f"os.link {tmp_path}"] = [errno.EPERM]
    path = write_a_run(tmp_path / "run_one.h5")
    assert [found.name for found in tmp_path.iterdir()] == ["run_one.h5"]
    assert "no hard links" in caplog.text
    assert_same_run(path, whole)


@pytest.mark.parametrize("event", ["os.link", "os.rename"])
def test_a_disk_that_refuses_the_change_of_part_costs_no_row(tmp_path, whole, event):
    sys.addaudithook(_refuse)
    path = tmp_path / "run_one.h5"
    sink = begun(path)
    write_rows(sink, 0, PART_ROWS)
    sink.accept(records.frame_record(PART_ROWS))
    for _ in range(2):
        REFUSALS[f"{event} {tmp_path}"] = [errno.ENOSPC]
        with pytest.raises(StorageError, match="No space left"):
            sink.flush()
    assert not list(tmp_path.rglob("*.making"))
    with h5py.File(path, locking=False) as file:
        assert len(file["entry/frames/state"]) == PART_ROWS
    sink.accept(records.event(0))
    write_rows(sink, PART_ROWS + 1, ROWS)
    ended(sink, ROWS)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry/frames/unique_id"], 1000 + np.arange(ROWS))


def go_on(path: Path, *, until: int | None = None, part_rows: int = PART_ROWS) -> ResumableFile:
    """Begin or resume the run, and say after each batch how many rows are flushed."""
    run = None
    if path.exists():
        fingerprint = fingerprint_of(records.run_start())
        run = find_cut_off_run(path, fingerprint=fingerprint, max_age_s=1e9, now_ns=path.stat().st_mtime_ns)
    rows = None if run is None else run.resumption.totals.announced
    file = NexusFile(path=path, resume=run is not None, part_rows=part_rows)
    sink = ResumableFile(path, file, resumed_rows=rows)
    sink.accept(records.run_start())
    row = rows or 0
    print(row, flush=True)
    while until is None or row < until:
        for _ in range(1 + row % 3):
            sink.accept(records.frame_record(row))
            row += 1
        sink.accept(records.event(row - 1))
        sink.flush()
        print(row, flush=True)
    return sink


def end_of(path: Path, until: int) -> int:
    """Go on to the end in this process; how many rows there are."""
    sink = go_on(path, until=until)
    with h5py.File(path, locking=False) as file:
        rows = int(file["entry/ledger/rows"][()])
    sink.accept(records.run_stop(rows))
    sink.close()
    return rows


def assert_rows(path: Path, rows: int, *, exactly: bool) -> None:
    with h5py.File(path) as file:
        entry = file["entry"]
        assert int(entry["ledger/rows"][()]) >= rows
        for dataset in row_aligned(file).values():
            assert len(dataset) == rows if exactly else len(dataset) >= rows, dataset.name
        np.testing.assert_array_equal(entry["frames/unique_id"][:rows], np.arange(1000, 1000 + rows))
        np.testing.assert_array_equal(entry["azint1d/I"][:rows, 1], np.arange(rows))
        np.testing.assert_array_equal(entry["tracking/li/ratio"][:rows], 1.0 + np.arange(rows))


STEPS = 8
SELF_KILLER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from daemon.sinks import test_run_parts as t

def write_until_killed(path, left):
    def kill(event, arguments):
        nonlocal left
        if event in {"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}:
            about = [str(one) for one in arguments if isinstance(one, str | os.PathLike)]
            if any("run_one.parts" in one or one.endswith("run_one.h5") for one in about):
                left -= 1
                if left < 0:
                    sys.stdout.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(kill)
    t.go_on(path, until=14)

for step in range(1, 1 + t.STEPS):
    path = Path(sys.argv[1]) / str(step) / "run_one.h5"
    path.parent.mkdir()
    child = os.fork()
    if not child:
        write_until_killed(path, step)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def test_a_kill_at_any_step_of_a_change_of_part_costs_no_row(tmp_path):
    subprocess.run([sys.executable, "-c", SELF_KILLER, str(tmp_path), str(TESTS)], capture_output=True, check=True)
    for step in range(1, 1 + STEPS):
        path = tmp_path / str(step) / "run_one.h5"
        with h5py.File(path) as file:
            told = int(file["entry/ledger/rows"][()])
        assert told >= PART_ROWS - 1
        assert_rows(path, told, exactly=False)
        rows = end_of(path, 12)
        assert_rows(path, rows, exactly=True)
        assert len(names_of(path)) == -(-rows // PART_ROWS)
    assert not list(tmp_path.rglob("*.resume"))


def test_a_run_in_parts_killed_again_and_again_loses_no_row_that_was_flushed(tmp_path):
    path = tmp_path / "run_one.h5"
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from daemon.sinks import test_run_parts as t; t.go_on(Path(sys.argv[1]), part_rows=3)"
    )
    told = 0
    for attempt in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(TESTS)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            assert int(writer.stdout.readline()) >= told
            for _ in range(7 * attempt + 2):
                told = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        assert_rows(path, told, exactly=False)
    assert len(names_of(path)) > 4

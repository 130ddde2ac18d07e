"""A run that was cut off: what its file and its folder tell, and how the next process goes on with it."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from fakes import records
from fakes.checkpoints import memory
from ringwatch_daemon.core.errors import InputFileError, SinkError
from ringwatch_daemon.core.records import Checkpoint
from ringwatch_daemon.sinks.checkpoint_codec import decode_checkpoint, encode_checkpoint
from ringwatch_daemon.sinks.cut_off_run import CutOffRun, find_cut_off_run
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.resumable_file import ResumableFile, fingerprint_of
from ringwatch_daemon.sinks.run_memory import SEQUENCE, checkpoint_at, memory_folder
from ringwatch_daemon.sinks.sequence_mark import SequenceMark, next_seq_after
from ringwatch_pipelines.tracks.change_points import OnsetRule

TESTS = Path(__file__).resolve().parents[2]
DAY_S = 86_400.0
ROWS = 14


def remembered_record(row: int):
    return replace(records.frame_record(row), checkpoint=Checkpoint(memory(row), ("a flag, with a comma",)))


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A folder with a run of 14 rows as a kill leaves it."""
    folder = tmp_path_factory.mktemp("killed")
    program = (
        "import os, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from daemon.sinks import test_resuming as t; t.write(Path(sys.argv[1]), 14)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder / "run_one.h5"), str(TESTS)], check=False)
    assert done.returncode == -signal.SIGKILL
    return folder


@pytest.fixture
def path(killed, tmp_path) -> Path:
    """The file of that run, to do with as one likes."""
    shutil.copytree(killed, tmp_path / "runs")
    return tmp_path / "runs" / "run_one.h5"


def write(path: Path, frames: int) -> ResumableFile:
    sink = ResumableFile(path, NexusFile(path=path))
    sink.accept(records.run_start())
    for row in range(frames):
        sink.accept(records.lost_record(row) if row % 5 == 4 else remembered_record(row))
        sink.flush()
    return sink


def found(path: Path, **wanted) -> CutOffRun | None:
    asked = {
        "fingerprint": fingerprint_of(records.run_start()),
        "max_age_s": DAY_S,
        "now_ns": path.stat().st_mtime_ns if path.exists() else 0,
    }
    return find_cut_off_run(path, **{**asked, **wanted})


def test_a_checkpoint_comes_back_as_it_was():
    for row, series in ((5, True), (6, False)):
        before = Checkpoint(memory(row, series=series), ("one", "two"))
        data, images = encode_checkpoint(row, before)
        back_row, back = decode_checkpoint(data, images.__getitem__)
        assert back_row == row
        assert back.flags == before.flags
        again, _ = encode_checkpoint(row, back)
        assert again == data
        np.testing.assert_array_equal(back.memory.parameters, before.memory.parameters)
        assert back.memory.onsets.states[0][1].rule == OnsetRule(5.0)
        assert back.memory.textures[1] is None
        assert back.memory.darks.kept[0][1].checksum == before.memory.darks.kept[0][1].checksum


def test_a_torn_checkpoint_is_refused_wherever_it_is_torn():
    data, images = encode_checkpoint(5, Checkpoint(memory(5), ()))
    for end in (0, 7, 20, 40, len(data) // 2, len(data) - 1):
        with pytest.raises(InputFileError):
            decode_checkpoint(data[:end], images.__getitem__)
    damaged = bytearray(data)
    damaged[-3] ^= 1
    with pytest.raises(InputFileError, match="damaged"):
        decode_checkpoint(bytes(damaged), images.__getitem__)


def test_a_run_that_was_cut_off_is_found_with_all_its_rows_and_what_stood_after_them(path):
    run = found(path)
    assert run is not None
    assert run.path == path
    told = run.resumption
    assert (told.run_id, told.started_ns) == (records.run_start().run_id, records.run_start().started_ns)
    assert told.totals.announced == 14
    assert told.totals.processed + told.totals.rejected + told.totals.lost == 14
    assert told.totals.lost == 2
    assert dict(told.totals.reasons)["GAP_IN_ID"] == 2
    assert [row.unique_id for row in told.newest] == list(range(1000, 1014))
    assert told.checkpoint is not None
    assert told.checkpoint.flags == ("a flag, with a comma",)
    assert told.checkpoint.memory.chi_square == 13 + 1.0
    assert found(path.parent) is not None


def test_the_lattices_of_its_frames_come_back_for_the_clock_that_is_measured_from_them(path):
    [frames] = found(path).resumption.frames
    with h5py.File(path) as file:
        written = {
            name: file[f"entry/tracking/lagp/{name}"][: frames.rows.max() + 1] for name in ("a", "c", "a_errors")
        }
    assert [track.name for track in frames.tracks] == ["lagp/a", "lagp/c"]
    a, c = frames.tracks
    np.testing.assert_array_equal(a.value, written["a"][frames.rows])
    np.testing.assert_array_equal(a.sigma, written["a_errors"][frames.rows])
    np.testing.assert_array_equal(c.value, written["c"][frames.rows])
    assert np.isfinite(a.value).any()


def test_rows_wait_for_a_cycler_only_where_there_is_one(path):
    with_cycler, without = found(path), found(path, has_cycler=False)
    assert with_cycler is not None
    assert without is not None
    with h5py.File(path) as file:
        unknown = np.flatnonzero(file["entry/cycling/at_frame/state"][()] != b"KNOWN")
    assert [frame.row for frame in with_cycler.resumption.waiting] == unknown.tolist() == [4, 9]
    assert without.resumption.waiting == ()


def test_going_on_appends_to_the_same_file_and_a_proper_end_leaves_nothing_to_resume(path):
    sink = ResumableFile(path, NexusFile(path=path, resume=True), resumed_rows=ROWS)
    sink.accept(records.run_start())
    for row in range(14, 30):
        sink.accept(remembered_record(row))
        sink.flush()
    sink.accept(records.run_stop(30))
    sink.flush()
    sink.close()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry/frames/unique_id"], np.arange(1000, 1030))
        assert file["entry/azint1d/I"][20, 1] == 20
        assert file["entry/ledger/rows"][()] == 30
    assert not memory_folder(path).exists()
    assert found(path) is None


def test_rows_of_a_batch_that_was_cut_off_are_written_over_and_none_is_left_over(path):
    with h5py.File(path, "r+", libver="latest") as file:
        for name in ("azint1d/I", "frames/unique_id"):  # as if the flush of a batch had got no further
            dataset = file["entry"][name]
            dataset.resize(40, axis=0)
            dataset[14:] = -7
    sink = NexusFile(path=path, resume=True)
    sink.accept(records.run_start())
    for row in range(14, 17):
        sink.accept(records.frame_record(row))
        sink.flush()
    sink.accept(records.run_stop(17))
    sink.close()
    with h5py.File(path) as file:
        entry = file["entry"]
        assert entry["azint1d/I"].shape[0] == entry["frames/unique_id"].shape[0] == entry["frames/state"].shape[0] == 17
        np.testing.assert_array_equal(entry["frames/unique_id"], np.arange(1000, 1017))


def test_the_checkpoint_is_that_of_the_rows_in_the_file_even_when_the_next_one_was_written_already(tmp_path):
    path = tmp_path / "run_one.h5"
    sink = write(path, 8)
    sink._memory.keep(11, Checkpoint(memory(11), ()))  # and then the rows were never flushed
    kept = checkpoint_at(memory_folder(path), 8)
    assert kept is not None
    assert kept.memory.chi_square == 7 + 1.0
    sink.close()
    again = ResumableFile(path, NexusFile(path=path, resume=True), resumed_rows=8)
    again.accept(records.run_start())
    again._memory.keep(8, Checkpoint(memory(8), ()))
    kept = checkpoint_at(memory_folder(path), 8)
    assert kept is not None
    assert kept.memory.chi_square == 7 + 1.0
    again.close()


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"fingerprint": "another"}, "another one"),
        ({"max_age_s": -1.0}, "hours old"),
    ],
)
def test_a_run_of_another_configuration_or_of_long_ago_is_left_alone_and_the_log_says_why(path, caplog, wanted, why):
    before = path.read_bytes()
    assert found(path, **wanted) is None
    assert why in caplog.text
    assert path.read_bytes() == before


def test_a_run_that_another_process_writes_is_neither_resumed_nor_written(tmp_path, caplog):
    path = tmp_path / "run_one.h5"
    writer = write(path, 3)
    assert found(path) is None
    assert "another process" in caplog.text
    second = ResumableFile(path, NexusFile(path=path, resume=True), resumed_rows=ROWS)
    with pytest.raises(SinkError, match="another process"):
        second.accept(records.run_start())
    writer.close()


def test_a_damaged_file_is_left_as_it_is_and_a_new_run_begins(path, caplog):
    path.write_bytes(b"nothing of HDF5")
    assert found(path) is None
    assert "is not resumed" in caplog.text
    assert path.read_bytes() == b"nothing of HDF5"


def test_a_run_killed_again_and_again_loses_no_row_that_was_flushed(tmp_path):
    path = tmp_path / "run_one.h5"
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from daemon.sinks import test_resuming as t; t.go_on_for_ever(Path(sys.argv[1]))"
    )
    told = 0
    for attempt in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(TESTS)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            assert first >= told
            for _ in range(9 * attempt + 1):
                told = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        with h5py.File(path) as file:
            entry = file["entry"]
            rows = int(entry["ledger/rows"][()])
            assert rows >= told
            np.testing.assert_array_equal(entry["frames/unique_id"][:rows], np.arange(1000, 1000 + rows))
            np.testing.assert_array_equal(entry["azint1d/I"][:rows, 1], np.arange(rows))
            np.testing.assert_array_equal(entry["tracking/li/ratio"][:rows], 1.0 + np.arange(rows))


def go_on_for_ever(path: Path) -> None:
    """Begin or resume the run, and say after each batch how many rows are flushed."""
    run = found(path) if path.exists() else None
    rows = None if run is None else run.resumption.totals.announced
    sink = ResumableFile(path, NexusFile(path=path, resume=run is not None), resumed_rows=rows)
    sink.accept(records.run_start())
    row = rows or 0
    print(row, flush=True)
    while True:
        for _ in range(1 + row % 3):
            sink.accept(remembered_record(row))
            row += 1
        sink.flush()
        print(row, flush=True)


def test_numbers_of_a_stream_go_on_exactly_after_a_kill_and_far_enough_after_a_boot(tmp_path):
    path = tmp_path / SEQUENCE
    assert next_seq_after(path) == 0
    mark = SequenceMark(path)
    for next_seq in (1, 2, 9):
        mark.note(next_seq)
    assert next_seq_after(path) == 9
    data = path.read_bytes()
    path.write_bytes(data[:16] + b"another boot".ljust(36, b"\0"))
    assert next_seq_after(path) > 9
    path.write_bytes(data[:10])
    assert next_seq_after(path) > 2**32
    mark.close()

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import growing_file as growing_file_module
from fakes.growing_file import append, growing_file
from ringwatch_daemon.sinks.swmr_seal import SealError, SwmrSeal, lookup3, mend, sealed

SUPERBLOCK = 48


@pytest.mark.parametrize(
    ("data", "start", "expected"),
    [
        (b"", 0, 0xDEADBEEF),
        (b"", 0xDEADBEEF, 0xBD5B7DDE),
        (b"Four score and seven years ago", 0, 0x17770551),
        (b"Four score and seven years ago", 1, 0xCD628161),
    ],
)
def test_the_checksum_gives_the_values_that_its_author_published(data, start, expected):
    assert lookup3(data, start) == expected


@given(st.binary(min_size=1, max_size=40), st.data())
@settings(deadline=None)
def test_the_checksum_sees_one_changed_bit(data, choice):
    changed = bytearray(data)
    changed[choice.draw(st.integers(0, len(data) - 1))] ^= 1 << choice.draw(st.integers(0, 7))
    assert lookup3(bytes(changed)) != lookup3(data)


def test_the_checksum_is_the_one_that_hdf5_writes(tmp_path):
    h5py.File(tmp_path / "f.h5", "w", libver="latest").close()
    block = (tmp_path / "f.h5").read_bytes()[:SUPERBLOCK]
    assert sealed(block, end=int.from_bytes(block[28:36], "little")) == block


@pytest.mark.parametrize("options", [{}, {"swmr": True}])
def test_a_sealed_file_opens_at_every_row(tmp_path, options):
    script = "import h5py, sys; f = h5py.File(sys.argv[1], 'r', swmr=sys.argv[2] == '1'); print(f['rows'][:, 0].sum())"
    file, rows = growing_file(tmp_path / "f.h5")
    seal = SwmrSeal(tmp_path / "f.h5", reserve_bytes=4096)
    for _ in range(40):
        append(file, rows, seal)
        if len(rows) % 13 == 0:
            arguments = [sys.executable, "-c", script, str(tmp_path / "f.h5"), str(int("swmr" in options))]
            done = subprocess.run(arguments, capture_output=True, text=True, check=True)
            assert int(done.stdout) == sum(range(len(rows)))
    end = file.id.get_filesize()
    file.close()
    seal.finish(end)
    seal.close()


def test_flushing_datasets_leaves_the_superblock_alone(tmp_path):
    file, rows = growing_file(tmp_path / "f.h5")
    seal = SwmrSeal(tmp_path / "f.h5", reserve_bytes=2**20)
    append(file, rows, seal)
    before = (tmp_path / "f.h5").read_bytes()[:SUPERBLOCK]
    for _ in range(100):
        append(file, rows, seal)
    assert (tmp_path / "f.h5").read_bytes()[:SUPERBLOCK] == before
    file.close()
    seal.close()


def test_a_clean_close_leaves_no_reserve(tmp_path):
    file, rows = growing_file(tmp_path / "f.h5")
    seal = SwmrSeal(tmp_path / "f.h5", reserve_bytes=2**20)
    append(file, rows, seal)
    assert (tmp_path / "f.h5").stat().st_size > 2**20
    end = file.id.get_filesize()
    file.close()
    seal.finish(end)
    seal.close()
    assert (tmp_path / "f.h5").stat().st_size < 2**16
    with h5py.File(tmp_path / "f.h5") as back:
        assert np.all(back["rows"][()] == 0)


def test_a_killed_writer_leaves_a_file_with_every_row_that_was_flushed(tmp_path):
    chance = random.Random(11)
    program = str(Path(growing_file_module.__file__))
    for attempt in range(6):
        path = tmp_path / f"{attempt}.h5"
        arguments = [sys.executable, program, str(path), str(chance.choice([2**16, 2**20]))]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randint(1, 600)):
                told = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        with h5py.File(path) as file:
            rows = file["rows"][:, 0]
        assert len(rows) >= told
        assert np.array_equal(rows[:told], np.arange(told))
        with h5py.File(path, "r+") as file:
            assert len(file["rows"]) >= told


def test_a_file_whose_seal_was_interrupted_is_mended(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["x"] = np.arange(10)
    good = path.read_bytes()
    for keep in (11, 12, 20, 30, 36, 44, 46):
        other = sealed(good[:SUPERBLOCK], end=len(good) + 4096)
        path.write_bytes(other[:keep] + good[keep:])
        mend(path)
        with h5py.File(path) as file:
            assert file["x"][-1] == 9
    assert not mend(path)


def test_a_file_that_was_killed_without_a_seal_is_mended(tmp_path):
    path = tmp_path / "f.h5"
    file, rows = growing_file(path)
    rows.resize(3, 0)
    rows[2] = 7
    file.flush()
    killed = tmp_path / "killed.h5"
    killed.write_bytes(path.read_bytes())
    file.close()
    with pytest.raises(OSError, match="already open for"):
        h5py.File(killed)
    assert mend(killed)
    with h5py.File(killed) as back:
        assert np.all(back["rows"][2] == 7)


@pytest.mark.parametrize("content", [b"", b"no HDF5 file at all, but long enough for a superblock of it"])
def test_a_file_of_another_kind_is_refused_untouched(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    for use in (SwmrSeal, mend):
        with pytest.raises(SealError, match="superblock"):
            use(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == content

"""`ringwatch reprocess` as a whole program: on a cluster, and stopped on its way."""

import importlib.util
import signal
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from fabio.tifimage import TifImage

from fakes.beamlines import write_plain_beamline, write_small_lagp_beamline
from fakes.service import PATIENCE_S, PROGRAM, assert_whole, ringwatch, row_aligned, rows, wait_until
from ringwatch_simulators.supply import Exposure

pytestmark = [pytest.mark.slow]


def results(path: Path) -> dict[str, bytes]:
    """Everything of a run that its files decide; what cannot be read has the time at which that was seen."""
    with h5py.File(path) as file:
        there = file["entry/frames/state"][()] == b"PROCESSED"
        made = {
            name: item[()]
            for name, item in row_aligned(file).items()
            if name.startswith(("azint1d", "tracking", "frames")) and not name.endswith("received_ns")
        }
    made["frames/timestamp_ns"] = made["frames/timestamp_ns"][there]
    return {name: values.tobytes() for name, values in made.items()}


@pytest.mark.sockets
@pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="distributed is not installed: pip install 'ringwatch[dask]'",
)
def test_a_cluster_gives_the_same_bits_as_this_machine(tmp_path: Path):
    from distributed import LocalCluster

    configuration, frames = write_small_lagp_beamline(tmp_path)
    for index in (0, 4, 9, 10, 11):
        name = f"light_{index}.tif" if index else "dark.tif"
        TifImage(data=frames.frame(Exposure(index, 60.0)).image).write(str(tmp_path / name))
    (tmp_path / "light_10.tif").write_bytes((tmp_path / "light_9.tif").read_bytes()[:-9])
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    done = ringwatch("reprocess", configuration, tmp_path / "light_*.tif", "-o", here)
    assert done.returncode == 0, done.stderr
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, host="127.0.0.1", protocol="tcp", dashboard_address=":0"
    ) as cluster:
        address = ("--dask", cluster.scheduler_address)
        done = ringwatch("reprocess", configuration, tmp_path / "light_*.tif", "-o", there, *address)
    assert done.returncode == 0, done.stderr
    assert_whole(there)
    expected, got = results(here), results(there)
    assert expected.keys() == got.keys()
    assert [name for name, values in expected.items() if values != got[name]] == []
    assert [state for _, state, _ in rows(there)] == ["PROCESSED", "PROCESSED", "REJECTED", "PROCESSED"]


def test_a_stop_on_the_way_keeps_what_came_before_and_is_an_exit_code(tmp_path: Path):
    configuration, output = write_plain_beamline(tmp_path, shape=(64, 64)), tmp_path / "run.h5"
    count = 100_000
    with h5py.File(tmp_path / "stack.h5", "w") as file:
        shape = (count, 64, 64)
        stack = file.create_dataset("entry/data/data", shape, np.uint16, chunks=(1000, 64, 64), fillvalue=7)
        stack[:2000] = np.random.default_rng(1).poisson(50.0, (2000, 64, 64))
    command = [*PROGRAM, "reprocess", str(configuration), str(tmp_path / "stack.h5"), "-o", str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        wait_until(output.exists, "the file of the run")
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=PATIENCE_S)
    assert program.returncode == 1
    last = said.splitlines()[-1]
    assert last.startswith("ringwatch: stopped after ")
    assert str(output) in said.replace("\n", "")
    came = int(last.split()[3])
    assert 0 < came < count
    assert assert_whole(output)["announced"] == came

"""What a run keeps in memory does not grow with its frames."""

import gc
import sys

import h5py
import pytest

from benchmarks.soak import SAMPLE_EVERY, SUMMED, LookAt, soak

FIRST, LAST = 300, 900


@pytest.mark.slow
@pytest.mark.sockets
def test_nothing_is_kept_for_each_frame(tmp_path):
    held = {}

    def look(count: int) -> None:
        gc.collect()
        held[count] = sys.getallocatedblocks()

    soak(tmp_path, frames=LAST, watcher=LookAt((FIRST, LAST), look))
    # A record of a frame is some hundred blocks; what waits in channels at the moment may differ by a few records.
    assert held[LAST] - held[FIRST] < 2 * (LAST - FIRST)
    with h5py.File(tmp_path / "run.h5") as file:
        assert (file["entry/frames/state"][()] == b"PROCESSED").all()
        assert len(file["entry/frames/state"]) == LAST
        assert (file["entry/tracking/fit_state"][()] == b"CONVERGED").sum() == LAST // SUMMED
        assert len(file["entry/cycling/timestamp_ns"]) == -(-LAST // SAMPLE_EVERY)

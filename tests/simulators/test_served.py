"""The detector's own account of its frames."""

import time

import pytest

from fakes.ioc import running_ioc
from ringwatch_simulators.served import served_frames


@pytest.mark.sockets
def test_every_frame_that_was_counted_stands_in_the_account_with_what_befell_it(tmp_path):
    account = tmp_path / "served"
    faults = ("--fault", "drop@2", "--fault", "restart@4", "--fault", "disconnect@5:0.5")
    with running_ioc("--shape", "8x8", "--rate", "20", "--count", "20", "--served", str(account), *faults):
        end_s = time.monotonic() + 60
        while not account.exists() or len(served_frames(account)) < 20:
            assert time.monotonic() < end_s
            time.sleep(0.05)
    told = served_frames(account)
    assert [frame.index for frame in told] == list(range(20))
    assert [frame.unique_id for frame in told] == [1, 2, 3, *range(1, 18)]
    assert [frame.faults for frame in told[1:4]] == [("drop",), (), ("restart",)]
    gone = [frame.unique_id for frame in told if frame.faults == ("disconnect",)]
    assert gone[0] == 5
    assert len(gone) == 11

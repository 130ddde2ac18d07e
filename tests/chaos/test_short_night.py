"""A short night of chaos: one fault of each great kind; ``make chaos`` goes through hundreds."""

import pytest

from chaos.faults import FAULTS
from chaos.night import Night
from chaos.table import Tally, table_of

SEED = 4
KINDS = ("daemon kill -9", "spoilt frames", "garbage on the sockets", "daemon SIGSTOP", "full disk", "IOC kill -9")


@pytest.mark.sockets
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_goes_wrong_no_frame_is_lost_without_a_name_and_no_published_result_is_missing(tmp_path):
    by_kind = {fault.kind: fault for fault in FAULTS}
    tally = Tally()
    Night(SEED, 0, [by_kind[kind] for kind in KINDS], "pva", tally).go_through(tmp_path)
    assert tally.rounds == len(KINDS)
    assert tally.account.unnamed == []
    assert tally.account.states["PROCESSED"] > 20 * len(KINDS)
    assert f"{len(KINDS)}" in table_of(tally)

"""The ledger alone, through more faults than a real night has."""

import random

import pytest

from chaos.ledger_nights import LedgerNight, ledger_nights
from chaos.violations import Violation


def test_every_frame_of_many_nights_full_of_faults_has_a_name():
    said = []
    ledger_nights(1, nights=60, tell=said.append)
    assert "every frame named" in said[0]


def test_a_row_that_is_forgotten_is_found():
    night = LedgerNight(random.Random(5))
    night.frames(50)
    forgotten = night.book.rows.pop(20)
    night.book.received_ns.pop(20)
    with pytest.raises(Violation, match="49 rows, and the totals"):
        night.account()
    night.book.rows.insert(20, night.book.rows[19])
    night.book.received_ns.insert(20, night.book.received_ns[19] + 1)
    assert night.account().unnamed == [f"frame {forgotten.unique_id} of the stretch up to 50"]

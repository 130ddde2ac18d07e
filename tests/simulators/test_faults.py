"""Requests for faults are read exactly, and each befalls its frame once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_simulators.errors import FaultError
from ringwatch_simulators.faults import Fault, FaultKind, FaultSchedule, FrameSpoiler, fault_from_text
from ringwatch_simulators.readout import Readout


def readout(unique_id):
    return Readout(np.arange(12, dtype=np.uint16), (3, 4), unique_id, 10**18)


@given(st.sampled_from(FaultKind), st.integers(0, 10**9), st.integers(0, 10**5))
def test_a_request_reads_back_as_it_was_written(kind, unique_id, seconds):
    assert fault_from_text(f"{kind}@{unique_id}:{seconds}") == Fault(kind, unique_id, float(seconds))


@pytest.mark.parametrize("text", ["", "drop@", "explode@3", "drop@-1", "stall@3:soon", "drop 3"])
def test_anything_else_is_refused_with_the_list_of_kinds(text):
    with pytest.raises(FaultError, match="drop, duplicate"):
        fault_from_text(text)


def test_a_fault_without_a_frame_befalls_the_next_one_and_only_that():
    schedule = FaultSchedule((fault_from_text("drop"), fault_from_text("nan@7")))
    assert [fault.kind for fault in schedule.take(5)] == [FaultKind.DROP]
    assert schedule.take(6) == []
    assert [fault.kind for fault in schedule.take(7)] == [FaultKind.NAN]
    assert schedule.take(7) == []


def test_a_reordered_frame_without_successor_still_goes_out():
    spoiler = FrameSpoiler()
    assert spoiler.spoil(readout(1), [fault_from_text("reorder@1")]) == []
    assert [one.unique_id for one in spoiler.flush()] == [1]
    assert spoiler.flush() == []


def test_a_frame_with_nan_announces_float32_and_keeps_its_shape():
    (spoiled,) = FrameSpoiler().spoil(readout(1), [fault_from_text("nan@1")])
    assert (spoiled.data_type, spoiled.shape) == ("Float32", (3, 4))
    assert np.isnan(spoiled.data[:4]).all()
    assert np.isfinite(spoiled.data[4:]).all()

from dataclasses import replace

import numpy as np
import pytest

from fakes import records
from ringwatch_daemon.core.messages import SAMPLES_A_MESSAGE, STATES_A_MESSAGE, messages_from_record
from ringwatch_daemon.core.records import FrameState, LedgerCorrection, Provenance, Record
from ringwatch_daemon.core.wire import StreamMessage, decode, encode
from ringwatch_pipelines.results import FittedCurves

START = records.run_start()


def over_the_wire(record: Record) -> list[StreamMessage]:
    made = messages_from_record(record, start=START, first_seq=10, now_ns=77)
    assert [message.seq for message in made] == list(range(10, 10 + len(made)))
    assert {message.run for message in made} == {START.run_id}
    return [decode(encode(message)) for message in made]


def test_the_start_tells_axis_columns_and_provenance():
    (message,) = over_the_wire(START)
    assert (message.topic, message.kind, message.frame, message.timestamp_ns) == (
        "run.start",
        "run.start",
        -1,
        records.START_NS,
    )
    assert message.data["run_id"] == START.run_id
    assert [column["path"] for column in message.data["columns"]] == [column.path for column in START.columns]
    assert message.data["columns"][1] == {
        "path": "chi_square",
        "unit": "",
        "long_name": "reduced chi-square of the fit",
        "kind": "number",
        "peaks": 0,
    }
    assert message.data["provenance"]["sample/temperature"] == 298.15
    assert message.data["provenance_units"]["sample/temperature"] == "K"
    assert np.array_equal(message.array("provenance/instrument/detector/shape"), [2048, 2048])
    assert np.array_equal(message.array("tracking/lagp/peaks/hkl"), records.HKL)
    assert np.array_equal(message.array("two_theta_edges_deg"), START.axis.edges_two_theta_deg)
    assert np.array_equal(message.array("two_theta_deg"), START.axis.two_theta_deg)
    assert np.array_equal(message.array("norm"), START.norm)


def test_a_processed_frame_is_a_pattern_and_its_tracking():
    pattern, tracking = over_the_wire(records.frame_record(4))
    assert pattern.topic == "frame.pattern"
    assert pattern.array("I").dtype == np.float32
    assert np.isnan(pattern.array("I")[0])
    assert np.all(pattern.array("I")[1:] == 4)
    assert pattern.frame == tracking.frame == 4
    assert pattern.timestamp_ns == records.START_NS + 4 * records.FRAME_NS
    values = tracking.data["values"]
    assert values["li/ratio"] == 5.0
    assert values["li/ratio_errors"] == pytest.approx(0.05)
    assert values["fit_state"] == "CONVERGED"
    assert values.keys() == {column.path for column in START.columns if not column.peaks}
    assert {name for name, _ in tracking.arrays} == {column.path for column in START.columns if column.peaks}
    assert np.array_equal(tracking.array("lagp/peaks/area"), [10.0, 10.0, 10.0])
    assert tracking.data["cell"]["voltage_V"] == pytest.approx(0.4)
    assert tracking.data["cell"]["state"] == "KNOWN"


def test_a_pattern_goes_out_with_its_fit_where_that_has_values():
    record = records.frame_record(4)
    bins = record.result.pattern.intensity.size
    curves = FittedCurves(np.linspace(1.0, 2.0, bins), np.full(bins, np.nan))
    fitted = replace(record, result=replace(record.result, tracked=replace(record.result.tracked, curves=curves)))
    pattern, _ = over_the_wire(fitted)
    assert [name for name, _ in pattern.arrays] == ["I", "I_errors", "fitted", "background"]
    assert pattern.array("fitted").dtype == np.float32
    assert np.allclose(pattern.array("fitted"), curves.model)
    assert np.all(np.isnan(pattern.array("background")))
    without, _ = over_the_wire(record)
    assert [name for name, _ in without.arrays] == ["I", "I_errors"]


def test_a_lost_frame_has_no_pattern_and_null_for_every_number():
    (tracking,) = over_the_wire(records.lost_record(2))
    assert tracking.kind == "frame.tracking"
    assert tracking.data["state"] == "LOST"
    assert tracking.data["reason"] == "GAP_IN_ID"
    assert tracking.data["exposure_s"] is None
    assert tracking.data["cell"]["voltage_V"] is None
    assert set(tracking.data["values"].values()) == {None}
    assert tracking.arrays == ()


def test_a_correction_of_the_ledger_goes_where_the_frame_went():
    (message,) = over_the_wire(LedgerCorrection(3, FrameState.REJECTED, "LATE"))
    assert (message.topic, message.kind, message.frame) == ("frame.tracking", "ledger.correction", 3)
    assert message.data == {"state": "REJECTED", "reason": "LATE"}
    assert message.timestamp_ns == 77


def test_samples_and_late_states_of_the_cell_go_to_one_topic():
    (samples,) = over_the_wire(records.cycling_samples(count=5))
    assert (samples.topic, samples.kind) == ("cycling", "cycling.samples")
    assert np.array_equal(samples.array("step"), range(5))
    assert samples.timestamp_ns == records.START_NS + 40 * records.FRAME_NS
    (states,) = over_the_wire(records.cell_state_update(1, 5))
    assert states.kind == "cycling.at_frame"
    assert np.array_equal(states.array("rows"), [1, 5])
    assert [state["voltage_V"] for state in states.data["states"]] == [1.0, 5.0]


def test_a_whole_cycler_file_goes_out_in_messages_within_the_bounds():
    count = 2 * SAMPLES_A_MESSAGE + 3
    samples = over_the_wire(records.cycling_samples(count=count))
    assert [message.array("step").size for message in samples] == [SAMPLES_A_MESSAGE, SAMPLES_A_MESSAGE, 3]
    states = over_the_wire(records.cell_state_update(*range(STATES_A_MESSAGE + 1)))
    assert [len(message.data["states"]) for message in states] == [STATES_A_MESSAGE, 1]


def test_no_samples_make_one_empty_message():
    (message,) = over_the_wire(records.cycling_samples(count=0))
    assert message.array("voltage_V").size == 0
    assert message.timestamp_ns == 77


def test_event_status_and_stop_carry_their_fields():
    (event,) = over_the_wire(records.event(5))
    assert event.frame == 5
    assert event.data == {"kind": "GAP", "text": "one frame is missing before this one", "sigma_h": None}
    (status,) = over_the_wire(records.status(9))
    assert status.data["totals"]["announced"] == 9
    assert status.data["queues"] == [{"name": "frames", "length": 1, "high_water": 2, "capacity": 64, "dropped": 0}]
    assert status.data["latency_s"] is None
    (stop,) = over_the_wire(records.run_stop(9))
    assert stop.data["totals"]["reasons"] == {"GAP_IN_ID": 1}
    assert stop.data["flags"] == ["RING_SELF_TEST_FAILED"]


def test_provenance_of_every_type_has_a_form():
    facts = (
        Provenance("a/text", np.array([b"x", b"y"])),
        Provenance("a/flag", value=True),
        Provenance("a/nothing", float("nan")),
        Provenance("a/count", 3),
        Provenance("a/big", np.array([1, 2], dtype=">i4")),
    )
    (message,) = over_the_wire(replace(START, provenance=facts))
    assert message.data["provenance"] == {"a/text": ["x", "y"], "a/flag": True, "a/nothing": None, "a/count": 3}
    assert np.array_equal(message.array("provenance/a/big"), [1, 2])

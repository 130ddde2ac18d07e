"""The newest results as PVs, over real PVA on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from p4p.client.thread import Context, RemoteError

from fakes import records
from fakes.service import wait_until
from ringwatch_daemon.core.records import Record
from ringwatch_daemon.sinks.result_pv_table import Severity, pv_name
from ringwatch_daemon.sinks.result_pvs import ResultPvs
from ringwatch_pipelines.results import Estimate, FitState, FrameResult

pytestmark = pytest.mark.sockets
LOOPBACK = {
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_PVAS_SERVER_PORT": "0",
    "EPICS_PVAS_BROADCAST_PORT": "0",
    "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
}


@contextmanager
def served(*told: Record, interval_s: float = 0.001) -> Iterator[tuple[ResultPvs, Context]]:
    sink = ResultPvs("RW1:", interval_s=interval_s, network=LOOPBACK)
    conf = sink.network
    client = {
        "EPICS_PVA_ADDR_LIST": "127.0.0.1",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_BROADCAST_PORT": conf["EPICS_PVAS_BROADCAST_PORT"],
    }
    try:
        with Context("pva", conf=client, useenv=False, nt=False) as context:
            # Posted in their order: once the last one is there, all are.
            tell(sink, *told, replace(records.event(kind="TOLD"), cell_name="last"))
            wait_until(lambda: get(context, "last:Event:Kind").value == "TOLD", "all that was told")
            yield sink, context
    finally:
        sink.close()


def tell(sink: ResultPvs, *told: Record) -> None:
    for record in told:
        sink.accept(record)
    sink.flush()


def get(context: Context, name: str):
    return context.get(f"RW1:{name}", timeout=20.0)


def frame(row: int, state: FitState = FitState.CONVERGED, ratio: float | None = None, **changes):
    record = records.frame_record(row)
    tracked = replace(records.tracked(float(row + 1)), fit_state=state)
    if ratio is not None:
        phases = [
            replace(phase, ratio=Estimate(ratio, ratio)) if phase.name == "li" else phase for phase in tracked.phases
        ]
        tracked = replace(tracked, phases=tuple(phases))
    return replace(record, result=FrameResult(pattern=records.pattern(row), tracked=tracked, dark_index=0), **changes)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("li/ratio", "Li:Ratio"),
        ("li/ratio_errors", "Li:Ratio:Sigma"),
        ("li/area_110_limit", "Li:Area110:Limit"),
        ("lagp/size_nm", "Lagp:SizeNm"),
        ("lagp/state", "Lagp:State"),
        ("fit_state", "Fit:State"),
        ("lagp/peaks/two_theta_errors", "Lagp:Peaks:TwoTheta:Sigma"),
    ],
)
def test_a_track_s_name_follows_from_its_path_in_the_file(path, name):
    assert pv_name(path) == name


def test_a_result_has_value_sigma_unit_description_and_the_frame_s_own_time():
    with served(records.run_start(), frame(3)) as (_, context):
        ratio, sigma, size = (get(context, name) for name in ("Li:Ratio", "Li:Ratio:Sigma", "Lagp:SizeNm"))
        assert (ratio.value, sigma.value) == (4.0, 0.04)
        assert size.display.units == "nm"
        assert size.display.description == "lagp crystallite size"
        stamp = ratio.timeStamp.secondsPastEpoch * 10**9 + ratio.timeStamp.nanoseconds
        assert stamp == records.frame_record(3).timestamp_ns
        assert ratio.alarm.severity == Severity.NONE
        assert get(context, "Cell:Voltage").value == pytest.approx(0.3)
        assert get(context, "Frame:Id").value == 1003


@pytest.mark.parametrize(
    ("state", "ratio", "severity"),
    [
        (FitState.CONVERGED, 2.0, Severity.NONE),
        (FitState.MISFIT, 2.0, Severity.MINOR),
        (FitState.NOT_CONVERGED, float("nan"), Severity.MAJOR),
        (FitState.CONVERGED, float("nan"), Severity.MAJOR),
    ],
)
def test_the_alarm_says_what_a_value_is_worth(state, ratio, severity):
    with served(records.run_start(), frame(0, state, ratio)) as (_, context):
        told = get(context, "Li:Ratio")
        assert told.alarm.severity == severity
        assert (state.value in told.alarm.message) == (severity is not Severity.NONE)
        assert np.isnan(told.value) == np.isnan(ratio)


def test_before_the_first_fit_every_track_is_there_and_invalid():
    with served(records.run_start()) as (_, context):
        told = get(context, "Lagp:A")
        assert np.isnan(told.value)
        assert told.alarm.severity == Severity.INVALID
        assert get(context, "Run:Id").value == "run_one"


def test_a_lost_frame_is_seen_and_the_last_values_stay():
    with served(records.run_start(), frame(0), records.lost_record(1)) as (_, context):
        lost = get(context, "Frame:State")
        assert (lost.value, lost.alarm.severity) == ("LOST", Severity.MINOR)
        assert get(context, "Frame:Reason").value == "GAP_IN_ID"
        assert get(context, "Li:Ratio").value == 1.0


def test_a_frame_whose_fit_is_to_come_with_a_sum_leaves_the_last_one_there():
    with served(records.run_start(), frame(4), frame(5, FitState.SUMMED)) as (_, context):
        assert get(context, "Li:Ratio").value == 5.0
        assert get(context, "Frame:Row").value == 5


def test_health_tells_frames_queues_connection_and_warnings():
    sick = replace(records.status(8), source_state="DISCONNECTED", flags=("the rings are elsewhere",))
    with served(sick, records.event(2)) as (_, context):
        assert get(context, "Frames:Processed").value == 7
        assert (get(context, "Frames:Lost").value, get(context, "Frames:Lost").alarm.severity) == (1, Severity.MINOR)
        assert get(context, "Queue:Frames:HighWater").value == 2
        assert get(context, "Source:State").alarm.severity == Severity.MAJOR
        assert get(context, "Run:Flags").value == "the rings are elsewhere"
        assert get(context, "Event:Kind").value == "GAP"


def test_the_newest_pattern_is_a_curve_over_its_angles():
    start = records.run_start()
    with served(start, frame(6)) as (_, context):
        angles, counts = get(context, "Pattern:TwoTheta").value, get(context, "Pattern:Intensity").value
        np.testing.assert_array_equal(angles, start.axis.two_theta_deg)
        assert np.isnan(counts[0])
        assert set(counts[1:]) == {6.0}


def test_of_several_cells_each_has_its_own_values():
    start = replace(records.run_start(), cells=("A", "B"))
    with served(start, frame(0, cell_name="A"), frame(1, cell_name="B")) as (_, context):
        assert get(context, "A:Li:Ratio").value == 1.0
        assert get(context, "B:Li:Ratio").value == 2.0


def test_nobody_can_write_a_result():
    with served(records.run_start(), frame(0)) as (_, context):
        get(context, "Li:Ratio")
        with pytest.raises(RemoteError):
            context.put("RW1:Li:Ratio", 7.2, timeout=20.0)
        assert get(context, "Li:Ratio").value == 1.0


def test_a_monitor_hears_each_new_value_and_the_last_one_of_a_run():
    heard: list[float] = []
    with served(records.run_start(), frame(0)) as (sink, context):
        subscription = context.monitor("RW1:Li:Ratio", lambda value: heard.append(value.value), request="field(value)")
        wait_until(lambda: heard == [1.0], "the first value")
        tell(sink, frame(1))
        wait_until(lambda: heard == [1.0, 2.0], "the second")
        subscription.close()


def test_a_burst_costs_its_newest_frames_only():
    heard: list[float] = []
    with served(records.run_start(), frame(0), interval_s=0.05) as (sink, context):
        subscription = context.monitor("RW1:Li:Ratio", lambda value: heard.append(value.value), request="field(value)")
        wait_until(lambda: heard, "the first value")
        for row in range(1, 1000):
            tell(sink, frame(row))
        wait_until(lambda: heard[-1] == 1000.0, "the newest value")
        subscription.close()
    assert len(heard) < 500


def test_the_end_of_a_run_is_told():
    with served(records.run_start(), records.run_stop()) as (_, context):
        wait_until(lambda: get(context, "Run:State").value == "STOPPED", "the end")

from collections.abc import Iterable
from dataclasses import replace

import pytest

from fakes import records, streams
from ringwatch_daemon.client import GAP
from ringwatch_daemon.core.records import FrameState, LedgerCorrection, Reason, Record, RunStart, Totals
from ringwatch_daemon.core.wire import StreamMessage, decode, encode
from ringwatch_daemon.dashboard.run_view import RunView
from ringwatch_daemon.dashboard.updates import EVENTS_KEPT, updated
from ringwatch_pipelines.cell.cycling import CellState, Coupling
from ringwatch_pipelines.results import FitState


def view_of(messages: Iterable[StreamMessage], *, now_s: float = 0.0) -> RunView:
    view = RunView()
    for message in messages:
        view = updated(view, message, now_s=now_s)
    return view


def told(*later: Record, start: RunStart | None = None) -> RunView:
    begin = start or streams.cell_run_start()
    return view_of(streams.messages([begin, *later], start=begin))


def test_the_quantities_come_from_the_columns_of_the_run() -> None:
    view = told()
    assert [quantity.path for quantity in view.quantities] == [
        "li/ratio",
        "li/a",
        "lagp/a",
        "lagp/c",
        "lagp/size_nm",
        "lioh/amount",
        "alpo4/amount",
    ]
    assert [quantity.path for quantity in view.quantities if quantity.of_free_phase] == [
        "lagp/a",
        "lagp/c",
        "lagp/size_nm",
    ]


def test_a_frame_brings_its_fit_its_cell_and_its_count() -> None:
    view = told(*(streams.cell_frame(row) for row in range(3)))
    assert view.fit is not None
    assert view.fit.estimate("lagp/a") == (pytest.approx(8.257), 3e-5)
    assert view.fit.chi_square == 1.034
    assert view.cell is not None
    assert (view.cell.voltage_V, view.cell.half_cycle) == (3.4123, 5)
    assert view.totals == Totals(announced=3, processed=3)
    assert view.frames_per_s == pytest.approx(1.0)
    assert view.elapsed_h == pytest.approx(2 / 3600)
    assert view.missed == 0


def test_a_frame_that_went_into_a_sum_leaves_the_newest_fit_standing() -> None:
    view = told(streams.cell_frame(0), streams.cell_frame(1, state=FitState.SUMMED))
    assert view.fit is not None
    assert view.fit.row == 0
    assert view.totals.processed == 2


def test_a_fit_that_did_not_converge_is_shown_but_not_drawn() -> None:
    view = told(streams.cell_frame(0), streams.cell_frame(1, state=FitState.NOT_CONVERGED))
    assert view.fit is not None
    assert view.fit.state == "NOT_CONVERGED"
    assert len(view.curves["li/ratio"].curve()) == 1


def test_a_misfit_is_shown_and_drawn() -> None:
    view = told(streams.cell_frame(0), streams.cell_frame(1, state=FitState.MISFIT))
    assert view.fit is not None
    assert view.fit.state == "MISFIT"
    assert len(view.curves["li/ratio"].curve()) == 2


def test_a_lost_frame_counts_and_moves_neither_time_nor_cell_nor_fit() -> None:
    lost = replace(records.lost_record(1), timestamp_ns=0, received_ns=0, cell=CellState())
    view = told(streams.cell_frame(0), lost)
    assert view.totals == Totals(announced=2, processed=1, lost=1, reasons=(("GAP_IN_ID", 1),))
    assert view.timestamp_ns == records.START_NS
    assert view.cell_reason == "KNOWN"
    assert view.fit is not None
    assert view.fit.row == 0


def test_a_frame_that_turns_up_after_all_is_no_longer_lost() -> None:
    correction = LedgerCorrection(1, FrameState.REJECTED, Reason.LATE)
    view = told(streams.cell_frame(0), records.lost_record(1), correction)
    assert (view.totals.lost, view.totals.rejected, view.totals.announced) == (0, 1, 2)


def test_the_ledger_has_the_last_word_on_the_totals() -> None:
    totals = Totals(7, 4, 1, 2, (("DUPLICATE", 1), ("GAP_IN_ID", 2)))
    view = told(streams.cell_frame(0), streams.cell_status(totals))
    assert view.totals == totals
    assert [(level.name, level.high_water) for level in view.queues] == [("frames", 7), ("records", 12)]
    assert view.latency_s == 0.0213
    assert (view.source_state, view.source_text) == ("CONNECTED", "13PE1:Pva1:Image")


def test_the_reason_stands_until_the_cell_is_known_and_then_its_voltage() -> None:
    waiting = replace(streams.cell_frame(0), cell=CellState(state=Coupling.AFTER_LAST_SAMPLE))
    view = told(waiting)
    assert view.cell is None
    assert view.cell_reason == "AFTER_LAST_SAMPLE"
    view = told(waiting, records.cell_state_update(0))
    assert view.cell is not None
    assert view.cell.row == 0
    assert view.cell_reason == "KNOWN"
    assert len(view.voltage.curve()) == 1


def test_a_state_told_twice_is_drawn_once() -> None:
    view = told(streams.cell_frame(0), records.cell_state_update(0))
    assert len(view.voltage.curve()) == 1


def test_the_newest_events_are_kept_and_all_are_counted() -> None:
    view = told(*(streams.cell_event(row, "GAP", f"event {row}") for row in range(40)))
    assert view.events_seen == 40
    assert [event.text for event in view.events] == [f"event {row}" for row in range(40 - EVENTS_KEPT, 40)]


def test_a_number_that_does_not_come_is_a_hole() -> None:
    start = streams.cell_run_start()
    messages = list(streams.messages([start, *(streams.cell_frame(row) for row in range(5))], start=start))
    view = view_of(message for message in messages if message.seq not in {3, 4, 7})
    assert (view.missed, view.holes) == (3, 2)


def test_a_gap_that_the_client_tells_is_one_hole() -> None:
    start = streams.cell_run_start()
    first, *rest = streams.messages([start, streams.cell_frame(0), streams.cell_frame(1)], start=start)
    gap = StreamMessage(GAP, start.run_id, 1, GAP, -1, 0, {"first_seq": 1, "last_seq": 2})
    view = view_of([first, gap, *rest[2:]])
    assert (view.missed, view.holes) == (2, 1)
    assert view.next_seq == 5


def test_another_run_begins_a_new_view() -> None:
    one, two = streams.cell_run_start(), streams.cell_run_start(run_id="run_two")
    view = view_of(
        [
            *streams.messages([one, streams.cell_frame(0)], start=one),
            *streams.messages([two], start=two),
        ]
    )
    assert view.run == "run_two"
    assert view.totals == Totals()
    assert view.missed == 0


def test_a_watcher_who_missed_the_start_still_finds_the_quantities() -> None:
    start = streams.cell_run_start()
    messages = list(streams.messages([start, streams.cell_frame(0)], start=start))
    view = view_of(messages[1:])
    assert view.started_ns is None
    assert "lagp/c" in [quantity.path for quantity in view.quantities]
    assert view.missed == 1


def test_several_cells_have_their_own_quantities_and_curves_and_keep_what_was_found_last() -> None:
    start = replace(streams.cell_run_start(), cells=("fresh", "aged"))
    frames = [replace(streams.cell_frame(row), cell_name="fresh" if row % 2 else "aged") for row in range(4)]
    view = RunView()
    for message in streams.messages([start, *frames], start=start):
        view = updated(view, message, now_s=0.0)
    ratios = [quantity.path for quantity in view.quantities if quantity.label.startswith("ratio")]
    assert ratios == ["fresh:li/ratio", "aged:li/ratio"]
    assert view.curves["fresh:li/ratio"].curve() == pytest.approx((5.44, 5.46))
    assert view.curves["aged:li/ratio"].curve() == pytest.approx((5.43, 5.45))
    assert view.fit is not None
    assert view.fit.estimate("aged:li/ratio")[0] == pytest.approx(5.45)
    assert view.fit.estimate("fresh:li/ratio")[0] == pytest.approx(5.46)
    assert view.cell is not None
    assert (view.cell.name, view.cell.row, view.voltage.curve()) == ("fresh", 3, ())


def test_cells_without_end_do_not_fill_the_memory_of_a_watcher() -> None:
    view, values = RunView(), {"fit_state": "CONVERGED", **{f"p{number}/ratio": 1.0 for number in range(100)}}
    for row in range(400):
        data = {"values": values, "cell_name": f"cell{row}", "state": "PROCESSED"}
        message = StreamMessage("frame.tracking", "run", row, "frame.tracking", row, 10**18, data)
        view = updated(view, message, now_s=0.0)
    assert view.fit is not None
    assert len(view.fit.values) < 11_000
    assert len(view.curves) <= 100


def test_the_end_of_a_run_brings_its_reason_totals_and_flags() -> None:
    view = told(records.run_stop(announced=5))
    assert view.stopped == "asked to stop"
    assert view.totals == records.totals(5)
    assert view.flags == ("RING_SELF_TEST_FAILED",)


def test_the_wire_changes_nothing() -> None:
    start = streams.cell_run_start()
    run = [start, streams.cell_frame(0), records.cell_state_update(0), records.status(), records.run_stop()]
    messages = list(streams.messages(run, start=start))
    over_the_wire = [decode(encode(message)) for message in messages]
    assert repr(view_of(over_the_wire)) == repr(view_of(messages))

import io
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fakes import records, streams
from ringwatch_daemon.core.records import Record, Totals
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.dashboard.panels import view_panel
from ringwatch_daemon.dashboard.plain import PlainLog, frame_line
from ringwatch_daemon.dashboard.run_view import RunView
from ringwatch_daemon.dashboard.terminal import show
from ringwatch_daemon.dashboard.updates import updated
from ringwatch_pipelines.cell.cycling import CellState, Coupling
from ringwatch_pipelines.results import FitState

FLAG = "the rings of ceo2 do not lie where the calibration says"


XTERM = {"TERM": "xterm"}


def run_messages(*later: Record) -> list[StreamMessage]:
    start = streams.cell_run_start()
    return list(streams.messages([start, *later], start=start))


def busy_run() -> list[StreamMessage]:
    """130 frames, one of them lost, with everything the view has a place for."""
    frames = [streams.cell_frame(row, voltage_V=0.05 * math.sin(row / 10)) for row in range(129)]
    totals = Totals(130, 129, 0, 1, (("GAP_IN_ID", 1),))
    return run_messages(
        *frames,
        records.lost_record(129),
        streams.cell_event(129, "GAP", "1 frame lost on the way from the detector (unique id 1129)"),
        streams.cell_status(totals, flags=(FLAG,)),
    )


def view_of(messages: list[StreamMessage]) -> RunView:
    view = RunView()
    for message in messages:
        view = updated(view, message, now_s=100.0)
    return view


def drawn(view: RunView, *, width: int, now_s: float = 100.0, expected_frames: int | None = None) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, height=40)
    console.print(view_panel(view, width=width, height=40, now_s=now_s, expected_frames=expected_frames))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_the_panel_says_all_it_should_and_clips_no_number(width: int) -> None:
    text = drawn(view_of(busy_run()), width=width, now_s=112.0, expected_frames=240)
    for part in (
        "run_one",
        "newest frame 2026-09-21 14:15:28 UTC",
        "0.04 h",
        "no frame for 12 s",
        "129 of 130 frames processed",
        "1.00 frames/s",
        "54 % of 240",
        "lost 1",
        "GAP_IN_ID 1",
        FLAG,
        "fit of frame 128 converged",
        "chi-square 1.03",
        "6.71(12)",
        "8.25574(3) Å",
        "20.6295(8) Å",
        "97.6(4) nm",
        "absent, z -0.4",
        "present, z 10.1",
        "0.0116 V",
        "+1 mA/cm²",
        "cycle 3",
        "half-cycle 5",
        "frames 1 (most 7 of 24)",
        "records 0 (most 12 of 256)",
        "latency 21 ms",
        "14:15:29  GAP  1 frame lost",
        "connected 13PE1:Pva1:Image",
    ):
        assert part in text, part
    assert all(len(line) == width for line in text.splitlines())
    assert "…" not in text


def test_a_wide_terminal_also_shows_limits_and_ranges() -> None:
    text = drawn(view_of(busy_run()), width=120)
    assert "below 0.0049" in text
    assert "8.25574 to 8.25702" in text


def test_a_narrow_phone_terminal_still_draws() -> None:
    assert all(len(line) == 40 for line in drawn(view_of(busy_run()), width=40).splitlines())


def test_the_panel_fits_the_height_of_a_small_terminal() -> None:
    view = view_of([*busy_run()])
    console = Console(file=io.StringIO(), record=True, width=80, height=24)
    console.print(view_panel(view, width=80, height=24, now_s=100.0))
    assert len(console.export_text().splitlines()) <= 24


def test_before_the_first_message_the_panel_says_so() -> None:
    text = drawn(RunView(), width=80)
    assert "waiting for the first message" in text
    assert "no fit yet" in text


def test_nothing_lost_is_not_told_as_an_alarm() -> None:
    text = drawn(view_of(run_messages(streams.cell_frame(0))), width=80)
    assert "lost 0  rejected 0" in text
    assert "did not come" not in text


def test_a_hole_in_the_stream_is_said_plainly() -> None:
    messages = busy_run()
    text = drawn(view_of([*messages[:10], *messages[13:]]), width=120)
    assert "3 messages of the stream did not come, in one place" in text


def test_the_reason_is_told_while_the_cell_is_not_known() -> None:
    waiting = replace(streams.cell_frame(0), cell=CellState(state=Coupling.AFTER_LAST_SAMPLE))
    assert "cell  after last sample" in drawn(view_of(run_messages(waiting)), width=80)
    later = replace(waiting, row=1, unique_id=1001)
    text = drawn(view_of(run_messages(streams.cell_frame(0), later)), width=120)
    assert "3.4123 V" in text
    assert "at frame 0 (newest: after last sample)" in text


def test_a_fit_that_failed_is_told_with_its_state() -> None:
    failed = streams.cell_frame(0, state=FitState.NOT_CONVERGED)
    assert "fit of frame 0 not_converged" in drawn(view_of(run_messages(failed)), width=80)


def test_markup_in_a_text_is_shown_and_not_obeyed() -> None:
    event = streams.cell_event(0, "NOTE", "[bold]not bold[/bold] [/nonsense]")
    assert "[bold]not bold[/bold] [/nonsense]" in drawn(view_of(run_messages(event)), width=120)


def test_times_that_no_calendar_has_are_drawn_as_none() -> None:
    frame = replace(streams.cell_frame(0), timestamp_ns=2**63 - 1)
    event = replace(streams.cell_event(0, "NOTE", "far away"), timestamp_ns=-(2**63))
    text = drawn(view_of(run_messages(frame, event)), width=80)
    assert "far away" in text


def test_the_line_about_a_frame_names_the_lattice_of_the_free_phase() -> None:
    line = frame_line(view_of(run_messages(streams.cell_frame(0))))
    assert line == "frame 0  ratio 5.43(12)  a 8.25702(3) A  c 20.6321(8) A  3.412 V  lost 0"


def test_plain_lines_keep_their_distance_and_end_with_the_last_frame() -> None:
    log = PlainLog(frame_every_s=5.0)
    views = [view_of(run_messages(*(streams.cell_frame(row) for row in range(count)))) for count in range(1, 5)]
    assert log.lines(views[0], now_s=100.0)[1].startswith("frame 0 ")
    assert log.lines(views[1], now_s=101.0) == []
    assert log.lines(views[2], now_s=105.5)[0].startswith("frame 2 ")
    assert log.lines(views[3], now_s=106.0, last=True)[0].startswith("frame 3 ")


def test_plain_lines_tell_of_a_silence_now_and_then() -> None:
    log = PlainLog(silence_every_s=60.0)
    view = view_of(run_messages(streams.cell_frame(0)))
    log.lines(view, now_s=100.0)
    assert log.lines(view, now_s=130.0) == []
    assert log.lines(view, now_s=161.0) == ["no frame for 1 min 1 s"]
    assert log.lines(view, now_s=170.0) == []
    assert log.lines(view, now_s=221.5) == ["no frame for 2 min 2 s"]


def test_plain_lines_name_the_events_that_went_by_unseen() -> None:
    view = view_of(run_messages(*(streams.cell_event(row, "GAP", f"event {row}") for row in range(40))))
    lines = PlainLog().lines(view, now_s=0.0)
    assert "28 events went by too fast to be told" in lines
    assert "event 2026-09-21 14:13:59 UTC  GAP: event 39" in lines


def test_without_a_terminal_there_are_lines_and_no_control_codes() -> None:
    out = io.StringIO()
    view = show([*busy_run()], console=Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert view.totals.lost == 1
    assert lines[0] == "run run_one since 2026-09-21 14:13:20 UTC"
    assert f"flag {FLAG}" in lines
    assert lines[-1].startswith("frame 129  ratio 6.71(12)")
    assert "\x1b" not in out.getvalue()


def test_a_terminal_without_the_letters_gets_plain_lines() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    event = streams.cell_event(0, "NOTE", "25 °C")
    show(run_messages(event), console=Console(file=out, width=80, force_terminal=True, _environ=XTERM))
    out.seek(0)
    assert "NOTE: 25 ?C" in out.read()


def test_on_a_terminal_the_last_view_stays() -> None:
    out = io.StringIO()
    show(
        busy_run(),
        console=Console(file=out, width=80, height=40, force_terminal=True, color_system=None, _environ=XTERM),
    )
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "8.25574(3) Å" in plain
    assert "lost 1" in plain


def test_the_view_returns_at_the_stop_of_the_run_and_leaves_the_rest_of_the_stream_alone() -> None:
    later = iter([*run_messages(records.run_stop()), *busy_run()])
    view = show(later, console=Console(file=io.StringIO()))
    assert view.stopped == "asked to stop"
    assert next(later).kind == "run.start"


class Screen(io.StringIO):
    """A terminal's output that tells when it shows a text."""

    def __init__(self, awaited: str) -> None:
        super().__init__()
        self.shown = threading.Event()
        self._awaited = awaited

    def write(self, text: str) -> int:
        if self._awaited in text:
            self.shown.set()
        return super().write(text)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_came_is_drawn_while_the_stream_is_silent(terminal: bool) -> None:
    screen = Screen("8.25702(3)")

    def silent_after_one_frame() -> Iterator[StreamMessage]:
        yield from run_messages(streams.cell_frame(0))
        assert screen.shown.wait(20.0)

    console = Console(file=screen, width=120, force_terminal=terminal, color_system=None, _environ=XTERM)
    show(silent_after_one_frame(), console=console)
    assert screen.shown.is_set()


def test_a_pipe_whose_reader_left_ends_the_view() -> None:
    """In a process of its own, since its standard output is given up."""
    program = """
import sys
import time
from fakes import streams
from ringwatch_daemon.dashboard.terminal import show

def endless():
    start = streams.cell_run_start()
    events = (streams.cell_event(row, "NOTE", "something") for row in range(400))
    for message in streams.messages([start, *events], start=start):
        time.sleep(0.05)
        yield message
    print("nobody ended the view", file=sys.stderr)

show(endless())
"""
    tests = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tests, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert watching.stdout.readline().startswith("run run_one")
        watching.stdout.close()
        complaints = watching.stderr.read()
    assert "nobody ended the view" not in complaints
    assert "Traceback" not in complaints


def test_an_interrupt_of_the_stream_reaches_the_caller_and_leaves_no_thread() -> None:
    def interrupted() -> Iterator[StreamMessage]:
        yield from run_messages(streams.cell_frame(0))
        raise KeyboardInterrupt

    before = threading.active_count()
    for terminal in (True, False):
        with pytest.raises(KeyboardInterrupt):
            show(interrupted(), console=Console(file=io.StringIO(), force_terminal=terminal, _environ=XTERM))
    assert threading.active_count() == before


GARBAGE = [None, True, 7, 10**30, -1.5, 1e308, "text\x1b[2J", [], [1, None], {}, {"x": {"y": 1}}, [{"path": 3}, "a"]]
KINDS = [
    "run.start", "frame.tracking", "ledger.correction", "cycling.at_frame", "event", "status", "run.stop", "gap", "new",
]  # fmt: skip
KEYS = [
    "columns", "values", "cell", "state", "reason", "received_ns", "unique_id", "states", "kind", "text", "totals",
    "queues", "flags", "latency_s", "why", "last_seq", "source_state", "fit_state", "li/ratio", "lagp/a", "voltage_V",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("garbage", GARBAGE, ids=repr)
def test_data_of_any_form_are_drawn_without_control_characters(kind: str, garbage: object) -> None:
    data = dict.fromkeys(KEYS, garbage)
    arrays = (("rows", np.array([0, 1], dtype=np.int64)),)
    view = view_of(run_messages(streams.cell_frame(0)))
    for nested in (data, dict.fromkeys(KEYS, data), {key: [data] for key in KEYS}):
        message = StreamMessage(kind, view.run, view.next_seq, kind, 0, 2**62, nested, arrays)
        view = updated(view, message, now_s=100.0)
        assert "\x1b" not in drawn(view, width=120)
        assert "\x1b" not in frame_line(view)

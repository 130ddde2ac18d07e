"""Messages of a made-up run, as a subscriber hears them."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from fakes import records
from ringwatch_daemon.client import GAP, subscribe
from ringwatch_daemon.core.columns import columns_from_tracked
from ringwatch_daemon.core.messages import messages_from_record
from ringwatch_daemon.core.records import Event, FrameRecord, QueueLevel, Record, RunStart, Status, Totals
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_pipelines.cell.cycling import CellState, Coupling
from ringwatch_pipelines.results import (
    Estimate,
    FitState,
    FreePhaseTrack,
    LinePhaseTrack,
    LineTrack,
    PeakState,
    ReferencePhaseTrack,
    Tracked,
)


def cell_run_start(*, run_id: str = "run_one") -> RunStart:
    """The start of a run that follows the phases of `cell_track`."""
    columns = columns_from_tracked(cell_track(0, state=FitState.NOT_FITTED), reported=records.REPORTED)
    return replace(records.run_start(run_id=run_id), columns=columns)


def messages(told: Iterable[Record], *, start: RunStart) -> Iterator[StreamMessage]:
    """The records of one run as numbered messages."""
    seq = 0
    for record in told:
        for message in messages_from_record(record, start=start, first_seq=seq, now_ns=records.START_NS):
            yield message
            seq += 1


def cell_track(row: int, *, state: FitState = FitState.CONVERGED) -> Tracked:
    """Tracks with values as a real cell has them; the lattice shrinks with `row`."""
    table = records.tracked(1.0).phases[0]
    assert isinstance(table, FreePhaseTrack)
    lagp = replace(
        table,
        lattice=(("a", Estimate(8.25702 - 1e-5 * row, 3e-5)), ("c", Estimate(20.6321 - 2e-5 * row, 8e-4))),
        size_nm=Estimate(104.0 - 0.05 * row, 0.4),
    )
    lines = tuple(LineTrack(label, Estimate(0.5, 0.01), PeakState.PRESENT, 0.52) for label in ("110", "200"))
    li = LinePhaseTrack(
        "li",
        PeakState.PRESENT,
        (("a", Estimate(3.5102, 4e-4)),),
        lines,
        Estimate(5.43 + 0.01 * row, 0.12),
        PeakState.PRESENT,
    )
    lioh = ReferencePhaseTrack("lioh", PeakState.ABSENT, Estimate(-0.0012, 0.0031), 0.0049, -0.39)
    alpo4 = ReferencePhaseTrack("alpo4", PeakState.PRESENT, Estimate(0.0312, 0.0031), 0.0362, 10.06)
    return Tracked(fit_state=state, chi_square=1.034, phases=(lagp, li, lioh, alpo4), hump=Estimate(0.1, 0.02))


def cell_frame(row: int, *, state: FitState = FitState.CONVERGED, voltage_V: float = 3.4123) -> FrameRecord:
    """A processed frame of such a cell."""
    record = records.frame_record(row)
    assert record.result is not None
    return replace(
        record,
        result=replace(record.result, tracked=cell_track(row, state=state)),
        cell=CellState(
            voltage_V=voltage_V,
            current_A=1.02e-3,
            current_density_mA_cm2=1.0,
            cycle=3,
            half_cycle=5,
            state=Coupling.KNOWN,
        ),
    )


def cell_status(totals: Totals, *, flags: tuple[str, ...] = ()) -> Status:
    """A busy daemon."""
    return Status(
        timestamp_ns=records.START_NS,
        source_state="CONNECTED",
        source_text="13PE1:Pva1:Image",
        totals=totals,
        queues=(QueueLevel("frames", 1, 7, 24, 0), QueueLevel("records", 0, 12, 256, 0)),
        latency_s=0.0213,
        flags=flags,
    )


def cell_event(row: int, kind: str, text: str) -> Event:
    """Something to see at `row`."""
    return Event(records.START_NS + row * records.FRAME_NS, row, kind, text)


@contextmanager
def heard_in_background(endpoint: str) -> Iterator[list[StreamMessage]]:
    """All that a publisher says meanwhile, gaps left out; at the end of the block its run has stopped."""
    heard: list[StreamMessage] = []

    def hear() -> None:
        with subscribe(endpoint, timeout_s=120.0) as subscription:
            for message in subscription:
                if message.kind != GAP:
                    heard.append(message)
                if message.topic == "run.stop":
                    return

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    yield heard
    thread.join(60.0)
    assert not thread.is_alive()

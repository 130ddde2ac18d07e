"""A cycler's file that comes two hours late, into a run that grows, before the eyes of a reader."""

import queue
import threading
from dataclasses import replace
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from fakes.clock import ManualClock
from fakes.records import START_NS, frame_record, run_start
from fakes.service import row_aligned, wait_until
from fakes.stages import SECOND_NS, ScriptedAnalyser, frame, in_thread
from ringwatch_daemon.core.channels import Channel
from ringwatch_daemon.core.intake import Intake, Overflow
from ringwatch_daemon.cyclers.csv_file import CsvCycler, CsvCyclerConfig
from ringwatch_daemon.cyclers.layout import TableLayout, TimeColumn, ValueColumn
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.workers.analysis_stage import AnalysisParts, AnalysisStage
from ringwatch_daemon.workers.cell_follower import CellFollower
from ringwatch_daemon.workers.cycler_stage import CyclerStage
from ringwatch_daemon.workers.run import Run
from ringwatch_daemon.workers.sink_stage import SinkStage
from ringwatch_pipelines.cell.clock import ClockRelation
from ringwatch_pipelines.cell.coupling import Coupler
from ringwatch_pipelines.cell.timeline import Timeline

pytestmark = pytest.mark.timeout(300)
EVERY_S, HOUR_S = 300, 3600
COVERED = 2 * HOUR_S // EVERY_S
LAYOUT = TableLayout(time=TimeColumn("time"), voltage=ValueColumn("V", "V"), current=ValueColumn("I", "A"))


class FedSource:
    """Brings the frames that a test feeds it."""

    def __init__(self):
        self.feed = queue.Queue()

    def run(self, intake, stop):
        while not stop.is_set():
            try:
                intake.frame(self.feed.get(timeout=0.05))
            except queue.Empty:
                continue


class Result(ScriptedAnalyser):
    """Gives every frame a pattern and tracks of its own."""

    def analyse(self, frame, *, timestamp_ns):
        super().analyse(frame, timestamp_ns=timestamp_ns)
        return frame_record(frame.unique_id).result


def the_run(source, table, output):
    clock = ManualClock(START_NS)
    intake, records, found = Intake(capacity=8, overflow=Overflow.WAIT, clock=clock), Channel("r", 64), Channel("c", 4)
    coupler = Coupler(Timeline(max_gap_s=HOUR_S), area_cm2=1.0, clock=ClockRelation(offset_s=-30.0))
    parts = AnalysisParts(
        intake=intake,
        analyser=Result(),
        cells=(CellFollower(coupler=coupler, found=found),),
        records=records,
        begin_run=lambda started_ns: replace(run_start(), started_ns=started_ns),
        clock=clock,
        tell=lambda *_: None,
    )
    reader = CsvCycler(CsvCyclerConfig(table, LAYOUT))
    return Run(
        source=source,
        intake=intake,
        analysis=AnalysisStage(parts),
        sinks=SinkStage(records=records, sinks=(NexusFile(path=output),)),
        cyclers=(CyclerStage(reader=reader, found=found),),
    )


def line(seconds):
    """A sample of a cycler whose clock is half a minute ahead."""
    stamp = datetime.fromtimestamp((START_NS // SECOND_NS) + seconds + 30, tz=UTC).isoformat()
    return f"{stamp},{0.1 + 1e-6 * seconds:.6f},0.001\n"


def feed(source, first, last):
    for number in range(first, last + 1):
        source.feed.put(frame(number, second=number * EVERY_S))


class OpenReader:
    """Holds the growing file open from before the late file comes until the end."""

    def __init__(self, path):
        self._file = h5py.File(path, "r", swmr=True, locking=False)
        self._datasets = row_aligned(self._file)

    def rows(self):
        return min(self._refreshed(item).shape[0] for item in self._datasets.values())

    def snapshot(self):
        """Every (frames, ...) dataset as it is now."""
        return {path: self._refreshed(item)[()] for path, item in self._datasets.items()}

    def states(self):
        return self._refreshed(self._datasets["cycling/at_frame/state"])[()]

    def close(self):
        self._file.close()

    @staticmethod
    def _refreshed(item):
        item.id.refresh()
        return item


def test_it_changes_the_frames_before_it_and_nothing_else_while_a_reader_has_the_file_open(tmp_path):
    table, output, stop = tmp_path / "cycler.csv", tmp_path / "run.h5", threading.Event()
    source = FedSource()
    thread = in_thread(lambda: the_run(source, table, output).execute(stop, on_ready=lambda: None))
    feed(source, 1, COVERED)
    wait_until(output.exists, "the file of the run")
    reader = OpenReader(output)
    wait_until(lambda: reader.rows() == COVERED, "the frames of two hours")
    feed(source, COVERED + 1, 2 * COVERED)
    wait_until(lambda: reader.rows() == 2 * COVERED, "the frames of four hours")
    before = reader.snapshot()
    # The cycler's computer copies its file only now: two hours of samples, two hours late.
    table.write_text("time,V,I\n" + "".join(line(seconds) for seconds in range(0, COVERED * EVERY_S + 60, 60)))
    wait_until(lambda: np.count_nonzero(reader.states() == b"KNOWN") == COVERED, "the frames to be filled in")
    wait_until(lambda: set(reader.states()[COVERED:]) == {b"AFTER_LAST_SAMPLE"}, "the others to be told why not")
    feed(source, 2 * COVERED + 1, 2 * COVERED + 5)
    wait_until(lambda: reader.rows() == 2 * COVERED + 5, "frames that come after it")
    after = reader.snapshot()
    reader.close()
    stop.set()
    thread.join(60)
    cell = {path for path in before if path.startswith("cycling/at_frame/")}
    assert len(before) > 20
    for path in before.keys() - cell:
        np.testing.assert_array_equal(after[path][: 2 * COVERED], before[path], err_msg=path)
    for path in cell - {"cycling/at_frame/state"}:
        np.testing.assert_array_equal(after[path][COVERED : 2 * COVERED], before[path][COVERED:], err_msg=path)
    seconds = EVERY_S * np.arange(1, COVERED + 1)
    assert after["cycling/at_frame/voltage_V"][:COVERED] == pytest.approx(0.1 + 1e-6 * seconds, abs=1e-9)
    assert np.isnan(before["cycling/at_frame/voltage_V"]).all()

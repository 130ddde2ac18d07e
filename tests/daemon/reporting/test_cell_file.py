"""One of several cells is a run of its own to the report."""

import io
from dataclasses import replace

import h5py
import numpy as np
import pytest
from rich.console import Console

from fakes import records
from ringwatch_daemon.core.records import CyclingSamples, Event, Provenance
from ringwatch_daemon.report import PAGE, report
from ringwatch_daemon.reporting.cell_file import CellFile, cells_in
from ringwatch_daemon.reporting.run_file import RunFile
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_pipelines.results import FitState, FrameResult, Tracked

NAMES = ["fresh", "aged", "aged", "", "fresh", "aged", "fresh"]


def of_cell(row: int, name: str):
    return replace(records.frame_record(row), cell_name=name)


@pytest.fixture
def path(tmp_path):
    """Seven frames of two cells, one of nobody; samples of both cyclers, the later of them first."""
    facts = (Provenance("cells/fresh/name", "the fresh one"), Provenance("cells/fresh/electrode_area", 0.5, "cm^2"))
    facts += (Provenance("cells/aged/name", "the aged one"), Provenance("cells/aged/phases", "lagp"))
    start = records.run_start()
    start = replace(start, cells=("fresh", "aged"), provenance=(*start.provenance, *facts))
    aged, fresh = records.cycling_samples(3, 4).samples, records.cycling_samples(0, 6).samples
    told = [
        *(of_cell(row, name) for row, name in enumerate(NAMES)),
        CyclingSamples(aged, "aged"),
        CyclingSamples(fresh, "fresh"),
        Event(records.START_NS, 2, "ONSET_LIOH", "lioh appears", 0.3, "aged"),
        Event(records.START_NS, 4, "ONSET_LIOH", "lioh appears", 0.3, "fresh"),
        Event(records.START_NS, -1, "GAP", "lost", float("nan")),
        records.run_stop(announced=len(NAMES)),
    ]
    sink = NexusFile(path=tmp_path / "run.h5")
    for record in (start, *told):
        sink.accept(record)
    sink.close()
    return tmp_path / "run.h5"


def test_a_cell_has_its_own_rows_everywhere(path):
    with RunFile(path) as run, CellFile(path, "aged") as aged:
        assert cells_in(run) == ("aged", "fresh")
        own = [row for row, name in enumerate(NAMES) if name == "aged"]
        assert aged.frames == len(own)
        for name in ("frames/timestamp_ns", "frames/unique_id", "cycling/at_frame/cycle"):
            assert aged.integers(name).tolist() == run.integers(name)[own].tolist()
        np.testing.assert_array_equal(aged.numbers("tracking/lagp/a"), run.numbers("tracking/lagp/a")[own])
        assert aged.texts("tracking/fit_state").tolist() == run.texts("tracking/fit_state")[own].tolist()
        np.testing.assert_array_equal(aged.row("azint1d/I", 1), run.row("azint1d/I", own[1]))
        assert aged.row("azint1d/I", 3) is None
        columns = np.array([0, 2])
        peaks, all_peaks = (each.numbers("tracking/lagp/peaks/area", columns=columns) for each in (aged, run))
        np.testing.assert_array_equal(peaks, all_peaks[own])


def test_its_patterns_come_in_blocks_of_its_own_count(path):
    with CellFile(path, "fresh") as fresh, h5py.File(path, locking=False) as file:
        [(first, block)] = list(fresh.pattern_blocks())
        own = [row for row, name in enumerate(NAMES) if name == "fresh"]
        assert first == 0
        np.testing.assert_array_equal(block, file["entry/azint1d/I"][()][own])


def test_its_samples_are_those_of_its_cycler_and_its_events_its_own_or_nobodys(path):
    with CellFile(path, "aged") as aged, CellFile(path, "fresh") as fresh:
        assert (
            aged.integers("cycling/timestamp_ns").tolist()
            == records.cycling_samples(3, 4).samples.timestamp_ns.tolist()
        )
        assert fresh.integers("cycling/timestamp_ns").size == 6
        assert [(event.kind, event.row) for event in aged.events()] == [("ONSET_LIOH", 1), ("GAP", -1)]
        assert [(event.kind, event.row) for event in fresh.events()] == [("ONSET_LIOH", 1), ("GAP", -1)]


def test_its_sample_and_phases_are_its_own(path):
    with CellFile(path, "fresh") as fresh, CellFile(path, "aged") as aged:
        assert (fresh.text("sample/name"), aged.text("sample/name")) == ("the fresh one", "the aged one")
        assert fresh.number("sample/electrode_area") == 0.5
        assert np.isnan(aged.number("sample/electrode_area"))
        assert aged.text("reduction/input/phases") == "lagp"
        assert aged.text("title").endswith(", aged")


def test_a_run_of_one_cell_has_no_names_of_cells_in_its_file(tmp_path):
    sink = NexusFile(path=tmp_path / "run.h5")
    for record in (records.run_start(), records.frame_record(0), records.cycling_samples(0, 2), records.event()):
        sink.accept(record)
    sink.close()
    with h5py.File(tmp_path / "run.h5", locking=False) as file, RunFile(tmp_path / "run.h5") as run:
        found = []
        file.visit(lambda name: found.append(name) if name.endswith("/cell") or "/cells" in name else None)
        assert found == []
        assert cells_in(run) == ()


def test_the_report_has_a_page_for_each_cell_and_one_that_leads_to_them(tmp_path):
    start = replace(records.run_start(), columns=(), fixed_tables=(), cells=("fresh", "aged"))
    facts = tuple(Provenance(f"cells/{name}/name", f"the {name} one") for name in start.cells)
    plain = Tracked(FitState.NOT_FITTED)
    sink = NexusFile(path=tmp_path / "run.h5")
    sink.accept(replace(start, provenance=(*start.provenance, *facts)))
    for row, name in enumerate(NAMES):
        record = of_cell(row, name)
        sink.accept(replace(record, result=FrameResult(pattern=record.result.pattern, tracked=plain)))
    sink.close()
    report(tmp_path / "run.h5", tmp_path / "out", at_h=(), formats=("svg",), console=Console(file=io.StringIO()))
    page = (tmp_path / "out" / PAGE).read_text()
    for name in ("fresh", "aged"):
        assert f'href="{name}/{PAGE}"' in page
        own = (tmp_path / "out" / name / PAGE).read_text()
        assert f"the {name} one" in own
        assert "3 processed" in own

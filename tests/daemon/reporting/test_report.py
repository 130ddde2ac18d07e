"""A run's file becomes a report, whatever the file lacks."""

import csv
import re
from dataclasses import fields, replace
from xml.etree import ElementTree as ET

import h5py
import numpy as np
import pytest
from rich.console import Console

from fakes import records
from ringwatch_daemon.core.columns import columns_from_tracked
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.records import CyclingSamples, Event, FrameState, Provenance
from ringwatch_daemon.report import PAGE, report
from ringwatch_daemon.reporting.cell_series import CellSeries
from ringwatch_daemon.reporting.line_phases import line_phase_figures
from ringwatch_daemon.reporting.marks import Marks
from ringwatch_daemon.reporting.numbers import NumberTable
from ringwatch_daemon.reporting.run_file import RunFile
from ringwatch_daemon.reporting.run_series import RunSeries
from ringwatch_daemon.reporting.style import LOOKS, ReportFigure, draw_marks, new_figure, style
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_daemon.sinks.run_parts import part_path
from ringwatch_pipelines.cell.cycling import CellState, Coupling, CyclerSamples
from ringwatch_pipelines.results import FitState, FrameResult, Tracked

FRAMES = 12
HALF_S = 600


def cycler(half_cycles=8):
    seconds = np.arange(0, HALF_S * half_cycles, 10)
    current_A = np.where(seconds // HALF_S % 2 == 0, 1e-3, -1e-3)
    stamps = records.START_NS + seconds * records.FRAME_NS
    zeros = np.zeros(seconds.size, dtype=np.int64)
    charge_C = np.concatenate([[0.0], np.cumsum(current_A[:-1] * 10)])
    return CyclingSamples(CyclerSamples(stamps, stamps, 120 * current_A, current_A, zeros, zeros, charge_C))


def light(row, *, tracked=None, seconds=60):
    """A frame each minute of data time."""
    record = records.frame_record(row)
    if tracked is not None:
        record = replace(record, result=replace(record.result, tracked=tracked))
    half = row * seconds // HALF_S
    cell = CellState(
        voltage_V=0.1,
        current_A=(-1) ** half * 1e-3,
        half_cycle=half,
        areal_charge_mAh_cm2=0.1 * row,
        total_areal_charge_mAh_cm2=0.3 * row,
        state=Coupling.KNOWN,
    )
    return replace(record, timestamp_ns=records.START_NS + row * seconds * records.FRAME_NS, cell=cell)


def write(path, *parts, start=None, stop=True):
    sink = NexusFile(path=path)
    sink.accept(start or records.run_start())
    for part in parts:
        sink.accept(part)
    if stop:
        sink.accept(records.run_stop(len(parts)))
    sink.flush()
    sink.close()
    return path


def whole_run(path, frames=FRAMES):
    onset = Event(records.START_NS + 300 * records.FRAME_NS, 5, "ONSET_LIOH", "lioh appears", 0.02)
    return write(path, cycler(), *(light(row) for row in range(frames)), onset)


def made(path, directory, *, at_h=(), formats=("svg",)):
    report(path, directory, at_h=at_h, formats=formats, console=Console(quiet=True))
    return (directory / PAGE).read_text(encoding="utf-8")


def table(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return whole_run(folder / "run.h5"), folder / "out", made(folder / "run.h5", folder / "out", at_h=[0.05, 99.0])


def test_a_whole_run_has_every_figure_of_the_paper(reported):
    _, directory, page = reported
    names = {path.stem for path in directory.glob("*.svg")}
    assert names == {
        "patterns_waterfall",
        "patterns_stack",
        "li_lines_time",
        "li_lines_charge",
        "lagp_parameters",
        "lagp_peaks",
        "minor_phases",
        "texture",
        "pristine_cycled",
        "resistance",
        "events",
        "frames",
    }
    for name in names:
        assert ET.parse(directory / f"{name}.svg").getroot().tag.endswith("svg")
        assert f'id="{name}"' in page


def test_the_page_needs_nothing_beside_it(reported):
    _, _, page = reported
    assert page.count("data:image/svg+xml;base64,") == 12
    assert not re.findall(r'src="(?!data:)', page)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert 'name="viewport"' in page


def test_the_numbers_of_few_frames_are_those_of_the_file(reported):
    path, directory, _ = reported
    with h5py.File(path) as file:
        ratio, sigma = (file[f"entry/tracking/li/{name}"][()] for name in ("ratio", "ratio_errors"))
    lines = table(directory / "li_lines.csv")
    assert [float(line["(110)/(200)"]) for line in lines] == pytest.approx(ratio)
    assert [float(line["sigma of (110)/(200)"]) for line in lines] == pytest.approx(sigma)
    assert [float(line["time / h"]) for line in lines] == pytest.approx(np.arange(FRAMES) / 60)
    assert {line["frames"] for line in lines} == {"1"}


def test_areas_stand_beside_every_charge(reported, tmp_path):
    _, directory, _ = reported
    lines = table(directory / "li_lines_charge.csv")
    # No area is declared: what stands in the file per area is not what is drawn.
    within_mAh = np.array([row * 60 % HALF_S for row in range(FRAMES)]) / 3600 * np.where(np.arange(FRAMES) < 10, 1, -1)
    assert [float(line["charge within the half-cycle / mAh"]) for line in lines] == pytest.approx(within_mAh)
    start = records.run_start()
    area = Provenance("sample/electrode_area", 0.5, "cm^2")
    path = write(tmp_path / "run.h5", cycler(), *(light(row) for row in range(3)), start=replace(
        start, provenance=(*start.provenance, area)))  # fmt: skip
    made(path, tmp_path / "out")
    lines = table(tmp_path / "out" / "li_lines_charge.csv")
    assert [float(line["charge within the half-cycle / mAh/cm²"]) for line in lines] == pytest.approx([0, 0.1, 0.2])
    assert [float(line["net charge since the start / mAh/cm²"]) for line in lines] == pytest.approx([0, 0.3, 0.6])
    assert [float(line["charge passed / mAh/cm²"]) for line in lines] == pytest.approx([0, 60 / 1800, 120 / 1800])


def captions(path):
    with RunFile(path) as file, style():
        return " ".join(figure.caption for figure in line_phase_figures(RunSeries(file)))


def test_charge_that_nobody_counted_is_told(tmp_path):
    whole = cycler().samples
    kept = np.concatenate([np.arange(20), np.arange(44, whole.timestamp_ns.size)])
    after = whole.charge_C[19] + (whole.charge_C[44:] - whole.charge_C[44])
    columns = {field.name: getattr(whole, field.name)[kept] for field in fields(CyclerSamples)}
    columns["charge_C"] = np.concatenate([whole.charge_C[:20], after])
    frames = [light(row) for row in range(FRAMES)]
    holed = write(tmp_path / "run.h5", CyclingSamples(CyclerSamples(**columns)), *frames)
    assert "What passed in 0.0694 h in which the cycler told nothing is not counted." in captions(holed)
    assert "told nothing" not in captions(write(tmp_path / "whole.h5", cycler(), *frames))


def test_lines_of_a_scan_stand_at_the_time_at_which_they_were_measured(tmp_path):
    path = write(tmp_path / "run.h5", cycler(), *(light(row) for row in range(FRAMES)))
    with h5py.File(path, "r+") as file:
        file["entry/tracking/li/measured_at"] = 0.25
        file["entry/frames/exposure_s"][:] = 60.0
    made(path, tmp_path / "out")
    earlier_h = 0.25 * 60 / 3600
    times_h = [float(line["time / h"]) for line in table(tmp_path / "out" / "li_lines.csv")]
    assert times_h == pytest.approx(np.arange(FRAMES) / 60 - earlier_h)
    charged = table(tmp_path / "out" / "li_lines_charge.csv")
    # Half-cycles of 600 s at 1 mA; the first scan's lines were measured before the cycler's first row.
    seconds = np.arange(1, FRAMES) * 60 - 15
    assert charged[0]["charge passed / mAh"] == ""
    assert [float(line["charge passed / mAh"]) for line in charged[1:]] == pytest.approx(seconds / 3600, rel=1e-6)
    within_s = [float(line["charge within the half-cycle / mAh"]) * 3600 for line in charged[1:]]
    assert within_s == pytest.approx(np.where(seconds < HALF_S, seconds, HALF_S - seconds))


def test_labels_that_reach_over_an_edge_are_moved_in(tmp_path):
    with style():
        figure = new_figure(height_mm=60)
        figure.set_layout_engine("none")
        for place, axes in enumerate(figure.subplots(2, 1)):
            axes.set_position((0.02, 0.1 + 0.45 * place, 0.95, 0.35))
            axes.set_ylabel("a label of\ntwo lines")
            right = axes.twinx()
            right.set_ylabel("and another\n(mA)")
            right.set_position(axes.get_position())
        ReportFigure("wide", "wide", "", figure).write(tmp_path, ["png"])
        drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0.0
    assert drawn.x1 <= figure.bbox_inches.width


def test_a_twin_is_moved_in_once_with_its_own(tmp_path):
    with style():
        figure = new_figure(height_mm=60)
        figure.set_layout_engine("none")
        above, below = figure.subplots(2, 1)
        for axes in (above, below):
            axes.set_position((0.02, axes.get_position().y0, 0.95, 0.35))
            axes.set_ylabel("a label\nof two lines")
        twin = below.twinx()
        ReportFigure("twin", "twin", "", figure).write(tmp_path, ["png"])
    assert above.get_position().x0 == below.get_position().x0 == twin.get_position().x0 > 0.02


def test_many_marks_of_several_series_are_lines_with_a_few_marks_of_their_own():
    x = np.arange(300.0)
    marks = Marks(x, np.ones(300), np.ones(300, dtype=np.int64))
    with style():
        axes = new_figure(height_mm=60).subplots()
        for place, look in enumerate(LOOKS[:3]):
            draw_marks(axes, x, marks, look, "one", among=place)
    places = [line.get_markevery() for line in axes.lines]
    assert len(set(places)) == len({line.get_linestyle() for line in axes.lines}) == 3
    assert all(np.isclose(len(x) / every, 10) for _, every in places)


def test_what_matters_among_the_events_is_not_looked_for_among_changes_of_the_current(tmp_path):
    changes = [Event(records.START_NS + row * records.FRAME_NS, -1, "REST", f"rest {row}") for row in range(30)]
    short = Event(records.START_NS + 360 * records.FRAME_NS, 6, "SHORT_CIRCUIT_HARD", "hard short circuit: 2 ohm", 0.01)
    page = made(
        write(tmp_path / "run.h5", cycler(), *(light(row) for row in range(8)), *changes, short), tmp_path / "o"
    )
    facts, rest = page.split('<h2 id="list">')
    assert "<dt>short circuits</dt><dd>0.10 ± 0.01 h: hard short circuit: 2 ohm</dd>" in facts
    shown, folded = rest.split("<details><summary>30 changes of the current</summary>")
    assert "SHORT_CIRCUIT_HARD" in shown
    assert "rest 29" not in shown
    assert "rest 29" in folded


def test_only_the_part_of_the_cyclers_series_that_is_shown_decides_the_range():
    hours = np.arange(0.0, 100.0)
    values = np.where(hours > 50, 4.0, 1.0)
    whole = CellSeries(np.arange(100), hours, values, values, np.zeros(100, int), values, values, 1.0)
    part = whole.within((10.5, 20.5))
    assert part.time_h.tolist() == list(range(10, 22))
    assert set(part.voltage_V.tolist()) == {1.0}
    assert whole.within((200.0, 300.0)).time_h.tolist() == [99.0]


def test_parameters_are_listed_at_the_start_at_any_time_and_at_the_end(reported):
    _, directory, page = reported
    lines = [
        line for line in table(directory / "parameters.csv") if (line["phase"], line["parameter"]) == ("lagp", "a")
    ]
    assert [line["asked for"] for line in lines] == ["start", "0.05 h", "99 h", "end"]
    assert [line["value"] for line in lines] == ["1", "4", "", "12"]
    assert [line["change since the start / %"] for line in lines] == ["", "300", "", "1100"]
    assert "not in the run" in page
    assert "4.00(4)" in page


def test_an_onset_stands_on_the_page_with_its_date(reported):
    _, directory, page = reported
    [line] = table(directory / "events.csv")
    assert (line["kind"], float(line["time / h"]), line["sigma / h"]) == ("ONSET_LIOH", pytest.approx(1 / 12), "0.02")
    assert "lioh appears" in page


def test_the_resistance_is_told_a_half_cycle(reported):
    _, directory, _ = reported
    lines = table(directory / "resistance.csv")
    assert [float(line["resistance / ohm"]) for line in lines] == pytest.approx([120.0] * 7)
    assert [line["verdict"] for line in lines][4:] == ["NONE"] * 3


def test_a_figure_is_written_as_svg_png_and_pdf_with_its_numbers(tmp_path):
    with style():
        figure = new_figure(height_mm=30)
        figure.subplots().plot([0, 1], [1, 0])
        numbers = NumberTable("one", (("time / h", np.array([0.5, np.nan])), ("kind", np.array(["a, b", "c"]))))
        ReportFigure("one", "One", "One line.", figure, (numbers,)).write(tmp_path, ("svg", "png", "pdf"))
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
    assert [list(line.values()) for line in table(tmp_path / "one.csv")] == [["0.5", "a, b"], ["", "c"]]


def without_phases(frames=3):
    """A run of patterns only, which has few figures."""
    start, blank = records.run_start(), Tracked(FitState.NOT_FITTED)
    start = replace(start, columns=columns_from_tracked(blank, reported=()), fixed_tables=())
    return start, [light(row, tracked=blank) for row in range(frames)]


def test_a_run_without_phases_says_so(tmp_path):
    start, frames = without_phases()
    page = made(write(tmp_path / "run.h5", *frames, start=start), tmp_path / "out")
    assert "without phases" in page
    assert "no samples of a cycler" in page
    assert (tmp_path / "out" / "patterns_waterfall.svg").exists()


def test_a_cell_that_is_not_symmetric_has_no_resistance(tmp_path):
    start, frames = without_phases()
    start = replace(start, provenance=(*start.provenance, Provenance("sample/symmetric", value=False)))
    page = made(write(tmp_path / "run.h5", cycler(), *frames, start=start), tmp_path / "out")
    assert "not declared symmetric" in page
    assert not (tmp_path / "out" / "resistance.svg").exists()


def test_an_empty_run_says_so(tmp_path):
    page = made(write(tmp_path / "run.h5"), tmp_path / "out")
    assert "no frame was announced" in page


def test_a_run_of_one_frame_is_shown(tmp_path):
    page = made(write(tmp_path / "run.h5", light(0)), tmp_path / "out")
    assert "one pattern only" in page
    assert (tmp_path / "out" / "lagp_parameters.svg").exists()


def test_a_run_in_which_no_fit_converged_says_so(tmp_path):
    blank = records.tracked(float("nan"), state=FitState.NOT_CONVERGED)
    page = made(write(tmp_path / "run.h5", *(light(row, tracked=blank) for row in range(3))), tmp_path / "out")
    assert "No fit converged" in page


def test_a_run_that_lost_every_frame_shows_where_they_went(tmp_path):
    lost = [replace(records.lost_record(row), timestamp_ns=0) for row in range(3)]
    rejected = replace(light(3), state=FrameState.REJECTED, reason="NO_BEAM", result=FrameResult())
    page = made(write(tmp_path / "run.h5", *lost, rejected), tmp_path / "out")
    assert "No frame became a pattern" in page
    assert [(line["state"], line["reason"], line["frames"]) for line in table(tmp_path / "out" / "frames.csv")] == [
        ("REJECTED", "NO_BEAM", "1"),
        ("LOST", "GAP_IN_ID", "3"),
    ]


def test_a_run_that_was_cut_off_is_shown_as_far_as_it_goes(tmp_path):
    start, frames = without_phases()
    page = made(write(tmp_path / "run.h5", *frames, start=start, stop=False), tmp_path / "out")
    assert "it still goes on, or it was cut off" in page


def test_a_run_that_still_grows_can_be_reported(tmp_path):
    start, frames = without_phases()
    sink = NexusFile(path=tmp_path / "run.h5")
    for record in (start, *frames):
        sink.accept(record)
    sink.flush()
    page = made(tmp_path / "run.h5", tmp_path / "out")
    sink.close()
    assert "3 processed" in page


@pytest.mark.parametrize("index", [1, 2])
def test_a_part_of_the_run_that_is_missing_is_told_and_the_rest_is_shown(tmp_path, index):
    start, _ = without_phases()
    sink = NexusFile(path=tmp_path / "run.h5", part_rows=4)
    for record in (start, *(light(row) for row in range(12)), records.run_stop(12)):
        sink.accept(record)
    sink.close()
    part_path(tmp_path / "run.h5", index).unlink()
    page = made(tmp_path / "run.h5", tmp_path / "out")
    assert "4 frames stand in parts of the run that are missing" in page
    counted = {line["state"]: line["frames"] for line in table(tmp_path / "out" / "frames.csv")}
    assert counted["PROCESSED"] == "8"


def test_frames_without_a_time_are_counted_and_nothing_is_drawn_against_time(tmp_path):
    frames = [replace(light(row), timestamp_ns=0) for row in range(3)]
    page = made(write(tmp_path / "run.h5", *frames), tmp_path / "out")
    assert "No frame has a time" in page
    assert [path.stem for path in (tmp_path / "out").glob("*.svg")] == ["frames"]


def test_a_damaged_part_is_missing_and_the_rest_is_shown(tmp_path):
    start, frames = without_phases()
    path = write(tmp_path / "run.h5", cycler(), *frames, start=start)
    with h5py.File(path) as file:
        where = file["entry/azint1d/I"].id.get_chunk_info(0).byte_offset
        voltage = file["entry/cycling/voltage_V"].id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[where : where + 64] = b"\xff" * 64
    raw[voltage : voltage + 64] = b"\xff" * 64
    at = raw.index(b"cell voltage")
    raw[at : at + 4] = b"\xc1\xc1\xc1\xc1"
    path.write_bytes(raw)
    assert "3 processed" in made(path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", None])
def test_what_is_no_run_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "run.h5").write_bytes(content)
    with pytest.raises(InputFileError, match=r"expected the file of a run in .*run\.h5"):
        made(tmp_path / "run.h5", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_hdf5_file_of_something_else_is_one_sentence(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["entry/data"] = 1
    with pytest.raises(InputFileError, match="has no /entry/frames"):
        made(tmp_path / "other.h5", tmp_path / "out")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    whole_run(tmp_path / "run.h5", frames=1)
    (tmp_path / "out").write_text("a file is in the way")
    with pytest.raises(InputFileError, match="cannot take the report"):
        report(tmp_path / "run.h5", tmp_path / "out", at_h=(), console=Console(quiet=True))

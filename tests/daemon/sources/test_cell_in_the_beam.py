"""Which cell is in the beam: an attribute of the frame says it, or a PV whose stamps say when."""

import numpy as np
import pytest

from fakes.clock import ManualClock
from fakes.intake import RecordingIntake
from fakes.stages import SECOND_NS, START_NS
from ringwatch_daemon.sources.area_detector import AreaDetectorPvs, DetectorState
from ringwatch_daemon.sources.handover import Arrival, Handover
from ringwatch_daemon.sources.metadata import MetadataNames, details_from_metadata
from ringwatch_daemon.sources.times import StampMarks
from ringwatch_daemon.sources.watchdog import FrameWatchdog

PV = "SAM:Cell"
NAMES = MetadataNames(cell=("Cell",), cells=(("A1", "fresh"), ("2", "aged")))


@pytest.mark.parametrize(
    ("told", "cell"),
    [
        ({"cell": "A1"}, "fresh"),
        ({"cell": " A1 "}, "fresh"),
        ({"cell": 2}, "aged"),
        ({"cell": 2.0}, "aged"),
        ({"cell": "2"}, "aged"),
        ({"cell": "a1"}, "'a1'"),
        ({"cell": "fresh"}, "'fresh'"),  # its name, but not what the attribute says of it
        ({"cell": ""}, ""),
        ({}, ""),
    ],
)
def test_what_is_told_is_a_cell_or_stands_in_quotes(told, cell):
    assert details_from_metadata(told, NAMES).cell == cell


def test_in_a_run_of_one_cell_nothing_is_told():
    assert details_from_metadata({"cell": "A1"}, MetadataNames()).cell == ""


def state(*told: tuple[int, str]) -> DetectorState:
    made = DetectorState(AreaDetectorPvs(cell=PV))
    for stamp_ns, value in told:
        made.tell(PV, value, stamp_ns=stamp_ns)
    return made


def test_a_frame_that_is_seen_late_shows_the_cell_of_its_own_time():
    changer = state((100, "A1"), (200, "A2"), (300, "A3"))
    assert changer.cells_between(110, 190) == ("A1",)
    assert changer.cells_between(200, 290) == ("A2",)
    assert changer.cells_between(400, 500) == ("A3",)


def test_a_change_during_the_exposure_leaves_both():
    assert state((100, "A1"), (200, "A2")).cells_between(150, 250) == ("A1", "A2")


def test_before_the_changer_has_spoken_nobody_knows():
    assert state().cells_between(0, 10) == ()
    assert state((100, "A1")).cells_between(10, 20) == ()


def test_what_was_said_before_the_connection_was_lost_does_not_count_any_more():
    changer = state((100, "A1"))
    changer.tell(PV, None)
    assert changer.cells_between(110, 120) == ()
    changer.tell(PV, "A2", stamp_ns=115)
    assert changer.cells_between(120, 130) == ("A2",)


def test_the_same_cell_said_twice_is_no_change():
    assert state((100, "A1"), (150, "A1")).cells_between(120, 200) == ("A1",)


def handed_over(changer: DetectorState, *, attributes: dict[str, str] | None = None) -> str:
    """The cell of a frame of one second, stamped at its end."""
    clock, intake = ManualClock(START_NS + 200 * SECOND_NS), RecordingIntake()
    watchdog = FrameWatchdog(intake, clock, stall_s=60.0, stage="a test")
    handover = Handover(
        intake, clock, origin="a test", names=NAMES, marks=StampMarks.END, state=changer, watchdog=watchdog
    )
    arrival = Arrival(7, START_NS + 300 * SECOND_NS, attributes={"AcquireTime": 1.0, **(attributes or {})})
    handover.arrived(arrival, lambda: np.ones((2, 2), dtype=np.uint16))
    [frame] = intake.frames
    return frame.cell


def at(second: float) -> int:
    return START_NS + round((300 + second) * SECOND_NS)


@pytest.mark.parametrize(
    ("told", "cell"),
    [
        ([(at(-50), "A1"), (at(0.5), "2")], "fresh"),
        ([(at(-50), "A1"), (at(-1.5), "2")], "aged"),
        ([(at(-50), "A1"), (at(-0.5), "2")], "'A1 then 2'"),
        ([(at(-50), "B9")], "'B9'"),
        ([], ""),
    ],
)
def test_a_pv_beside_the_image_names_the_cell_of_the_exposure_and_not_of_the_moment(told, cell):
    assert handed_over(state(*told)) == cell


def test_what_the_frame_says_itself_comes_before_any_pv():
    assert handed_over(state((at(-50), "A1")), attributes={"Cell": "2"}) == "aged"

"""The screen that comes with the project shows what is served, and nothing else."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from fakes import records, streams
from ringwatch_daemon.sinks.result_pv_table import (
    updates_of_event,
    updates_of_frame,
    updates_of_pattern,
    updates_of_start,
    updates_of_status,
)
from ringwatch_pipelines.results import FrameResult

SCREEN = Path(__file__).resolve().parents[2] / "deploy" / "screens" / "ringwatch.bob"
PREFIX = "$(P)"


def names_on_screen() -> set[str]:
    root = ET.parse(SCREEN).getroot()
    texts = [node.text or "" for tag in ("pv_name", "x_pv", "y_pv") for node in root.iter(tag)]
    assert all(text.startswith(PREFIX) for text in texts)
    return {text.removeprefix(PREFIX) for text in texts}


def test_every_pv_of_the_screen_is_served_by_a_run_of_the_example():
    frame = streams.cell_frame(0)
    pattern = records.pattern(0)
    told = [
        *updates_of_start(streams.cell_run_start()),
        *updates_of_frame(frame),
        *updates_of_pattern(replace(frame, result=FrameResult(pattern=pattern)), pattern),
        *updates_of_status(records.status()),
        *updates_of_event(records.event()),
    ]
    assert names_on_screen() <= {update.spec.name for update in told}
    assert len(names_on_screen()) > 30


def test_no_widget_leaves_the_screen_or_lies_on_another():
    root = ET.parse(SCREEN).getroot()
    width, height = (float(root.findtext(name)) for name in ("width", "height"))
    boxes = np.array(
        [[float(each.findtext(name)) for name in ("x", "y", "width", "height")] for each in root.iter("widget")]
    )
    ends = boxes[:, :2] + boxes[:, 2:]
    assert np.all(boxes[:, :2] >= 0)
    assert np.all(ends <= [width, height])
    overlaps = np.all((boxes[:, None, :2] < ends[None]) & (boxes[None, :, :2] < ends[:, None]), axis=-1)
    assert not np.any(overlaps & ~np.eye(len(boxes), dtype=bool))

"""How much of the disk a run takes."""

from ringwatch_daemon.core.columns import columns_from_tracked, fixed_tables_from_tracked
from ringwatch_daemon.core.records import RunStart
from ringwatch_daemon.settings import Settings
from ringwatch_daemon.sinks.nexus_layout import bytes_a_frame
from ringwatch_pipelines.analysis import Analyser

_S_PER_H = 3600
_FULL_RATE_HZ = 15
"""Of a Perkin-Elmer panel at full size."""


def disk_need(settings: Settings, analyser: Analyser) -> str:
    """Bytes a frame, an hour and a part of a run, in words."""
    frame_bytes = bytes_a_frame(_start(settings, analyser))
    hour_GB = _S_PER_H * frame_bytes / 1e9
    text = (
        f"{frame_bytes / 1e3:.1f} kB a frame: {hour_GB:.2g} GB an hour at one frame a second, "
        f"{_FULL_RATE_HZ * hour_GB:.2g} GB at {_FULL_RATE_HZ}"
    )
    rows = settings.run.part_rows
    return text if rows is None else f"{text}; a new file each {rows} frames ({rows * frame_bytes / 1e9:.3g} GB)"


def _start(settings: Settings, analyser: Analyser) -> RunStart:
    blank = analyser.blank()
    return RunStart(
        run_id="",
        started_ns=0,
        axis=analyser.axis,
        norm=analyser.norm,
        columns=columns_from_tracked(
            blank, reported=tuple((phase.name, phase.reported_lines) for phase in settings.phases)
        ),
        fixed_tables=fixed_tables_from_tracked(blank),
        cells=tuple(cell.name for cell in settings.cells),
    )

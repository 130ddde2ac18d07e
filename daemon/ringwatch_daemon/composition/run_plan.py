"""What one run is to be."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ringwatch_daemon.core.heartbeat import Heartbeat
from ringwatch_daemon.core.intake import Overflow
from ringwatch_daemon.core.ports import FrameSource, Sink
from ringwatch_daemon.settings import Settings
from ringwatch_daemon.sources.read_ahead import ReadersOf


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What one run is to be.

    Parameters
    ----------
    configuration
        Text that the settings came from, for the file.
    output
        File to write; by default one named after the time, in the run directory.
    overwrite
        Replace a file that is there.
    overflow
        What happens when frames come faster than they are analysed.
    publish
        Whether to open the live stream.
    tell
        Hears whether the source is connected, and one line about it, whenever that changes.
    watchers
        Sinks besides the file and the stream.
    readers
        Those who read recorded frames before the analysis asks for them; None to read each when its turn has come.
    heartbeat
        Beats while frames and records are taken as they come.
    resumable
        Keep beside the file what lets a later process go on with the run, should this one be cut off.
    resume_within_s
        Go on with a run of the same configuration that was cut off no longer ago; None for never.
    """

    settings: Settings
    configuration: str
    source: FrameSource
    overflow: Overflow
    output: Path | None = None
    overwrite: bool = False
    publish: bool = True
    tell: Callable[[bool, str], None] = lambda *_: None
    watchers: tuple[Sink, ...] = ()
    readers: ReadersOf | None = None
    heartbeat: Heartbeat | None = None
    resumable: bool = False
    resume_within_s: float | None = None

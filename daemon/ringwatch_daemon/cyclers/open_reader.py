"""A reader for the declared kind of cycler; a new kind is one new file and one new case here."""

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.ports import CyclerReader
from ringwatch_daemon.cyclers.csv_file import CsvCycler, CsvCyclerConfig
from ringwatch_daemon.cyclers.declarations import FileCyclerConfig
from ringwatch_daemon.cyclers.linked_files import LinkedFilesCycler, is_pattern
from ringwatch_daemon.cyclers.live_epics import EpicsCycler, EpicsCyclerConfig
from ringwatch_daemon.cyclers.recognised_file import RecognisedFileCycler

CyclerConfig = CsvCyclerConfig | FileCyclerConfig | EpicsCyclerConfig


def open_reader(config: CyclerConfig, *, clock: Clock) -> CyclerReader:
    """Open the cycler that `config` declares; nothing is guessed from a file's name.

    Parameters
    ----------
    config
        Its type tells the kind.
    clock
        For readers of live values, and to tell that a file is finished.
    """
    match config:
        case CsvCyclerConfig():
            return CsvCycler(config, clock=clock)
        case FileCyclerConfig() if is_pattern(config.path):
            return LinkedFilesCycler(config, clock=clock)
        case FileCyclerConfig():
            return RecognisedFileCycler(config, clock=clock)
        case EpicsCyclerConfig():
            return EpicsCycler(config, clock=clock)

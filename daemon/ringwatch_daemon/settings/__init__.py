"""The configuration of a beamline: one typed model, read from one TOML file by `settings_file`.

What a name means stands in its description; ``config/schema.json`` is made from it. ``false``
switches off what is on by default, since TOML has no null.
"""

from ringwatch_daemon.settings.analysis import FitSettings, HumpSettings, InstrumentSettings, OnsetSettings
from ringwatch_daemon.settings.cell import (
    CellSettings,
    ClockMarkSettings,
    CyclerSettings,
    SampleSettings,
    TableSettings,
    TimeColumnSettings,
    ValueColumnSettings,
)
from ringwatch_daemon.settings.frames import (
    AttributeSettings,
    BinningSettings,
    DarkSettings,
    DetectorSettings,
    FilesSettings,
    GeometrySettings,
    MonitorSettings,
    ScanLogSettings,
    ScanSettings,
    SummingSettings,
)
from ringwatch_daemon.settings.model import Settings
from ringwatch_daemon.settings.phases import LatticeSettings, LineSettings, PhaseSettings, SiteSettings
from ringwatch_daemon.settings.sections import Section
from ringwatch_daemon.settings.service import (
    BeamlineSettings,
    ResultPvSettings,
    RunSettings,
    SpoolSettings,
    StreamSettings,
)

__all__ = [
    "AttributeSettings",
    "BeamlineSettings",
    "BinningSettings",
    "CellSettings",
    "ClockMarkSettings",
    "CyclerSettings",
    "DarkSettings",
    "DetectorSettings",
    "FilesSettings",
    "FitSettings",
    "GeometrySettings",
    "HumpSettings",
    "InstrumentSettings",
    "LatticeSettings",
    "LineSettings",
    "MonitorSettings",
    "OnsetSettings",
    "PhaseSettings",
    "ResultPvSettings",
    "RunSettings",
    "SampleSettings",
    "ScanLogSettings",
    "ScanSettings",
    "Section",
    "Settings",
    "SiteSettings",
    "SpoolSettings",
    "StreamSettings",
    "SummingSettings",
    "TableSettings",
    "TimeColumnSettings",
    "ValueColumnSettings",
]

"""Where a run is written, who and where, and the live stream."""

from pathlib import Path

from pydantic import Field, PositiveInt

from ringwatch_daemon.settings.sections import Label, NotNegative, OrOff, Positive, Section


class RunSettings(Section):
    """Where runs are written."""

    directory: Path = Field(Path("runs"), description="folder of the HDF5 files, one a run")
    name: Label = Field("run", description="beginning of each file's name")
    resume_hours: OrOff[Positive] = Field(
        24.0, description="a run that was cut off is gone on with while its last row is no older; false for never"
    )
    part_rows: OrOff[PositiveInt] = Field(
        1_000_000,
        description="frames in one file; a longer run stands in parts of so many in a folder beside its file, "
        "which reads as one over them; false for one file whatever comes",
    )
    cache: Path | bool = Field(
        True,
        description="folder that keeps what takes long to work out of a calibration, for the next start; "
        "true for the usual one of the service or user, false for none",
    )
    storage_patience_s: NotNegative = Field(
        3600.0, description="how long a full, read-only or vanished disk is waited for before the run ends"
    )


class SpoolSettings(Section):
    """Where frames of a live detector wait that come faster than they are analysed."""

    directory: Path | None = Field(None, description="folder on a fast disk; beside the run's file when left out")
    quota_GiB: OrOff[Positive] = Field(
        4.0, description="room for frames on disk, past which they are dropped and counted; false for no spool"
    )


class BeamlineSettings(Section):
    """Who and where, for the file."""

    facility: str = "unknown"
    beamline: str = "unknown"
    source_type: str = "Synchrotron X-ray Source"


class StreamSettings(Section):
    """The live stream."""

    enabled: bool = True
    endpoint: str = Field("tcp://127.0.0.1:5606", description="of the publisher; a port of * takes a free one")
    snapshot_endpoint: str = Field("", description="of the late joiners' socket; the next port when empty")
    history_MiB: Positive = 64
    curve_directory: Path | None = Field(None, description="folder of the publisher's CURVE keys; switches CURVE on")
    insecure: bool = Field(False, description="allow to leave loopback without CURVE")


class ResultPvSettings(Section):
    """The newest results as EPICS process variables over PVA, for screens and archivers."""

    prefix: str = Field("", description="what their names begin with, as RW1:; none are served when empty")
    interval_s: Positive = Field(0.1, description="shortest time between two values of a PV")

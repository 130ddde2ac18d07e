"""The detector, recorded frames and scans, and what makes a pattern of them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ringwatch_daemon.settings.sections import Label, NotNegative, OrOff, Positive, Section


class MonitorSettings(Section):
    """The monitor of the incident beam; a frame without its value is rejected."""

    attribute: str = Field("", description="NDArray attribute or header key")
    pv: str = Field("", description="PV, where the frame does not carry it")
    reference: Positive = Field(1.0, description="monitor value at which intensities are left as they are")


class AttributeSettings(Section):
    """Further names under which a frame carries its conditions; the usual ones are known."""

    exposure: tuple[str, ...] = ()
    gain: tuple[str, ...] = ()
    trigger_mode: tuple[str, ...] = ()
    dark: tuple[str, ...] = Field((), description="1, true, dark or closed in a frame without beam")
    offset_subtracted: tuple[str, ...] = Field((), description="1 where the detector took its own dark off")


class ReadoutBlockSettings(Section):
    """Blocks of pixels with an amplifier of their own, whose offsets drift; each frame tells them anew."""

    rows: int = Field(ge=8, description="of one block; blocks begin at the first pixel")
    columns: int = Field(ge=8, description="of one block")
    drift_counts: Positive = Field(2.0, description="standard deviation of an offset when the next dark is due")


class DetectorSettings(Section):
    """The detector and how its frames come."""

    protocol: Literal["pva", "ca", "files"] = Field("pva", description="files: new files of files.paths are taken")
    prefix: str = "13PE1:"
    pva_image: str = Field("Pva1:Image", description="PV of the NTNDArray, below the prefix")
    ca_image: str = Field("image1:", description="prefix of the NDPluginStdArrays, below the prefix")
    camera: str = Field("cam1:", description="prefix of the camera, below the prefix")
    queue_frames: int = Field(24, ge=2, le=1024, description="frames that may wait in memory")
    stall_s: Positive = Field(10.0, description="silence after which a stall is reported")
    timestamp_marks: Literal["start", "middle", "end"] = Field("end", description="what the stamp of a frame marks")
    saturation_counts: OrOff[Positive] = Field(
        65535, description="counts from which a pixel is left out of its frame; false for none"
    )
    minimum_counts: float | None = Field(None, description="counts below which a pixel is left out of its frame")
    variance: Literal["detector", "poisson"] = "detector"
    gain_counts: Positive = Field(1.0, description="counts a photon: variance over mean")
    read_noise_counts: NotNegative = 0.0
    lag: tuple[Annotated[float, Field(ge=0, lt=0.5)], ...] = Field(
        (), description="residual image: shares of the light of the last frame, of the one before it, ... seen again"
    )
    bad_first_frames: int = Field(0, ge=0, description="light frames at the start that are never data")
    blocks: ReadoutBlockSettings | None = Field(None, description="an integrating panel's, to correct their drift")
    zinger_counts: Positive | None = Field(
        None, description="height from which a single pixel above its neighbours is left out; none on photon counters"
    )
    watch_light: bool = Field(
        True, description="reject a frame without beam, with part of its light or of its rows, or the one before again"
    )
    monitor: MonitorSettings = MonitorSettings()
    cell_attribute: str = Field(
        "", description="for cells: NDArray attribute or header key that names the one in the beam"
    )
    cell_pv: str = Field(
        "", description="for cells: PV that does, where the frame does not; its stamps place the change"
    )
    pvs: dict[str, str] = Field(
        default_factory=dict, description="attribute name to PV, for what a frame does not carry itself"
    )
    attributes: AttributeSettings = AttributeSettings()


class FilesSettings(Section):
    """Frames in files, and what they do not tell themselves."""

    paths: tuple[Path, ...] = Field((), description="for the protocol files: folders or patterns that grow")
    time_zone: str = Field("", description="IANA zone of header times that carry none")
    timestamp_marks: Literal["start", "middle", "end"] = Field("end", description="what a header's time marks")


class GeometrySettings(Section):
    """Calibration and static corrections."""

    poni: Path | None = Field(None, description="calibration; scans need none")
    shape: tuple[int, int] | None = Field(None, description="(rows, columns), where the detector's name does not tell")
    mask: Path | None = Field(None, description="non-zero is masked; unreadable or of another shape is an error")
    flat: Path | None = None
    solid_angle: bool = True
    polarization: OrOff[Annotated[float, Field(ge=-1, le=1)]] = Field(
        0.99, description="degree of polarisation in the plane of the ring; false for no correction"
    )
    ring_test: Label | None = Field(None, description="phase whose rings must lie where the calibration says")


class ScanLogSettings(Section):
    """A CSV with the time of each scan, in the zone of files.time_zone where its stamps carry none."""

    file: Path
    scan: str = Field("scan_number", description="column with what the name of the scan's file tells")
    start: str = "start_time"
    end: str = Field("end_time", description="empty where there is none")


class ScanSettings(Section):
    """1-D patterns instead of frames; with this table, files hold scans."""

    wavelength_A: Positive | None = Field(None, description="that of geometry.poni where it is left out")
    sweep: Literal["rising", "falling", "together"] = Field(
        "rising", description="which angles are older: low ones, high ones, or none"
    )
    log: ScanLogSettings | None = None
    time_pattern: str | None = Field(
        None, description="strptime pattern of times in headers, where a date can be read in two ways"
    )


class DarkSettings(Section):
    """Frames without beam."""

    files: tuple[Path, ...] = ()
    averaged: int = Field(
        1,
        ge=1,
        description="exposures that each image of the files is the mean of already; the noise of the dark"
        " is less by the root",
    )
    exposure_s: Positive | None = Field(None, description="of the files, where they do not tell")
    gain: str | None = None
    trigger_mode: str | None = None
    required: bool = Field(True, description="reject a light frame for which no dark is valid")


class BinningSettings(Section):
    """The bins of a pattern."""

    bins: int = Field(1600, ge=16, le=20_000)
    two_theta_min_deg: NotNegative | None = None
    two_theta_max_deg: Positive | None = None
    splitting: Literal["none", "bbox"] = Field("none", description="none keeps bins independent and sigma true")


class SummingSettings(Section):
    """Frames that are summed before the fit."""

    frames: int = Field(1, ge=1)
    seconds: Positive | None = Field(None, description="cadence in data time; overrides frames")

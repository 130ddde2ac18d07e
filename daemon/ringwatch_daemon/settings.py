"""The configuration of a beamline: one typed model, read from one TOML file by `settings_file`.

What a name means stands in its description; ``config/schema.json`` is made from here. ``false``
switches off what is on by default, since TOML has no null.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
ReflectionLabel = Annotated[str, Field(pattern=r"^(-?\d){3}$|^-?\d+(,-?\d+){2}$")]


class _FalseIsNone:
    """Reads ``false`` as None, and tells the schema so."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda given: None if given is False else given, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        told = handler(schema)
        told["anyOf"] = [{"const": False} if each == {"type": "null"} else each for each in told["anyOf"]]
        return told


T = TypeVar("T")
OrOff = Annotated[T | None, _FalseIsNone()]


class Section(BaseModel):
    """A table of the file: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RunSettings(Section):
    """Where runs are written."""

    directory: Path = Field(Path("runs"), description="folder of the HDF5 files, one a run")
    name: Label = Field("run", description="beginning of each file's name")
    resume_hours: OrOff[Positive] = Field(
        24.0, description="a run that was cut off is gone on with while its last row is no older; false for never"
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


class SampleSettings(Section):
    """The cell in the beam."""

    name: str = "cell"
    description: str = ""
    area_cm2: Positive | None = Field(None, description="electrode area, for current density and areal charge")
    symmetric: bool = Field(
        False, description="both electrodes are alike: V / I is a resistance, and is watched for short circuits"
    )


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
    watch_light: bool = Field(True, description="reject a frame without beam, with part of its light or of its rows")
    monitor: MonitorSettings = MonitorSettings()
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


class DarkSettings(Section):
    """Frames without beam."""

    files: tuple[Path, ...] = ()
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


class InstrumentSettings(Section):
    """Width of the instrument: FWHM^2 = U tan^2 + V tan + W (Gaussian), FWHM = X / cos + Y tan (Lorentzian), degree.

    ``ringwatch calibrate`` measures it. The width of a bin is no part of it: the fit adds that by itself.
    """

    u_deg2: float = 0.0
    v_deg2: float = 0.0
    w_deg2: Positive = 3.8e-4
    x_deg: NotNegative = 0.0
    y_deg: NotNegative = 0.0


class HumpSettings(Section):
    """A broad amorphous hump of known place."""

    two_theta_deg: Positive
    fwhm_deg: Positive


class FitSettings(Section):
    """The whole-pattern fit."""

    two_theta_min_deg: NotNegative | None = None
    two_theta_max_deg: Positive | None = None
    excluded_deg: tuple[tuple[float, float], ...] = Field((), description="two-theta regions left out")
    background_terms: int = Field(24, ge=1, le=80, description="Chebyshev terms")
    merge_fwhm: NotNegative = Field(
        0.03, description="lines of a free phase nearer than this part of their width share one intensity"
    )
    background_file: Path | None = Field(
        None, description="pattern of an empty cell, scale free: columns of 2theta and intensity, or a run's file"
    )
    standard: Label | None = Field(
        None,
        description="phase of known lattice (its lattice_prior_relative) that tells where the sample stands along the"
        " beam; without one, lattices are as the nominal geometry sees them",
    )
    displacement_sigma_mm: Positive = Field(1.0, description="for standard: how well the place is known beforehand")
    scherrer_constant: Positive = 0.9
    max_iterations: int = Field(30, ge=2, le=500, description="after these a fit counts as not converged")
    hump: HumpSettings | None = None
    texture_half_window_deg: Positive = Field(0.06, description="how far the sectors of a textured line reach")
    instrument: InstrumentSettings = InstrumentSettings()


class OnsetSettings(Section):
    """When a reference phase or the hump has appeared."""

    false_alarms_per_run: OrOff[Annotated[float, Field(gt=0, lt=1)]] = Field(
        0.01, description="how often a run without any onset may raise an alarm; false looks for none"
    )
    expected_frames: int = Field(2000, gt=10, description="fits of a run, for the rate of false alarms")
    burn_in_frames: int = Field(40, ge=10, description="first fits of the run, which tell what is usual")

    @model_validator(mode="after")
    def _is_longer_than_its_burn_in(self) -> "OnsetSettings":
        if self.expected_frames <= self.burn_in_frames:
            raise ValueError("onset.expected_frames must be more than onset.burn_in_frames")
        return self


class LatticeSettings(Section):
    """A cell in angstrom and degree; what symmetry fixes may be left out."""

    a_A: Positive
    b_A: Positive | None = None
    c_A: Positive | None = None
    alpha_deg: Positive | None = None
    beta_deg: Positive | None = None
    gamma_deg: Positive | None = None


class SiteSettings(Section):
    """One site of the asymmetric unit."""

    element: str
    x: float
    y: float
    z: float
    occupancy: Annotated[float, Field(gt=0, le=1)] = 1.0
    u_iso_A2: NotNegative = 0.01


class LineSettings(Section):
    """One reflection to use, instead of all that symmetry allows."""

    hkl: tuple[int, int, int]
    intensity: NotNegative = Field(1.0, description="relative to the other lines of the phase")


class PhaseSettings(Section):
    """A crystalline phase, by its cell (and sites) or a CIF."""

    name: Label
    role: Literal["free", "lines", "reference"] = Field(
        description="free: every group of lines has its own intensity; lines: few lines, each free in sign, with a"
        " ratio of two; reference: one amount on reference intensities"
    )
    cif: Path | None = None
    space_group: str = ""
    lattice: LatticeSettings | None = None
    sites: tuple[SiteSettings, ...] = ()
    lines: tuple[LineSettings, ...] = Field((), description="reflections to use; all in range when empty")
    ratio: tuple[ReflectionLabel, ReflectionLabel] | None = None
    reported_lines: tuple[ReflectionLabel, ...] = Field((), description="intensities with a dataset of their own")
    lattice_prior_relative: Positive | None = Field(None, description="one sigma of a prior on the lattice")
    size_nm: Positive = Field(60.0, description="first guess of the crystallite size")
    strain: NotNegative = Field(5e-4, description="first guess of the microstrain")
    texture: tuple[ReflectionLabel, ...] = Field((), description="lines whose azimuthal texture is followed")

    @model_validator(mode="after")
    def _has_a_cell(self) -> "PhaseSettings":
        if self.cif is None and self.lattice is None:
            raise ValueError(f"phase {self.name} needs a cif or a lattice")
        if self.cif is not None and (self.lines or self.sites):
            raise ValueError(f"phase {self.name} has a cif, which tells its lines and sites; leave out lines and sites")
        if self.lattice is not None and not self.space_group:
            raise ValueError(f"phase {self.name} has a lattice but no space_group")
        return self


class TimeColumnSettings(Section):
    """The column with the time of each sample."""

    column: str = "time"
    kind: Literal["stamp", "epoch", "elapsed", "duration"] = "stamp"
    unit: str = Field("s", description="of epoch and elapsed: ns, us, ms, s, min, h, d")
    pattern: str | None = Field(None, description="strptime pattern of a stamp that is not ISO 8601")
    zone: str | None = Field(None, description="IANA zone or offset of stamps that carry none")
    start: str | None = Field(None, description="ISO time at which an elapsed or duration column is zero")


class ValueColumnSettings(Section):
    """A column with a measured value."""

    column: str
    unit: str = Field(description="V, A, C or Ah with a prefix, as in mV, uA, mAh")


class TableSettings(Section):
    """What the columns of the cycler's table mean."""

    time: TimeColumnSettings = TimeColumnSettings()
    voltage: OrOff[ValueColumnSettings] = Field(
        ValueColumnSettings(column="voltage_V", unit="V"), description="false where there is none"
    )
    current: OrOff[ValueColumnSettings] = Field(
        ValueColumnSettings(column="current_A", unit="A"), description="false where there is none"
    )
    charge: ValueColumnSettings | None = None
    cycle: str | None = None
    step: str | None = None
    separator: str | None = Field(None, description="detected where it is left out")
    decimal: Literal[".", ","] | None = Field(None, description="detected where it is left out")
    header_line: int = Field(1, ge=1)


class CyclerSettings(Section):
    """The instrument that charges the cell."""

    kind: Literal["none", "file", "csv", "epics"] = Field(
        "none", description="file: a known format, told by its content; csv: any table, by its columns"
    )
    file: Path | None = Field(None, description="for file and csv; it may grow, and may appear later")
    zone: str | None = Field(None, description="for file: IANA zone or offset of stamps that carry none")
    start: str | None = Field(None, description="for file: ISO time of zero, where the format only counts from it")
    time_pattern: str | None = Field(None, description="for file: strptime pattern, where dates can be read two ways")
    table: TableSettings = TableSettings()
    voltage_pv: str = Field("", description="for epics")
    current_pv: str = Field("", description="for epics")
    clock_offset_s: float = Field(0.0, description="detector clock minus cycler clock")
    max_gap_s: Positive = Field(3600.0, description="longest stretch between samples that is bridged")

    @model_validator(mode="after")
    def _has_its_source(self) -> "CyclerSettings":
        if self.kind in {"file", "csv"} and self.file is None:
            raise ValueError(f"a cycler of kind {self.kind} needs file")
        if self.kind == "epics" and not (self.voltage_pv and self.current_pv):
            raise ValueError("a cycler of kind epics needs voltage_pv and current_pv")
        return self


class StreamSettings(Section):
    """The live stream."""

    enabled: bool = True
    endpoint: str = Field("tcp://127.0.0.1:5606", description="of the publisher; a port of * takes a free one")
    snapshot_endpoint: str = Field("", description="of the late joiners' socket; the next port when empty")
    history_MiB: Positive = 64
    curve_directory: Path | None = Field(None, description="folder of the publisher's CURVE keys; switches CURVE on")
    insecure: bool = Field(False, description="allow to leave loopback without CURVE")


class Settings(Section):
    """All of it."""

    run: RunSettings = RunSettings()
    spool: SpoolSettings = SpoolSettings()
    beamline: BeamlineSettings = BeamlineSettings()
    sample: SampleSettings = SampleSettings()
    detector: DetectorSettings = DetectorSettings()
    files: FilesSettings = FilesSettings()
    geometry: GeometrySettings = GeometrySettings()
    scan: ScanSettings | None = None
    dark: DarkSettings = DarkSettings()
    binning: BinningSettings = BinningSettings()
    summing: SummingSettings = SummingSettings()
    fit: FitSettings = FitSettings()
    onset: OnsetSettings = OnsetSettings()
    phases: tuple[PhaseSettings, ...] = ()
    cycler: CyclerSettings = CyclerSettings()
    stream: StreamSettings = StreamSettings()

    @model_validator(mode="after")
    def _names_are_known(self) -> "Settings":
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError(f"two phases share a name: {', '.join(names)}")
        if self.detector.protocol == "files" and not self.files.paths:
            raise ValueError("detector.protocol is files, but files.paths names none")
        if self.geometry.poni is None and (self.scan is None or self.scan.wavelength_A is None):
            raise ValueError("needs geometry.poni for frames, or scan.wavelength_A for scans")
        if self.geometry.ring_test is not None and self.geometry.ring_test not in names:
            raise ValueError(f"geometry.ring_test names {self.geometry.ring_test}, which is not among the phases")
        return self

    @model_validator(mode="after")
    def _standard_is_known(self) -> "Settings":
        name = self.fit.standard
        priors = {phase.name: phase.lattice_prior_relative for phase in self.phases}
        if name is not None and name not in priors:
            raise ValueError(f"fit.standard names {name}, which is not among the phases")
        if name is not None and priors[name] is None:
            raise ValueError(f"fit.standard names {name}, which needs lattice_prior_relative: how well it is known")
        return self

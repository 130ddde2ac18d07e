"""What a beamline is expected to be: plain facts in a JSON file, so that whoever expects it shares no code with it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ringwatch_simulators.errors import ScenarioError

Positive = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    """A part of the file: unknown names are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ExpectedDetector(Part):
    """The detector: where its calibration lies, and what that alone does not tell."""

    poni: Path
    shape: tuple[int, int] = Field(description="(rows, columns)")
    pixels_m: tuple[Positive, Positive] = Field(description="edges of a pixel along axes 1 and 2")
    orientation: Literal[1, 2, 3, 4] = 3
    dtype: str = "uint16"
    saturation_counts: Positive | None = Field(None, description="counts that no pixel should reach")
    counts_per_photon: Positive = 1.0
    read_noise_counts: Annotated[float, Field(ge=0)] = 0.0
    lag: tuple[float, ...] = ()
    polarization: float = 0.99
    mask: Path | None = Field(None, description="non-zero where a pixel is bad")
    flat: Path | None = None
    darks: tuple[Path, ...] = Field((), description="their mean is the offset of every frame")
    dark_attributes: tuple[str, ...] = Field(
        (), description="1 in a frame without beam; a run begins with some of them"
    )
    exposure_s: Positive | None = None
    gain: str | None = None
    trigger_mode: str | None = None
    displaced: bool = Field(False, description="the sample stands a little off its place, for a standard to tell")


class ExpectedMonitor(Part):
    """The monitor of the beam, an attribute of each frame; none when its name is empty."""

    attribute: str = ""
    reference: Positive = 1.0


class ExpectedInstrument(Part):
    """Widths of the instrument, as GSAS has them."""

    u_deg2: float = 0.0
    v_deg2: float = 0.0
    w_deg2: Positive = 3.8e-4
    x_deg: float = 0.0
    y_deg: float = 0.0


class ExpectedHump(Part):
    """A broad hump that grows late in the course."""

    two_theta_deg: Positive
    fwhm_deg: Positive


class ExpectedSite(Part):
    """One site of the asymmetric unit."""

    element: str
    x: float
    y: float
    z: float
    occupancy: float = 1.0
    u_iso_A2: float = 0.0


class ExpectedLine(Part):
    """One line and its relative area."""

    hkl: tuple[int, int, int]
    intensity: float = 1.0


class ExpectedPhase(Part):
    """A phase: a CIF, or cell and space group with or without sites."""

    name: str
    role: Literal["free", "lines", "reference"]
    cif: Path | None = None
    space_group: str = ""
    cell: tuple[Positive, Positive, Positive, Positive, Positive, Positive] | None = Field(
        None, description="a, b, c in angstrom, alpha, beta, gamma in degree"
    )
    sites: tuple[ExpectedSite, ...] = ()
    lines: tuple[ExpectedLine, ...] = ()
    size_nm: Positive = 60.0
    strain: float = 5e-4
    textured: bool = False


class ExpectedColumn(Part):
    """A column of the cycler's table: its name, and the unit of what stands in it."""

    name: str
    unit: str = ""


class ExpectedTime(Part):
    """The column with the time."""

    name: str = "time"
    kind: Literal["stamp", "epoch", "elapsed", "duration"] = "stamp"
    unit: str = "s"
    pattern: str | None = None
    zone: str | None = Field(None, description="of stamps that carry none")
    start: str | None = None


class ExpectedTable(Part):
    """The cycler's table."""

    time: ExpectedTime = ExpectedTime()
    test_time: str | None = Field(None, description="a column more: seconds since the cycler was switched on")
    voltage: ExpectedColumn | None = ExpectedColumn(name="voltage_V", unit="V")
    current: ExpectedColumn | None = ExpectedColumn(name="current_A", unit="A")
    charge: ExpectedColumn | None = None
    cycle: str | None = "cycle"
    step: str | None = "step"
    separator: str = ","
    decimal: Literal[".", ","] = "."
    header_line: int = 1


class ExpectedCycler(Part):
    """The cycler: a table that grows, or two PVs."""

    file: Path | None = None
    table: ExpectedTable = ExpectedTable()
    voltage_pv: str = ""
    current_pv: str = ""


class ExpectedMark(Part):
    """An attribute of the frames that switches with the cycler."""

    attribute: str
    quantity: Literal["voltage_V", "current_A", "step", "cycle"] = "voltage_V"


class ExpectedCell(Part):
    """One of the cells that take turns in the beam."""

    told: str = Field(description="what the attribute says of it")
    phases: tuple[str, ...] = Field((), description="all when empty")
    cycler: ExpectedCycler = ExpectedCycler()


class ExpectedBeamline(Part):
    """All of it."""

    detector: ExpectedDetector
    monitor: ExpectedMonitor = ExpectedMonitor()
    attribute_pvs: dict[str, str] = Field(
        default_factory=dict, description="PVs that tell an attribute of the frames as well"
    )
    two_theta_range_deg: tuple[float, Positive | None] = Field(
        (0.0, None), description="where lines are looked for; None: to the edge of the detector"
    )
    instrument: ExpectedInstrument = ExpectedInstrument()
    background: tuple[tuple[float, ...], tuple[float, ...]] | None = Field(
        None, description="2theta in degree and intensity, in any unit"
    )
    hump: ExpectedHump | None = None
    phases: tuple[ExpectedPhase, ...] = ()
    cell_attribute: str = ""
    cells: tuple[ExpectedCell, ...] = ()
    cycler: ExpectedCycler = ExpectedCycler()
    mark: ExpectedMark | None = None
    area_cm2: Positive = 0.785


def read_expected_beamline(path: Path) -> ExpectedBeamline:
    """Read the file.

    Raises
    ------
    ScenarioError
        It cannot be read or says something else; in one sentence.
    """
    try:
        return ExpectedBeamline.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"expected the facts of a beamline in {path}, but it cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ScenarioError(f"{path}: {place}: {first['msg']}") from error

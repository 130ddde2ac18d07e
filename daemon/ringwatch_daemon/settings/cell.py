"""The cell in the beam and the instrument that charges it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ringwatch_daemon.settings.sections import Label, OrOff, Positive, Section

CellName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,31}$")]


class SampleSettings(Section):
    """The cell in the beam."""

    name: str = "cell"
    description: str = ""
    area_cm2: Positive | None = Field(None, description="electrode area, for current density and areal charge")
    symmetric: bool = Field(
        False, description="both electrodes are alike: V / I is a resistance, and is watched for short circuits"
    )


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


class ClockMarkSettings(Section):
    """A value that comes with each frame and switches with the cycler."""

    attribute: str = Field(description="name of the attribute that the frames carry")
    quantity: Literal["voltage_V", "current_A", "step", "cycle"] = Field(
        "voltage_V", description="what of the cycler it switches with"
    )
    attribute_threshold: float | None = Field(None, description="half-way in its range where it is left out")
    cycler_threshold: float | None = Field(None, description="half-way in its range where it is left out")
    at: Literal["start", "middle", "end"] = Field(
        "end", description="when in its exposure a frame's value is read; areaDetector reads at the end"
    )


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
    clock_drift_ppm: float = Field(
        0.0, ge=-1000.0, le=1000.0, description="how much that grows from the first sample on"
    )
    clock: Literal["declared", "measured"] = Field(
        "declared", description="which is applied; the other is told too, measured by clock_mark and by the lattice"
    )
    clock_mark: ClockMarkSettings | None = None
    clock_tracks: tuple[str, ...] = Field(
        (), description="tracks that follow the charge, as lagp/a; the lattice of every free phase when empty"
    )
    max_gap_s: Positive = Field(3600.0, description="longest stretch between samples that is bridged")

    @model_validator(mode="after")
    def _has_its_source(self) -> "CyclerSettings":
        if self.kind in {"file", "csv"} and self.file is None:
            raise ValueError(f"a cycler of kind {self.kind} needs file")
        if self.kind == "epics" and not (self.voltage_pv and self.current_pv):
            raise ValueError("a cycler of kind epics needs voltage_pv and current_pv")
        return self


class CellSettings(Section):
    """One of several cells that take turns in the beam."""

    name: CellName = Field(description="in the file, the stream and the report")
    value: str = Field("", description="what detector.cell_attribute or cell_pv says of it; the name when empty")
    phases: tuple[Label, ...] = Field((), description="names of the phases that this cell has; all when empty")
    dark_required: bool | None = Field(None, description="instead of dark.required")
    sample: SampleSettings = SampleSettings()
    cycler: CyclerSettings = CyclerSettings()

    @property
    def told(self) -> str:
        """What the detector says while this cell is in the beam."""
        return self.value or self.name

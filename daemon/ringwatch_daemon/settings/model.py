"""The configuration of a beamline as one typed model."""

from pydantic import model_validator

from ringwatch_daemon.settings.analysis import FitSettings, OnsetSettings
from ringwatch_daemon.settings.cell import CellSettings, CyclerSettings, SampleSettings
from ringwatch_daemon.settings.frames import (
    BinningSettings,
    DarkSettings,
    DetectorSettings,
    FilesSettings,
    GeometrySettings,
    ScanSettings,
    SummingSettings,
)
from ringwatch_daemon.settings.phases import PhaseSettings
from ringwatch_daemon.settings.sections import Section
from ringwatch_daemon.settings.service import (
    BeamlineSettings,
    ResultPvSettings,
    RunSettings,
    SpoolSettings,
    StreamSettings,
)


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
    cells: tuple[CellSettings, ...] = ()
    stream: StreamSettings = StreamSettings()
    result_pvs: ResultPvSettings = ResultPvSettings()

    @model_validator(mode="after")
    def _names_are_known(self) -> "Settings":
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError(f"two phases share a name: {', '.join(names)}")
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

    @model_validator(mode="after")
    def _cells_can_be_told_apart(self) -> "Settings":
        if not self.cells:
            return self
        if not (self.detector.cell_attribute or self.detector.cell_pv):
            raise ValueError("cells needs detector.cell_attribute or detector.cell_pv, which names the one in the beam")
        if self.cycler.kind != "none":
            raise ValueError("cycler: each of the cells has a cycler of its own, under [cells.cycler]")
        for what, words in (
            ("name", [cell.name for cell in self.cells]),
            ("value", [cell.told for cell in self.cells]),
        ):
            twice = next((word for word in words if words.count(word) > 1), None)
            if twice is not None:
                raise ValueError(f"two cells share the {what} {twice}")
        known = {phase.name for phase in self.phases}
        unknown = next((name for cell in self.cells for name in cell.phases if name not in known), None)
        if unknown is not None:
            raise ValueError(f"cells names {unknown}, which is not among the phases")
        return self

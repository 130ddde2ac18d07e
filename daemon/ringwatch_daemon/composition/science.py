"""The science of a run, from the settings: what analyses it, and what its file says about that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from ringwatch_daemon.composition.cell_recipes import recipes_of_cells
from ringwatch_daemon.composition.provenance import provenance_of
from ringwatch_daemon.composition.recipes import recipe_from_settings, scan_recipe_from_settings
from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.composition.warming import warm_up
from ringwatch_daemon.core.columns import FixedTable, columns_from_tracked, fixed_tables_from_tracked, times_of_lines
from ringwatch_daemon.core.ports import FrameSource
from ringwatch_daemon.core.records import Provenance, RunStart
from ringwatch_daemon.core.resumption import Resumption
from ringwatch_daemon.settings import Settings
from ringwatch_daemon.sources.first_scan import BegunByFirstScan
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.analysis_memory import AnalyserMemory
from ringwatch_pipelines.results import Tracked
from ringwatch_pipelines.scan_analysis import ScanAnalyser, ScanRecipe
from ringwatch_pipelines.several_cells import CellsMemory, SeveralCells, SeveralScannedCells

AnyAnalyser = Analyser | SeveralCells | ScanAnalyser | SeveralScannedCells


@dataclass(frozen=True, slots=True)
class Science:
    """What analyses the frames or scans of a run.

    Parameters
    ----------
    reported
        Of each phase, its name and the lines whose intensity has a dataset of its own.
    cells
        Names of the cells that take turns; empty for a run of one.
    """

    analyser: AnyAnalyser
    reported: tuple[tuple[str, tuple[str, ...]], ...]
    provenance: tuple[Provenance, ...]
    cells: tuple[str, ...] = ()

    def run_start(self, run_id: str, started_ns: int) -> RunStart:
        """The beginning of a run, as the sinks hear it."""
        blank = self.analyser.blank()
        return RunStart(
            run_id=run_id,
            started_ns=started_ns,
            axis=self.analyser.axis,
            norm=self.analyser.norm,
            columns=columns_from_tracked(blank, reported=self.reported),
            fixed_tables=(*fixed_tables_from_tracked(blank), *self._times_of_phases(blank)),
            provenance=self.provenance,
            cells=self.cells,
            measured_at=self.analyser.measured_at if self._analyses_scans(self.analyser) else None,
        )

    @staticmethod
    def _analyses_scans(analyser: AnyAnalyser) -> TypeGuard[ScanAnalyser | SeveralScannedCells]:
        return isinstance(analyser, ScanAnalyser | SeveralScannedCells)

    def _times_of_phases(self, blank: Tracked) -> tuple[FixedTable, ...]:
        if not self._analyses_scans(self.analyser):
            return ()
        what = "when within a scan its lines are measured, 0 at the start and 1 at the end"
        phases = (
            FixedTable(f"{name}/measured_at", what, np.float64(share) * np.ones(()))
            for name, share in self.analyser.phases_measured_at
        )
        return (*phases, *times_of_lines(blank, self.analyser.lines_measured_at))

    def go_on_from(self, resumption: Resumption | None) -> None:
        """Take up what the frames of a run that was cut off had left."""
        if resumption is None or resumption.checkpoint is None:
            return
        memory = resumption.checkpoint.memory
        if isinstance(memory, CellsMemory):
            if isinstance(self.analyser, SeveralCells):
                self.analyser.recall(memory)
        elif isinstance(self.analyser, Analyser):
            self.analyser.recall(memory)

    @property
    def memory(self) -> Callable[[], AnalyserMemory | CellsMemory] | None:
        """Tells what the frames so far leave to the next one; None of scans, which are not taken up again."""
        return self.analyser.memory if isinstance(self.analyser, Analyser | SeveralCells) else None

    def begun_by(self, source: FrameSource) -> FrameSource:
        """The source, whose first scan settles the angles of the run where scans are analysed."""
        if isinstance(self.analyser, ScanAnalyser | SeveralScannedCells):
            return BegunByFirstScan(source, self.analyser.begin)
        return source


def science_of(plan: RunPlan) -> Science:
    """What analyses the run of a plan.

    Raises
    ------
    RingwatchError
        Something that the settings name cannot be read.
    """
    settings = plan.settings
    recipe = recipe_from_settings(settings) if settings.scan is None else scan_recipe_from_settings(settings)
    analyser = _analyser(settings, recipe)
    if isinstance(recipe, Recipe) and isinstance(analyser, Analyser | SeveralCells):
        warm_up(analyser, recipe)
    return Science(
        analyser=analyser,
        reported=tuple((phase.name, phase.reported_lines) for phase in settings.phases),
        provenance=provenance_of(settings, recipe, configuration=plan.configuration),
        cells=tuple(cell.name for cell in settings.cells),
    )


def _analyser(settings: Settings, recipe: Recipe | ScanRecipe) -> AnyAnalyser:
    if isinstance(recipe, ScanRecipe):
        return SeveralScannedCells(recipes_of_cells(settings, recipe)) if settings.cells else ScanAnalyser(recipe)
    return SeveralCells(recipes_of_cells(settings, recipe)) if settings.cells else Analyser(recipe)

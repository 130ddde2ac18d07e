"""Who reads the frames of a run, and who counts them: at the source, or in the analysis."""

from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.composition.science import Science
from ringwatch_daemon.core.ports import FrameSource
from ringwatch_daemon.sources.files import FileSource, ReadAhead
from ringwatch_daemon.sources.read_ahead import ReadersOf
from ringwatch_pipelines.analysis import Analyser
from ringwatch_pipelines.several_cells import SeveralCells


def source_of(plan: RunPlan, science: Science) -> FrameSource:
    """The source of a plan, told what the analysis wants from it."""
    if plan.readers is not None and isinstance(plan.source, FileSource):
        plan.source.read_ahead(_ahead(plan.readers, science))
    return science.begun_by(plan.source)


def _ahead(readers: ReadersOf, science: Science) -> ReadAhead:
    analyser = science.analyser
    if not isinstance(analyser, Analyser | SeveralCells) or analyser.counter is None:
        return ReadAhead(readers)
    return ReadAhead(readers, analyser.counter.on_one_thread(), needs_images=lambda: analyser.needs_images)

"""Who reads the frames of a run, and who counts them: at the source, or in the analysis."""

from ringwatch_daemon.composition.run_plan import RunPlan
from ringwatch_daemon.composition.science import Science
from ringwatch_daemon.core.ports import FrameSource
from ringwatch_daemon.sources.files import FileSource, ReadAhead
from ringwatch_pipelines.analysis import Analyser


def source_of(plan: RunPlan, science: Science) -> FrameSource:
    """The source of a plan, told what the analysis wants from it."""
    if plan.readers is not None and isinstance(plan.source, FileSource):
        ahead = ReadAhead(plan.readers)
        if isinstance(science.analyser, Analyser):
            analyser = science.analyser
            counter = analyser.counter.on_one_thread()
            ahead = ReadAhead(plan.readers, counter=counter, needs_images=lambda: analyser.needs_images)
        plan.source.read_ahead(ahead)
    return science.begun_by(plan.source)

"""Several cells that take turns in front of one detector: each has its own tracks.

What belongs to the detector goes along from frame to frame, whichever cell is in the beam: darks, the residual
image, how many frames there were, what was told of it. What belongs to a cell waits until its next frame: the last
fit, the sum of its cadence, its onsets, what its rings look like and whether they lie where they should. So an
analyser takes up the memory of one cell after the other, and each cell has the tracks that it would have alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.analysis_memory import AnalyserMemory
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.frames import Frame, FrameKind
from ringwatch_pipelines.patterns import FloatArray, RadialAxis
from ringwatch_pipelines.reduction.counting import FrameCounter
from ringwatch_pipelines.reduction.darks import DarkMemory
from ringwatch_pipelines.reduction.lag import LagState
from ringwatch_pipelines.results import FitState, FrameResult, PhaseTrack, Refusal, TextureTrack, Tracked
from ringwatch_pipelines.scan_analysis import ScanAnalyser, ScanRecipe
from ringwatch_pipelines.scans import Measured, Scan


@dataclass(frozen=True, slots=True, eq=False)
class CellsMemory:
    """All that the analysis of several cells remembers.

    Parameters
    ----------
    current
        The cell that the last frame belonged to.
    memory
        Of that cell, and of the detector.
    waiting
        Of each other cell, without what belongs to the detector.
    """

    current: str
    memory: AnalyserMemory
    waiting: tuple[tuple[str, AnalyserMemory], ...] = ()


class SeveralCells:
    """Analyses the frames of several cells, in the order of the detector.

    Cells whose recipe is one and the same object share the operator that integrates their frames.

    Parameters
    ----------
    recipes
        Of each cell, by its name; all for the same detector, bins and darks.

    Raises
    ------
    RingwatchError
        A recipe asks for something that its geometry or its fit does not have.
    """

    def __init__(self, recipes: Mapping[str, Recipe]) -> None:
        _require_one_residual_image(recipes)
        made: dict[int, Analyser] = {}
        for recipe in recipes.values():
            if id(recipe) not in made:
                made[id(recipe)] = Analyser(recipe)
        self._analysers = {name: made[id(recipe)] for name, recipe in recipes.items()}
        self._current = next(iter(recipes))
        fresh = {name: without_detector(analyser.memory()) for name, analyser in self._analysers.items()}
        self._waiting = {name: memory for name, memory in fresh.items() if name != self._current}

    @property
    def axis(self) -> RadialAxis:
        """Bins of every pattern."""
        return self._analysers[self._current].axis

    @property
    def norm(self) -> FloatArray:
        """(bins,) normalisation at monitor 1."""
        return self._analysers[self._current].norm

    @property
    def counter(self) -> FrameCounter | None:
        """As that of an `Analyser`; None where frames of different cells are counted differently."""
        counters = {id(analyser): analyser.counter for analyser in self._analysers.values()}
        return next(iter(counters.values())) if len(counters) == 1 else None

    @property
    def needs_images(self) -> bool:
        """Whether the next light frames have to bring their images, counted or not; once false, it stays so."""
        # A source asks from its own thread.
        unchecked = any(not memory.rings_checked for memory in tuple(self._waiting.values()))
        return unchecked or self._analysers[self._current].needs_images

    def blank(self, fit_state: FitState = FitState.NOT_FITTED) -> Tracked:
        """The tracks of a frame that was not fitted: every phase, line and peak of any cell, without values."""
        return union_of_tracks(analyser.blank(fit_state) for analyser in self._analysers.values())

    def memory(self) -> CellsMemory:
        """What the frames so far leave to the next one."""
        return CellsMemory(self._current, self._analysers[self._current].memory(), tuple(self._waiting.items()))

    def recall(self, memory: CellsMemory) -> None:
        """Go on where another one with the same recipes was."""
        self._current, self._waiting = memory.current, dict(memory.waiting)
        self._analysers[self._current].recall(memory.memory)

    def analyse(self, frame: Measured, *, timestamp_ns: int) -> FrameResult:
        """Analyse the next frame of the detector by the recipe and memory of the cell that it shows.

        A dark belongs to the detector, whichever cell is in the beam. See `Analyser.analyse`.
        """
        if frame.cell in self._analysers:
            self._turn_to(frame.cell)
        elif not (isinstance(frame, Frame) and frame.kind is FrameKind.DARK):
            return refused_as_unknown(frame, self._analysers)
        return self._analysers[self._current].analyse(frame, timestamp_ns=timestamp_ns)

    def _turn_to(self, name: str) -> None:
        if name == self._current:
            return
        before = self._analysers[self._current].memory()
        self._waiting[self._current] = without_detector(before)
        self._analysers[name].recall(with_detector_of(before, self._waiting[name]))
        self._current = name
        # Last of all, so that `needs_images` misses no cell at any moment.
        del self._waiting[name]


class SeveralScannedCells:
    """Analyses the scans of several cells, in order; all on the angles of the first scan."""

    def __init__(self, recipes: Mapping[str, ScanRecipe]) -> None:
        self._analysers = {name: ScanAnalyser(recipe) for name, recipe in recipes.items()}
        self._first = next(iter(self._analysers.values()))

    def begin(self, scan: Scan) -> None:
        """Take the angles of the run from its first scan; see `ScanAnalyser.begin`."""
        for analyser in self._analysers.values():
            analyser.begin(scan)

    @property
    def axis(self) -> RadialAxis:
        """Bins of every pattern, known from the first scan on."""
        return self._first.axis

    @property
    def norm(self) -> FloatArray:
        """(bins,) points of the first scan in each bin."""
        return self._first.norm

    @property
    def measured_at(self) -> FloatArray:
        """(bins,) when within a scan each bin is measured."""
        return self._first.measured_at

    @property
    def phases_measured_at(self) -> tuple[tuple[str, float], ...]:
        """The same for each phase of any cell."""
        return tuple(dict(pair for one in self._analysers.values() for pair in one.phases_measured_at).items())

    @property
    def lines_measured_at(self) -> Mapping[str, Mapping[str, float]]:
        """The same for each line of each phase; see `ScanAnalyser.lines_measured_at`."""
        return {name: lines for one in self._analysers.values() for name, lines in one.lines_measured_at.items()}

    def blank(self, fit_state: FitState = FitState.NOT_FITTED) -> Tracked:
        """The tracks of a scan that was not fitted: every phase, line and peak of any cell, without values."""
        return union_of_tracks(analyser.blank(fit_state) for analyser in self._analysers.values())

    def analyse(self, frame: Measured, *, timestamp_ns: int) -> FrameResult:
        """Analyse the next scan as one of the cell that it shows; see `ScanAnalyser.analyse`."""
        analyser = self._analysers.get(frame.cell)
        if analyser is None:
            return refused_as_unknown(frame, self._analysers)
        return analyser.analyse(frame, timestamp_ns=timestamp_ns)


def _require_one_residual_image(recipes: Mapping[str, Recipe]) -> None:
    """The light of a frame is seen again in the next one, in the bins and in the sectors of each textured line."""
    followed = {name: [(line.phase.name, line.label) for line in recipe.texture] for name, recipe in recipes.items()}
    first, *others = followed
    differing = next((name for name in others if followed[name] != followed[first]), None)
    if differing is not None and any(recipe.lag.shares for recipe in recipes.values()):
        raise PhaseError(
            f"with a residual image, all cells need the same lines with a texture, but those of {first} and"
            f" {differing} differ"
        )


def refused_as_unknown(frame: Measured, known: Iterable[str]) -> FrameResult:
    """A frame of which nobody knows what cell it shows is nobody's data."""
    told = frame.cell or "nothing"
    text = f"expected one of the cells {', '.join(known)} with frame {frame.unique_id}, got {told} from {frame.origin}"
    return FrameResult(refusal=Refusal.UNKNOWN_CELL, text=text)


def without_detector(memory: AnalyserMemory) -> AnalyserMemory:
    """What of a memory belongs to its cell: everything that `with_detector_of` does not take from the detector's."""
    return replace(memory, darks=DarkMemory(), lags=tuple(LagState() for _ in memory.lags))


def with_detector_of(detector: AnalyserMemory, cell: AnalyserMemory) -> AnalyserMemory:
    """The memory of a cell, at the detector as it is now."""
    return replace(
        cell,
        darks=detector.darks,
        lags=detector.lags if len(detector.lags) == len(cell.lags) else cell.lags,
        judge=replace(cell.judge, frames=detector.judge.frames, usual=detector.judge.usual),
        told_dark=detector.told_dark,
        told_offset=detector.told_offset,
    )


def union_of_tracks(blanks: Iterable[Tracked]) -> Tracked:
    """Tracks with every phase and texture that any of `blanks` has, each once."""
    listed = tuple(blanks)
    phases: dict[str, PhaseTrack] = {}
    textures: dict[str, TextureTrack] = {}
    for blank in listed:
        for phase in blank.phases:
            phases.setdefault(phase.name, phase)
        for texture in blank.texture:
            textures.setdefault(texture.label, texture)
    return replace(listed[0], phases=tuple(phases.values()), texture=tuple(textures.values()))

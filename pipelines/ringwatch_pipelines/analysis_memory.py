"""What the frames of a run so far leave to the next one, as a value that can be kept and taken up again."""

from dataclasses import dataclass

from ringwatch_pipelines.patterns import BinSums, FloatArray
from ringwatch_pipelines.reduction.darks import DarkMemory
from ringwatch_pipelines.reduction.frame_quality import JudgeState
from ringwatch_pipelines.reduction.lag import LagState
from ringwatch_pipelines.tracks.onsets import OnsetMemory


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AnalyserMemory:
    """All that an `Analyser` remembers; another one of the same recipe that recalls it goes on bit for bit.

    Parameters
    ----------
    darks
        Seen during the run.
    parameters, chi_square
        The last good fit; None and NaN before there was one.
    misfits
        Fits in a row since then that were no good start for the next.
    sums, sum_began_ns
        Frames that wait for their cadence to be complete.
    textures
        The same, for each line that is followed around its ring.
    onsets
        Tests for the first appearance of minor phases.
    lags
        Light of the last frames: in the pattern, then in each line that is followed around its ring.
    judge
        What good frames look like.
    told_dark, told_offset, rings_checked
        What was told or looked at once and is not again.
    """

    darks: DarkMemory
    parameters: FloatArray | None
    chi_square: float
    misfits: int
    sums: BinSums | None
    sum_began_ns: int
    textures: tuple[BinSums | None, ...]
    onsets: OnsetMemory
    lags: tuple[LagState, ...]
    judge: JudgeState
    told_dark: int
    told_offset: bool
    rings_checked: bool

"""What the analysis of a run is told beforehand."""

from dataclasses import dataclass, field

from ringwatch_pipelines.errors import CorrectionError, PhaseError
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.reduction.array_store import ArrayStore, NothingKept
from ringwatch_pipelines.reduction.block_offsets import ReadoutBlocks
from ringwatch_pipelines.reduction.cadence import Cadence
from ringwatch_pipelines.reduction.corrections import Corrections, Dark
from ringwatch_pipelines.reduction.frame_quality import LightWatch
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import Binning
from ringwatch_pipelines.reduction.lag import Lag
from ringwatch_pipelines.reduction.ring_check import RingCheckRecipe
from ringwatch_pipelines.reduction.zingers import ZingerRule
from ringwatch_pipelines.tracks.change_points import OnsetRule
from ringwatch_pipelines.tracks.line_texture import TextureRecipe


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Recipe:
    """Everything that decides a result, besides the frames.

    Parameters
    ----------
    darks
        Known before the run.
    dark_required
        Refuse a light frame for which no dark is valid.
    monitor_reference
        Monitor value at which intensities are left as they are; None where there is no monitor.
    fit
        None to make patterns only.
    texture
        Lines whose azimuthal distribution is followed; each belongs to a phase of the fit.
    ring_check
        Rings that must lie where the calibration says; None to take the calibration as it is.
    onset
        How the first appearance of a minor phase is looked for; None to look for none.
    lag
        Residual image of earlier frames, to be taken off.
    light_watch
        Which frames are refused for their light; None to take every frame.
    blocks
        Readout blocks whose offsets drift; None to take the dark as it is.
    zingers
        Struck pixels to leave out; None for none.
    store
        Remembers what takes long to work out of the geometry; no result depends on it.
    """

    geometry: Geometry
    corrections: Corrections
    binning: Binning
    darks: tuple[Dark, ...] = ()
    dark_required: bool = False
    monitor_reference: float | None = None
    cadence: Cadence = field(default_factory=Cadence)
    fit: FitRecipe | None = None
    texture: tuple[TextureRecipe, ...] = ()
    ring_check: RingCheckRecipe | None = None
    onset: OnsetRule | None = None
    lag: Lag = field(default_factory=Lag)
    light_watch: LightWatch | None = field(default_factory=LightWatch)
    blocks: ReadoutBlocks | None = None
    zingers: ZingerRule | None = None
    store: ArrayStore = field(default_factory=NothingKept)

    def __post_init__(self) -> None:
        for dark in self.darks:
            if dark.image.shape != self.geometry.shape:
                raise CorrectionError(
                    f"the dark from {dark.origin} must have the detector's shape {self.geometry.shape}, "
                    f"got {dark.image.shape}"
                )
        if self.texture and self.fit is None:
            raise PhaseError(f"the texture of {self.texture[0].label} cannot be followed without a fit")

"""An analysis with everything that a frame can leave to the next one."""

from dataclasses import replace

from fakes.quarter_rings import BINNING, RANGE_DEG, geometry
from fakes.synthetic_patterns import lagp, lithium, recipe
from ringwatch_pipelines.analysis import Recipe
from ringwatch_pipelines.reduction.cadence import Cadence
from ringwatch_pipelines.reduction.corrections import Corrections
from ringwatch_pipelines.reduction.lag import Lag
from ringwatch_pipelines.tracks.change_points import OnsetRule
from ringwatch_pipelines.tracks.line_texture import TextureRecipe

FIT = replace(recipe(lagp(), lithium()), two_theta_range_deg=RANGE_DEG)
PLAIN = Recipe(
    geometry=geometry(),
    corrections=Corrections(solid_angle=False),
    binning=BINNING,
    fit=FIT,
    cadence=Cadence(frames=2),
    texture=(TextureRecipe(FIT.phases[1], "110", 0.06),),
)
RECIPE = replace(PLAIN, onset=OnsetRule(5.0), lag=Lag((0.03, 0.01)))


def analysed(analyser, frames):
    """The result of each frame, in order."""
    return [analyser.analyse(frame, timestamp_ns=frame.timestamp_ns) for frame in frames]

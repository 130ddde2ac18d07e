"""The ring self-test on a frame: whether this is the calibration of this detector."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ringwatch_pipelines.patterns import FloatArray, RadialAxis
from ringwatch_pipelines.reduction.array_store import ArrayStore
from ringwatch_pipelines.reduction.corrections import Corrections, Dark
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import NOTHING_KEPT, build_sector_operator
from ringwatch_pipelines.reduction.ring_self_test import ring_self_test
from ringwatch_pipelines.results import Notice

SECTORS = 12
MOST_RADIAL_BINS = 2400


@dataclass(frozen=True, slots=True, eq=False)
class RingCheckRecipe:
    """The rings that must lie where the calibration says.

    Parameters
    ----------
    name
        Of the phase, for messages.
    two_theta_deg
        (lines,) where the calibration puts them.
    relative_intensity
        (lines,) expected strengths.
    """

    name: str
    two_theta_deg: FloatArray
    relative_intensity: FloatArray


def ring_notices(
    image: NDArray[Any],
    *,
    recipe: RingCheckRecipe,
    geometry: Geometry,
    corrections: Corrections,
    axis: RadialAxis,
    dark: Dark | None,
    store: ArrayStore = NOTHING_KEPT,
) -> tuple[Notice, ...]:
    """Test one frame; the notice stands for the whole run when the rings lie elsewhere.

    Parameters
    ----------
    image
        (rows, columns) raw counts of a frame with beam.
    axis
        Bins of the patterns; the test looks at the same range.
    dark
        To be taken off, if any.
    """
    edges_deg = axis.edges_two_theta_deg
    operator = build_sector_operator(
        geometry=geometry,
        corrections=corrections,
        two_theta_min_deg=float(edges_deg[0]),
        two_theta_max_deg=float(edges_deg[-1]),
        radial_bins=min(edges_deg.size - 1, MOST_RADIAL_BINS),
        sectors=SECTORS,
        store=store,
    )
    sums = None if dark is None else operator.dark_sums(dark)
    result = ring_self_test(
        pattern=operator.sector_pattern(image, dark=sums),
        lines_two_theta_deg=recipe.two_theta_deg,
        relative_strengths=recipe.relative_intensity,
    )
    verdict = "passed" if result.passed else "FAILED"
    text = f"ring self-test with {recipe.name} {verdict}: {result.text}"
    return (Notice("RING_SELF_TEST", text, standing=not result.passed),)

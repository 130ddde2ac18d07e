"""The azimuthal texture of one line of the fit, frame by frame."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.crystals.phases import Phase, label_from_hkl
from ringwatch_pipelines.errors import PhaseError
from ringwatch_pipelines.fit.fit_layout import FitLayout, PhaseLayout
from ringwatch_pipelines.fit.line_shapes import lines_at
from ringwatch_pipelines.fit.pattern_fit import PatternFit
from ringwatch_pipelines.fit.profiles import voigt
from ringwatch_pipelines.patterns import BinSums, FloatArray, RadialAxis
from ringwatch_pipelines.reduction.array_store import ArrayStore
from ringwatch_pipelines.reduction.corrections import Corrections, Dark
from ringwatch_pipelines.reduction.darks import DarkSumsOf
from ringwatch_pipelines.reduction.folds import Counts
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import NOTHING_KEPT, build_sector_operator
from ringwatch_pipelines.reduction.lag import Lag, LagMemory
from ringwatch_pipelines.reduction.operators import SectorOperator
from ringwatch_pipelines.results import TextureTrack
from ringwatch_pipelines.tracks.texture import texture_from_sectors

SECTORS = 72
"""Enough for the spots of coarse grains, and counts enough in each."""
BINS_ASIDE = 6
"""Least half-width of the window in bins of the pattern."""


@dataclass(frozen=True, slots=True, eq=False)
class TextureRecipe:
    """One line to follow around the ring.

    Parameters
    ----------
    phase
        A phase of the fit.
    label
        Miller indices of one of its lines.
    half_window_deg
        How far on each side of the line its sectors reach.
    """

    phase: Phase
    label: str
    half_window_deg: float


class LineTexture:
    """Follows one line around its ring; frames add up until they are fitted."""

    def __init__(
        self,
        recipe: TextureRecipe,
        *,
        geometry: Geometry,
        corrections: Corrections,
        axis: RadialAxis,
        lag: Lag | None = None,
        store: ArrayStore = NOTHING_KEPT,
    ) -> None:
        self._recipe = recipe
        self.lag = LagMemory(lag or Lag())
        self._window = _window(recipe, geometry, axis)
        edges_deg = axis.edges_two_theta_deg[self._window.start : self._window.stop + 1]
        self._operator = build_sector_operator(
            geometry=geometry,
            corrections=corrections,
            two_theta_min_deg=float(edges_deg[0]),
            two_theta_max_deg=float(edges_deg[-1]),
            radial_bins=edges_deg.size - 1,
            sectors=SECTORS,
            store=store,
        )
        self._dark_sums_of = DarkSumsOf(self._operator)
        self._sums: BinSums | None = None

    @property
    def blank(self) -> TextureTrack:
        """The texture of a frame that was not fitted."""
        return TextureTrack(self._recipe.label)

    @property
    def operator(self) -> SectorOperator:
        """Frames to the sectors of the line."""
        return self._operator

    def add(self, counts: Counts, *, dark: Dark | None, monitor: float, unique_id: int = 0) -> None:
        """Add a frame, as `operator` has counted it."""
        sums = self._operator.corrected(counts, dark=self._dark_sums_of(dark), monitor=monitor).sums
        sums = self.lag.taken_off(sums, unique_id=unique_id)
        self._sums = sums if self._sums is None else self._sums + sums

    @property
    def begun(self) -> BinSums | None:
        """The sums of the frames added so far; None for none."""
        return self._sums

    def resume(self, sums: BinSums | None) -> None:
        """Go on with sums that were begun elsewhere."""
        self._sums = sums

    def take_sums(self) -> BinSums | None:
        """The sums of the frames added so far; the next frame begins anew."""
        sums, self._sums = self._sums, None
        return sums

    def track(self, fit: PatternFit, sums: BinSums | None) -> TextureTrack:
        """The texture of the frames that went into `sums` and that `fit` stands for."""
        if sums is None or not fit.state.has_values:
            return self.blank
        two_theta_deg = self._operator.axis.two_theta_deg
        area, profile = line_from_fit(
            fit, phase=self._recipe.phase.name, label=self._recipe.label, two_theta_deg=two_theta_deg
        )
        model = fit.model[self._window]
        # A bin that the fit left out has no model, and none in the sectors either.
        return texture_from_sectors(
            label=self._recipe.label,
            sectors=self._operator.pattern_of(sums),
            profile=profile,
            others=model - area * profile,
        )


def line_from_fit(fit: PatternFit, *, phase: str, label: str, two_theta_deg: FloatArray) -> tuple[float, FloatArray]:
    """Area and profile of one line as it was fitted.

    Parameters
    ----------
    phase, label
        Names of a phase of the fit and of one of its lines.
    two_theta_deg
        (bins,) where the profile is wanted.

    Returns
    -------
    area, profile
        Intensity x degree, and (bins,) per degree with an area of 1.

    Raises
    ------
    PhaseError
        The fit has no such line.
    """
    layout, line = line_of_layout(fit.layout, phase=phase, label=label)
    lines = lines_at(recipe=fit.layout.recipe, layout=layout, parameters=fit.parameters)
    area = float(fit.parameters[layout.rows[line, 0]] * layout.share[line])
    shape = voigt(
        x=two_theta_deg,
        centre=float(lines.centre_deg[line]),
        sigma=float(lines.sigma_deg[line]),
        hwhm=float(lines.hwhm_deg[line]),
    )
    return area, shape[0]


def line_of_layout(fit: FitLayout, *, phase: str, label: str) -> tuple[PhaseLayout, int]:
    """Where a line stands in a fit: the layout of its phase, and its index there.

    Raises
    ------
    PhaseError
        The fit has no such line.
    """
    for layout in fit.phases:
        if layout.phase.name == phase:
            labels = [label_from_hkl(hkl) for hkl in layout.hkl]
            if label in labels:
                return layout, labels.index(label)
    raise PhaseError(f"the fit has no line {label} of a phase {phase} whose texture could be followed")


def _window(recipe: TextureRecipe, geometry: Geometry, axis: RadialAxis) -> slice:
    phase = recipe.phase
    labels = [label_from_hkl(hkl) for hkl in phase.reflections.hkl]
    if recipe.label not in labels:
        raise PhaseError(f"phase {phase.name} has no line {recipe.label} whose texture could be followed")
    angles_deg, _ = phase.lattice.two_theta_deg(hkl=phase.reflections.hkl, wavelength_m=geometry.wavelength_m)
    centre_deg = float(angles_deg[labels.index(recipe.label)])
    edges_deg = axis.edges_two_theta_deg
    step_deg = float(edges_deg[1] - edges_deg[0])
    half_deg = max(recipe.half_window_deg, BINS_ASIDE * step_deg)
    first = int(np.searchsorted(edges_deg, centre_deg - half_deg))
    last = int(np.searchsorted(edges_deg, centre_deg + half_deg))
    if last - first < 2 * BINS_ASIDE:
        raise PhaseError(f"the line {recipe.label} of {phase.name} at {centre_deg:.3f} degree lies outside the bins")
    return slice(first, last)

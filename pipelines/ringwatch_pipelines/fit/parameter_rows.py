"""The parameters of a fit and their rows in the design matrix; fixed for a run by its recipe."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.crystals.phases import Phase
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.line_groups import LineWidths
from ringwatch_pipelines.patterns import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ShapeParameters:
    """The parameters in which the model is not linear, with a Gaussian prior and bounds each.

    Parameters
    ----------
    names
        As in ``displacement_mm``, ``lagp.a``, ``lagp.inverse_size_per_nm``, ``lagp.squared_strain``.
    mean, sigma
        (shapes,) the prior; most are too weak to matter where there is a signal.
    lower, upper
        (shapes,) bounds.
    largest_step
        (shapes,) change that moves or widens no line by more than half its width.
    """

    names: tuple[str, ...]
    mean: FloatArray
    sigma: FloatArray
    lower: FloatArray
    upper: FloatArray
    largest_step: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PhaseLayout:
    """The lines of a phase and their rows.

    Parameters
    ----------
    hkl
        (lines, 3)
    two_theta_deg
        (lines,) at the configured lattice.
    strength
        (lines,) reference intensity.
    share
        (lines,) area of the line for a linear parameter of 1.
    rows
        (lines, 3 + free) as `profiles.add_lines` takes them; one more column where the fit refines the displacement.
    leads
        (groups,) index of the strongest line of each linear parameter.
    labels
        (groups,) Miller indices of these lines, written together.
    first_row
        Row of the first linear parameter.
    """

    phase: Phase
    hkl: NDArray[np.int32]
    two_theta_deg: FloatArray
    strength: FloatArray
    share: FloatArray
    rows: NDArray[np.int64]
    leads: NDArray[np.int64]
    labels: tuple[str, ...]
    first_row: int
    widths: LineWidths

    @property
    def lattice_rows(self) -> list[int]:
        """Rows of the refined lattice parameters; empty for a fixed lattice."""
        free = len(self.phase.lattice.names)
        return [row for row in self.rows[0, 3 : 3 + free].tolist() if row >= 0] if len(self.rows) else []

    @property
    def own_rows(self) -> NDArray[np.int64]:
        """Rows of all parameters of this phase alone, each once."""
        own = self.rows[:, : 3 + len(self.phase.lattice.names)]
        return np.unique(own[own >= 0])

    @property
    def linear_rows(self) -> slice:
        """Rows of the linear parameters."""
        return slice(self.first_row, self.first_row + len(self.leads))

    @property
    def group_strengths(self) -> FloatArray:
        """(groups,) reference intensity of all lines of each linear parameter; never 0."""
        group = self.rows[:, 0] - self.first_row
        known = np.maximum(self.strength, 1e-6)
        return np.bincount(group, weights=known, minlength=len(self.leads)).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class PhaseRows:
    """The rows of the design matrix to which the lines of a phase add.

    Parameters
    ----------
    index
        Rows of the phase alone, then those that it shares with all others.
    own
        Number of rows of the phase alone; the first `groups` of them are linear.
    lines
        (lines, 3 + free) as `PhaseLayout.rows`, counted in `index`; -1 for none.
    mixing
        Place of `FitLayout.mixing_row` in `index`, -1 for none.
    """

    phase: PhaseLayout
    index: NDArray[np.int64]
    own: int
    lines: NDArray[np.int64]
    mixing: int

    @property
    def groups(self) -> int:
        """Number of linear parameters."""
        return len(self.phase.leads)


def phase_rows(phase: PhaseLayout, *, shared: list[int], mixing_row: int) -> PhaseRows:
    """Rows of a phase, and of the parameters that move or change the lines of all phases."""
    own = phase.own_rows
    index = np.concatenate([own, np.asarray(shared, dtype=np.int64)])
    place = np.full(int(index.max()) + 2, -1, dtype=np.int64)
    place[index] = np.arange(index.size)
    return PhaseRows(phase=phase, index=index, own=own.size, lines=place[phase.rows], mixing=int(place[mixing_row]))


@dataclass(frozen=True, slots=True, eq=False)
class FitLayout:
    """Rows: intensities of all phases, hump, reference background, Chebyshev terms, then the shape parameters.

    Parameters
    ----------
    phases
        In the order of the recipe.
    linear
        Number of linear parameters; the shape parameters follow them.
    mixing_row
        Row of the part of pseudo-Voigt in the profiles, -1 where they are Voigt profiles.
    phase_rows
        Of the phases that have lines in the range.
    """

    recipe: FitRecipe
    phases: tuple[PhaseLayout, ...]
    shapes: ShapeParameters
    linear: int
    mixing_row: int = -1
    phase_rows: tuple[PhaseRows, ...] = field(init=False)

    def __post_init__(self) -> None:
        rows = tuple(
            phase_rows(phase, shared=self.shared_rows, mixing_row=self.mixing_row)
            for phase in self.phases
            if len(phase.rows)
        )
        object.__setattr__(self, "phase_rows", rows)

    @property
    def shared_rows(self) -> list[int]:
        """Rows of the parameters that belong to no phase and yet change its lines: displacement and mixing."""
        return [row for row in (self.displacement_row, self.mixing_row) if row >= 0]

    @property
    def background_rows(self) -> slice:
        """Rows of the Chebyshev terms, preceded by the reference background's."""
        scaled = self.recipe.reference_background is not None
        return slice(self.linear - self.recipe.background_terms - scaled, self.linear)

    @property
    def hump_row(self) -> int:
        """Row of the hump, -1 for none."""
        return self.background_rows.start - 1 if self.recipe.hump else -1

    @property
    def displacement_row(self) -> int:
        """Row of the sample's displacement, -1 where it is taken for 0."""
        return self.linear if self.recipe.displacement else -1

    @property
    def parameters(self) -> int:
        """Number of all parameters."""
        return self.linear + len(self.shapes.names)

    def configured_start(self) -> FloatArray:
        """(parameters,) the configured shapes, and no intensity yet."""
        return np.concatenate([np.zeros(self.linear), self.shapes.mean])

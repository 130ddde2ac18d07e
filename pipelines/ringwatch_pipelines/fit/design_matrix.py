"""The model of a pattern and its slopes by every parameter, as rows over the bins."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.fit.fit_bins import FitBins, FitGrid
from ringwatch_pipelines.fit.fit_layout import FitLayout, PhaseRows
from ringwatch_pipelines.fit.line_shapes import lines_at
from ringwatch_pipelines.fit.profiles import add_lines
from ringwatch_pipelines.patterns import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PhaseSlopes:
    """What one phase adds to the design matrix.

    Parameters
    ----------
    parameters
        (rows of the phase,) at which the slopes were taken.
    rows
        (rows of the phase, used bins) slopes by these parameters, not weighted.
    """

    parameters: FloatArray
    rows: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Expansion:
    """The model about one set of parameters: the next fit may start where these slopes are known.

    Parameters
    ----------
    parameters
        (parameters,)
    phases
        In the order of `FitLayout.phase_rows`.
    """

    grid: FitGrid
    parameters: FloatArray
    phases: tuple[PhaseSlopes, ...]


def expansion_at(
    *, layout: FitLayout, grid: FitGrid, parameters: FloatArray, known: Expansion | None = None
) -> Expansion:
    """Slopes of the model at a set of parameters.

    Parameters
    ----------
    known
        An expansion with the same layout; the slopes of phases whose parameters are still the same are taken from it.
    """
    earlier = known.phases if known is not None and known.grid is grid else (None,) * len(layout.phase_rows)
    phases = tuple(
        before
        if before is not None and np.array_equal(before.parameters, parameters[rows.index])
        else _slopes_of_phase(layout, rows, grid.angle_deg, parameters)
        for rows, before in zip(layout.phase_rows, earlier, strict=True)
    )
    return Expansion(grid=grid, parameters=parameters, phases=phases)


def weighted_design(
    *, layout: FitLayout, bins: FitBins, expansion: Expansion, last: tuple[Expansion, FloatArray] | None = None
) -> FloatArray:
    """(parameters, used bins) slopes of the weighted model by every parameter.

    The rows of the linear parameters do not depend on their values, so the model itself is their product with these
    rows.

    Parameters
    ----------
    last
        An expansion and its design for the same bins; what both have in common is taken from it.
    """
    earlier: tuple[PhaseSlopes | None, ...]
    if last is None:
        design, earlier = np.zeros((layout.parameters, bins.weight.size)), (None,) * len(expansion.phases)
        smooth = len(bins.grid.smooth_rows)
        design[layout.linear - smooth : layout.linear] = bins.grid.smooth_rows * bins.weight
    else:
        design, earlier = last[1].copy(), last[0].phases
    design[layout.shared_rows] = 0.0
    for rows, slopes, before in zip(layout.phase_rows, expansion.phases, earlier, strict=True):
        if slopes is not before:
            design[rows.index[: rows.own]] = slopes.rows[: rows.own] * bins.weight
        design[layout.shared_rows] += slopes.rows[rows.own :] * bins.weight
    return design


def design_matrix(*, layout: FitLayout, bins: FitBins, parameters: FloatArray) -> FloatArray:
    """`weighted_design` at one set of parameters."""
    expansion = expansion_at(layout=layout, grid=bins.grid, parameters=parameters)
    return weighted_design(layout=layout, bins=bins, expansion=expansion)


def _slopes_of_phase(layout: FitLayout, rows: PhaseRows, angle_deg: FloatArray, parameters: FloatArray) -> PhaseSlopes:
    """That widths follow the angle is left out of the slopes, a 1e-3 part of them."""
    phase = rows.phase
    lines = lines_at(recipe=layout.recipe, layout=phase, parameters=parameters)
    values = np.empty((len(phase.share), 5))
    values[:, 0], values[:, 1], values[:, 2] = lines.centre_deg, lines.sigma_deg, lines.hwhm_deg
    values[:, 3], values[:, 4] = phase.share, parameters[phase.rows[:, 0]]
    slopes = np.empty((len(phase.share), 2 + lines.by_position.shape[1]))
    slopes[:, 0] = phase.widths.sigma_by_strain_deg**2 / (2.0 * lines.sigma_deg)
    slopes[:, 1] = phase.widths.hwhm_by_inverse_size_deg_nm
    slopes[:, 2:] = lines.by_position
    own = np.zeros((rows.index.size, angle_deg.size))
    mixing = float(parameters[layout.mixing_row]) if layout.mixing_row >= 0 else 0.0
    add_lines(own, angle_deg, values, rows.lines, slopes, mixing, rows.mixing)
    return PhaseSlopes(parameters=parameters[rows.index], rows=own)

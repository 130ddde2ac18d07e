"""Where the lines of a phase stand and how wide they are, at a set of parameters."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.fit.displacement import seen_angle_from_displacement
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.parameter_rows import PhaseLayout
from ringwatch_pipelines.fit.peak_widths import fwhm_from_voigt
from ringwatch_pipelines.patterns import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LineShapes:
    """The lines of a phase in a pattern.

    Parameters
    ----------
    centre_deg
        (lines,)
    by_position
        (lines, free) slopes of the centre by the lattice; one more column, by the displacement in mm, where the fit
        refines it.
    sigma_deg, hwhm_deg
        (lines,) of the Gaussian and the Lorentzian part, at the angles of the configured lattice.
    """

    centre_deg: FloatArray
    by_position: FloatArray
    sigma_deg: FloatArray
    hwhm_deg: FloatArray

    @property
    def fwhm_deg(self) -> FloatArray:
        """(lines,) full width at half maximum."""
        return fwhm_from_voigt(sigma=self.sigma_deg, hwhm=self.hwhm_deg)


def lines_at(*, recipe: FitRecipe, layout: PhaseLayout, parameters: FloatArray) -> LineShapes:
    """The lines of a phase at (parameters,) of its fit; what the fit holds fixed is as configured."""
    rows = layout.rows[0] if len(layout.rows) else np.full(3 + len(layout.phase.lattice.names), -1)
    squared_strain = parameters[rows[1]] if rows[1] >= 0 else layout.phase.strain**2
    inverse_size_per_nm = parameters[rows[2]] if rows[2] >= 0 else 1.0 / layout.phase.size_nm
    widths = layout.widths
    centre, by_position = _positions(recipe, layout, parameters)
    return LineShapes(
        centre_deg=centre,
        by_position=by_position,
        sigma_deg=np.sqrt(widths.sigma_deg**2 + squared_strain * widths.sigma_by_strain_deg**2),
        hwhm_deg=widths.hwhm_deg + inverse_size_per_nm * widths.hwhm_by_inverse_size_deg_nm,
    )


def _positions(recipe: FitRecipe, layout: PhaseLayout, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
    moving = layout.lattice_rows
    if moving:
        true, by_lattice = layout.phase.lattice.two_theta_deg(
            hkl=layout.hkl, wavelength_m=recipe.wavelength_m, free=parameters[moving]
        )
    else:
        true, by_lattice = layout.two_theta_deg, np.zeros((len(layout.hkl), len(layout.phase.lattice.names)))
    if recipe.displacement is None or not len(layout.rows):
        return true, by_lattice
    seen, by_angle, by_displacement = seen_angle_from_displacement(
        two_theta_deg=true,
        displacement_mm=float(parameters[layout.rows[0, -1]]),
        distance_m=recipe.displacement.distance_m,
    )
    return seen, np.column_stack([by_lattice * by_angle[:, None], by_displacement])

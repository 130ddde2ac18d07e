"""Which row of the design matrix belongs to which parameter; fixed for a run by its recipe."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.fit_recipe import FitRecipe
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.peak_widths import fwhm_from_size, fwhm_from_strain, fwhm_from_voigt
from ringwatch_pipelines.phases import Phase, PhaseRole, label_from_hkl
from ringwatch_pipelines.quantities import sigma_from_fwhm

_MARGIN_FWHM = 3.0
"""Lines this far outside the range still reach into it."""

_LATTICE_PRIOR = {PhaseRole.FREE: 0.02, PhaseRole.LINES: 0.002}
_LARGEST_INVERSE_SIZE_per_nm = 1.0
_LARGEST_STRAIN = 0.05
_WEAK_INVERSE_SIZE_per_nm = 0.2
_WEAK_SQUARED_STRAIN = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class ShapeParameters:
    """The parameters in which the model is not linear, with a Gaussian prior and bounds each.

    Parameters
    ----------
    names
        As in ``lagp.a``, ``lagp.inverse_size_per_nm``, ``lagp.squared_strain``.
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
        (lines, 3 + free) as `profiles.add_lines` takes them.
    leads
        (groups,) index of the strongest line of each linear parameter.
    labels
        (groups,) Miller indices of these lines, written together.
    first_row
        Row of the first linear parameter.
    sigma_deg, hwhm_deg
        (lines,) instrument width.
    sigma_by_strain_deg, hwhm_by_inverse_size_deg_nm
        (lines,) broadening for a strain of 1 and for a size of 1 nm.
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
    sigma_deg: FloatArray
    hwhm_deg: FloatArray
    sigma_by_strain_deg: FloatArray
    hwhm_by_inverse_size_deg_nm: FloatArray

    @property
    def lattice_rows(self) -> list[int]:
        """Rows of the refined lattice parameters; empty for a fixed lattice."""
        free = len(self.phase.lattice.names)
        return [row for row in self.rows[0, 3 : 3 + free].tolist() if row >= 0] if len(self.rows) else []

    @property
    def linear_rows(self) -> slice:
        """Rows of the linear parameters."""
        return slice(self.first_row, self.first_row + len(self.leads))


@dataclass(frozen=True, slots=True, eq=False)
class FitLayout:
    """Rows: intensities of all phases, hump, reference background, Chebyshev terms, then the shape parameters.

    Parameters
    ----------
    phases
        In the order of the recipe.
    linear
        Number of linear parameters; the shape parameters follow them.
    """

    recipe: FitRecipe
    phases: tuple[PhaseLayout, ...]
    shapes: ShapeParameters
    linear: int

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
    def parameters(self) -> int:
        """Number of all parameters."""
        return self.linear + len(self.shapes.names)

    def configured_start(self) -> FloatArray:
        """(parameters,) the configured shapes, and no intensity yet."""
        return np.concatenate([np.zeros(self.linear), self.shapes.mean])


@dataclass(slots=True)
class _Shapes:
    """Collects shape parameters phase by phase."""

    names: list[str]
    values: list[tuple[float, float, float, float, float]]

    def add(self, name: str, *, mean: float, sigma: float, bounds: tuple[float, float], step: float) -> int:
        self.names.append(name)
        self.values.append((mean, sigma, *bounds, step))
        return len(self.names) - 1


def layout_from_recipe(recipe: FitRecipe) -> FitLayout:
    """The rows of every parameter that the recipe calls for."""
    shapes = _Shapes([], [])
    made: list[PhaseLayout] = []
    first_row = 0
    for phase in recipe.phases:
        made.append(_phase_layout(phase, recipe, first_row, shapes))
        first_row += len(made[-1].leads)
    linear = first_row + bool(recipe.hump) + (recipe.reference_background is not None) + recipe.background_terms
    table = np.array(shapes.values, dtype=np.float64).reshape(-1, 5)
    return FitLayout(
        recipe=recipe,
        phases=tuple(_with_shape_rows(layout, linear) for layout in made),
        shapes=ShapeParameters(tuple(shapes.names), *(np.ascontiguousarray(column) for column in table.T)),
        linear=linear,
    )


def _phase_layout(phase: Phase, recipe: FitRecipe, first_row: int, shapes: _Shapes) -> PhaseLayout:
    """Shape rows are counted from 0 here, and moved behind the linear ones by `_with_shape_rows`."""
    all_hkl = phase.reflections.hkl
    all_angles, all_slopes = phase.lattice.two_theta_deg(hkl=all_hkl, wavelength_m=recipe.wavelength_m)
    fwhm = _expected_fwhm(phase, recipe, all_angles)
    low, high = recipe.two_theta_range_deg
    kept = np.flatnonzero((all_angles > low - _MARGIN_FWHM * fwhm) & (all_angles < high + _MARGIN_FWHM * fwhm))
    kept = kept[np.argsort(all_angles[kept], kind="stable")]
    angles, slopes, fwhm = all_angles[kept], all_slopes[kept], fwhm[kept]
    group = _groups(phase.role, angles, fwhm, recipe.merge_fwhm)
    strength = _strengths(phase, kept)
    by_size = 0.5 * fwhm_from_size(
        size_nm=1.0,
        two_theta_deg=angles,
        wavelength_m=recipe.wavelength_m,
        scherrer_constant=recipe.scherrer_constant,
    )
    by_strain = sigma_from_fwhm(fwhm=fwhm_from_strain(strain=1.0, two_theta_deg=angles))
    rows = np.full((len(kept), 3 + slopes.shape[1]), -1, dtype=np.int64)
    rows[:, 0] = first_row + group
    if len(kept):
        rows[:, 1] = _add_strain(shapes, phase, float(np.min(fwhm / by_strain)))
        rows[:, 2] = _add_size(shapes, phase, float(np.min(0.5 * fwhm / by_size)))
        rows[:, 3:] = _add_lattice(shapes, phase, 0.5 * np.min(fwhm[:, None] / np.abs(slopes).clip(1e-12), axis=0))
    leads = _leads(group, strength)
    return PhaseLayout(
        phase=phase,
        hkl=all_hkl[kept],
        two_theta_deg=angles,
        strength=strength,
        share=_shares(phase.role, group, strength),
        rows=rows,
        leads=leads,
        labels=tuple(label_from_hkl(hkl) for hkl in all_hkl[kept[leads]]),
        first_row=first_row,
        sigma_deg=recipe.instrument.sigma_deg(angles),
        hwhm_deg=recipe.instrument.hwhm_deg(angles),
        sigma_by_strain_deg=by_strain,
        hwhm_by_inverse_size_deg_nm=by_size,
    )


def _with_shape_rows(layout: PhaseLayout, linear: int) -> PhaseLayout:
    rows = layout.rows
    rows[:, 1:] += np.where(rows[:, 1:] >= 0, linear, 0)
    return layout


def _expected_fwhm(phase: Phase, recipe: FitRecipe, two_theta_deg: FloatArray) -> FloatArray:
    """Width at the configured size and strain; it decides which lines are merged."""
    angles = np.where(np.isfinite(two_theta_deg), two_theta_deg, 1.0)
    size = fwhm_from_size(
        size_nm=phase.size_nm,
        two_theta_deg=angles,
        wavelength_m=recipe.wavelength_m,
        scherrer_constant=recipe.scherrer_constant,
    )
    strain = sigma_from_fwhm(fwhm=fwhm_from_strain(strain=phase.strain, two_theta_deg=angles))
    sigma = np.hypot(recipe.instrument.sigma_deg(angles), strain)
    return fwhm_from_voigt(sigma=sigma, hwhm=recipe.instrument.hwhm_deg(angles) + 0.5 * size)


def _groups(role: PhaseRole, angles: FloatArray, fwhm: FloatArray, merge_fwhm: float) -> NDArray[np.int64]:
    """(lines,) which linear parameter of the phase each line belongs to."""
    match role:
        case PhaseRole.FREE:
            apart = np.diff(angles, prepend=-np.inf) >= merge_fwhm * fwhm
            return np.cumsum(apart, dtype=np.int64) - 1
        case PhaseRole.LINES:
            return np.arange(len(angles), dtype=np.int64)
        case PhaseRole.REFERENCE:
            return np.zeros(len(angles), dtype=np.int64)


def _strengths(phase: Phase, kept: NDArray[np.int64]) -> FloatArray:
    """Reference intensities, with a floor so that a group without any still has a shape."""
    intensity = phase.reflections.relative_intensity[kept]
    return intensity if phase.role is PhaseRole.REFERENCE else np.maximum(intensity, 1e-6)


def _shares(role: PhaseRole, group: NDArray[np.int64], strength: FloatArray) -> FloatArray:
    """A group's parameter is its area; a reference phase's is the area of its strongest line in the range."""
    if role is PhaseRole.REFERENCE:
        return strength / np.max(strength, initial=1e-300)
    return np.asarray(strength / np.bincount(group, weights=strength)[group]) if len(group) else strength


def _leads(group: NDArray[np.int64], strength: FloatArray) -> NDArray[np.int64]:
    groups = int(group[-1]) + 1 if len(group) else 0
    members = (np.flatnonzero(group == index) for index in range(groups))
    return np.array([member[np.argmax(strength[member])] for member in members], dtype=np.int64)


def _add_lattice(shapes: _Shapes, phase: Phase, largest_step: FloatArray) -> list[int]:
    prior = phase.lattice_prior or _LATTICE_PRIOR.get(phase.role)
    if prior is None:
        return [-1] * len(phase.lattice.names)
    rows = []
    for name, value, step in zip(phase.lattice.names, phase.lattice.free.tolist(), largest_step.tolist(), strict=True):
        unit = value if name in {"a", "b", "c"} else float(np.degrees(1.0))
        bounds = (0.8 * value, 1.2 * value)
        rows.append(shapes.add(f"{phase.name}.{name}", mean=value, sigma=prior * unit, bounds=bounds, step=step))
    return rows


def _add_size(shapes: _Shapes, phase: Phase, largest_step: float) -> int:
    mean = 1.0 / phase.size_nm
    free = phase.role is PhaseRole.FREE
    return shapes.add(
        f"{phase.name}.inverse_size_per_nm",
        mean=mean,
        sigma=_WEAK_INVERSE_SIZE_per_nm if free else phase.size_prior * mean,
        bounds=(0.0, _LARGEST_INVERSE_SIZE_per_nm),
        step=largest_step,
    )


def _add_strain(shapes: _Shapes, phase: Phase, largest_strain_step: float) -> int:
    if phase.role is not PhaseRole.FREE:
        return -1
    return shapes.add(
        f"{phase.name}.squared_strain",
        mean=phase.strain**2,
        sigma=_WEAK_SQUARED_STRAIN,
        bounds=(0.0, _LARGEST_STRAIN**2),
        step=0.25 * largest_strain_step**2,
    )

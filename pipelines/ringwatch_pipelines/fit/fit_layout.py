"""From a recipe to the layout of its fit: which row of the design matrix belongs to which parameter."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.crystals.phases import Phase, PhaseRole, label_from_hkl
from ringwatch_pipelines.fit.displacement import Displacement, seen_angle_from_displacement
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.line_groups import PhaseLines, lines_of_phase
from ringwatch_pipelines.fit.parameter_rows import FitLayout, PhaseLayout, PhaseRows, ShapeParameters

__all__ = ["FitLayout", "PhaseLayout", "PhaseRows", "ShapeParameters", "layout_from_recipe"]

_LATTICE_PRIOR = {PhaseRole.FREE: 0.02, PhaseRole.LINES: 0.002}
_LARGEST_LATTICE_CHANGE = 0.2
_LARGEST_DISPLACEMENT = 0.2
_LARGEST_INVERSE_SIZE_per_nm = 1.0
_LARGEST_STRAIN = 0.05
_WEAK_INVERSE_SIZE_per_nm = 0.2
_WEAK_SQUARED_STRAIN = 1e-4
_MIXING_PRIOR = 0.5
_LARGEST_MIXING = 3.0


@dataclass(slots=True)
class _Shapes:
    """Collects shape parameters phase by phase; their rows follow those of the linear parameters."""

    first_row: int
    names: list[str] = field(default_factory=list)
    values: list[tuple[float, float, float, float, float]] = field(default_factory=list)

    def add(self, name: str, *, mean: float, sigma: float, bounds: tuple[float, float], step: float) -> int:
        self.names.append(name)
        self.values.append((mean, sigma, *bounds, step))
        return self.first_row + len(self.names) - 1

    def parameters(self) -> ShapeParameters:
        columns = np.array(self.values, dtype=np.float64).reshape(-1, 5).T
        return ShapeParameters(tuple(self.names), *(np.ascontiguousarray(column) for column in columns))


def layout_from_recipe(recipe: FitRecipe) -> FitLayout:
    """The rows of every parameter that the recipe calls for."""
    lines = [lines_of_phase(phase=phase, recipe=recipe) for phase in recipe.phases]
    first_rows = np.cumsum([0, *(len(one.leads) for one in lines)]).tolist()
    smooth = bool(recipe.hump) + (recipe.reference_background is not None) + recipe.background_terms
    shapes = _Shapes(first_row=first_rows[-1] + smooth)
    moved = () if recipe.displacement is None else (_add_displacement(shapes, recipe.displacement, lines),)
    phases = tuple(
        _phase_layout(phase, one, first_row, shapes, moved)
        for phase, one, first_row in zip(recipe.phases, lines, first_rows[:-1], strict=True)
    )
    mixing_row = _add_mixing(shapes) if any(phase.role is PhaseRole.FREE for phase in recipe.phases) else -1
    return FitLayout(
        recipe=recipe, phases=phases, shapes=shapes.parameters(), linear=shapes.first_row, mixing_row=mixing_row
    )


def _phase_layout(
    phase: Phase, lines: PhaseLines, first_row: int, shapes: _Shapes, moved: tuple[int, ...]
) -> PhaseLayout:
    hkl = phase.reflections.hkl[lines.index]
    return PhaseLayout(
        phase=phase,
        hkl=hkl,
        two_theta_deg=lines.two_theta_deg,
        strength=lines.strength,
        share=lines.share,
        rows=_rows(phase, lines, first_row, shapes, moved),
        leads=lines.leads,
        labels=tuple(label_from_hkl(leading) for leading in hkl[lines.leads]),
        first_row=first_row,
        widths=lines.widths,
    )


def _rows(
    phase: Phase, lines: PhaseLines, first_row: int, shapes: _Shapes, moved: tuple[int, ...]
) -> NDArray[np.int64]:
    """(lines, 3 + free + moved) as `profiles.add_lines` takes them; a phase without lines has no parameters."""
    rows = np.full((len(lines.index), 3 + lines.slopes.shape[1] + len(moved)), -1, dtype=np.int64)
    if len(rows):
        rows[:, 0] = first_row + lines.group
        rows[:, 1] = _add_strain(shapes, phase, lines)
        rows[:, 2] = _add_size(shapes, phase, lines)
        rows[:, 3:] = [*_add_lattice(shapes, phase, lines), *moved]
    return rows


def _add_displacement(shapes: _Shapes, displacement: Displacement, phases: list[PhaseLines]) -> int:
    """A step moves no line by more than half its width."""
    distance_m = displacement.distance_m
    widths = np.concatenate([lines.fwhm_deg for lines in phases])
    angles = np.concatenate([lines.two_theta_deg for lines in phases])
    _, _, slopes = seen_angle_from_displacement(two_theta_deg=angles, displacement_mm=0.0, distance_m=distance_m)
    farthest_mm = 1e3 * _LARGEST_DISPLACEMENT * distance_m
    step = 0.5 * float(np.min(widths / np.abs(slopes).clip(1e-12), initial=2.0 * farthest_mm))
    bounds = (-farthest_mm, farthest_mm)
    return shapes.add("displacement_mm", mean=0.0, sigma=displacement.sigma_mm, bounds=bounds, step=step)


def _add_mixing(shapes: _Shapes) -> int:
    """What instruments do to a profile is no exact Voigt; the many strong lines of a FREE phase tell what it is."""
    bounds = (-_LARGEST_MIXING, _LARGEST_MIXING)
    # The model is linear in it: any step is a straight one.
    return shapes.add("profile.mixing", mean=0.0, sigma=_MIXING_PRIOR, bounds=bounds, step=2.0 * _LARGEST_MIXING)


def _add_lattice(shapes: _Shapes, phase: Phase, lines: PhaseLines) -> list[int]:
    """A step moves no line by more than half its width."""
    prior = phase.lattice_prior or _LATTICE_PRIOR.get(phase.role)
    names, values = phase.lattice.names, phase.lattice.free.tolist()
    if prior is None:
        return [-1] * len(names)
    steps = 0.5 * np.min(lines.fwhm_deg[:, None] / np.abs(lines.slopes).clip(1e-12), axis=0)
    rows = []
    for name, value, step in zip(names, values, steps.tolist(), strict=True):
        unit = value if name in {"a", "b", "c"} else float(np.degrees(1.0))
        bounds = ((1.0 - _LARGEST_LATTICE_CHANGE) * value, (1.0 + _LARGEST_LATTICE_CHANGE) * value)
        rows.append(shapes.add(f"{phase.name}.{name}", mean=value, sigma=prior * unit, bounds=bounds, step=step))
    return rows


def _add_size(shapes: _Shapes, phase: Phase, lines: PhaseLines) -> int:
    """A step widens no line by more than its width."""
    mean = 1.0 / phase.size_nm
    return shapes.add(
        f"{phase.name}.inverse_size_per_nm",
        mean=mean,
        sigma=_WEAK_INVERSE_SIZE_per_nm if phase.role is PhaseRole.FREE else phase.size_prior * mean,
        bounds=(0.0, _LARGEST_INVERSE_SIZE_per_nm),
        step=0.5 * float(np.min(lines.fwhm_deg / lines.widths.hwhm_by_inverse_size_deg_nm)),
    )


def _add_strain(shapes: _Shapes, phase: Phase, lines: PhaseLines) -> int:
    """The square of the strain is refined: the model is smooth in it at 0."""
    if phase.role is not PhaseRole.FREE:
        return -1
    return shapes.add(
        f"{phase.name}.squared_strain",
        mean=phase.strain**2,
        sigma=_WEAK_SQUARED_STRAIN,
        bounds=(0.0, _LARGEST_STRAIN**2),
        step=0.25 * float(np.min(lines.fwhm_deg / lines.widths.sigma_by_strain_deg)) ** 2,
    )

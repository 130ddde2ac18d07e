"""The recipe of each of several cells: that of the run, with the phases and the dark rule of the cell."""

from dataclasses import replace
from typing import TypeVar

from ringwatch_daemon.settings import CellSettings, Settings
from ringwatch_pipelines.analysis import Recipe
from ringwatch_pipelines.scan_analysis import ScanRecipe

AnyRecipe = TypeVar("AnyRecipe", Recipe, ScanRecipe)


def recipes_of_cells(settings: Settings, recipe: AnyRecipe) -> dict[str, AnyRecipe]:
    """The recipe of each cell by its name; cells that are treated alike share one object.

    Parameters
    ----------
    recipe
        With all phases of the configuration.
    """
    made: dict[tuple[tuple[str, ...], bool | None], AnyRecipe] = {((), None): recipe}
    recipes = {}
    for cell in settings.cells:
        key = (cell.phases, cell.dark_required)
        if key not in made:
            made[key] = _recipe_of(cell, recipe)
        recipes[cell.name] = made[key]
    return recipes


def _recipe_of(cell: CellSettings, recipe: AnyRecipe) -> AnyRecipe:
    if cell.phases and recipe.fit is not None:
        chosen = tuple(phase for phase in recipe.fit.phases if phase.name in cell.phases)
        recipe = replace(recipe, fit=replace(recipe.fit, phases=chosen))
    if isinstance(recipe, ScanRecipe):
        return recipe
    texture = tuple(line for line in recipe.texture if not cell.phases or line.phase.name in cell.phases)
    ring_check = recipe.ring_check
    if ring_check is not None and cell.phases and ring_check.name not in cell.phases:
        ring_check = None
    required = recipe.dark_required if cell.dark_required is None else cell.dark_required
    return replace(recipe, texture=texture, ring_check=ring_check, dark_required=required)

"""Several cells from the configuration: what they share, what they have of their own, and what cannot be."""

import pytest

from fakes.configurations import configuration
from ringwatch_daemon.composition.cell_recipes import recipes_of_cells
from ringwatch_daemon.composition.cell_side import cell_sides
from ringwatch_daemon.composition.recipes import metadata_names, recipe_from_settings
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.examples import CONFIGURATION, example_folder
from ringwatch_daemon.settings_file import load_settings

NAMED = '[detector]\ncell_attribute = "Cell"'
CELLS = """
[[cells]]
name = "one"

[[cells]]
name = "two"
value = "2"
cycler = { kind = "csv", file = "two.csv" }

[[cells]]
name = "pellet"
phases = ["lagp", "lioh"]
dark_required = false
"""


def example_with(cells: str):
    """The settings of the example beamline, with cells in place of its cycler."""
    text = example_folder().joinpath(CONFIGURATION).read_text()
    text = text[: text.index("[cycler]")] + cells
    return text.replace('prefix = "13PE1:"', 'prefix = "13PE1:"\ncell_attribute = "Cell"')


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    for path in example_folder().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / CONFIGURATION).write_text(example_with(CELLS))
    return load_settings(folder / CONFIGURATION)


def test_cells_that_are_treated_alike_share_one_recipe_and_others_have_their_own(settings):
    recipe = recipe_from_settings(settings)
    recipes = recipes_of_cells(settings, recipe)
    assert recipes["one"] is recipes["two"] is recipe
    pellet = recipes["pellet"]
    assert [phase.name for phase in pellet.fit.phases] == ["lagp", "lioh"]
    assert pellet.texture == ()
    assert pellet.ring_check is recipe.ring_check
    assert recipe.dark_required
    assert not pellet.dark_required


def test_each_cell_has_what_follows_it_and_a_cycler_where_one_is_told(settings):
    sides = cell_sides(settings, SystemClock())
    assert [side.follower.name for side in sides] == ["one", "two", "pellet"]
    assert [side.stage is not None for side in sides] == [False, True, False]
    assert settings.cells[1].cycler.file.is_absolute()


def test_frames_are_asked_for_what_the_attribute_says_of_each_cell(settings):
    names = metadata_names(settings)
    assert names.cell == ("Cell",)
    assert names.cells == (("one", "one"), ("2", "two"), ("pellet", "pellet"))


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (['[[cells]]\nname = "a"'], "cell_attribute or detector.cell_pv"),
        ([NAMED, '[[cells]]\nname = "a"\n[[cells]]\nname = "a"\nvalue = "2"'], "two cells share the name a"),
        ([NAMED, '[[cells]]\nname = "a"\n[[cells]]\nname = "b"\nvalue = "a"'], "two cells share the value a"),
        ([NAMED, '[[cells]]\nname = "a"\nphases = ["lagp"]'], "names lagp, which is not among the phases"),
        ([NAMED, '[cycler]\nkind = "csv"\nfile = "c.csv"\n[[cells]]\nname = "a"'], "a cycler of its own"),
        ([NAMED, '[[cells]]\nname = "../a"'], "cells.0.name"),
    ],
)
def test_cells_that_cannot_be_told_apart_are_refused_in_one_sentence(tmp_path, sections, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load_settings(configuration(tmp_path, *sections))

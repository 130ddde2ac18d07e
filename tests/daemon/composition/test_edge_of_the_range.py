"""Lines just outside the range of the fit, whose flanks lie inside it."""

import numpy as np

from ringwatch_daemon.composition.recipes import scan_recipe_from_settings
from ringwatch_daemon.settings import Settings
from ringwatch_pipelines.fit.fit_layout import layout_from_recipe

NICKEL_220_DEG = 19.224
"""Of nickel, a = 3.5238 angstrom, at 0.4160 angstrom."""


def labels_with_range_to(two_theta_max_deg: float) -> tuple[str, ...]:
    nickel = {"name": "ni", "role": "free", "space_group": "F m -3 m", "lattice": {"a_A": 3.5238}}
    fit = {"two_theta_min_deg": 10.0, "two_theta_max_deg": two_theta_max_deg, "instrument": {"w_deg2": 0.01}}
    settings = Settings.model_validate({"scan": {"wavelength_A": 0.4160}, "fit": fit, "phases": [nickel]})
    recipe = scan_recipe_from_settings(settings).fit
    assert recipe is not None
    layout = layout_from_recipe(recipe)
    assert np.all(np.diff(layout.phases[0].two_theta_deg) > 0.0)
    return layout.phases[0].labels


def test_a_line_less_than_three_widths_above_the_range_is_part_of_the_model():
    assert labels_with_range_to(NICKEL_220_DEG - 0.15) == ("111", "200", "220")


def test_a_line_far_above_the_range_is_not():
    assert labels_with_range_to(NICKEL_220_DEG - 0.6) == ("111", "200")

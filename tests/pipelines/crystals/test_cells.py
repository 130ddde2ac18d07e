"""A whole cell from what symmetry leaves free."""

import pytest

from ringwatch_pipelines.crystals.cells import completed_cell
from ringwatch_pipelines.errors import PhaseError


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        ({"space_group": "I m -3 m", "a_A": 3.51}, (3.51, 3.51, 3.51, 90, 90, 90)),
        ({"space_group": "229", "a_A": 3.51}, (3.51, 3.51, 3.51, 90, 90, 90)),
        ({"space_group": "R -3 c", "a_A": 8.257, "c_A": 20.632}, (8.257, 8.257, 20.632, 90, 90, 120)),
        ({"space_group": "P 63/m m c", "a_A": 3.0, "c_A": 5.0}, (3, 3, 5, 90, 90, 120)),
        ({"space_group": "P 4/n m m", "a_A": 3.546, "c_A": 4.334}, (3.546, 3.546, 4.334, 90, 90, 90)),
        ({"space_group": "P n m a", "a_A": 4.0, "b_A": 5.0, "c_A": 6.0}, (4, 5, 6, 90, 90, 90)),
        (
            {"space_group": "P 1 21/c 1", "a_A": 4.0, "b_A": 5.0, "c_A": 6.0, "beta_deg": 101.0},
            (4, 5, 6, 90, 101, 90),
        ),
        (
            {
                "space_group": "P -1",
                "a_A": 4.0,
                "b_A": 5.0,
                "c_A": 6.0,
                "alpha_deg": 80.0,
                "beta_deg": 101.0,
                "gamma_deg": 95.0,
            },
            (4, 5, 6, 80, 101, 95),
        ),
    ],
)
def test_what_symmetry_fixes_is_filled_in(given, cell):
    assert completed_cell(**given) == cell


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"space_group": "R -3 c", "a_A": 8.257}, "needs c_A"),
        ({"space_group": "P 4/n m m", "a_A": 3.546}, "needs c_A"),
        ({"space_group": "P n m a", "a_A": 4.0, "c_A": 6.0}, "needs b_A"),
        ({"space_group": "P 1 21/c 1", "a_A": 4.0, "b_A": 5.0, "c_A": 6.0}, "needs beta_deg"),
        (
            {"space_group": "P -1", "a_A": 4.0, "b_A": 5.0, "c_A": 6.0, "beta_deg": 101.0},
            "needs alpha_deg and gamma_deg",
        ),
    ],
)
def test_what_symmetry_leaves_free_is_asked_for(given, missing):
    with pytest.raises(PhaseError, match=missing):
        completed_cell(**given)


def test_an_unknown_space_group_is_named():
    with pytest.raises(PhaseError, match="Q 17"):
        completed_cell(space_group="Q 17", a_A=3.0)

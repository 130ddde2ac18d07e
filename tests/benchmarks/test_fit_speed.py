import numpy as np
import pytest

from benchmarks.fit_speed import Work, require_same_result
from fakes.synthetic_patterns import lagp, lithium


@pytest.fixture(scope="module")
def work():
    return Work(lagp(), lithium())


def test_what_is_compared_ends_in_the_same_place(work):
    require_same_result(work.mine(), work.lmfit.shape_only())
    require_same_result(work.mine(), work.lmfit.all_parameters())


def test_another_result_is_no_comparison(work):
    mine = work.mine()
    moved = mine.parameters + 0.5 * np.sqrt(np.diagonal(mine.covariance))
    with pytest.raises(AssertionError, match=r"differ by 0\.50 sigma"):
        require_same_result(mine, moved)

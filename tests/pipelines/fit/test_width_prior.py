"""What the configured size of a minor phase does to its amount where the true one is another."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fakes.synthetic_patterns import Truth, lagp, lioh, lithium, pattern, recipe
from ringwatch_pipelines.fit.pattern_fit import layout_from_recipe
from ringwatch_pipelines.tracks.tracking import TrackerState, track

CONFIGURED_nm = {"half the configured size": 60.0, "twice the configured size": 15.0}
"""The size of LiOH in the patterns is 30 nm."""


def amounts(*, size_nm: float, size_prior: float) -> np.ndarray:
    """(patterns,) amount less the truth, in its sigma, of a phase seen at ten sigmas."""
    hydroxide = replace(lioh(), size_nm=size_nm, size_prior=size_prior)
    given = recipe(lagp(), lithium(), hydroxide)
    truth, state, pulls = Truth(lioh=2.0, counts_per_unit=25.0), TrackerState(layout=layout_from_recipe(given)), []
    for seed in range(30):
        state, _, tracked = track(state, pattern(truth, seed), given)
        amount = tracked.phases[2].amount
        assert 5.0 < amount.value / amount.sigma < 15.0
        pulls.append((amount.value - truth.lioh) / amount.sigma)
    return np.array(pulls)


@pytest.mark.parametrize("size_nm", CONFIGURED_nm.values(), ids=CONFIGURED_nm)
def test_a_size_off_by_two_leaves_the_amount_within_its_error(size_nm):
    with threadpool_limits(1):
        pulls = amounts(size_nm=size_nm, size_prior=lioh().size_prior)
    assert abs(pulls.mean()) < 0.6
    assert pulls.std() < 1.3


def test_a_narrower_prior_would_pull_the_amount_with_it():
    with threadpool_limits(1):
        assert amounts(size_nm=60.0, size_prior=0.3).mean() < -1.0

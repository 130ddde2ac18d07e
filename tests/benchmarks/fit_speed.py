"""One warm fit of a pattern, against lmfit with the same model on the same pattern from the same start."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.lmfit_model import LmfitModel
from benchmarks.measuring import Ratio, Report, Timing, medians
from fakes.synthetic_patterns import BINS, Truth, lagp, lioh, lithium, pattern, recipe
from ringwatch_pipelines.fit.fit_bins import bins_from_pattern
from ringwatch_pipelines.fit.pattern_fit import fit_pattern, layout_from_recipe

LMFIT_ROUNDS = 2
FEWEST_TIMES_FASTER = 8.0


class Work:
    """A frame, and the fit of the frame before it to start from."""

    def __init__(self, *phases) -> None:
        self.layout = layout_from_recipe(recipe(*phases))
        before, now = Truth(lioh=2.0), replace(Truth(lioh=2.0), a=8.257 * (1.0 - 2e-6), li_110=5.02)
        self.before = fit_pattern(pattern=pattern(before, 1), layout=self.layout)
        self.pattern = pattern(now, 2)
        bins = bins_from_pattern(pattern=self.pattern, recipe=self.layout.recipe)
        self.lmfit = LmfitModel(self.layout, bins, start=self.before.parameters)

    def mine(self):
        """The fit of the daemon."""
        expansion = self.before.expansion
        return fit_pattern(pattern=self.pattern, layout=self.layout, start=expansion.parameters, known=expansion)


def require_same_result(mine, other: np.ndarray) -> None:
    """A ratio of speeds means nothing between different results."""
    sigma = np.sqrt(np.diagonal(mine.covariance))
    difference = np.abs(mine.parameters - other) / sigma
    if not np.all(difference < 0.3):
        raise AssertionError(f"the fits differ by {difference.max():.2f} sigma")


def measure(rounds: int) -> Report:
    """Time everything in one run, on one core."""
    with threadpool_limits(1):
        two, three = Work(lagp(), lithium()), Work(lagp(), lithium(), lioh())
        opponents: dict[str, Callable[[], np.ndarray]] = {
            "lmfit, all parameters, analytic derivatives": two.lmfit.all_parameters,
            "lmfit, shape parameters, linear ones solved for": two.lmfit.shape_only,
        }
        for opponent in opponents.values():
            require_same_result(two.mine(), opponent())
        mine = {"ringwatch, LAGP and Li": two.mine, "ringwatch, LAGP, Li and LiOH": three.mine}
        found = medians({**mine, **opponents}, rounds=min(rounds, LMFIT_ROUNDS))
    title = f"a warm fit of {BINS} bins, {two.layout.parameters} parameters ({two.layout.linear} linear), one core"
    return Report(title, tuple(found.values()), _ratios(found, opponents))


def _ratios(found: dict[str, Timing], opponents: dict[str, Callable[[], np.ndarray]]) -> tuple[Ratio, ...]:
    mine = found["ringwatch, LAGP and Li"].median_s
    return tuple(
        Ratio(f"times faster than {name}", found[name].median_s / mine, at_least=FEWEST_TIMES_FASTER)
        for name in opponents
    )

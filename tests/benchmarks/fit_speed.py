"""One warm fit of a pattern, against lmfit with the same model on the same pattern from the same start.

lmfit gets every help: the compiled profiles, analytic derivatives where it takes them, and the linear parameters
solved for within the model.
"""

from collections.abc import Callable
from dataclasses import replace

import lmfit
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measuring import Ratio, Report, Timing, medians
from fakes.synthetic_patterns import BINS, Truth, lagp, lioh, lithium, pattern, recipe
from ringwatch_pipelines.fit.design_matrix import design_matrix
from ringwatch_pipelines.fit.fit_bins import bins_from_pattern
from ringwatch_pipelines.fit.pattern_fit import fit_pattern, layout_from_recipe

LMFIT_ROUNDS = 2
FEWEST_TIMES_FASTER = 8.0


class Work:
    """A frame, and the fit of the frame before it to start from."""

    def __init__(self, *phases) -> None:
        self.layout = layout_from_recipe(recipe(*phases))
        before, now = Truth(lioh=2.0), replace(Truth(lioh=2.0), a=8.257 * (1.0 - 2e-6), li_110=5.02)
        self.start = fit_pattern(pattern=pattern(before, 1), layout=self.layout).parameters
        self.pattern = pattern(now, 2)
        self.bins = bins_from_pattern(pattern=self.pattern, recipe=self.layout.recipe)

    def mine(self):
        """The fit of the daemon."""
        return fit_pattern(pattern=self.pattern, layout=self.layout, start=self.start)

    def _parameters(self, first: int) -> lmfit.Parameters:
        found = lmfit.Parameters()
        for row in range(first, self.layout.parameters):
            found.add(f"p{row}", value=float(self.start[row]))
        return found

    def _residual(self, values: np.ndarray, design: np.ndarray) -> np.ndarray:
        linear, shapes = self.layout.linear, self.layout.shapes
        misfit = self.bins.weighted_intensity - values[:linear] @ design[:linear]
        return np.concatenate([misfit, (shapes.mean - values[linear:]) / shapes.sigma])

    def all_parameters(self) -> np.ndarray:
        """Every parameter is lmfit's, with analytic derivatives."""
        linear, shapes = self.layout.linear, self.layout.shapes

        def design(found: lmfit.Parameters) -> tuple[np.ndarray, np.ndarray]:
            values = np.array([one.value for one in found.values()])
            return values, design_matrix(layout=self.layout, bins=self.bins, parameters=values)

        def slopes(found: lmfit.Parameters) -> np.ndarray:
            prior = np.zeros((self.layout.parameters, len(shapes.names)))
            prior[linear:] = np.diag(1.0 / shapes.sigma)
            return -np.hstack([design(found)[1], prior])

        result = lmfit.minimize(
            lambda found: self._residual(*design(found)),
            self._parameters(0),
            method="leastsq",
            Dfun=slopes,
            col_deriv=True,
        )
        return np.array([one.value for one in result.params.values()])

    def shape_only(self) -> np.ndarray:
        """The shape parameters are lmfit's; the linear ones are solved for at each of its trials."""
        linear = self.layout.linear
        values = self.start.copy()

        def residual(found: lmfit.Parameters) -> np.ndarray:
            values[linear:] = [one.value for one in found.values()]
            values[:linear] = 1.0
            design = design_matrix(layout=self.layout, bins=self.bins, parameters=values)
            matrix = design[:linear]
            values[:linear] = np.linalg.solve(matrix @ matrix.T, matrix @ self.bins.weighted_intensity)
            return self._residual(values, design)

        result = lmfit.minimize(residual, self._parameters(linear), method="leastsq")
        residual(result.params)
        return values


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
            "lmfit, all parameters, analytic derivatives": two.all_parameters,
            "lmfit, shape parameters, linear ones solved for": two.shape_only,
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

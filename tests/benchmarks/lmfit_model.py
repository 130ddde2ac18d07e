"""The model of the daemon, fitted by lmfit.

lmfit gets every help: the compiled profiles, analytic derivatives where it takes them, and the linear parameters
solved for within the model.
"""

import lmfit
import numpy as np

from ringwatch_pipelines.fit.design_matrix import design_matrix
from ringwatch_pipelines.fit.fit_bins import FitBins
from ringwatch_pipelines.fit.fit_layout import FitLayout


class LmfitModel:
    """One pattern, and where its fit starts."""

    def __init__(self, layout: FitLayout, bins: FitBins, *, start: np.ndarray) -> None:
        self._layout, self._bins, self._start = layout, bins, start

    def _parameters(self, first: int) -> lmfit.Parameters:
        found = lmfit.Parameters()
        for row in range(first, self._layout.parameters):
            found.add(f"p{row}", value=float(self._start[row]))
        return found

    def _residual(self, values: np.ndarray, design: np.ndarray) -> np.ndarray:
        linear, shapes = self._layout.linear, self._layout.shapes
        misfit = self._bins.weighted_intensity - values[:linear] @ design[:linear]
        return np.concatenate([misfit, (shapes.mean - values[linear:]) / shapes.sigma])

    def all_parameters(self) -> np.ndarray:
        """Every parameter is lmfit's, with analytic derivatives."""
        linear, shapes = self._layout.linear, self._layout.shapes

        def design(found: lmfit.Parameters) -> tuple[np.ndarray, np.ndarray]:
            values = np.array([one.value for one in found.values()])
            return values, design_matrix(layout=self._layout, bins=self._bins, parameters=values)

        def slopes(found: lmfit.Parameters) -> np.ndarray:
            prior = np.zeros((self._layout.parameters, len(shapes.names)))
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
        linear = self._layout.linear
        values = self._start.copy()

        def residual(found: lmfit.Parameters) -> np.ndarray:
            values[linear:] = [one.value for one in found.values()]
            values[:linear] = 1.0
            design = design_matrix(layout=self._layout, bins=self._bins, parameters=values)
            matrix = design[:linear]
            values[:linear] = np.linalg.solve(matrix @ matrix.T, matrix @ self._bins.weighted_intensity)
            return self._residual(values, design)

        result = lmfit.minimize(residual, self._parameters(linear), method="leastsq")
        residual(result.params)
        return values

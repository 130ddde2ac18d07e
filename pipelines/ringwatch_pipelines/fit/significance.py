"""How surely a phase of one amount is told from none, though nobody knows how wide its lines are."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.fit.fit_layout import PhaseLayout
from ringwatch_pipelines.fit.pattern_fit import PatternFit


@dataclass(frozen=True, slots=True)
class Significance:
    """How a phase stands against its absence.

    Parameters
    ----------
    z
        Root of the chi-square that the phase saves, with the sign of its amount.
    noise
        Standard deviation of the amount with the shape of the lines held, in the unit of the amount.
    """

    z: float
    noise: float


def significance_of_phase(*, fit: PatternFit, layout: PhaseLayout) -> Significance:
    """The signed root of the likelihood ratio of a phase with one amount.

    Width and lattice of a phase mean nothing where there is none of it (Davies 1977, Biometrika 64, 247). So the error
    of the amount takes in theirs only as the phase appears, and amount over sigma stops growing where they decide it.
    What chi-square gains, the priors of the shape ``w`` included, does not::

        z^2 = A^2 / s^2 - sum ((w - w0) / sigma0)^2,    s^2 = C_AA - C_Aw C_ww^-1 C_wA

    This is exact, since at its best shape the amount is the least-squares one, whose gain is ``A^2 / s^2``. Without
    shape parameters it is amount over sigma.
    """
    row, first_shape = layout.first_row, fit.layout.linear
    amount, covariance = float(fit.parameters[row]), fit.covariance
    shape = layout.own_rows[layout.own_rows >= first_shape]
    own = covariance[shape, row]
    variance = covariance[row, row] - own @ np.linalg.solve(covariance[np.ix_(shape, shape)], own)
    prior = fit.layout.shapes
    departure = (fit.parameters[shape] - prior.mean[shape - first_shape]) / prior.sigma[shape - first_shape]
    gain = max(amount**2 / variance - float(departure @ departure), 0.0)
    return Significance(z=float(np.copysign(np.sqrt(gain), amount)), noise=float(np.sqrt(variance)))

"""Measured against true: bias, scatter and coverage, each with what it must reach."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One quantity over the frames that show it, each (frames,)."""

    value: FloatArray
    sigma: FloatArray
    truth: FloatArray

    @property
    def known(self) -> NDArray[np.bool_]:
        """(frames,) where a number was measured and can be compared."""
        return np.isfinite(self.value) & np.isfinite(self.sigma) & np.isfinite(self.truth)

    @property
    def error(self) -> FloatArray:
        """Measured minus true, of the known ones."""
        return np.asarray((self.value - self.truth)[self.known])

    @property
    def relative(self) -> FloatArray:
        """Error over truth, of the known ones."""
        return np.asarray(self.error / self.truth[self.known])

    @property
    def pulls(self) -> FloatArray:
        """Error over stated sigma, of the known ones."""
        return np.asarray(self.error / self.sigma[self.known])


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the table.

    Parameters
    ----------
    must
        What is asked, in words; empty where nothing is.
    met
        None where there is nothing to compare with.
    frames
        How many went into it.
    """

    quantity: str
    reached: str
    must: str
    met: bool | None
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of one quantity.

    Parameters
    ----------
    bias, scatter, rms
        Largest magnitude of the mean error, largest standard deviation about it, and of both together.
    coverage
        Lowest and highest share of frames whose truth lies within one sigma.
    relative
        Bias and scatter are relative to the truth.
    shown
        What is not asked for and printed all the same.
    """

    name: str
    title: str
    bias: float | None = None
    scatter: float | None = None
    rms: float | None = None
    coverage: tuple[float, float] | None = None
    relative: bool = True
    percent: bool = True
    shown: tuple[str, ...] = ()


DEMANDS = (
    Demand(
        "ratio", "Li (110)/(200), where (200) stands 10 sigmas high", bias=0.025, scatter=0.05, coverage=(0.60, 0.75)
    ),
    Demand("ratio of all", "Li (110)/(200), all frames", shown=("scatter", "coverage")),
    Demand("a", "a as the nominal geometry sees it", bias=3e-6, scatter=8e-6, coverage=(0.55, 1.0), percent=False),
    Demand("c", "c as the nominal geometry sees it", scatter=1e-5, percent=False),
    Demand("c/a", "c/a", scatter=1e-5, percent=False),
    Demand("a_true", "a with copper as internal standard", rms=2e-5, percent=False),
    Demand("size", "size", bias=0.015),
    Demand("strain", "strain", bias=0.02),
    Demand("smooth", "smooth I(110)", bias=0.02),
    Demand("spots", "spot share of (110)", bias=0.015, relative=False, percent=False),
    Demand("a2", "second harmonic of (110)", bias=0.025, relative=False, percent=False),
)


def watched(name: str) -> str:
    """The name of what the test for the onset of a phase is given, beside the name of the phase."""
    return f"{name}, as watched"


FEWEST = 200
"""Frames below which a statistic says nothing, and misses."""


def figures_of(measured: Mapping[str, Measured]) -> list[Figure]:
    """Every figure that is asked for; a quantity that was never measured misses."""
    return [figure for demand in DEMANDS for figure in _figures(demand, measured[demand.name])]


def _figures(demand: Demand, measured: Measured) -> list[Figure]:
    error = measured.relative if demand.relative else measured.error
    enough = error.size >= FEWEST
    pairs = (
        ("bias", demand.bias, abs(float(np.mean(error))) if enough else np.nan),
        ("scatter", demand.scatter, float(np.std(error)) if enough else np.nan),
        ("rms", demand.rms, float(np.sqrt(np.mean(error**2))) if enough else np.nan),
    )
    found = [
        Figure(
            f"{demand.title}: {name}", _text(value, demand), f"< {_text(most, demand)}", bool(value < most), error.size
        )
        for name, most, value in pairs
        if most is not None
    ]
    found += [
        Figure(f"{demand.title}: {name}", _text(value, demand), "", None, error.size)
        for name, _, value in pairs
        if name in demand.shown
    ]
    if demand.coverage is not None:
        low, high = demand.coverage
        share = coverage(measured) if enough else np.nan
        text = f"{low:.0%} to {high:.0%}" if high < 1.0 else f">= {low:.0%}"
        met = bool(low <= share <= high)
        found.append(Figure(f"{demand.title}: within one sigma", f"{share:.0%}", text, met, error.size))
    elif "coverage" in demand.shown:
        found.append(Figure(f"{demand.title}: within one sigma", f"{coverage(measured):.0%}", "", None, error.size))
    return found


def coverage(measured: Measured) -> float:
    """Share of the frames whose truth lies within one stated sigma."""
    return float(np.mean(np.abs(measured.pulls) < 1.0))


def null_figures(title: str, measured: Mapping[str, Measured], name: str) -> list[Figure]:
    """Whether z of a phase that is absent (truth 0) is distributed as it should be; beside it amount over sigma."""
    frames, mean, spread = _absent(measured[watched(name)])
    _, amount_mean, amount_spread = _absent(measured[name])
    met = bool(0.9 <= spread <= 1.15)
    return [
        Figure(f"{title}: z while absent", f"sd {spread:.2f}, mean {mean:+.2f}", "sd 0.9 to 1.15", met, frames),
        Figure(
            f"{title}: amount over its sigma while absent",
            f"sd {amount_spread:.2f}, mean {amount_mean:+.2f}",
            "",
            None,
            frames,
        ),
    ]


def _absent(measured: Measured) -> tuple[int, float, float]:
    """How many frames have none of a phase, and mean and standard deviation of value over sigma in them."""
    absent = measured.known & (measured.truth == 0.0)
    z = measured.value[absent] / measured.sigma[absent]
    return (z.size, float(np.mean(z)), float(np.std(z))) if z.size >= FEWEST else (z.size, np.nan, np.nan)


def honest_figures(name: str, measured: Measured, *, widest: float = 1.15) -> list[Figure]:
    """Whether errors are what is stated: the mean pull within the error of a mean, a fifth of a sigma on top."""
    pulls = measured.pulls
    enough = pulls.size >= FEWEST
    mean, share = (float(np.mean(pulls)), coverage(measured)) if enough else (np.nan, np.nan)
    most = 0.2 + 3.0 * widest / np.sqrt(max(pulls.size, 1))
    return [
        Figure(f"{name}: bias, in its sigma", f"{mean:+.2f}", f"within {most:.2f}", bool(abs(mean) < most), pulls.size),
        Figure(f"{name}: within one sigma", f"{share:.0%}", "60% to 78%", bool(0.60 <= share <= 0.78), pulls.size),
    ]


def _text(value: float, demand: Demand) -> str:
    return f"{100 * value:.2f} %" if demand.percent else f"{value:.2g}"


def table(figures: list[Figure]) -> str:
    """The figures as text."""
    width = max(len(figure.quantity) for figure in figures)
    verdicts = {True: "met", False: "MISSED", None: ""}
    head = f"{'':<{width}}  {'reached':>26}  {'frames':>6}   {'must':<18} verdict"
    lines = [
        f"{figure.quantity:<{width}}  {figure.reached:>26}  {'' if figure.frames is None else figure.frames:>6}"
        f"   {figure.must:<18} {verdicts[figure.met]}".rstrip()
        for figure in figures
    ]
    return "\n".join([head, *lines])

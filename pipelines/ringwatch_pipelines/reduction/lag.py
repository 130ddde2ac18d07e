"""Residual image (lag) of the frames before, taken off in the bins.

A flat panel shows a share of earlier frames again. With ``F`` the light that fell on a pixel in a frame alone::

    raw - dark = F(n) + L1 F(n - 1) + L2 F(n - 2) + ...

The same holds for any sum over pixels, so the residual image of a bin is a sum of what the same bin held before: no
pixel is looked at twice, and the raw sums stay as they are. The lag goes to what is taken off, beside the dark.

The counts that come back are no photons of this frame. Where the variance of a bin was worked out from its counts,
their share of it leaves with them: some 4 % for a panel. They bring along the photon noise of their own frame, which
the subtraction takes off; the variance of the earlier frames is added in full all the same, an overestimate by
``L^2``, some 1e-3 of the variance.

A frame that was exposed but never came stands in by the last one that did. How far the two may differ is not known;
`UNKNOWN_SHARE` of the lag goes into sigma.
"""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.patterns import BinSums, FloatArray

UNKNOWN_SHARE = 0.1
"""One sigma, relative to the lag itself, where the frame that it comes from was lost."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How much of earlier frames a detector shows again.

    Parameters
    ----------
    shares
        Of the light of the last frame, of the one before it, and so on.
    """

    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(0.0 <= share < 0.5 for share in self.shares) or sum(self.shares) >= 0.5:
            raise CorrectionError(f"shares of lag lie from 0 to below 0.5, and so does their sum; got {self.shares}")


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """Light of one exposure in the bins with its variance, and whether it was measured."""

    counts: FloatArray
    variance: FloatArray
    measured: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class LagState:
    """What the frames so far leave to the next one.

    Parameters
    ----------
    last_id
        Unique id of the newest frame; None before the first.
    before
        Light of the frames before, newest first.
    """

    last_id: int | None = None
    before: tuple[Light, ...] = ()


class LagMemory:
    """Takes the lag off the sums of frame after frame, for the bins of one operator.

    Before the first frame no light is taken to have fallen on the detector. Ids that are missing between two frames
    are those of frames that were exposed and lost.

    Parameters
    ----------
    lag
        Of the detector; without shares the sums come back as they are.
    """

    def __init__(self, lag: Lag) -> None:
        self._shares = lag.shares
        self._before: deque[Light] = deque(maxlen=max(1, len(lag.shares)))
        self._last_id: int | None = None

    @property
    def state(self) -> LagState:
        """What another memory of the same detector needs to go on from here."""
        return LagState(self._last_id, tuple(self._before))

    def recall(self, state: LagState) -> None:
        """Go on where another memory was."""
        self._last_id = state.last_id
        self._before.clear()
        self._before.extend(state.before)

    def taken_off(self, sums: BinSums, *, unique_id: int, photon_variance: FloatArray | None = None) -> BinSums:
        """The sums of the next frame without its lag.

        Parameters
        ----------
        photon_variance
            (bins,) the part of their variance that was worked out from ``raw - dark``; None for none.
        """
        if not self._shares:
            return sums
        self._pass_to(unique_id)
        lag, variance = self._lag(sums)
        if photon_variance is not None:
            variance = variance - photon_variance * _part(lag, of=sums.raw - sums.dark)
        corrected = replace(sums, dark=sums.dark + lag, variance=sums.variance + variance)
        self._before.appendleft(Light(sums.raw - corrected.dark, corrected.variance))
        return corrected

    def without_light(self, *, unique_id: int) -> None:
        """A frame came that no light fell on, a dark."""
        self._pass_to(unique_id)
        if self._before:
            nothing = np.zeros_like(self._before[0].counts)
            self._before.appendleft(Light(nothing, nothing))

    def unknown(self, *, unique_id: int) -> None:
        """A frame came whose counts do not tell what light fell on it."""
        self._pass_to(unique_id + 1)
        self._last_id = unique_id

    def _pass_to(self, unique_id: int) -> None:
        """Take in that the frames between the last one and this one were exposed but not seen."""
        missing = 0 if self._last_id is None else unique_id - self._last_id - 1
        for _ in range(min(missing, len(self._shares))):
            if self._before:
                self._before.appendleft(replace(self._before[0], measured=False))
        self._last_id = unique_id

    def _lag(self, sums: BinSums) -> tuple[FloatArray, FloatArray]:
        total, variance, unknown = np.zeros((3, sums.raw.size))
        for share, light in zip(self._shares, self._before, strict=False):
            total += share * light.counts
            variance += share**2 * light.variance
            if not light.measured:
                unknown += share * light.counts
        return total, variance + (UNKNOWN_SHARE * unknown) ** 2


def _part(lag: FloatArray, *, of: FloatArray) -> FloatArray:
    """(bins,) lag over the counts that it is a part of; counts that noise has made few lose half at most."""
    return np.clip(np.divide(lag, of, out=np.zeros_like(lag), where=of > 0.0), 0.0, 0.5)

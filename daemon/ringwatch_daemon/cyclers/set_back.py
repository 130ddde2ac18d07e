"""A clock that was set back while the cycler wrote: stamps of two times lie over each other from there on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST_NS = 60 * 1_000_000_000
"""Rows that are a little out of order are put in order without a word."""


@dataclass(frozen=True, slots=True)
class SetBack:
    """The largest step back of a series.

    Parameters
    ----------
    place
        Index of the row at which it begins.
    """

    place: int
    back_ns: int

    @property
    def text(self) -> str:
        """One sentence."""
        return (
            f"the stamps go back by {self.back_ns / 1e9:.0f} s, and rows of two times lie over each other: the clock "
            "was set back, or `zone` is not the one that it keeps, such as Europe/Berlin at the end of summer time"
        )


def set_back_in(stamps_ns: NDArray[np.int64], *, latest_ns: int = 0) -> SetBack | None:
    """Where the stamps of a file go back by more than a minute; None where they do not.

    Parameters
    ----------
    stamps_ns
        (rows,) in the order of the file.
    latest_ns
        The latest of the rows before.
    """
    if not stamps_ns.size:
        return None
    steps = np.diff(stamps_ns, prepend=np.int64(latest_ns or stamps_ns[0]))
    place = int(np.argmin(steps))
    return SetBack(place, -int(steps[place])) if steps[place] < -_LEAST_NS else None

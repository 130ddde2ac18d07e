"""Sentences that several captions share."""

from ringwatch_daemon.reporting.marks import Grouping


def stands_for(grouping: Grouping) -> str:
    """How many frames a mark stands for."""
    sizes = grouping.sizes
    if not sizes.size or int(sizes.max()) == 1:
        return "each mark is one frame"
    low, high = int(sizes.min()), int(sizes.max())
    return f"each mark is the weighted mean of {high if low == high else f'{low} to {high}'} frames"

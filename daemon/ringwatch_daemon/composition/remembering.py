"""Where a start finds what an earlier one has worked out of the calibration."""

import os
from collections.abc import Mapping
from pathlib import Path

from ringwatch_daemon.workers.array_cache import ArrayCache
from ringwatch_pipelines.reduction.array_store import ArrayStore, NothingKept


def array_store(cache: Path | bool, environment: Mapping[str, str] = os.environ) -> ArrayStore:
    """The store that a configuration asks for.

    Parameters
    ----------
    cache
        A folder; True for the usual one, False for none.
    """
    if cache is False:
        return NothingKept()
    return ArrayCache(usual_folder(environment) if cache is True else Path(cache))


def usual_folder(environment: Mapping[str, str]) -> Path:
    """The service manager's cache directory where it gives one, else the user's."""
    given = environment.get("CACHE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given) / "calibrations"
    base = environment.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "ringwatch" / "calibrations"

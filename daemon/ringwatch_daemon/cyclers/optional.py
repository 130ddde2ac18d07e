"""Libraries that only some formats need."""

from importlib import import_module
from typing import Any

from ringwatch_daemon.core.errors import CyclerError


def library(name: str, *, reads: str) -> Any:
    """The library that reads a format.

    Raises
    ------
    CyclerError
        It is not installed: the message says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise CyclerError(
            f"{reads} are read with {name}, which is not installed: pip install 'ringwatch[cyclers]'"
        ) from error

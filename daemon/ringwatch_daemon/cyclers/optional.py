"""Libraries that only some formats need."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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
    own = zlib.decompress, zlib.decompressobj
    try:
        return import_module(name)
    except ImportError as error:
        raise CyclerError(
            f"{reads} are read with {name.partition('.')[0]}, which is not installed: pip install 'ringwatch[cyclers]'"
        ) from error
    finally:
        # fastnda.ndax puts another library in their place, for the whole process and with errors of its own.
        zlib.decompress, zlib.decompressobj = own


@contextmanager
def reading_a_whole(what: str) -> Iterator[None]:
    """Tell what a library says of a damaged file as one sentence: on damaged bytes libraries raise anything.

    Raises
    ------
    CyclerError
        Anything was raised inside.
    """
    try:
        yield
    except CyclerError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise CyclerError(f"expected a whole {what}, got one that is truncated, damaged or unknown: {text}") from error

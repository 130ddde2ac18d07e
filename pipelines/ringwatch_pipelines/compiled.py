"""Compilation of loops to machine code, with the types of the Python function kept."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile without the interpreter lock, cached on disk; dividing by zero gives inf as in numpy."""
    made: Callable[P, R] = njit(cache=True, nogil=True, error_model="numpy")(function)
    return made

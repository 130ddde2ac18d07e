"""A place for arrays that take long to make and depend on little: a port, so that the science knows no files."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class ArrayStore(Protocol):
    """Keeps arrays by a key that says all they depend on."""

    def recall(self, key: str) -> Arrays | None:
        """What was kept under `key`, read-only; None where nothing was, or it cannot be trusted any more."""
        ...

    def keep(self, key: str, arrays: Arrays) -> None:
        """Keep arrays, if there is room; never raises for want of it."""
        ...


class NothingKept:
    """A store that forgets at once."""

    def recall(self, key: str) -> Arrays | None:  # noqa: ARG002 - the signature of the port
        """Nothing."""
        return None

    def keep(self, key: str, arrays: Arrays) -> None:
        """Forget."""


def remembered(store: ArrayStore, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What the store has under `key`, else what `make` gives, which is kept."""
    known = store.recall(key)
    if known is None:
        known = make()
        store.keep(key, known)
    return known

"""A few threads for compiled loops.

Plain Python threads around functions that release the interpreter lock, and not the parallel loops of
the compiler: its portable threading layer ends the process when two Python threads enter it at once,
and its OpenMP layer does not survive a fork.
"""

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

R = TypeVar("R")


@functools.cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """One pool for each process: a forked child has none of its parent's threads."""
    return ThreadPoolExecutor(workers, thread_name_prefix=f"integrate-{process}")


def share_blocks(work: Callable[[Iterator[int]], R], *, blocks: int, threads: int) -> list[R]:
    """Call `work` on the calling thread and ``threads - 1`` others, and return what each made.

    Parameters
    ----------
    work
        Takes block after block, 0 to ``blocks - 1``, from one iterator that all of them share: each comes up once, and
        a thread that lost its core delays little.
    """
    # The next item of a range is fetched under the interpreter's lock, and so by one thread only.
    left = iter(range(blocks))
    others = [_pool(os.getpid(), threads - 1).submit(work, left) for _ in range(min(threads, blocks) - 1)]
    try:
        own = work(left)
    finally:
        for other in others:
            other.exception()
    return [own, *(other.result() for other in others)]


def run_blocks(task: Callable[[int], object], *, blocks: int, threads: int) -> None:
    """Call ``task(0)`` to ``task(blocks - 1)``, each once, on the calling thread and ``threads - 1`` others."""

    def work(mine: Iterator[int]) -> None:
        for block in mine:
            task(block)

    share_blocks(work, blocks=blocks, threads=threads)

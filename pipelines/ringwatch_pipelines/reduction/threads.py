"""A few threads for compiled loops.

Plain Python threads around functions that release the interpreter lock, and not the parallel loops of
the compiler: its portable threading layer ends the process when two Python threads enter it at once,
and its OpenMP layer does not survive a fork.
"""

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


@functools.cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """One pool for each process: a forked child has none of its parent's threads."""
    return ThreadPoolExecutor(workers, thread_name_prefix=f"integrate-{process}")


def run_blocks(task: Callable[[int], object], *, blocks: int, threads: int) -> None:
    """Call ``task(0)`` to ``task(blocks - 1)``, each once, on the calling thread and ``threads - 1`` others.

    Blocks are handed out one by one, so that a thread that lost its core delays little.
    """
    if threads < 2 or blocks < 2:
        for block in range(blocks):
            task(block)
        return
    queue = itertools.count()

    def work() -> None:
        while (block := next(queue)) < blocks:
            task(block)

    others = [_pool(os.getpid(), threads - 1).submit(work) for _ in range(min(threads, blocks) - 1)]
    try:
        work()
    finally:
        for other in others:
            other.result()

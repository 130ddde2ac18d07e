"""Sharing blocks among threads."""

import multiprocessing
import threading

import pytest

from ringwatch_pipelines.reduction.threads import run_blocks


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("blocks", [0, 1, 2, 40])
def test_every_block_runs_once(blocks, threads):
    done = []
    run_blocks(done.append, blocks=blocks, threads=threads)
    assert sorted(done) == list(range(blocks))


def test_the_calling_thread_does_its_share():
    meet = threading.Barrier(2, timeout=30)
    workers = []

    def task(block):
        meet.wait()
        workers.append(threading.current_thread())

    run_blocks(task, blocks=2, threads=2)
    assert threading.current_thread() in workers
    assert len(set(workers)) == 2


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_any_block_comes_out(threads):
    def task(block):
        if block == 7:
            raise ValueError("block 7")

    with pytest.raises(ValueError, match="block 7"):
        run_blocks(task, blocks=8, threads=threads)


def test_a_forked_child_has_threads_of_its_own():
    run_blocks(lambda block: None, blocks=4, threads=2)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=run_blocks, args=(abs,), kwargs={"blocks": 4, "threads": 2})
    child.start()
    child.join(timeout=30)
    if child.is_alive():
        child.kill()
        child.join()
    assert child.exitcode == 0

import multiprocessing
import os
import resource
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ringwatch_daemon.workers.array_cache import SUFFIX, ArrayCache

ARRAYS = {"angles": np.linspace(0.0, 1.0, 24).reshape(4, 6), "pixels": np.arange(7, dtype=np.int32)}


@pytest.fixture
def cache(tmp_path):
    return ArrayCache(tmp_path / "cache", least_bytes=0)


def files_of(cache):
    return sorted(cache.folder.iterdir())


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_what_is_kept_is_recalled_read_only(cache):
    cache.keep("a key", ARRAYS)
    found = cache.recall("a key")
    assert_same(found, ARRAYS)
    with pytest.raises(ValueError, match="read-only"):
        found["angles"][0] = 1.0


def test_another_key_and_an_empty_folder_have_nothing(cache):
    assert cache.recall("a key") is None
    cache.keep("a key", ARRAYS)
    assert cache.recall("another key") is None


@given(
    array=hnp.arrays(
        st.sampled_from(["<f8", "<f4", "<i4", "<u2", "|b1"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
    )
)
def test_every_array_comes_back_as_it_was(tmp_path_factory, array):
    cache = ArrayCache(tmp_path_factory.mktemp("cache"), least_bytes=0)
    cache.keep("key", {"array": array})
    np.testing.assert_array_equal(cache.recall("key")["array"], array)


@pytest.mark.parametrize("place", [0, 5, 9, 13, 40, -1])
def test_one_flipped_bit_anywhere_is_seen_and_the_file_made_anew(cache, place, caplog):
    cache.keep("key", ARRAYS)
    (path,) = files_of(cache)
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    assert cache.recall("key") is None
    assert "made anew" in caplog.text
    cache.keep("key", ARRAYS)
    assert_same(cache.recall("key"), ARRAYS)


@pytest.mark.parametrize("length", [0, 3, 15, 16, 100])
def test_a_file_that_was_cut_off_is_not_used(cache, length):
    cache.keep("key", ARRAYS)
    (path,) = files_of(cache)
    path.write_bytes(path.read_bytes()[:length])
    assert cache.recall("key") is None


def test_a_file_under_a_wrong_name_is_not_used(cache):
    cache.keep("key", ARRAYS)
    cache.keep("other", {"angles": np.zeros(3)})
    one, other = files_of(cache)
    one.replace(other)
    assert cache.recall("key") is None or cache.recall("other") is None
    for key in ("key", "other"):
        found = cache.recall(key)
        assert found is None or found["angles"].size == {"key": 24, "other": 3}[key]


def test_a_folder_that_cannot_be_made_costs_a_line_in_the_log(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = ArrayCache(tmp_path / "file" / "cache", least_bytes=0)
    cache.keep("key", ARRAYS)
    assert cache.recall("key") is None
    assert "the next start takes longer" in caplog.text


def test_a_file_that_cannot_be_written_whole_leaves_nothing(cache, caplog):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))  # to a writer this is a full disk
    try:
        cache.keep("key", {"array": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert files_of(cache) == []
    assert "could not be written" in caplog.text


def test_what_was_not_asked_for_longest_goes_when_the_quota_is_full(tmp_path):
    big = {"array": np.zeros(1000)}
    cache = ArrayCache(tmp_path, quota_bytes=3 * 8200, least_bytes=0)
    for age, key in enumerate(["old", "used", "newer"]):
        cache.keep(key, big)
        os.utime(cache._path(key), (1000.0 + age, 1000.0 + age))
    assert cache.recall("old") is not None
    cache.keep("newest", big)
    assert [cache.recall(key) is not None for key in ("old", "used", "newer", "newest")] == [True, False, True, True]


def test_what_is_small_is_not_kept(tmp_path):
    cache = ArrayCache(tmp_path / "cache")
    cache.keep("key", ARRAYS)
    assert not cache.folder.exists()


def _keep(folder, number):
    cache = ArrayCache(folder, least_bytes=0)
    for _ in range(20):
        cache.keep("key", {"array": np.full(50_000, 7.0)})
        found = cache.recall("key")
        assert found is not None
        assert (found["array"] == 7.0).all()


def test_processes_that_write_the_same_at_once_disturb_nobody(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_keep, args=(tmp_path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert [path.suffix for path in tmp_path.iterdir()] == [SUFFIX]

"""Files that the workers of a dask cluster read: the same frames, whatever happens to the workers."""

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fakes.intake import RecordingIntake
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.errors import ClusterError, SettingsError
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources import dask_readers
from ringwatch_daemon.sources.dask_readers import DaskCluster
from ringwatch_daemon.sources.files import FileSource, FileSourceConfig, ReadAhead
from ringwatch_daemon.sources.frame_reading import FrameReading, Stretch

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(
        importlib.util.find_spec("distributed") is None,
        reason="distributed is not installed: pip install 'ringwatch[dask]'",
    ),
]
IMAGE = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48)
FILES = 40


@contextmanager
def local_cluster(workers: int) -> Iterator[object]:
    """A scheduler with workers, in threads of this process, on free ports of the loopback."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=False,
        host="127.0.0.1",
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def two_workers() -> Iterator[object]:
    with local_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(FILES):
        np.save(tmp_path / f"{number}.npy", IMAGE + np.uint16(number))
    (tmp_path / "7.npy").write_bytes(b"torn")
    return tmp_path


def close_workers(cluster, workers: list[object]) -> None:
    """End them without a farewell, and with what they hold."""
    for worker in workers:
        cluster.sync(worker.close, executor_wait=False, reason="the test takes it away")


class Interrupting(RecordingIntake):
    """An intake during whose fifth frame something happens."""

    def __init__(self, event) -> None:
        super().__init__()
        self._event = event

    def frame(self, frame) -> None:
        super().frame(frame)
        if len(self.frames) == 5:
            self._event()


def read_on(address: str, folder: Path, intake: RecordingIntake | None = None) -> RecordingIntake:
    intake = intake or RecordingIntake()
    with DaskCluster(address) as cluster:
        source = FileSource(FileSourceConfig((str(folder),)), SystemClock())
        source.read_ahead(ReadAhead(cluster.readers))
        source.run(intake, threading.Event())
    return intake


def assert_all_came(intake: RecordingIntake) -> None:
    assert [int(frame.image[0, 0]) for frame in intake.frames] == [*range(7), *range(8, FILES)]
    assert intake.ids == [*range(1, 8), *range(9, FILES + 1)]
    assert intake.reasons == [Reason.UNREADABLE]
    assert "7.npy" in intake.refusals[0].text


def test_frames_of_a_cluster_come_in_their_order_and_a_bad_file_in_its_place(two_workers, folder: Path):
    assert_all_came(read_on(two_workers.scheduler_address, folder))


def test_what_a_lost_worker_had_is_read_by_another(folder: Path):
    with local_cluster(2) as cluster:
        first = list(cluster.workers.values())[:1]
        assert_all_came(read_on(cluster.scheduler_address, folder, Interrupting(lambda: close_workers(cluster, first))))


def test_when_every_worker_is_lost_new_ones_are_told_anew_how_to_read(folder: Path):
    with local_cluster(2) as cluster:

        def replace_all() -> None:
            close_workers(cluster, list(cluster.workers.values()))
            cluster.scale(4)

        assert_all_came(read_on(cluster.scheduler_address, folder, Interrupting(replace_all)))


def test_a_scheduler_that_goes_away_is_told_in_one_sentence(folder: Path):
    from dask import config

    patience = config.set({"distributed.comm.timeouts.connect": "500ms"})
    with patience, local_cluster(1) as cluster, pytest.raises(ClusterError, match="does not read frames any more"):
        read_on(cluster.scheduler_address, folder, Interrupting(cluster.close))


def test_an_address_where_nothing_answers_is_told_in_one_sentence():
    with pytest.raises(SettingsError, match=r"tcp://127\.0\.0\.1:1\b.*nothing answers") as caught:
        DaskCluster("tcp://127.0.0.1:1", connect_s=0.3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["nowhere", "tcp://", "tcp://host:port", "10.0.0.1", ""])
def test_an_address_that_is_none_is_told_in_one_sentence(address: str):
    with pytest.raises(SettingsError, match="expected the address of a dask scheduler"):
        DaskCluster(address)


def test_a_scheduler_without_workers_is_told_in_one_sentence():
    with local_cluster(0) as cluster, pytest.raises(SettingsError, match="expected workers"):
        DaskCluster(cluster.scheduler_address, workers_s=0.2)


def test_workers_of_another_version_are_not_taken(two_workers, monkeypatch: pytest.MonkeyPatch):
    # The function goes to the workers by its name; here they are threads of one process.
    answers = iter(["2.0", "2.0", "1.9"])
    lock = threading.Lock()

    def version(_: str) -> str:
        with lock:
            return next(answers)

    monkeypatch.setattr(dask_readers, "version", version)
    with pytest.raises(SettingsError, match=r"expected ringwatch 2\.0 on every worker of tcp://.*, got 1\.9 on tcp://"):
        DaskCluster(two_workers.scheduler_address)


def test_workers_that_cannot_say_their_version_are_not_taken(two_workers, monkeypatch: pytest.MonkeyPatch):
    answers = iter(["2.0"])
    monkeypatch.setattr(dask_readers, "version", lambda _: next(answers))
    with pytest.raises(SettingsError, match=r"expected ringwatch 2\.0 on the workers of tcp://"):
        DaskCluster(two_workers.scheduler_address)


class Unreadable:
    """A reading that stumbles over something of its own."""

    def read(self, stretch: Stretch, *, keep_images: bool) -> None:
        raise LookupError(f"no way to read {stretch.file}")


def test_what_a_worker_stumbles_over_is_told_in_one_sentence(two_workers):
    with DaskCluster(two_workers.scheduler_address) as cluster:
        pending = cluster.readers(Unreadable()).submit(Stretch("a.npy"), keep_images=True)
        with pytest.raises(ClusterError, match=r"does not read frames any more: .*no way to read a\.npy"):
            pending.result(20.0)


def test_without_the_library_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(dask_readers, "import_module", missing)
    with pytest.raises(SettingsError, match=r"pip install 'ringwatch\[dask\]'"):
        DaskCluster("tcp://127.0.0.1:1")


def test_a_cluster_reads_ahead_for_each_of_its_threads(two_workers, folder: Path):
    with DaskCluster(two_workers.scheduler_address) as cluster:
        readers = cluster.readers(FrameReading())
        assert readers.ahead == 6
        read = readers.submit(Stretch(str(folder / "3.npy")), keep_images=True).result(20.0)
        assert int(read.frames[0].image[0, 0]) == 3

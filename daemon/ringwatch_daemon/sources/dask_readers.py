"""Files are read and counted by the workers of a dask cluster; what comes home are sums.

Workers have to see the files under the same names and to have the same version of ringwatch.
"""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import version
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from ringwatch_daemon.core.errors import ClusterError, SettingsError
from ringwatch_daemon.sources.frame_reading import FrameReading, ReadStretch, Stretch
from ringwatch_daemon.sources.read_ahead import PendingRead

LOG = logging.getLogger(__name__)
CONNECT_WITHIN_S = 10.0
WORKERS_WITHIN_S = 60.0
COUNT_EVERY_S = 5.0
TRIES = 3
"""How often a stretch is begun again where the cluster has lost what it needs."""


def read_stretch(reading: FrameReading, stretch: Stretch, *, keep_images: bool) -> ReadStretch:
    """Read a stretch, on a worker."""
    return reading.read(stretch, keep_images=keep_images)


def own_version() -> str:
    """The version of ringwatch that is installed where this is called."""
    return version("ringwatch")


class DaskCluster:
    """A connection to a scheduler, to be left at the end of a ``with`` block.

    Parameters
    ----------
    address
        As in ``tcp://host:8786``.

    Raises
    ------
    SettingsError
        The library is not installed, nothing answers there, or it has no workers of this version of ringwatch.
    """

    def __init__(
        self, address: str, *, connect_s: float = CONNECT_WITHIN_S, workers_s: float = WORKERS_WITHIN_S
    ) -> None:
        try:
            self._dask = import_module("distributed")
        except ImportError as error:
            raise SettingsError(
                f"expected the library distributed, to reach {address}, got none: pip install 'ringwatch[dask]'"
            ) from error
        self.address = address
        _require_answer(address, within_s=connect_s)
        try:
            self.client = self._dask.Client(address, timeout=connect_s, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SettingsError(
                f"expected a dask scheduler at {address}, but something else answers: {reason}"
            ) from error
        try:
            self._wait_for_workers(workers_s)
            self._require_own_version()
        except SettingsError:
            self.client.close()
            raise

    def readers(self, reading: FrameReading) -> "DaskReaders":
        """Those who read on this cluster."""
        return DaskReaders(self, reading)

    def submit(self, *arguments: Any, **options: Any) -> Any:
        """Have a function called on a worker; never answered from an earlier call."""
        with self.told():
            return self.client.submit(*arguments, pure=False, **options)

    def scatter(self, thing: object) -> Any:
        """Send something to every worker."""
        with self.told():
            return self.client.scatter(thing, broadcast=True, hash=False)

    def threads(self) -> int:
        """Threads of all workers that are there now."""
        with self.told():
            return sum(map(int, self.client.nthreads().values()))

    @property
    def lost(self) -> type[Exception]:
        """What a result is when the cluster has lost what it is made of."""
        found: type[Exception] = self._dask.CancelledError
        return found

    @contextmanager
    def told(self) -> Iterator[None]:
        """An end of the cluster within becomes one sentence; a TimeoutError and what is `lost` stay what they are."""
        try:
            yield
        except (TimeoutError, self.lost):
            raise
        # What workers stumble over comes home as it is, and may be anything.
        except Exception as error:
            raise self.failure(error) from error

    def failure(self, error: object) -> ClusterError:
        """The sentence for an end of the cluster."""
        reason = " ".join(str(error).split())
        return ClusterError(f"the dask cluster at {self.address} does not read frames any more: {reason}")

    def __enter__(self) -> "DaskCluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def _wait_for_workers(self, within_s: float) -> None:
        try:
            self.client.wait_for_workers(1, timeout=within_s)
        except TimeoutError as error:
            raise SettingsError(
                f"expected workers at the dask scheduler {self.address}, got none within {within_s:g} s"
            ) from error

    def _require_own_version(self) -> None:
        """Raise SettingsError unless the workers that are there now run this version of ringwatch."""
        own = own_version()
        try:
            versions = self.client.run(own_version)
        # A worker without ringwatch cannot even load the question.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SettingsError(f"expected ringwatch {own} on the workers of {self.address}, got: {reason}") from error
        for worker, found in versions.items():
            if found != own:
                raise SettingsError(
                    f"expected ringwatch {own} on every worker of {self.address}, got {found} on {worker}"
                )


def _require_answer(address: str, *, within_s: float) -> None:
    """Raise SettingsError where nobody listens: the library itself would try again and again."""
    try:
        place = urlsplit(address if "://" in address else f"tcp://{address}")
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise SettingsError(f"expected the address of a dask scheduler as in tcp://host:8786, got {address!r}")
    try:
        socket.create_connection((host, port), within_s).close()
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"expected a dask scheduler at {address}, but nothing answers: {reason}") from error


class DaskReaders:
    """The workers of a cluster, whoever joins or leaves meanwhile."""

    def __init__(self, cluster: DaskCluster, reading: FrameReading) -> None:
        self._cluster = cluster
        self._reading = reading
        self._sent = cluster.scatter(reading)
        self._threads = cluster.threads()
        self._asked_s = time.monotonic()

    @property
    def ahead(self) -> int:
        """Two stretches for each thread: one in work, one on its way."""
        if time.monotonic() - self._asked_s > COUNT_EVERY_S:
            self._threads, self._asked_s = self._cluster.threads(), time.monotonic()
        return 2 + 2 * self._threads

    def submit(self, stretch: Stretch, *, keep_images: bool) -> PendingRead:
        """Have a stretch read."""
        return _Pending(self, stretch, keep_images=keep_images)

    def close(self) -> None:
        """The cluster forgets what was not asked for when its names here are gone."""
        self._sent.release()

    def begin(self, stretch: Stretch, *, keep_images: bool, again: bool = False) -> Any:
        """Send a stretch to a worker; `again` where what every worker needs may have gone with the last one."""
        if again:
            LOG.warning("the cluster has lost frames of %s, which are read again", stretch.file)
            self._sent = self._cluster.scatter(self._reading)
        return self._cluster.submit(read_stretch, self._sent, stretch, keep_images=keep_images)

    def result(self, future: Any, timeout: float | None) -> ReadStretch | None:
        """What came of a stretch, or None where it has to be sent again."""
        found: ReadStretch | None = None
        with self._cluster.told(), suppress(self._cluster.lost):
            found = future.result(timeout=timeout)
        return found

    def failure(self, error: object) -> ClusterError:
        """The sentence for an end of the cluster."""
        return self._cluster.failure(error)


class _Pending:
    """A stretch on the cluster."""

    def __init__(self, readers: DaskReaders, stretch: Stretch, *, keep_images: bool) -> None:
        self._readers = readers
        self._stretch = stretch
        self._keep_images = keep_images
        self._tries = 1
        self._future = readers.begin(stretch, keep_images=keep_images)

    def result(self, timeout: float | None = None) -> ReadStretch:
        """What came of it; TimeoutError when that takes longer."""
        read = self._readers.result(self._future, timeout)
        if read is not None:
            return read
        if self._tries >= TRIES:
            raise self._readers.failure(f"{self._stretch.file} was lost {self._tries} times")
        self._tries += 1
        self._future = self._readers.begin(self._stretch, keep_images=self._keep_images, again=True)
        raise TimeoutError(f"{self._stretch.file} is read again")

"""`ringwatch` as whole programs: a command run to its end, or a daemon beside the test."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

PROGRAM = (sys.executable, "-m", "ringwatch_daemon")
MARK = "RINGWATCH_TEST_PROGRAM"
PATIENCE_S = 180.0
"""Longer than anything takes on a busy machine; nothing is judged by it."""


def ringwatch(*arguments: object, environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until `condition` holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"not seen within {PATIENCE_S:g} s: {what}"
        time.sleep(0.02)


def running_with(mark: str) -> list[int]:
    """Processes that still run with this mark in their environment, whoever started them."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _carries(entry, mark)]


def _carries(process: Path, mark: str) -> bool:
    try:
        alive = process.joinpath("stat").read_text().rpartition(") ")[2][0] != "Z"
        return alive and f"{MARK}={mark}".encode() in process.joinpath("environ").read_bytes().split(b"\0")
    except OSError:  # gone meanwhile, or somebody else's
        return False


class Daemon:
    """A running ``ringwatch serve``, heard the way systemd hears it."""

    def __init__(self, configuration: Path, output: Path, environment: Mapping[str, str], folder: Path) -> None:
        self.output = output
        self._opened = False
        self._mark = str(folder)
        self._log = folder / "log"
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(folder / "notify"))
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, "serve", str(configuration), "-o", str(output), "-v"],
                env={**os.environ, **environment, "NOTIFY_SOCKET": str(folder / "notify"), MARK: str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._heard: list[str] = []
        threading.Thread(target=self._hear, daemon=True).start()

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self._log.read_text(errors="replace")

    def wait_heard(self, words: str) -> None:
        """Wait for a notice with these words, as ``READY=1`` or ``STATUS=connected``."""

        def heard() -> bool:
            assert self._process.poll() is None, f"the daemon ended by itself: {self.log}"
            return any(words in notice for notice in list(self._heard))

        wait_until(heard, f"a notice with {words}")

    def wait_rows(self, condition: Callable[[np.ndarray], object], what: str) -> None:
        """Wait until the unique ids in the file meet a condition."""

        def met() -> object:
            assert self._process.poll() is None, f"the daemon ended by itself: {self.log}"
            ids = self._unique_ids()
            return ids.size and condition(ids)

        wait_until(met, what)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is over."""
        return self._process.poll() is not None

    def wait_end(self) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(PATIENCE_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; return the exit code."""
        self.send(number)
        return self.wait_end()

    def left_behind(self) -> list[int]:
        """Processes that it or its children started and that still run."""
        return running_with(self._mark)

    def close(self) -> None:
        """End it by force if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._notices.close()

    def _unique_ids(self) -> np.ndarray:
        try:
            ids = unique_ids(self.output)
        except OSError:  # not there yet, or just being made; once it opened, it always opens
            assert not self._opened, f"{self.output} cannot be opened any more"
            return np.zeros(0, np.int64)
        self._opened = True
        return ids

    def _hear(self) -> None:
        while True:
            try:
                self._heard.append(self._notices.recv(4096).decode(errors="replace"))
            except OSError:
                return


@contextmanager
def serving(configuration: Path, output: Path, environment: Mapping[str, str]) -> Iterator[Daemon]:
    """A daemon for the length of a block; sockets of its own lie in a short path."""
    with tempfile.TemporaryDirectory(prefix="ringwatch-") as folder:
        daemon = Daemon(configuration, output, environment, Path(folder))
        try:
            yield daemon
        finally:
            daemon.close()


def unique_ids(path: Path) -> np.ndarray:
    """The ids in a file that may still grow."""
    with h5py.File(path) as file:
        return file["entry/frames/unique_id"][()]


def rows(path: Path) -> list[tuple[int, str, str]]:
    """Unique id, state and reason of every row."""
    with h5py.File(path) as file:
        frames = file["entry/frames"]
        columns = (frames["unique_id"][()], frames["state"][()], frames["reason"][()])
        return [(int(number), state.decode(), reason.decode()) for number, state, reason in zip(*columns, strict=True)]


def texts(path: Path, name: str) -> list[str]:
    """A text of every event, as ``kind`` or ``text``."""
    with h5py.File(path) as file:
        return [text.decode() for text in file[f"entry/events/{name}"][()]]


def row_aligned(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Every (frames, ...) dataset of a run."""
    found: dict[str, h5py.Dataset] = {}
    file["entry"].visititems(lambda path, item: found.update({path: item}) if isinstance(item, h5py.Dataset) else None)
    return {
        path: item
        for path, item in found.items()
        if path in {"azint1d/I", "azint1d/I_errors"}
        or (path.startswith(("frames/", "tracking/", "cycling/at_frame/")) and not path.endswith("peaks/hkl"))
    }


def assert_whole(path: Path) -> dict[str, int]:
    """A closed run: one row a frame in every dataset, totals that balance; return the totals."""
    told = rows(path)
    with h5py.File(path) as file:
        assert {item.shape[0] for item in row_aligned(file).values()} == {len(told)}
        totals = {
            name: int(file[f"entry/ledger/{name}"][()]) for name in ("announced", "processed", "rejected", "lost")
        }
        assert file["entry/ledger/stopped"][()].decode()
        unseen = [row for row, (_, state, _) in enumerate(told) if state != "PROCESSED"]
        assert np.isnan(file["entry/azint1d/I"][()][unseen]).all()
    assert totals["announced"] == totals["processed"] + totals["rejected"] + totals["lost"] == len(told)
    for name in ("processed", "rejected", "lost"):
        assert totals[name] == sum(state == name.upper() for _, state, _ in told)
    return totals

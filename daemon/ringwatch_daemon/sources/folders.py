"""Which files a path, a pattern or a folder stands for, and when a new one is complete."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as StopRequest

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.images import DATASET_MARK, IMAGE_SUFFIXES, split_dataset

_WILDCARDS = re.compile(r"[*?\[]")
_PACKED = frozenset({".gz", ".bz2"})


def natural_order(path: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which frame 10 comes after frame 9."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path) if part)


def files_of(path: str, *, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> tuple[str, ...]:
    """The files that `path` means: itself, the matches of a pattern or the files in a folder, in natural order.

    Parameters
    ----------
    path
        ``stack.h5::entry/data/data`` names a dataset in the file, in each match, or in each file of the folder.
    suffixes
        Names of files, in lower case, that a folder is searched for.
    """
    file, dataset = split_dataset(path)
    found: list[Path] | None = None
    if file.is_dir():
        found = [item for item in file.iterdir() if _is_wanted(item, suffixes)]
    elif not file.is_file() and _WILDCARDS.search(str(file)):
        anchor = Path(file.anchor)
        pattern = str(file.relative_to(anchor)) if file.anchor else str(file)
        found = [item for item in anchor.glob(pattern) if item.is_file()]
    if found is None:
        return (path,)
    within = f"{DATASET_MARK}{dataset}" if dataset else ""
    return tuple(f"{item}{within}" for item in sorted(map(str, found), key=natural_order))


def _is_wanted(item: Path, suffixes: frozenset[str]) -> bool:
    suffix = Path(item.stem).suffix if item.suffix.lower() in _PACKED else item.suffix
    return suffix.lower() in suffixes and not item.name.startswith(".") and item.is_file()


@dataclass(frozen=True, slots=True)
class RecordedFiles:
    """Which files, and how new ones are waited for.

    Parameters
    ----------
    paths
        Files, patterns or folders, in the order of acquisition; patterns and folders are sorted naturally.
        ``stack.h5::entry/data/data`` names the dataset of an HDF5 file.
    follow
        Go on watching folders and patterns for new files until asked to stop.
    time_zone
        IANA name for times without a zone, in headers or beside the files. Empty: such a time is not used.
    poll_s, settle_s, give_up_s
        When following: how often to look, how long a file must stand still before it is read, and
        how long an unreadable one may stand still, once there is a newer one, before it is refused.
    """

    paths: tuple[str, ...]
    follow: bool = False
    time_zone: str = ""
    poll_s: float = 0.5
    settle_s: float = 1.0
    give_up_s: float = 30.0

    def listed(self, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> tuple[str, ...]:
        """The files that are there now, in their order."""
        return tuple(file for path in self.paths for file in files_of(path, suffixes=suffixes))

    def require_some(self, files: tuple[str, ...], what: str) -> None:
        """Raise InputFileError where nothing is there and nothing will come."""
        if not self.follow and not any(split_dataset(file)[0].exists() for file in files):
            raise InputFileError(f"expected {what}, got nothing at {', '.join(self.paths) or 'no path at all'}")


def follow_files(
    config: RecordedFiles,
    *,
    listed: Callable[[], tuple[str, ...]],
    take: Callable[[str, bool], bool],
    clock: Clock,
    stop: StopRequest,
) -> tuple[str, ...]:
    """Take file after file as they become complete, in their order, until asked to stop.

    Parameters
    ----------
    listed
        The files that are there now.
    take
        Takes a file; False where it cannot be read and may become readable. The second argument forbids that answer.

    Returns
    -------
    tuple of str
        Files that were there and had not been taken when the stop came.
    """
    new_files = NewFiles()
    taken: set[str] = set()
    waiting: list[str] = []
    while not stop.is_set():
        waiting = [name for name in listed() if name not in taken]
        newest = waiting[-1:]
        for file in waiting:
            unchanged_s = new_files.unchanged_for_s(file, now_s=clock.monotonic_s())
            # The newest may still be in the making, however long it stands still.
            last_chance = unchanged_s >= config.give_up_s and file not in newest
            if unchanged_s < config.settle_s or stop.is_set() or not take(file, last_chance):
                break  # the order of acquisition is kept: later files wait for this one
            taken.add(file)
        stop.wait(config.poll_s)
    return tuple(file for file in waiting if file not in taken)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it was when last looked at."""

    size: int
    modified_ns: int
    since_s: float


class NewFiles:
    """Tells which files have stopped growing."""

    def __init__(self) -> None:
        self._seen: dict[str, Sighting] = {}

    def unchanged_for_s(self, path: str, *, now_s: float) -> float:
        """How long the file has not changed, 0 when it just did or is not there."""
        file, _ = split_dataset(path)
        try:
            status = file.stat()
        except OSError:
            self._seen.pop(path, None)
            return 0.0
        before = self._seen.get(path)
        if before is None or (before.size, before.modified_ns) != (status.st_size, status.st_mtime_ns):
            self._seen[path] = Sighting(status.st_size, status.st_mtime_ns, now_s)
            return 0.0
        return now_s - before.since_s

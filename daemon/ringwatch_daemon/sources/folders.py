"""Which files a path, a pattern or a folder stands for, and when a new one is complete."""

import re
from dataclasses import dataclass
from pathlib import Path

from ringwatch_daemon.sources.images import IMAGE_SUFFIXES, split_dataset

_WILDCARDS = re.compile(r"[*?\[]")
_PACKED = frozenset({".gz", ".bz2"})


def natural_order(path: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which frame 10 comes after frame 9."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path) if part)


def files_of(path: str) -> tuple[str, ...]:
    """The files that `path` means: itself, the matches of a pattern or the images in a folder, in natural order."""
    file, dataset = split_dataset(path)
    if dataset or file.is_file():
        return (path,)
    if file.is_dir():
        return tuple(sorted((str(item) for item in file.iterdir() if _is_image_name(item)), key=natural_order))
    if _WILDCARDS.search(path):
        anchor = Path(file.anchor)
        pattern = str(file.relative_to(anchor)) if file.anchor else path
        return tuple(sorted((str(item) for item in anchor.glob(pattern) if item.is_file()), key=natural_order))
    return (path,)


def _is_image_name(item: Path) -> bool:
    suffix = Path(item.stem).suffix if item.suffix.lower() in _PACKED else item.suffix
    return suffix.lower() in IMAGE_SUFFIXES and not item.name.startswith(".") and item.is_file()


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

"""A SWMR reader that follows a run for as long as it lasts, and knows whether what it read ever changes.

Run as ``python follower.py RUN.h5``: ends with 0 when its input does, with 1 and a sentence when a row that it
had read is another one now. What may change later, by the contract of the file, is left out: the cell's state,
and a lost frame that came late.
"""

import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np

LOOK_S = 0.3
REREAD_ROWS = 400
FOLLOWED = (
    "frames/unique_id",
    "frames/timestamp_ns",
    "frames/received_ns",
    "azint1d/I",
    "azint1d/I_errors",
)


class Follower:
    """Reads whole rows and reads them again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests: list[bytes] = []
        self.looks = 0
        self.refused = 0

    def follow(self, ended: threading.Event) -> str:
        """Read until told to end, or until something has changed; return what."""
        while not ended.wait(LOOK_S):
            try:
                with h5py.File(self._path, swmr=True) as file:
                    complaint = self._stay(file, ended)
            except (OSError, KeyError):
                self.refused += 1  # not there yet, gone with its disk, or just being taken up by the next daemon
                continue
            if complaint:
                return complaint
        return ""

    def _stay(self, file: h5py.File, ended: threading.Event) -> str:
        """Look through one open file until its writer is another one."""
        inode = self._path.stat().st_ino
        until_s = time.monotonic() + 5.0
        while not ended.wait(LOOK_S) and time.monotonic() < until_s and self._path.stat().st_ino == inode:
            complaint = self._look(file["entry"])
            self.looks += 1
            if complaint:
                return complaint
        return ""

    def _look(self, entry: h5py.Group) -> str:
        entry["ledger/rows"].refresh()
        rows = int(entry["ledger/rows"][()])
        if rows < len(self._digests):
            return f"{len(self._digests)} rows were read, now the file has {rows}"
        first = max(0, len(self._digests) - REREAD_ROWS)
        digests = _digests(entry, first, rows)
        for row, (before, now) in enumerate(zip(self._digests[first:], digests, strict=False), start=first):
            if before != now:
                return f"row {row} was read, and has other values now"
        self._digests[first:] = digests
        return ""


def _digests(entry: h5py.Group, first: int, end: int) -> list[bytes]:
    columns = []
    for name in FOLLOWED:
        entry[name].refresh()
        columns.append(np.ascontiguousarray(entry[name][first:end]).reshape(end - first, -1).view(np.uint8))
    return [sha256(row.tobytes()).digest() for row in np.concatenate(columns, axis=1)] if end > first else []


def main(path: Path) -> int:
    """Follow until the input ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    follower = Follower(path)
    complaint = follower.follow(ended)
    print(complaint or f"{follower.looks} looks, {len(follower._digests)} rows, refused {follower.refused} times")
    return int(bool(complaint))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

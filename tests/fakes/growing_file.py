"""A small HDF5 file that grows under a seal; as a program, it grows until it is killed."""

import sys
from pathlib import Path

import h5py

from ringwatch_daemon.sinks.swmr_seal import SwmrSeal


def growing_file(path: Path) -> tuple[h5py.File, h5py.Dataset]:
    """A file in SWMR mode with a dataset of no rows yet."""
    file = h5py.File(path, "w", libver="latest", locking=False)
    rows = file.create_dataset("rows", (0, 100), maxshape=(None, 100), chunks=(16, 100), dtype="i8")
    file.swmr_mode = True
    return file, rows


def append(file: h5py.File, rows: h5py.Dataset, seal: SwmrSeal) -> None:
    """One more row, which tells its number."""
    count = len(rows)
    rows.resize(count + 1, 0)
    rows[count] = count
    seal.hold(file.id.get_filesize())
    rows.flush()


def main(path: str, reserve_bytes: str) -> None:
    """Grow for ever, and say how far."""
    file, rows = growing_file(Path(path))
    seal = SwmrSeal(Path(path), reserve_bytes=int(reserve_bytes))
    while True:
        append(file, rows, seal)
        print(len(rows), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

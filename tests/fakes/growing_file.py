"""A small HDF5 file that grows under a seal; as a program, it grows until it is killed."""

import sys
from pathlib import Path

import h5py

from ringwatch_daemon.sinks.swmr_seal import SwmrSeal, mend


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
    allocated_bytes = file.id.get_filesize()
    seal.hold(allocated_bytes)
    file.flush()
    seal.hold(allocated_bytes)


def mended(path: Path) -> bool:
    """Whether the file of a killed writer had to be mended, as it may when the kill came while HDF5 flushed."""
    try:
        h5py.File(path).close()
    except OSError:
        return mend(path)
    return False


def main(path: str, reserve_bytes: str) -> None:
    """Grow for ever, and say how far."""
    file, rows = growing_file(Path(path))
    seal = SwmrSeal(Path(path), reserve_bytes=int(reserve_bytes))
    while True:
        append(file, rows, seal)
        print(len(rows), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

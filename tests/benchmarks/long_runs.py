"""Files of runs with very many rows, made in seconds: the rows of a small run over and over."""

import shutil
from pathlib import Path

import h5py
import numpy as np

from fakes import records
from ringwatch_daemon.sinks.nexus import NexusFile

AT_ONCE = 20_000


def write_cut_off_run(path: Path, *, rows: int, bins: int, peaks: int = 3) -> Path:
    """A run of a few rows as a kill leaves it, so that it can be resumed."""
    sink = NexusFile(path=path)
    sink.accept(records.run_start(bins=bins, peaks=peaks))
    for row in range(rows):
        sink.accept(records.frame_record(row, bins=bins, peaks=peaks))
    sink.flush()
    sink.close()
    return path


def lengthened(path: Path, longer: Path, *, rows: int) -> Path:
    """A copy of a run with `rows` frames: its own over and over, ids and stamps going on."""
    shutil.copyfile(path, longer)
    with h5py.File(longer, "r+", libver="latest") as file:
        entry = file["entry"]
        few = int(entry["ledger/rows"][()])
        for dataset in _of_frames(entry, few):
            _lengthen(dataset, few, rows)
        for name in ("unique_id", "timestamp_ns", "received_ns"):
            dataset = entry["frames"][name]
            step = int(dataset[1]) - int(dataset[0])
            dataset[:] = int(dataset[0]) + step * np.arange(rows)
        for name in ("rows", "announced", "processed"):
            entry["ledger"][name][()] = rows
    return longer


def _of_frames(entry: h5py.Group, rows: int) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []

    def look(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim and item.maxshape[0] is None and item.shape[0] == rows:
            found.append(item)

    entry.visititems(look)
    return found


def _lengthen(dataset: h5py.Dataset, few: int, rows: int) -> None:
    block = np.resize(dataset[:few], (AT_ONCE, *dataset.shape[1:]))
    dataset.resize(rows, axis=0)
    for first in range(few, rows, AT_ONCE):
        end = min(first + AT_ONCE, rows)
        dataset[first:end] = block[: end - first]

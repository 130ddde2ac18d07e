"""Finds a run that was cut off, and reads from its file what the next process has to know."""

import errno
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.errors import InputFileError, StorageError
from ringwatch_daemon.core.ledger import REMEMBERED_IDS, EnteredRow
from ringwatch_daemon.core.records import CyclerClock, CyclingSamples, FrameState, Totals
from ringwatch_daemon.core.resumption import FramesOfCell, Resumption, WaitingFrame
from ringwatch_daemon.sinks.run_memory import (
    SEQUENCE,
    SUFFIX,
    RunIdentity,
    checkpoint_at,
    identity_in,
    lock_of,
    memory_folder,
)
from ringwatch_daemon.sinks.run_parts import parts_there
from ringwatch_daemon.sinks.sequence_mark import next_seq_after
from ringwatch_daemon.sinks.swmr_seal import SealError, mend
from ringwatch_pipelines.cell.clock import ClockEstimate, ClockMethod, ClockRelation
from ringwatch_pipelines.cell.clock_breathing import Track
from ringwatch_pipelines.cell.cycling import Coupling, CyclerSamples

LOG = logging.getLogger(__name__)
DISK_TROUBLE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ESTALE)
"""What a disk says that may take the run again later: no reason to begin another one."""
NEWEST_ROWS = 2 * REMEMBERED_IDS
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class CutOffRun:
    """A run to go on with.

    Parameters
    ----------
    path
        Its file.
    next_seq
        First number of the stream that was never used.
    """

    path: Path
    next_seq: int
    resumption: Resumption


def find_cut_off_run(
    place: Path, *, fingerprint: str, max_age_s: float, now_ns: int, has_cycler: bool = True
) -> CutOffRun | None:
    """The newest run that was cut off and can be resumed, or None.

    Parameters
    ----------
    place
        File of the run, or folder to look in.
    fingerprint
        What the run must have in common with the one that is to go on with it.
    max_age_s
        Longest time since its last write.

    Raises
    ------
    StorageError
        There is one, and its disk does not take it now.
    """
    for output in sorted(_outputs(place), key=_age_key, reverse=True):
        try:
            found = _readable(
                output, fingerprint=fingerprint, max_age_s=max_age_s, now_ns=now_ns, has_cycler=has_cycler
            )
        except (InputFileError, OSError, KeyError, ValueError, RuntimeError, SealError) as error:
            if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
                raise StorageError(f"the run of {output} cannot be taken up now: {error.strerror}") from error
            LOG.warning("%s was cut off and is not resumed: %s", output, error)
            continue
        if found is not None:
            return found
    return None


def _outputs(place: Path) -> list[Path]:
    if place.is_dir():
        return [folder.with_suffix(".h5") for folder in place.glob(f"*{SUFFIX}") if folder.is_dir()]
    return [place] if place.exists() and memory_folder(place).is_dir() else []


def _age_key(output: Path) -> int:
    return output.stat().st_mtime_ns if output.exists() else 0


def _readable(output: Path, *, fingerprint: str, max_age_s: float, now_ns: int, has_cycler: bool) -> CutOffRun | None:
    folder = memory_folder(output)
    identity = identity_in(folder)
    if identity.fingerprint != fingerprint:
        raise InputFileError("its configuration, or a version that decides a number, was another one")
    lock = lock_of(folder)
    if lock is None:
        raise InputFileError("another process writes it")
    try:
        last_write_ns = output.stat().st_mtime_ns
        age_s = (now_ns - last_write_ns) / NS_PER_S
        if age_s > max_age_s:
            raise InputFileError(f"its last row is {age_s / 3600:.1f} hours old")
        for path in (output, *parts_there(output)):
            mend(path)
        with h5py.File(output, locking=False) as file:
            entry = file["entry"]
            if entry["ledger/stopped"][()]:
                return None
            resumption = _resumption(entry, identity, folder, last_write_ns, has_cycler=has_cycler)
    finally:
        os.close(lock)
    return CutOffRun(output, next_seq_after(folder / SEQUENCE), resumption)


def _resumption(
    entry: h5py.Group, identity: RunIdentity, folder: Path, last_write_ns: int, *, has_cycler: bool
) -> Resumption:
    rows = int(entry["ledger/rows"][()])
    frames = entry["frames"]
    first = max(0, rows - NEWEST_ROWS)
    newest = _newest(frames, first, rows)
    received = frames["received_ns"][first:rows]
    return Resumption(
        run_id=identity.run_id,
        started_ns=identity.started_ns,
        last_write_ns=last_write_ns,
        totals=_totals(frames, rows),
        newest=newest,
        newest_received=frozenset(
            (row.unique_id, int(received_ns)) for row, received_ns in zip(newest, received, strict=True)
        ),
        waiting=tuple(_waiting(entry, rows)) if has_cycler else (),
        samples=_samples(entry),
        event_kinds=_event_kinds(entry),
        checkpoint=checkpoint_at(folder, rows),
        clocks=measured_clocks(entry),
        frames=_frames(entry, rows),
    )


def _newest(frames: h5py.Group, first: int, rows: int) -> tuple[EnteredRow, ...]:
    names = ("unique_id", "timestamp_ns", "state", "reason")
    columns = (frames[name][first:rows] for name in names)
    return tuple(
        EnteredRow(row, int(unique_id), int(timestamp_ns), FrameState(state.decode()), reason.decode())
        for row, (unique_id, timestamp_ns, state, reason) in enumerate(zip(*columns, strict=True), start=first)
    )


def _totals(frames: h5py.Group, rows: int) -> Totals:
    counted: dict[str, Counter[bytes]] = {"state": Counter(), "reason": Counter()}
    for name, counter in counted.items():
        for first in range(0, rows, _ROWS_AT_ONCE):
            counter.update(_counted(frames[name][first : min(first + _ROWS_AT_ONCE, rows)]))
    states = counted["state"]
    if sum(states[state.encode()] for state in FrameState) != rows:
        raise InputFileError("a part of it is missing or damaged")
    return Totals(
        announced=rows,
        processed=states[b"PROCESSED"],
        rejected=states[b"REJECTED"],
        lost=states[b"LOST"],
        reasons=tuple(sorted((reason.decode(), count) for reason, count in counted["reason"].items() if reason)),
    )


def _counted(texts: NDArray[np.bytes_]) -> Counter[bytes]:
    """How often each text occurs: a few different ones among many rows, so sorting them would be slow."""
    counter = Counter[bytes]()
    while texts.size:
        same = texts == texts[0]
        counter[bytes(texts[0])] = int(np.count_nonzero(same))
        texts = texts[~same]
    return counter


def _waiting(entry: h5py.Group, rows: int) -> list[WaitingFrame]:
    found = []
    for first in range(0, rows, _ROWS_AT_ONCE):
        block = slice(first, min(first + _ROWS_AT_ONCE, rows))
        reasons = entry["cycling/at_frame/state"][block]
        stamps = entry["frames/timestamp_ns"][block]
        cells = _cells_of(entry, "frames", block)
        unknown = np.flatnonzero((reasons != b"KNOWN") & (stamps > 0))
        found += [
            WaitingFrame(first + int(at), int(stamps[at]), Coupling(reasons[at].decode()), cells[at].decode())
            for at in unknown
        ]
    return found


def _samples(entry: h5py.Group) -> tuple[CyclingSamples, ...]:
    whole = slice(0, int(entry["ledger/samples"][()]))
    columns = {each.name: entry[f"cycling/{each.name}"][whole] for each in fields(CyclerSamples)}
    cells = _cells_of(entry, "cycling", whole)
    return tuple(
        CyclingSamples(
            CyclerSamples(**{name: values[cells == cell] for name, values in columns.items()}), cell.decode()
        )
        for cell in np.unique(cells)
    )


def _frames(entry: h5py.Group, rows: int) -> tuple[FramesOfCell, ...]:
    stamps = entry["frames/timestamp_ns"][:rows]
    cells = _cells_of(entry, "frames", slice(0, rows))
    timed = {cell: np.flatnonzero((cells == cell) & (stamps > 0)) for cell in np.unique(cells)}
    lattices = tuple(_lattices(entry["tracking"], rows))
    return tuple(
        FramesOfCell(
            cell.decode(),
            found,
            stamps[found],
            tuple(Track(one.name, one.value[found], one.sigma[found]) for one in lattices),
        )
        for cell, found in timed.items()
    )


def _lattices(tracking: h5py.Group, rows: int) -> Iterator[Track]:
    """Lattice parameters of the phases that are fitted freely: those alone have a size."""
    for phase, group in tracking.items():
        if isinstance(group, h5py.Group) and "size_nm" in group:
            for name in ("a", "b", "c", "alpha", "beta", "gamma"):
                if name in group:
                    yield Track(f"{phase}/{name}", group[name][:rows], group[f"{name}_errors"][:rows])


def measured_clocks(entry: h5py.Group) -> tuple[CyclerClock, ...]:
    """The newest measured clock of each cycler in the file of a run."""
    whole = slice(0, int(entry["ledger/clocks"][()]))
    columns = {name: item[whole] for name, item in entry["cycling/clock"].items()}
    cells = _cells_of(entry, "cycling/clock", whole)
    newest = {cell: int(np.flatnonzero(cells == cell)[-1]) for cell in np.unique(cells)}
    return tuple(_clock(columns, row, cell.decode()) for cell, row in newest.items())


def _clock(columns: dict[str, NDArray[Any]], row: int, cell_name: str) -> CyclerClock:
    reference_ns = int(columns["reference_ns"][row])
    values = {name: float(columns[name][row]) for name in columns if name.startswith(("offset", "drift", "declared"))}
    measured = ClockRelation(values["offset_s"], values["drift_ppm"], reference_ns)
    declared = ClockRelation(values["declared_offset_s"], values["declared_drift_ppm"], reference_ns)
    estimate = ClockEstimate(
        measured,
        values["offset_s_errors"],
        values["drift_ppm_errors"],
        ClockMethod(columns["method"][row].decode()),
        int(columns["support"][row]),
    )
    return CyclerClock(estimate, declared, applied=bool(columns["applied"][row]), cell_name=cell_name)


def _event_kinds(entry: h5py.Group) -> frozenset[tuple[str, str]]:
    whole = slice(0, int(entry["ledger/events"][()]))
    kinds, cells = entry["events/kind"][whole], _cells_of(entry, "events", whole)
    return frozenset((cell.decode(), kind.decode()) for cell, kind in zip(cells, kinds, strict=True))


def _cells_of(entry: h5py.Group, table: str, rows: slice) -> NDArray[np.bytes_]:
    """(rows,) name of the cell of each; empty in a run of one."""
    if f"{table}/cell" in entry:
        return np.asarray(entry[f"{table}/cell"][rows])
    return np.full(rows.stop - rows.start, b"", dtype="S1")

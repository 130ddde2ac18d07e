"""Holds the file of a run against the detector's own account: is every frame named?"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import h5py

from chaos.beamline import Silence
from chaos.violations import Violation
from ringwatch_simulators.served import ServedFrame

ON_THE_WAY_NS = 300_000_000
"""So long a frame may be under way inside a dying IOC, or before a daemon that stops."""
CLOCK_NS = 1_000_000
"""What is written down of two moments may be off by so much."""
APART = ("DUPLICATE", "LATE")
"""Reasons of rows that say nothing about the way of the counter."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the file says of a frame."""

    unique_id: int
    received_ns: int
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """One stretch of the detector's counter that only went up."""

    frames: tuple[ServedFrame, ...]
    ended_ns: int
    """When the next stretch began; the end of time for the last one."""

    def had_counted(self, row: Row, *, within_ns: int = 2**62) -> bool:
        """Whether a frame that came then can be one of this stretch, counted not longer ago than that."""
        place = bisect_left(self.frames, row.unique_id, key=lambda frame: frame.unique_id)
        return any(
            frame.unique_id == row.unique_id and -CLOCK_NS <= row.received_ns - frame.counted_ns <= within_ns
            for frame in self.frames[place : place + 1]
        )


@dataclass(frozen=True, slots=True)
class Hearing:
    """When the daemon and its detector could not hear each other.

    Parameters
    ----------
    silences
        When the daemon could not hear.
    deaths_ns
        When an IOC was killed.
    """

    silences: tuple[Silence, ...]
    deaths_ns: tuple[int, ...] = ()

    def may_miss(self, frame: ServedFrame, epoch: Epoch) -> bool:
        """Whether a frame may have been seen by nobody.

        One that none of its stretch followed; or one that set the counter back and was dropped, which looks as if
        somebody had written its number into the counter, or had a false time: it may stand in the row of a lost one.
        """
        if "restart" in frame.faults and {"drop", "past", "future"} & set(frame.faults):
            return True
        if any(0 <= death_ns - frame.counted_ns < ON_THE_WAY_NS for death_ns in self.deaths_ns):
            return True
        last_ns = epoch.frames[-1].counted_ns
        if _passed_while_gone(frame, epoch) and any(last_ns <= death <= epoch.ended_ns for death in self.deaths_ns):
            return True
        return any(
            silence.began_ns - ON_THE_WAY_NS <= frame.counted_ns and silence.ended_ns >= last_ns
            for silence in self.silences
        )


def _passed_while_gone(frame: ServedFrame, epoch: Epoch) -> bool:
    """Whether the IOC had given up its sockets when the frame passed, and never came back in this stretch."""
    rest = reversed(epoch.frames)
    return all("disconnect" in each.faults for each in takewhile(lambda each: each is not frame, rest)) and (
        "disconnect" in frame.faults
    )


@dataclass(slots=True)
class Account:
    """How the frames of a run ended.

    Parameters
    ----------
    unseen
        Frames at the end of a stretch of the counter that died inside their IOC, or passed while nobody listened.
    unnamed
        Frames that should stand in the file and do not.
    """

    served: int = 0
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unseen: int = 0
    unnamed: list[str] = field(default_factory=list)

    def add(self, other: "Account") -> None:
        """Count another run as well."""
        self.served += other.served
        self.states += other.states
        self.reasons += other.reasons
        self.unseen += other.unseen
        self.unnamed += other.unnamed


def rows_of(path: Path) -> list[Row]:
    """The whole rows of a run, which may still grow."""
    with h5py.File(path) as file:
        count = int(file["entry/ledger/rows"][()])
        columns = [file[f"entry/frames/{name}"][:count] for name in ("unique_id", "received_ns", "state", "reason")]
    return [
        Row(int(unique_id), int(received_ns), state.decode(), reason.decode())
        for unique_id, received_ns, state, reason in zip(*columns, strict=True)
    ]


def epochs_of(served: Sequence[ServedFrame]) -> list[Epoch]:
    """The account by stretches of the counter."""
    stretches: list[list[ServedFrame]] = []
    for frame in served:
        if not stretches or frame.unique_id <= stretches[-1][-1].unique_id:
            stretches.append([])
        stretches[-1].append(frame)
    ends = [stretch[0].counted_ns for stretch in stretches[1:]] + [2**63 - 1]
    return [Epoch(tuple(stretch), ended_ns) for stretch, ended_ns in zip(stretches, ends, strict=True)]


def account_of(
    rows: Sequence[Row],
    served: Sequence[ServedFrame],
    *,
    hearing: "Hearing",
    stopped_ns: int | None,
) -> Account:
    """Match the rows of a run with the frames that were served.

    Parameters
    ----------
    stopped_ns
        When it was asked to stop: what came after may be missing. None while the run goes on: then what follows the
        newest row may be on its way.
    """
    account = Account(
        states=Counter(row.state for row in rows),
        reasons=Counter(f"{row.state} {row.reason}" for row in rows if row.reason),
    )
    epochs = epochs_of(served)
    named = _named_by_epoch(rows, epochs)
    first, last = min(named), max(named)
    for number in range(first, last + 1):
        begins = min(named[number]) if number == first else 0
        ends_ns = (stopped_ns or 0) - ON_THE_WAY_NS if number == last else 2**63
        _hold(account, epochs[number], named.get(number, set()), hearing, begins=begins, ends_ns=ends_ns)
    return account


def _hold(account: Account, epoch: Epoch, named: set[int], hearing: Hearing, *, begins: int, ends_ns: int) -> None:
    newest = max(named, default=0)
    for frame in epoch.frames:
        if frame.unique_id < begins:
            continue
        if frame.unique_id > newest and frame.counted_ns > ends_ns:
            return
        account.served += 1
        if frame.unique_id in named:
            continue
        beyond = frame.unique_id > newest or frame is epoch.frames[0]
        if beyond and hearing.may_miss(frame, epoch):
            account.unseen += 1
        else:
            spoilt = f" ({', '.join(frame.faults)})" if frame.faults else ""
            newest_id = epoch.frames[-1].unique_id
            account.unnamed.append(f"frame {frame.unique_id}{spoilt} of the stretch up to {newest_id}")


def _named_by_epoch(rows: Sequence[Row], epochs: Sequence[Epoch]) -> dict[int, set[int]]:
    """Unique ids in the file, by the stretch they belong to.

    A lost frame has no time: it belongs to the stretch of the frame before it while it goes on from there, else to
    that of the frame after it.
    """
    named: dict[int, set[int]] = {}
    at, newest = -1, 0
    waiting: list[int] = []
    for row in rows:
        if row.unique_id < 0:
            continue
        if not row.received_ns:
            waiting.append(row.unique_id)
            continue
        if row.reason in APART:
            for number, epoch in enumerate(epochs):
                if epoch.had_counted(row, within_ns=ON_THE_WAY_NS):
                    named.setdefault(number, set()).add(row.unique_id)
            continue
        strayed = _stray(row, epochs, at, newest)
        if strayed is not None:
            named.setdefault(strayed, set()).add(row.unique_id)
            continue
        begun = any(unique_id <= newest for unique_id in waiting)  # lost frames of the next count
        before, (at, newest) = (at, newest), _place(row, epochs, at, newest, goes_on=not begun)
        for unique_id in _of_stretch_before(waiting, before[1]) if before[0] != at else ():
            named.setdefault(before[0], set()).add(unique_id)
            waiting.remove(unique_id)
        named.setdefault(at, set()).update((*waiting, row.unique_id))
        waiting.clear()
    if waiting and at >= 0:
        named[at].update(waiting)
    if not named:
        raise Violation("the file of the run holds no frame that came")
    return named


def _of_stretch_before(waiting: Sequence[int], newest: int) -> list[int]:
    """Lost frames that go on from the newest one before them."""
    return [
        unique_id
        for unique_id, expected in zip(waiting, _count_from(newest + 1), strict=False)
        if unique_id == expected
    ]


def _count_from(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def _stray(row: Row, epochs: Sequence[Epoch], at: int, newest: int) -> int | None:
    """The stretch of a frame that comes after the counter had begun anew, as one out of its order may; else None."""
    if at < 1 or row.unique_id <= newest:
        return None
    follows = any(epoch.had_counted(row) for epoch in epochs[at:])
    return at - 1 if not follows and epochs[at - 1].had_counted(row) else None


def _place(row: Row, epochs: Sequence[Epoch], at: int, newest: int, *, goes_on: bool) -> tuple[int, int]:
    """The stretch and the new place in it of a frame that came."""
    if goes_on and at >= 0 and row.unique_id > newest and epochs[at].had_counted(row):
        return at, row.unique_id
    for number in range(len(epochs) - 1, at, -1):
        if epochs[number].had_counted(row):
            return number, row.unique_id
    if at >= 0 and epochs[at].had_counted(row, within_ns=ON_THE_WAY_NS):
        return at, newest  # out of its order, and with a time by which it seemed to begin a new count
    raise Violation(f"row of frame {row.unique_id} stands in the file, and the detector served no such frame then")

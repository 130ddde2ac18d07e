"""Nights of the ledger alone: years of faults in seconds, held against the detector's own account.

A detector counts, its frames are spoilt, it and the daemon are killed, connections are cut; only the ledger is real,
and time is made up. What a night with real processes meets once in hours comes here by the hundred.
"""

import random
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

from chaos.account import APART, Account, Hearing, Row, account_of
from chaos.beamline import Silence
from chaos.violations import Violation
from fakes.ledger_book import LedgerBook
from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.ledger import Ledger
from ringwatch_simulators.served import ServedFrame

PERIOD_NS = NS_PER_S // 40
START_NS = 1_700_000_000 * NS_PER_S
SPOILT = ("drop", "duplicate", "reorder", "future", "past", "restart")
FALSE_STAMPS = ("future", "past")
FALSE_BY_S = (1, 40, 3600, 10**8)
REMEMBERED_ROWS = 4000
"""As many as a daemon reads again when it resumes."""
FEW = 10
"""Rows beyond what was served, as where spoilt frames follow each other, or one stands for two counts."""


@dataclass(slots=True)
class LedgerNight:
    """A detector, and the rows of a daemon that hears it.

    Parameters
    ----------
    chance
        Decides what happens and when.
    """

    chance: random.Random
    now_ns: int = START_NS
    count: int = 0
    hears: bool = True
    book: LedgerBook = field(default_factory=LedgerBook)
    served: list[ServedFrame] = field(default_factory=list)
    held: list[tuple[int, int]] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    deaths_ns: list[int] = field(default_factory=list)

    def go_through(self, faults: int) -> None:
        """Let frames come, and so many faults among them."""
        kinds = (self.spoil, self.kill_ioc, self.kill_daemon, self.cut_connection, self.kill_both)
        self.frames(self.chance.randrange(20, 600))
        for _ in range(faults):
            self.chance.choices(kinds, weights=(6, 2, 3, 2, 1))[0]()
            self.frames(self.chance.choice((8, 30, 120, 500)))
        self.frames(30)

    def frames(self, number: int) -> None:
        """So many good ones."""
        for _ in range(number):
            self.frame()

    def frame(self, *faults: str) -> None:
        """One frame, which may be spoilt."""
        self.now_ns += PERIOD_NS
        self.count = 1 if "restart" in faults else self.count + 1
        self.served.append(ServedFrame(self.count, len(self.served), self.now_ns, self.now_ns, faults))
        if self.hears:
            self.book.ledger.counter_told(self.count, now_s=self.now_ns / NS_PER_S)
        ahead_s = self.chance.choice(FALSE_BY_S) * (("future" in faults) - ("past" in faults))
        out = [(self.count, self.now_ns - PERIOD_NS // 2 + ahead_s * NS_PER_S)]
        out *= 0 if "drop" in faults else 2 if "duplicate" in faults else 1
        if "reorder" in faults:
            self.held += out
            return
        out, self.held = out + self.held, []
        for unique_id, stamp_ns in out if self.hears else ():
            received_ns = self.now_ns + self.chance.randrange(1_000_000, 8_000_000)
            self.book.enter(unique_id=unique_id, timestamp_ns=stamp_ns, received_ns=received_ns)

    def spoil(self) -> None:
        """One to three faults, on one frame or on frames that follow each other.

        A count that begins anew beside false stamps may be told from the old one by nobody.
        """
        together, kinds = [], self.chance.sample(SPOILT, self.chance.randint(1, 3))
        if "restart" in kinds:
            kinds = [kind for kind in kinds if kind not in FALSE_STAMPS][:2]
        for kind in kinds:
            if self.chance.random() < 0.5:
                self.frame(kind)
            else:
                together.append(kind)
        if together:
            self.frame(*together)

    def kill_ioc(self) -> None:
        """The next one counts from one, and is heard at once or later."""
        with self._silent():
            self._disconnect()
            self._new_count()
            started_ns = self.now_ns
            self.frames(self.chance.choice((0, 0, self.chance.randrange(60), self.chance.randrange(900))))
        self.book.ledger.reconnected(restarted_ns=started_ns)

    def kill_daemon(self) -> None:
        """The next one takes up what the file has."""
        with self._silent():
            self.frames(self.chance.randrange(1, 300))
        self._resume()

    def cut_connection(self) -> None:
        """Frames go on being counted meanwhile."""
        with self._silent():
            self._disconnect()
            self.frames(self.chance.randrange(5, 80))
        self.book.ledger.reconnected(restarted_ns=0)

    def kill_both(self) -> None:
        """As a power cut does; the new count is still below the old one when the daemon hears it."""
        heard = self.count
        with self._silent():
            self.frames(self.chance.randrange(1, 100))
            self._new_count()
            self.frames(min(heard - 20, self.chance.randrange(1, 400)))
        self._resume()

    def account(self) -> Account:
        """Hold the rows against what was served.

        Raises
        ------
        Violation
            Rows do not balance, stand for nothing that was served, or are more than that.
        """
        totals = self.book.ledger.totals
        if not totals.announced == len(self.book.rows) == totals.processed + totals.rejected + totals.lost:
            raise Violation(f"{len(self.book.rows)} rows, and the totals are {totals}")
        rows = [
            Row(row.unique_id, received_ns, str(row.state), row.reason)
            for row, received_ns in zip(self.book.rows, self.book.received_ns, strict=True)
        ]
        hearing = Hearing(tuple(self.silences), tuple(self.deaths_ns))
        account = account_of(rows, self.served, hearing=hearing, stopped_ns=None)
        spoilt = sum(len(frame.faults) for frame in self.served)
        if len(rows) - len(self.served) > spoilt + FEW:
            raise Violation(f"{len(rows)} rows for {len(self.served)} frames, {spoilt} faults")
        if sum(row.reason in APART for row in rows) > spoilt + FEW:
            raise Violation(f"more frames are called late or known than {spoilt} faults can have made so")
        return account

    @contextmanager
    def _silent(self):
        began_ns, self.hears = self.now_ns, False
        yield
        self.hears = True
        self.silences.append(Silence(began_ns - 1, self.now_ns + 1))

    def _disconnect(self) -> None:
        self.book.ledger.counter_told(None, now_s=self.now_ns / NS_PER_S)
        self.book.ledger.disconnected()

    def _new_count(self) -> None:
        self.deaths_ns.append(self.now_ns + 1)
        self.now_ns += self.chance.randrange(NS_PER_S // 10, 3 * NS_PER_S)
        self.count, self.held = 0, []

    def _resume(self) -> None:
        totals, self.book.ledger = self.book.ledger.totals, Ledger()
        self.book.ledger.resume(self.book.rows[-REMEMBERED_ROWS:], totals)
        self.book.ledger.daemon_was_down()


def ledger_nights(seed: int, *, nights: int, faults: int = 12, tell: Callable[[str], None] = print) -> None:
    """Go through so many nights.

    Raises
    ------
    Violation
        A frame was left without a name.
    """
    rows = 0
    for number in range(nights):
        night = LedgerNight(random.Random(f"{seed}/{number}"))
        try:
            night.go_through(faults)
            unnamed = night.account().unnamed
        except (Violation, AssertionError) as error:
            raise Violation(f"ledger's night {number} of seed {seed}: {error}") from error
        if unnamed:
            raise Violation(f"ledger's night {number} of seed {seed}: {len(unnamed)} without a name: {unnamed[:3]}")
        rows += len(night.book.rows)
    tell(f"{nights} nights of the ledger alone, {faults * nights} faults, {rows} rows: every frame named")

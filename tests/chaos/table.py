"""What a chaotic night comes to, as a table."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from chaos.account import Account

HEADINGS = ("fault", "how often", "lost, unnamed", "median recovery s", "longest s")


@dataclass(slots=True)
class Tally:
    """Everything that happened."""

    recoveries_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    account: Account = field(default_factory=Account)
    runs: int = 0
    published: int = 0
    starts: int = 0

    @property
    def rounds(self) -> int:
        """Faults so far."""
        return sum(map(len, self.recoveries_s.values()))


def table_of(tally: Tally) -> str:
    """Faults by kind, recovery times and the totals of the ledgers."""
    unnamed = len(tally.account.unnamed)
    lines = [HEADINGS]
    for kind, times_s in sorted(tally.recoveries_s.items()):
        lines.append((kind, str(len(times_s)), "0", f"{median(times_s):.2f}", f"{max(times_s):.2f}"))
    every = [each for times_s in tally.recoveries_s.values() for each in times_s]
    if every:
        lines.append(("all", str(len(every)), str(unnamed), f"{median(every):.2f}", f"{max(every):.2f}"))
    return "\n".join([*_columns(lines), "", *_totals(tally)])


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


def _totals(tally: Tally) -> list[str]:
    account = tally.account
    announced = sum(account.states.values())
    parts = ", ".join(f"{account.states[state]} {state.lower()}" for state in ("PROCESSED", "REJECTED", "LOST"))
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(account.reasons.items()))
    return [
        f"{tally.runs} runs, {tally.starts} starts of the daemon; {tally.published} results published, all in files",
        f"the detector served {account.served} frames; lost unnamed: {len(account.unnamed)}",
        f"seen by nobody, as they died in a killed IOC or passed before anybody listened: {account.unseen}",
        f"ledgers: announced {announced} = {parts}",
        f"reasons: {reasons or 'none'}",
    ]

"""Nonsense with a structure, from a seed, into every way that something comes in.

A message is taken, or it is refused with one sentence. Anything else is a violation: another exception, a
sentence of several lines or without end, a message that holds everybody up, memory that grows.
"""

import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from chaos.violations import Violation

LONGEST_S = 20.0
LONGEST_SENTENCE = 1200
MOST_GROWTH_KIB = 400 * 1024

Attempt = Callable[[random.Random], str]
"""Makes one message and hands it over; returns the sentence of the refusal, empty where it was taken."""


@dataclass(frozen=True, slots=True)
class Target:
    """A way in.

    Parameters
    ----------
    share
        Part of all messages that go there.
    open
        Gives what takes a message, for the length of a block.
    """

    name: str
    share: float
    open: Callable[[], AbstractContextManager[Attempt]]


@dataclass(slots=True)
class Outcome:
    """What became of the messages to one target."""

    name: str
    messages: int = 0
    taken: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    beginnings: Counter[str] = field(default_factory=Counter)


def fuzz(targets: Iterable[Target], *, seed: int, messages: int) -> list[Outcome]:
    """Send so many messages in all.

    Raises
    ------
    Violation
        One of them was neither taken nor refused as it should be; the message tells how to see it again.
    """
    return [_fuzz_one(target, seed, max(1, round(target.share * messages))) for target in targets]


def _fuzz_one(target: Target, seed: int, messages: int) -> Outcome:
    outcome = Outcome(target.name)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with target.open() as attempt:
        for number in range(messages):
            _attempt(
                outcome, attempt, random.Random(f"{seed}/{target.name}/{number}"), f"message {number} of seed {seed}"
            )
    growth_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    if growth_kib > MOST_GROWTH_KIB:
        raise Violation(f"{target.name}: {messages} messages made the process {growth_kib // 1024} MiB larger")
    return outcome


def _attempt(outcome: Outcome, attempt: Attempt, chance: random.Random, which: str) -> None:
    begun_s = time.monotonic()
    try:
        sentence = attempt(chance)
    except Violation:
        raise
    except BaseException as error:
        raise Violation(f"{outcome.name}, {which}: {type(error).__name__}: {error}") from error
    took_s = time.monotonic() - begun_s
    if took_s > LONGEST_S:
        raise Violation(f"{outcome.name}, {which}: it took {took_s:.1f} s")
    if "\n" in sentence.strip() or len(sentence) > LONGEST_SENTENCE:
        raise Violation(f"{outcome.name}, {which}: no single sentence: {sentence[:300]!r}")
    outcome.messages += 1
    outcome.slowest_s = max(outcome.slowest_s, took_s)
    outcome.refused += bool(sentence)
    outcome.taken += not sentence
    outcome.beginnings[" ".join(sentence.split()[:3])] += 1


def fuzz_table(outcomes: Iterable[Outcome]) -> str:
    """Outcomes by target."""
    lines = [("nonsense for", "messages", "taken", "refused", "slowest ms")]
    outcomes = list(outcomes)
    lines += [
        (each.name, str(each.messages), str(each.taken), str(each.refused), f"{each.slowest_s * 1e3:.0f}")
        for each in outcomes
    ]
    total = sum(each.messages for each in outcomes)
    lines.append(("all", str(total), str(sum(o.taken for o in outcomes)), str(sum(o.refused for o in outcomes)), ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut out, put in, or the end missing."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        if not changed:
            break
        at = chance.randrange(len(changed))
        match chance.randrange(5):
            case 0 | 1:
                changed[at] = chance.choice((0, 0xFF, 0x7F, chance.randrange(256)))
            case 2:
                del changed[at : at + chance.randint(1, 64)]
            case 3:
                changed[at:at] = chance.randbytes(chance.randint(1, 16))
            case _:
                del changed[at:]
    return bytes(changed)

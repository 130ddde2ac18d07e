"""Repeats, medians and the table of a benchmark run."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """One thing that was timed.

    Parameters
    ----------
    name
        What was done.
    median_s
        Median of the repeats.
    best_s
        The fastest of them, which other work on the machine has disturbed least; None where there was one only.
    processor_s
        Median processor time of all threads, which waiting for a core does not add to.
    """

    name: str
    median_s: float
    best_s: float | None = None
    processor_s: float | None = None

    @property
    def undisturbed_s(self) -> float:
        """The fastest, or what there is."""
        return self.median_s if self.best_s is None else self.best_s


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster one thing is than another, and what is asked of it."""

    text: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Whether the ratio is as good as it must be; True where nothing is asked."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    @property
    def verdict(self) -> str:
        """What is asked and whether it is met, in words."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}: {'met' if self.met else 'MISSED'}"
        if self.at_most is not None:
            return f"at most {self.at_most:g}: {'met' if self.met else 'MISSED'}"
        return ""


@dataclass(frozen=True, slots=True)
class Report:
    """What one subject measured."""

    title: str
    timings: tuple[Timing, ...]
    ratios: tuple[Ratio, ...]


BURST = 3
"""Calls in a row that are timed, after one that is not: the threads of the task before may still spin,
and its arrays may still fill the caches, which no frame after frame would meet."""


def medians(tasks: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """Time all tasks in turn, round after round, so that a busy moment of the machine hits them alike."""
    durations: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            task()
            durations[name] += [_duration(task) for _ in range(BURST)]
    return {name: _timing(name, values) for name, values in durations.items()}


def _duration(task: Callable[[], object]) -> tuple[float, float]:
    """Time on the clock, and of the processors."""
    processor, start = time.process_time(), time.perf_counter()
    task()
    return time.perf_counter() - start, time.process_time() - processor


def _timing(name: str, values: list[tuple[float, float]]) -> Timing:
    walls, processors = zip(*values, strict=True)
    return Timing(name, statistics.median(walls), min(walls), statistics.median(processors))


def table(report: Report) -> str:
    """The report as text."""
    width = max(len(one) for one in [*(t.name for t in report.timings), *(r.text for r in report.ratios)])
    lines = [report.title, "-" * len(report.title)]
    lines += [f"{timing.name:<{width}}  {1e3 * timing.median_s:9.2f} ms{_more(timing)}" for timing in report.timings]
    lines += [""]
    lines += [f"{ratio.text:<{width}}  {ratio.value:9.2f}     {ratio.verdict}".rstrip() for ratio in report.ratios]
    return "\n".join(lines)


def _more(timing: Timing) -> str:
    told = (("best", timing.best_s), ("processors", timing.processor_s))
    return "".join(f"   {name} {1e3 * value:9.2f} ms" for name, value in told if value is not None)

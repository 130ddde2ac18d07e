"""A cell that breathes with its charge, in front of a cycler whose clock is wrong."""

from dataclasses import dataclass

import numpy as np

from ringwatch_pipelines.cell.clock import ClockRelation
from ringwatch_pipelines.cell.cycling import CyclerSamples

S = 1_000_000_000
START_NS = 1_700_000_000 * S
TRUTH = ClockRelation(offset_s=-437.0, drift_ppm=-35.0, reference_ns=START_NS)
A_A, C_A = 8.257, 20.632


@dataclass(frozen=True)
class BreathingCell:
    """A rest of two hours, then half-cycles with a pause after each; all times in seconds since the start."""

    length_s: float = 340 * 3600.0
    half_s: float = 7.7 * 3600.0
    pause_s: float = 0.35 * 3600.0
    breathing: float = 6e-5
    relation: ClockRelation = TRUTH

    def phase(self, time_s):
        """Number of the half-cycle, -1 in the rest, and the part of it that is over."""
        since_s = np.asarray(time_s) - 7200.0
        number = np.floor(since_s / (self.half_s + self.pause_s))
        part = (since_s - number * (self.half_s + self.pause_s)) / self.half_s
        return np.where(since_s < 0, -1, number), np.where(since_s < 0, 1.0, part)

    def current_mA(self, time_s):
        number, part = self.phase(time_s)
        return np.where(part >= 1.0, 0.0, np.where(number % 2 == 0, 1.0, -1.0))

    def charge(self, time_s):
        """In half-cycles."""
        number, part = self.phase(time_s)
        done = np.minimum(part, 1.0)
        return np.where(number < 0, 0.0, np.where(number % 2 == 0, done, 1.0 - done))

    def samples(self, every_s=300.0, *, at_switches=True):
        """As the cycler's own clock stamps them."""
        times_s = np.arange(-3600.0, self.length_s + 3600.0, every_s)
        if at_switches:
            number = np.arange(int(self.length_s / (self.half_s + self.pause_s)) + 1)
            turns = 7200.0 + number * (self.half_s + self.pause_s)
            around = [switch + side for switch in (turns, turns + self.half_s) for side in (-1e-3, 1e-3)]
            times_s = np.unique(np.concatenate([times_s, *around]))
        own_ns = self.relation.cycler_from_detector_ns(START_NS + np.rint(times_s * S).astype(np.int64))
        nobody = np.full(times_s.size, -1, dtype=np.int64)
        current_A = 1e-3 * self.current_mA(times_s)
        unknown = np.full(times_s.size, np.nan)
        return CyclerSamples(own_ns, own_ns, 100.0 * current_A, current_A, nobody, nobody, unknown)

    def lattice(self, time_s, random, *, noise=2.2e-6, correlated=0.0):
        """a and c with their sigmas: a slow loss, the breathing, and noise that may last from frame to frame."""
        slow = 1.0 - 1e-3 * (1.0 - np.exp(-time_s / 7.2e5))
        swing = self.breathing * (self.charge(time_s) - 0.5)
        a = A_A * (slow * (1.0 + swing) + noise * lasting(random, time_s.size, correlated))
        c = C_A * (slow * (1.0 - swing) + 1.5 * noise * lasting(random, time_s.size, correlated))
        return a, np.full(time_s.size, noise * A_A), c, np.full(time_s.size, 1.5 * noise * C_A)


def lasting(random, count, correlated):
    """(count,) noise of width 1 of which so much lasts to the next frame."""
    noise = random.standard_normal(count)
    for place in range(1, count if correlated else 0):
        noise[place] = correlated * noise[place - 1] + np.sqrt(1.0 - correlated**2) * noise[place]
    return noise


def stamps_of(time_s):
    """UTC of times since the start."""
    return START_NS + np.rint(np.asarray(time_s) * S).astype(np.int64)

"""Errors of the science: a broken contract, never a poor measurement.

::

    RingwatchError              everything ringwatch raises on purpose
      GeometryError             a calibration that cannot be read or used
      CorrectionError           a dark, flat or mask that does not fit its frame
      PhaseError                a phase whose cell, sites or lines make no sense
      PatternError              a pattern whose arrays do not belong together

A scientific failure (no peak, too few counts, no convergence) is not an error
but a value with a reason; see `ringwatch_pipelines.results`.
"""


class RingwatchError(Exception):
    """One sentence: what was expected, what came, and from where."""


class GeometryError(RingwatchError):
    """A calibration cannot be read or used."""


class CorrectionError(RingwatchError):
    """A dark, flat or mask does not fit its frame."""


class PhaseError(RingwatchError):
    """The cell, sites or lines of a phase make no sense."""


class PatternError(RingwatchError):
    """The arrays of a pattern do not belong together."""

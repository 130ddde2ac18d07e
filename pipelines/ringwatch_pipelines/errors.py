"""Errors of the science: a broken contract, never a poor measurement.

::

    RingwatchError              everything ringwatch raises on purpose
      GeometryError             a calibration that cannot be read or used
      CorrectionError           a dark, flat or mask that does not fit its frame
        FrameShapeError         a frame of another shape than the geometry's
        FrameTypeError          a frame whose numbers cannot be counts
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


class FrameShapeError(CorrectionError):
    """A frame has another shape than the geometry."""


class FrameTypeError(CorrectionError):
    """A frame holds numbers that cannot be counts."""


class PhaseError(RingwatchError):
    """The cell, sites or lines of a phase make no sense."""


class PatternError(RingwatchError):
    """The arrays of a pattern do not belong together."""

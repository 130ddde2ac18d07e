"""Errors of the service, on top of those of the science.

::

    RingwatchError              (ringwatch_pipelines.errors) everything raised on purpose
      SettingsError             the configuration cannot be used
      InputFileError            a frame, dark, mask or recording cannot be read
      ClusterError              the dask cluster that reads frames does not do what it should
      DetectorError             the detector or its IOC does not do what it should
      CyclerError               the cycler's file or PVs cannot be read
      SinkError                 results cannot be written or published
        StorageError            at the moment: the disk is full, read-only or gone, and may come back
      WireError                 a message on a socket is not one of ours
      ReportError               a report cannot be made here
      StoppedError              somebody asked to stop before all was done
      PageError                 the page cannot be served
      SubscriptionError         a subscriber cannot reach or understand the publisher

A message is one sentence: what was expected, what came, and from which PV, file or frame.
"""

from ringwatch_pipelines.errors import RingwatchError


class SettingsError(RingwatchError):
    """The configuration cannot be used."""


class InputFileError(RingwatchError):
    """A frame, dark, mask or recording cannot be read."""


class ClusterError(RingwatchError):
    """The dask cluster that reads frames does not do what it should."""


class DetectorError(RingwatchError):
    """The detector or its IOC does not do what it should."""


class CyclerError(RingwatchError):
    """The cycler's file or PVs cannot be read."""


class SinkError(RingwatchError):
    """Results cannot be written or published."""


class StorageError(SinkError):
    """The disk does not take results at the moment; nothing of what it was given is forgotten."""


class WireError(RingwatchError):
    """A message on a socket is not one of ours."""


class ReportError(RingwatchError):
    """A report cannot be made here."""


class StoppedError(RingwatchError):
    """Somebody asked to stop before all was done; what was done is kept."""


class SubscriptionError(RingwatchError):
    """A subscriber cannot reach or understand the publisher."""


class PageError(RingwatchError):
    """The page cannot be served."""

"""What the metadata of a frame say: exposure, monitor, conditions, dark or light.

The same names serve attributes of an NTNDArray, side PVs and file headers. Names are
compared without regard to case; the first that is present wins.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.frames import DetectorConditions, FrameKind


@dataclass(frozen=True, slots=True)
class MetadataNames:
    """Under which names the metadata of a frame stand.

    Parameters
    ----------
    exposure
        Exposure time, a number of seconds or a text such as ``29.999 s`` or ``500 ms``.
    monitor
        Incident-beam monitor over the exposure; none by default, since nobody but the beamline knows it.
    gain, trigger_mode
        What a dark must share with a frame.
    dark
        Names that tell whether the frame is a dark, such as a shutter's state.
    dark_values
        Values of those that mean dark.
    offset_subtracted
        Names that are 1 (or ``Enable``, ``Yes``, ``On``) when the detector took its own dark off.
    cell
        Names that tell which of several cells is in the beam.
    cells
        (what they tell, name of the cell).
    """

    exposure: tuple[str, ...] = (
        "AcquireTime",
        "AcquireTime_RBV",
        "ExposureTime",
        "Exposure_time",
        "exposure_s",
        "exposure time(s)",
        "exposure",
        "count_time",
        "acq_expo_time",
        "exposure_sec",
    )
    monitor: tuple[str, ...] = ()
    gain: tuple[str, ...] = ("PEGain", "PEGain_RBV", "Gain", "Gain_RBV", "cameraGain", "gain_setting")
    trigger_mode: tuple[str, ...] = ("TriggerMode", "TriggerMode_RBV", "triggered", "trigger_mode", "acq_trigger_mode")
    dark: tuple[str, ...] = ()
    dark_values: tuple[str, ...] = ("1", "true", "yes", "dark", "closed", "close")
    offset_subtracted: tuple[str, ...] = ("PEUseOffset", "offset_subtracted")
    cell: tuple[str, ...] = ()
    cells: tuple[tuple[str, str], ...] = ()

    def cell_named(self, told: Scalar | None) -> str:
        """The cell that is meant; what was told, in quotes, where that is none, and nothing where nothing was told."""
        text = _text_or_none(told)
        return dict(self.cells).get(text, repr(text)) if text else ""


@dataclass(frozen=True, slots=True)
class FrameDetails:
    """What the metadata of one frame say; see `Frame` for the fields."""

    exposure_s: float = math.nan
    monitor: float = math.nan
    conditions: DetectorConditions = field(default_factory=DetectorConditions)
    kind: FrameKind = FrameKind.LIGHT
    offset_subtracted: bool = False
    cell: str = ""


def details_from_metadata(metadata: Mapping[str, Scalar], names: MetadataNames) -> FrameDetails:
    """Read what `names` point at; what is absent or unreadable stays unknown.

    Parameters
    ----------
    metadata
        With lower-case keys, see `lower_keys`.
    """
    exposure_s = seconds_from_scalar(first_present(metadata, names.exposure))
    return FrameDetails(
        exposure_s=exposure_s,
        monitor=number_from_scalar(first_present(metadata, names.monitor)),
        conditions=DetectorConditions(
            exposure_s=None if math.isnan(exposure_s) else exposure_s,
            gain=_text_or_none(first_present(metadata, names.gain)),
            trigger_mode=_text_or_none(first_present(metadata, names.trigger_mode)),
        ),
        kind=_kind(first_present(metadata, names.dark), names.dark_values),
        offset_subtracted=is_on(first_present(metadata, names.offset_subtracted)),
        cell=names.cell_named(first_present(metadata, names.cell)),
    )


def lower_keys(metadata: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The same metadata under lower-case names; the last of two equal names wins."""
    return {name.lower(): value for name, value in metadata.items()}


def first_present(metadata: Mapping[str, Scalar], names: tuple[str, ...]) -> Scalar | None:
    """The value of the first of `names` that `metadata` (lower-case keys) holds."""
    for name in names:
        if name.lower() in metadata:
            return metadata[name.lower()]
    return None


def number_from_scalar(value: Scalar | None) -> float:
    """A finite number, also one that stands at the start of a text; NaN otherwise."""
    if isinstance(value, str):
        found = re.match(r"\s*([-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)", value)
        value = float(found[1]) if found else None
    return float(value) if value is not None and math.isfinite(value) else math.nan


_UNIT_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "msec": 1e-3, "min": 60.0}


def seconds_from_scalar(value: Scalar | None) -> float:
    """A duration in seconds, NaN where there is none; a text may name its unit."""
    number = number_from_scalar(value)
    if isinstance(value, str):
        unit = re.search(r"([a-zA-Z]+)\s*$", value)
        number *= _UNIT_S.get(unit[1].lower(), 1.0) if unit else 1.0
    return number if number >= 0 else math.nan


_MAX_ATTRIBUTES = 256
_MAX_TEXT = 512


def attributes_from_metadata(metadata: Mapping[str, Scalar]) -> tuple[tuple[str, Scalar], ...]:
    """The metadata as a frame carries them, bounded in number and in length."""
    return tuple(
        (name[:_MAX_TEXT], value[:_MAX_TEXT] if isinstance(value, str) else value)
        for name, value in list(metadata.items())[:_MAX_ATTRIBUTES]
    )


_ON_WORDS = frozenset(
    ("1", "1.0", "on", "yes", "true", "enable", "enabled", "acquire", "acquiring", "run", "running", "busy")
)


def is_on(value: Scalar | None) -> bool:
    """Whether a switch is on, spelled as a number or as one of the usual words."""
    if isinstance(value, str):
        return value.strip().lower() in _ON_WORDS
    return value is not None and value != 0


def _text_or_none(value: Scalar | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _kind(value: Scalar | None, dark_values: tuple[str, ...]) -> FrameKind:
    text = _text_or_none(value)
    return FrameKind.DARK if text is not None and text.lower() in dark_values else FrameKind.LIGHT

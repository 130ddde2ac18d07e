"""All that one calibration found, and what it rests on."""

from dataclasses import dataclass

from ringwatch_pipelines.calibration.calibration import Calibrant, GeometryCalibration
from ringwatch_pipelines.calibration.instrument_width import InstrumentWidth, KnownBroadening
from ringwatch_pipelines.calibration.photon_transfer import PhotonTransfer
from ringwatch_pipelines.patterns import Pattern


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that went in, with the sha256 of its bytes."""

    role: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationOutcome:
    """What was found.

    Parameters
    ----------
    made_utc
        ISO date and time.
    calibrant
        What was in the beam.
    broadening
        What the calibrant itself was taken to add to the width.
    inputs
        Files that went in.
    pattern
        The calibrant in the bins of the refined geometry.
    versions
        (name, version) of everything that decides a number.
    """

    made_utc: str
    calibrant: Calibrant
    broadening: KnownBroadening
    inputs: tuple[InputFile, ...]
    geometry: GeometryCalibration
    pattern: Pattern
    width: InstrumentWidth
    transfer: PhotonTransfer
    versions: tuple[tuple[str, str], ...]

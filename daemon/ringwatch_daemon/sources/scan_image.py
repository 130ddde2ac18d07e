"""What a file holds of one scan, whatever its format."""

from dataclasses import dataclass, field

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.times import Scalar
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray

DURATION_KEY = "duration_s"
"""In the header of a scan that tells how long it took, and not when it ended."""


@dataclass(frozen=True, slots=True, eq=False)
class ScanImage:
    """What a file holds of one scan.

    Parameters
    ----------
    two_theta_deg, intensity
        (points,) rising in angle.
    sigma
        (points,) None where the file has no third column.
    header
        What it says besides, with lower-case keys.
    """

    two_theta_deg: FloatArray
    intensity: FloatArray
    sigma: FloatArray | None = None
    header: dict[str, Scalar] = field(default_factory=dict)


def rising_scan(
    two_theta_deg: FloatArray, intensity: FloatArray, sigma: FloatArray | None, header: dict[str, Scalar]
) -> ScanImage:
    """A scan in rising angles, in whatever direction the file has them.

    Raises
    ------
    InputFileError
        There are not as many intensities as angles.
    """
    if two_theta_deg.size != intensity.size:
        raise InputFileError(f"expected as many intensities as angles, got {intensity.size} for {two_theta_deg.size}")
    order = slice(None, None, -1) if two_theta_deg.size > 1 and two_theta_deg[0] > two_theta_deg[-1] else slice(None)
    return ScanImage(
        two_theta_deg=read_only(two_theta_deg[order]),
        intensity=read_only(intensity[order]),
        sigma=None if sigma is None else read_only(sigma[order]),
        header=header,
    )

"""A 1-D powder scan: intensity against angle, measured point by point or all at once."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ringwatch_pipelines.cell.timeline import IntArray
from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.frames import Frame, FrameKind, read_only
from ringwatch_pipelines.patterns import BinSums, FloatArray, RadialAxis

FEWEST_POINTS = 16
MOST_BINS = 200_000
_OFF_GRID_STEPS = 0.1
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scan:
    """One scan with what is known about it; it goes through a run as a frame does.

    Parameters
    ----------
    unique_id
        Index of the scan in its series.
    start_ns, end_ns
        UTC, nanoseconds since 1970; equal where only one moment is known.
    received_ns
        UTC, nanoseconds since 1970, when ringwatch had it in hand.
    two_theta_deg
        (points,) ascending.
    intensity
        (points,) NaN where a point was not measured.
    sigma
        (points,) one standard deviation; None where nobody told, then it is that of counts.
    monitor
        Incident-beam monitor over the scan, NaN where there is none.
    origin
        File, for messages.
    cell
        Which of several cells was in the beam, as in `Frame`.
    """

    unique_id: int
    start_ns: int
    end_ns: int
    received_ns: int
    two_theta_deg: FloatArray
    intensity: FloatArray
    sigma: FloatArray | None = None
    monitor: float = float("nan")
    origin: str = ""
    cell: str = ""

    def __post_init__(self) -> None:
        shapes = {array.shape for array in (self.two_theta_deg, self.intensity, self.sigma) if array is not None}
        if len(shapes) != 1 or self.two_theta_deg.ndim != 1:
            raise PatternError(f"a scan needs arrays of one length, got shapes {sorted(shapes)} from {self.origin}")
        if not np.isfinite(self.two_theta_deg).all():
            raise PatternError(f"expected finite angles in a scan, got others from {self.origin}")
        if self.end_ns < self.start_ns:
            back_s = (self.start_ns - self.end_ns) / NS_PER_S
            raise PatternError(f"a scan cannot end {back_s:g} s before it starts, as that from {self.origin}")

    @property
    def kind(self) -> FrameKind:
        """A scan is never a dark."""
        return FrameKind.LIGHT

    @property
    def timestamp_ns(self) -> int:
        """UTC at the middle of the scan."""
        return (self.start_ns + self.end_ns) // 2

    @property
    def exposure_s(self) -> float:
        """From start to end; NaN where only one moment is known."""
        duration_ns = self.end_ns - self.start_ns
        return duration_ns / NS_PER_S if duration_ns else float("nan")


Measured = Frame | Scan
"""What a source may bring."""


class Sweep(StrEnum):
    """Which angles of a scan are older."""

    RISING = "rising"
    FALLING = "falling"
    TOGETHER = "together"
    """All were measured at once, as by a strip detector."""


def measured_at_from_angle(*, two_theta_deg: FloatArray, span_deg: tuple[float, float], sweep: Sweep) -> FloatArray:
    """When within a scan each angle is measured by a diffractometer that moves evenly.

    Parameters
    ----------
    two_theta_deg
        (angles,)
    span_deg
        Lowest and highest angle of the scan.

    Returns
    -------
    array
        (angles,) 0 at the start of the scan, 1 at its end; 0.5 where all angles are measured at once.
    """
    if sweep is Sweep.TOGETHER:
        return np.full(two_theta_deg.shape, 0.5)
    share = np.asarray((two_theta_deg - span_deg[0]) / (span_deg[1] - span_deg[0]))
    return 1.0 - share if sweep is Sweep.FALLING else share


def axis_from_scan(scan: Scan) -> RadialAxis:
    """Bins with the points of a scan of equal steps in their centres; points left out give empty bins.

    Raises
    ------
    PatternError
        There are too few points, or they are not steps of one width.
    """
    angles = scan.two_theta_deg
    if angles.size < FEWEST_POINTS:
        raise PatternError(f"expected a scan of at least {FEWEST_POINTS} points, got {angles.size} from {scan.origin}")
    widths = np.diff(angles)
    usual = float(np.median(widths))
    if not (usual > 0 and widths.min() > 0):
        raise PatternError(f"expected rising angles in a scan, got others from {scan.origin}")
    index = np.concatenate([[0], np.cumsum(np.round(widths / usual))])
    if index[-1] >= MOST_BINS:
        raise PatternError(f"expected a scan of at most {MOST_BINS} steps, got {index[-1]:.0f} from {scan.origin}")
    # The written angles are rounded; all of them together tell the step much better.
    step_deg, first_deg = np.polyfit(index, angles, 1)
    edges = first_deg + step_deg * (np.arange(index[-1] + 2) - 0.5)
    axis = RadialAxis(read_only(edges))
    _bins_of_points(scan, axis)
    return axis


def sums_from_scan(scan: Scan, *, axis: RadialAxis, monitor: float = 1.0) -> BinSums:
    """A scan as sums in the bins of a run, each point in the bin that it is the centre of.

    Parameters
    ----------
    axis
        Bins of the run.
    monitor
        Monitor of this scan relative to its reference.

    Returns
    -------
    BinSums
        Empty bins where nothing was measured; without a sigma of its own, a point has that of counts.

    Raises
    ------
    PatternError
        The points lie between the bins, or none of them lies in one.
    """
    bins = _bins_of_points(scan, axis)
    size = axis.edges_two_theta_deg.size - 1
    inside = (bins >= 0) & (bins < size) & np.isfinite(scan.intensity)
    if not inside.any():
        raise PatternError(f"expected points at the angles of the run, got none from {scan.origin}")
    at, variance = bins[inside], _variance(scan)[inside]
    return BinSums(
        raw=np.bincount(at, weights=scan.intensity[inside], minlength=size),
        dark=np.zeros(size),
        norm=np.bincount(at, weights=np.full(at.size, monitor), minlength=size).astype(np.float64),
        variance=np.bincount(at, weights=variance, minlength=size).astype(np.float64),
    )


def points_outside(scan: Scan, axis: RadialAxis) -> int:
    """How many points lie beyond the bins of the run."""
    edges = axis.edges_two_theta_deg
    return int(np.sum((scan.two_theta_deg < edges[0]) | (scan.two_theta_deg > edges[-1])))


def _variance(scan: Scan) -> FloatArray:
    # A point of no counts is known to about one count, not exactly.
    counts = np.maximum(scan.intensity, 1.0)
    if scan.sigma is None:
        return counts
    return np.where(scan.sigma > 0, scan.sigma**2, counts)


def _bins_of_points(scan: Scan, axis: RadialAxis) -> IntArray:
    edges = axis.edges_two_theta_deg
    step_deg = (edges[-1] - edges[0]) / (edges.size - 1)
    place = (scan.two_theta_deg - edges[0]) / step_deg - 0.5
    bins = np.round(place)
    off = np.abs(place - bins)
    if off.max() > _OFF_GRID_STEPS:
        worst = int(np.argmax(off))
        raise PatternError(
            f"expected points at steps of {step_deg:.6g} degree as in the first scan of the run, got one at"
            f" {scan.two_theta_deg[worst]:.6g} degree, {off[worst]:.2f} steps off, from {scan.origin}"
        )
    found: IntArray = bins.astype(np.int64)
    return found

"""A flat tilted detector: from a point of its plane to the angles at which the sample sees it, and back.

The convention is that of the ``.poni`` file (Kieffer et al. 2020, J. Synchrotron Rad. 27, 558): a point
``(p1 - poni1, p2 - poni2, distance)`` is turned about axis 1 by rot1, then about axis 2 by rot2 (both
left-handed), then about the beam by rot3.
"""

import numpy as np
from numpy.typing import ArrayLike

from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.reduction.geometry import Geometry

PARAMETERS = ("distance_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad")
"""The parameters of a geometry that rings can tell, in the order of the slopes. Rings do not tell rot3."""


def angles_from_plane(*, geometry: Geometry, points_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Angles of points of the detector's plane.

    Parameters
    ----------
    points_m
        (..., 2) place along rows and columns, from the outer corner of the first pixel.

    Returns
    -------
    two_theta_rad, azimuth_rad, slopes
        (...,) angles, and (..., 5) derivatives of two_theta by `PARAMETERS`, in radian per metre or radian.
    """
    about1, about2, about3, by_rot1, by_rot2 = _rotations(geometry)
    turn = about3 @ about2 @ about1
    local = np.empty((*points_m.shape[:-1], 3))
    local[..., 0] = points_m[..., 0] - geometry.poni1_m
    local[..., 1] = points_m[..., 1] - geometry.poni2_m
    local[..., 2] = geometry.distance_m
    place = local @ turn.T
    across = np.hypot(place[..., 0], place[..., 1])
    along = place[..., 2]
    moves = np.empty((*local.shape[:-1], len(PARAMETERS), 3))
    for index, column in enumerate((turn[:, 2], -turn[:, 0], -turn[:, 1])):
        moves[..., index, :] = column
    moves[..., 3, :] = local @ (about3 @ about2 @ by_rot1).T
    moves[..., 4, :] = local @ (about3 @ by_rot2 @ about1).T
    outward = (place[..., None, 0] * moves[..., 0] + place[..., None, 1] * moves[..., 1]) / np.maximum(across, 1e-15)[
        ..., None
    ]
    square = (across**2 + along**2)[..., None]
    slopes = (along[..., None] * outward - across[..., None] * moves[..., 2]) / square
    return np.arctan2(across, along), np.arctan2(place[..., 0], place[..., 1]), slopes


def plane_from_angles(*, geometry: Geometry, two_theta_rad: ArrayLike, azimuth_rad: ArrayLike) -> FloatArray:
    """(..., 2) points where rays meet the detector's plane, in metre; NaN for a ray that never does."""
    about1, about2, about3, _, _ = _rotations(geometry)
    sine = np.sin(two_theta_rad)
    ray = np.stack(
        np.broadcast_arrays(sine * np.sin(azimuth_rad), sine * np.cos(azimuth_rad), np.cos(two_theta_rad)), -1
    )
    local = ray @ (about3 @ about2 @ about1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(local[..., 2] > 0.0, geometry.distance_m / local[..., 2], np.nan)
    return np.asarray(local[..., :2] * scale[..., None] + np.array([geometry.poni1_m, geometry.poni2_m]))


def _rotations(geometry: Geometry) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """The three turns, and the derivatives of the first two."""
    angles = (geometry.rot1_rad, geometry.rot2_rad, geometry.rot3_rad)
    (c1, c2, c3), (s1, s2, s3) = np.cos(angles), np.sin(angles)
    return (
        np.array([[1.0, 0.0, 0.0], [0.0, c1, s1], [0.0, -s1, c1]]),
        np.array([[c2, 0.0, -s2], [0.0, 1.0, 0.0], [s2, 0.0, c2]]),
        np.array([[c3, -s3, 0.0], [s3, c3, 0.0], [0.0, 0.0, 1.0]]),
        np.array([[0.0, 0.0, 0.0], [0.0, -s1, c1], [0.0, -c1, -s1]]),
        np.array([[-s2, 0.0, -c2], [0.0, 0.0, 0.0], [c2, 0.0, -s2]]),
    )

"""A quarter of the rings of the synthetic patterns on a small panel whose corner is the beam centre."""

from dataclasses import replace
from functools import cache

import numpy as np

from fakes import synthetic_patterns
from fakes.synthetic_patterns import WAVELENGTH_M, Truth
from ringwatch_pipelines.frames import DetectorConditions, Frame, FrameKind, read_only
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import Binning, geometry_from_poni

SHAPE = (400, 400)
PIXEL_M = 340e-6
DISTANCE_M = 1.6
RANGE_DEG = (1.2, 4.9)
BINNING = Binning(bins=500, two_theta_min_deg=RANGE_DEG[0], two_theta_max_deg=RANGE_DEG[1])
OFFSET = 100
TRUTH = Truth(li_110=20.0, li_200=3.0, lagp_113=200.0, background=100.0)
START_NS = 1_790_000_000_000_000_000
SECOND_NS = 1_000_000_000


def geometry(distance_m: float = DISTANCE_M) -> Geometry:
    poni = (
        f'poni_version: 2.1\nDetector: Detector\nDetector_config: {{"pixel1": {PIXEL_M}, "pixel2": {PIXEL_M}, '
        f'"orientation": 3}}\nDistance: {distance_m}\nPoni1: 0\nPoni2: 0\nRot1: 0\nRot2: 0\nRot3: 0\n'
        f"Wavelength: {WAVELENGTH_M}\n"
    )
    return geometry_from_poni(poni, origin="quarter.poni", shape=SHAPE)


@cache
def expected_counts(truth: Truth = TRUTH):
    """(rows, columns) expected counts above the offset."""
    along = (np.arange(SHAPE[0]) + 0.5) * PIXEL_M
    two_theta_deg = np.degrees(np.arctan(np.hypot(along[:, None], along[None, :]) / DISTANCE_M))
    fine_deg = np.arange(1.0, 7.5, 5e-4)
    return np.interp(two_theta_deg, fine_deg, synthetic_patterns.intensity(truth, fine_deg))


def light(unique_id: int, *, monitor: float = 1.0, truth: Truth = TRUTH, **changes: object) -> Frame:
    """A frame with beam, with its own noise: the same for the same `unique_id`."""
    noise = np.random.default_rng(unique_id)
    image = noise.poisson(monitor * expected_counts(truth)) + OFFSET
    return replace(_frame(unique_id, image), monitor=monitor, **changes)


def dark(unique_id: int, level: int = OFFSET, **changes: object) -> Frame:
    """A frame without beam."""
    return replace(_frame(unique_id, np.full(SHAPE, level)), kind=FrameKind.DARK, **changes)


def stamp_ns(unique_id: int) -> int:
    """When a frame is taken: one a second."""
    return START_NS + unique_id * SECOND_NS


def _frame(unique_id: int, image) -> Frame:
    return Frame(
        unique_id=unique_id,
        timestamp_ns=stamp_ns(unique_id),
        received_ns=stamp_ns(unique_id),
        exposure_s=1.0,
        image=read_only(np.asarray(image, dtype=np.uint16)),
        origin="a panel",
        conditions=DetectorConditions(exposure_s=1.0, gain="1", trigger_mode="Internal"),
    )

"""A small tilted detector and its frames, for tests that compare whole patterns."""

import numpy as np

from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import geometry_from_poni

SHAPE = (96, 127)
BINS = 60
RANGE_DEG = (0.5, 4.0)

PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 0.0002, "pixel2": 0.0002, "orientation": 3}
Distance: 0.2
Poni1: 0.0096
Poni2: 0.0128
Rot1: 0.01
Rot2: -0.02
Rot3: 0.3
Wavelength: 2e-11
"""


def small_geometry() -> Geometry:
    return geometry_from_poni(PONI, origin="small.poni", shape=SHAPE)


def counts(seed: int = 0, low: int = 120, high: int = 3000):
    return np.random.default_rng(seed).integers(low, high, SHAPE).astype(np.uint16)


def pedestal():
    return np.random.default_rng(1).integers(90, 110, SHAPE).astype(np.uint16)


def sensitivity():
    flat = np.random.default_rng(2).uniform(0.5, 1.5, SHAPE)
    flat[50, 50] = 0.0
    flat[51, 50] = np.nan
    return flat


def shadow():
    mask = np.zeros(SHAPE, dtype=bool)
    mask[40:60, 60:90] = True
    return mask

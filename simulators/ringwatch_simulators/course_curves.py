"""How what is in a lithium cell changes in 340 h; between the anchors of the study the curves are invented."""

import numpy as np

FULL_COURSE_H = 340.0
LITHIUM_RATIO_RANDOM = 7.2
SIZE_LOSS = 0.27
LATTICE_LOSS = 1.0e-3


def aged_share(course_h: float, constant_h: float = 200.0) -> float:
    """How far a cell has aged: 0 at the start, 1 at the end, slowing down."""
    return float((1.0 - np.exp(-course_h / constant_h)) / (1.0 - np.exp(-FULL_COURSE_H / constant_h)))


def lithium_growth(course_h: float) -> float:
    """Lithium's lines from 6 % to all of their final area."""
    return float(0.06 + 0.94 * (course_h / FULL_COURSE_H) ** 0.8)


def lithium_ratio(course_h: float) -> float:
    """Area of (110) over that of (200): 12 at first, 7.2 after a step around 130 h that takes about 30 h."""
    return float(LITHIUM_RATIO_RANDOM + 4.8 / (1.0 + np.exp((course_h - 130.0) / 8.0)))


def grown_since(course_h: float, onset_h: float) -> float:
    """0 before the onset, then rising to 1 at the end, slowing down."""
    return float(max(0.0, (course_h - onset_h) / (FULL_COURSE_H - onset_h)) ** 0.7)

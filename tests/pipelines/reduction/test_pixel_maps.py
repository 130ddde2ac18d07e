"""What is remembered of a calibration gives the operators that working it out gives."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.small_detector import BINS, RANGE_DEG, SHAPE, counts, pedestal, sensitivity, shadow, small_geometry
from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, Flat, Mask
from ringwatch_pipelines.reduction.integration import Binning, build_operator, build_sector_operator
from ringwatch_pipelines.reduction.pixel_maps import PixelMaps


class Memory:
    """A store in memory that tells what was asked of it."""

    def __init__(self):
        self.kept = {}
        self.missed = []

    def recall(self, key):
        if key not in self.kept:
            self.missed.append(key)
        return self.kept.get(key)

    def keep(self, key, arrays):
        self.kept[key] = {name: array.copy() for name, array in arrays.items()}


CORRECTIONS = Corrections(mask=Mask(shadow()), polarization_factor=0.95)


def sums_of(corrections, store, *, splitting="none", bins=BINS, geometry=None):
    operator = build_operator(
        geometry=geometry or small_geometry(),
        corrections=corrections,
        binning=Binning(bins, *RANGE_DEG, splitting),
        store=store,
    )
    sums = operator.integrate(counts(), dark=operator.dark_sums(Dark(pedestal()))).sums
    return [operator.axis.mean_two_theta_deg, sums.raw, sums.dark, sums.norm, sums.variance]


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_a_second_start_asks_for_nothing_and_has_the_same_bits(splitting):
    store = Memory()
    first = sums_of(CORRECTIONS, store, splitting=splitting)
    store.missed.clear()
    for one, other in zip(first, sums_of(CORRECTIONS, store, splitting=splitting), strict=True):
        np.testing.assert_array_equal(one, other)
    assert store.missed == []


def test_sectors_are_remembered_too():
    def pattern(store):
        operator = build_sector_operator(
            geometry=small_geometry(),
            corrections=CORRECTIONS,
            two_theta_min_deg=RANGE_DEG[0],
            two_theta_max_deg=RANGE_DEG[1],
            radial_bins=7,
            sectors=5,
            store=store,
        )
        return operator.sector_pattern(counts(), dark=None).intensity

    store = Memory()
    first = pattern(store)
    store.missed.clear()
    np.testing.assert_array_equal(pattern(store), first)
    assert store.missed == []


@pytest.mark.parametrize(
    "changed",
    [
        {"geometry": replace(small_geometry(), distance_m=0.9 * small_geometry().distance_m)},
        {"corrections": replace(CORRECTIONS, polarization_factor=0.9)},
        {"corrections": replace(CORRECTIONS, solid_angle=False)},
        {"corrections": replace(CORRECTIONS, mask=None)},
        {"corrections": replace(CORRECTIONS, flat=Flat(sensitivity()))},
        {"bins": BINS + 1},
        {"splitting": "bbox"},
    ],
    ids=["distance", "polarisation", "solid angle", "mask", "flat", "bins", "splitting"],
)
def test_whatever_changes_a_number_is_not_taken_from_the_store(changed):
    given = {"corrections": CORRECTIONS, **changed}
    store = Memory()
    sums_of(CORRECTIONS, store)
    for one, other in zip(sums_of(store=store, **given), sums_of(store=Memory(), **given), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_map_without_a_counting_pixel_is_refused():
    flat = Flat(np.where(shadow(), 1.0, 0.0))
    maps = PixelMaps(small_geometry(), Corrections(mask=Mask(shadow()), flat=flat))
    for ask in (lambda: maps.weight, lambda: maps.counting):
        with pytest.raises(CorrectionError, match="leave no pixel"):
            ask()
    assert maps.two_theta_deg.shape == SHAPE

"""Pixels in groups give the sums of pixels one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ringwatch_pipelines.reduction.folds import FoldInput
from ringwatch_pipelines.reduction.frame_limits import limits_for
from ringwatch_pipelines.reduction.histogram_fold import HistogramFold
from ringwatch_pipelines.reduction.pixel_groups import MOST_SLOTS, pixel_groups

BINS = 7


def fold_of(bin_of_pixel, bins=BINS):
    groups = pixel_groups(bin_of_pixel, bins=bins)
    return HistogramFold(bin_of_pixel, np.ones(bin_of_pixel.shape, np.float32), bins, bin_of_pixel.size, groups)


def counted(fold, image, threads=1, saturation=None, minimum=None):
    limits = limits_for(dtype=image.dtype, minimum_counts=minimum, saturation_counts=saturation)
    return fold.counts(FoldInput(image=image, limits=limits, threads=threads))


shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=23)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from([np.uint8, np.uint16]))
def test_groups_add_up_to_what_single_pixels_do(data, dtype):
    shape = data.draw(shapes)
    bin_of_pixel = data.draw(hnp.arrays(np.uint16, shape, elements=st.integers(0, BINS)))
    image = data.draw(hnp.arrays(dtype, shape, elements=st.integers(0, np.iinfo(dtype).max)))
    fold = fold_of(bin_of_pixel)
    assert fold.groups.holds(image.dtype)
    found = counted(fold, image, threads=data.draw(st.sampled_from([1, 3])), saturation=200, minimum=3)
    good = (image >= 3) & (image < 200)
    expected = [int(image[good & (bin_of_pixel == one)].sum(dtype=np.int64)) for one in range(BINS)]
    np.testing.assert_array_equal(found.raw, expected)
    np.testing.assert_array_equal(found.bad, np.flatnonzero(~good & (bin_of_pixel < BINS)))


def test_four_equal_neighbours_share_a_slot_and_order_within_counts():
    groups = pixel_groups(np.array([[0, 1, 2, 3, 0, 1, 2, 3], [3, 2, 1, 0, 0, 1, 2, 3]], np.uint16), bins=4)
    assert groups.bins_of_slot.shape == (2, 4)
    assert groups.slots[0, 0] == groups.slots[0, 1] == groups.slots[1, 1] != groups.slots[1, 0]
    assert groups.fullest == 3


def test_sums_that_could_overflow_go_pixel_by_pixel():
    shape = (260, 1024)
    fold = fold_of(np.zeros(shape, np.uint16))
    assert not fold.groups.holds(np.dtype(np.uint16))
    assert fold.groups.holds(np.dtype(np.uint8))
    image = np.full(shape, 65535, np.uint16)
    assert counted(fold, image).raw[0] == 65535 * image.size


def test_pixels_that_never_count_may_overflow():
    bin_of_pixel = np.full((600, 1024), BINS, np.uint16)
    bin_of_pixel[7, 5:9] = [0, 1, 1, 2]
    fold = fold_of(bin_of_pixel)
    assert fold.groups.holds(np.dtype(np.uint16))
    image = np.full(bin_of_pixel.shape, 65535, np.uint16)
    np.testing.assert_array_equal(counted(fold, image).raw[:3], [65535, 2 * 65535, 65535])


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float32])
def test_other_types_than_small_unsigned_ones_go_pixel_by_pixel(dtype):
    bin_of_pixel = np.arange(40, dtype=np.uint16).reshape(4, 10) % BINS
    fold = fold_of(bin_of_pixel)
    assert not fold.groups.holds(np.dtype(dtype))
    image = np.arange(40).reshape(4, 10).astype(dtype)
    np.testing.assert_array_equal(counted(fold, image).raw, np.bincount(bin_of_pixel.ravel(), weights=image.ravel()))


def test_more_slots_than_16_bit_can_number_have_32():
    rng = np.random.default_rng(1)
    bin_of_pixel = rng.integers(0, 3000, (700, 400), dtype=np.uint16)
    fold = fold_of(bin_of_pixel, bins=3000)
    assert fold.groups.slots.dtype == np.uint32
    image = rng.integers(0, 60000, bin_of_pixel.shape, dtype=np.uint16)
    expected = np.bincount(bin_of_pixel.ravel(), weights=image.ravel(), minlength=3000)
    np.testing.assert_array_equal(counted(fold, image, threads=2).raw, expected)


def test_too_many_different_groups_are_none():
    rng = np.random.default_rng(1)
    assert pixel_groups(rng.integers(0, 3000, (4, 4 * MOST_SLOTS // 3), dtype=np.uint16), bins=3000) is None
    assert pixel_groups(np.zeros((4, 4), np.int32), bins=70000) is None

"""Mask, flat, dark and the noise of a pixel."""

import numpy as np
import pytest

from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.frames import DetectorConditions
from ringwatch_pipelines.reduction.corrections import (
    Corrections,
    Dark,
    Flat,
    Mask,
    VarianceModel,
    checksum_of,
    dead_pixels_from_dark,
    select_dark,
)
from ringwatch_pipelines.results import Refusal

ONE_SECOND = DetectorConditions(exposure_s=1.0, gain="1 pF", trigger_mode="Internal")


def dark_at(timestamp_ns, conditions=ONE_SECOND):
    return Dark(np.ones((2, 3)), conditions=conditions, timestamp_ns=timestamp_ns, origin=f"dark {timestamp_ns}")


def test_a_mask_tells_how_much_it_masks():
    assert Mask(np.array([[True, False], [False, False]])).masked_fraction == 0.25


@pytest.mark.parametrize("image", [np.zeros((2, 2), np.uint8), np.zeros(4, bool), np.ones((2, 2), bool)])
def test_a_mask_that_is_no_mask_is_refused(image):
    with pytest.raises(CorrectionError, match=r"hutch\.edf"):
        Mask(image, origin="hutch.edf")


def test_a_mask_or_flat_of_another_shape_is_refused_with_both_shapes():
    for corrections in (Corrections(mask=Mask(np.zeros((2, 2), bool))), Corrections(flat=Flat(np.ones((2, 2))))):
        with pytest.raises(CorrectionError, match=r"\(3, 4\).*\(2, 2\)"):
            corrections.require_shape((3, 4))


@pytest.mark.parametrize("image", [np.zeros((2, 2)), np.full((2, 2), np.nan), np.ones(4), np.ones((2, 2), complex)])
def test_a_flat_without_a_usable_pixel_is_refused(image):
    with pytest.raises(CorrectionError):
        Flat(image)


@pytest.mark.parametrize("image", [np.ones(4), np.full((2, 2), np.nan), np.ones((2, 2), bool)])
def test_a_dark_that_cannot_be_subtracted_is_refused(image):
    with pytest.raises(CorrectionError, match=r"dark\.tif"):
        Dark(image, origin="dark.tif")


def test_a_dark_of_no_frames_is_refused():
    with pytest.raises(CorrectionError, match="1 frame or more"):
        Dark(np.ones((2, 2)), frames=0)


def test_corrections_do_not_change_behind_the_back():
    mask = Mask(np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="read-only"):
        mask.image[0, 0] = True


@pytest.mark.parametrize(
    "wrong",
    [
        {"polarization_factor": 1.5},
        {"saturation_counts": float("nan")},
        {"minimum_counts": 10.0, "saturation_counts": 10.0},
    ],
)
def test_impossible_corrections_are_refused(wrong):
    with pytest.raises(CorrectionError):
        Corrections(**wrong)


@pytest.mark.parametrize("wrong", [{"gain": 0.0}, {"gain": float("nan")}, {"read_noise_counts": -1.0}])
def test_an_impossible_noise_is_refused(wrong):
    with pytest.raises(CorrectionError):
        VarianceModel(**wrong)


def test_the_newest_dark_before_the_frame_is_taken_whatever_the_order():
    darks = [dark_at(30), dark_at(10), dark_at(20), dark_at(40)]
    choice = select_dark(darks, conditions=ONE_SECOND, timestamp_ns=35)
    assert choice.dark is darks[0]
    assert choice.index == 0


def test_an_older_dark_that_fits_is_better_than_a_newer_one_that_does_not():
    darks = [dark_at(10), dark_at(20, DetectorConditions(exposure_s=2.0))]
    assert select_dark(darks, conditions=ONE_SECOND, timestamp_ns=30).index == 0


@pytest.mark.parametrize(
    ("conditions", "named"),
    [
        (DetectorConditions(exposure_s=2.0, gain="1 pF", trigger_mode="Internal"), "exposure 1 s against 2 s"),
        (DetectorConditions(exposure_s=1.0, gain="2 pF", trigger_mode="Internal"), "gain 1 pF against 2 pF"),
        (DetectorConditions(exposure_s=1.0, gain="1 pF", trigger_mode="External"), "trigger_mode"),
    ],
)
def test_a_dark_of_other_conditions_is_refused_by_name(conditions, named):
    choice = select_dark([dark_at(10)], conditions=conditions, timestamp_ns=30)
    assert choice.dark is None
    assert choice.refusal is Refusal.NO_VALID_DARK
    assert named in choice.text
    assert "dark 10" in choice.text


@pytest.mark.parametrize("darks", [[], [dark_at(50)]])
def test_a_frame_before_the_first_dark_is_told_so(darks):
    choice = select_dark(darks, conditions=ONE_SECOND, timestamp_ns=30)
    assert (choice.dark, choice.index, choice.refusal) == (None, -1, Refusal.BEFORE_FIRST_DARK)


def test_a_checksum_looks_at_values_and_not_at_memory():
    array = np.arange(12, dtype="<u2").reshape(3, 4)
    assert checksum_of(array) == checksum_of(array.astype(">u2"))
    assert checksum_of(array) == checksum_of(np.asfortranarray(array))
    assert checksum_of(array) != checksum_of(array.reshape(4, 3))
    assert checksum_of(array) != checksum_of(array.astype("<u4"))


def test_rows_without_readout_are_dead_and_a_photon_counters_dark_has_none():
    dark = np.full((6, 5), 3700, np.uint16)
    dark[[0, -1]] = 0
    assert dead_pixels_from_dark(dark).sum() == 10
    assert not dead_pixels_from_dark(np.zeros((6, 5), np.int32)).any()


@pytest.mark.recordings
def test_the_real_panel_has_a_dead_first_and_last_row(recordings):
    import fabio

    dark = fabio.open(str(recordings / "frames/pe_xpd_Ni_light_dark/Ni_dark_frame.tiff")).data
    dead = dead_pixels_from_dark(dark)
    assert dead[0].all()
    assert dead[-1].all()
    assert dead.sum() < 5000

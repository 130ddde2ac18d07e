"""Rings of real calibrants, and of small simulated frames whose truth is known."""

import dataclasses

import numpy as np
import pytest
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, Mask, dead_pixels_from_dark
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import build_sector_operator, geometry_from_poni
from ringwatch_pipelines.reduction.operators import SectorPattern
from ringwatch_pipelines.reduction.ring_self_test import ring_self_test

NI_A, CEO2_A = 3.5238, 5.4113
SIDE, PIXEL_M = 400, 2e-4
PONI = f"""Detector: Detector
Detector_config: {{"pixel1": {PIXEL_M}, "pixel2": {PIXEL_M}, "max_shape": [{SIDE}, {SIDE}], "orientation": 3}}
Distance: 0.25
Poni1: 0.041
Poni2: 0.039
Wavelength: 1.66e-11
"""


def face_centred_lines_deg(a_A, geometry, lines=None, upto_deg=90.0):
    squares = {
        h * h + k * k + l * l
        for h in range(10)
        for k in range(h + 1)
        for l in range(k + 1)  # noqa: E741 - Miller index
        if h % 2 == k % 2 == l % 2 and h > 0
    }
    sine = geometry.wavelength_m * 1e10 * np.sqrt(sorted(squares)) / (2 * a_A)
    two_theta_deg = np.rad2deg(2 * np.arcsin(sine[sine < 1]))
    return two_theta_deg[two_theta_deg < upto_deg][:lines]


def sectors_of(image, geometry, *, dark=None, upto_deg=14.0, mask=None, bins=900, sectors=12):
    corrections = Corrections(saturation_counts=65535.0, mask=None if mask is None else Mask(mask))
    operator = build_sector_operator(
        geometry=geometry, corrections=corrections, two_theta_min_deg=1.0, two_theta_max_deg=upto_deg,
        radial_bins=bins, sectors=sectors,
    )  # fmt: skip
    return operator.sector_pattern(image, dark=None if dark is None else operator.dark_sums(Dark(dark)))


@pytest.fixture(scope="module")
def small():
    return geometry_from_poni(PONI, origin="small.poni")


def two_theta_map(geometry: Geometry):
    detector = Detector(PIXEL_M, PIXEL_M, max_shape=geometry.shape)
    integrator = AzimuthalIntegrator(
        geometry.distance_m, geometry.poni1_m, geometry.poni2_m, detector=detector, wavelength=geometry.wavelength_m
    )
    azimuth = integrator.center_array(geometry.shape, "chi_rad", scale=False)
    return np.rad2deg(integrator.center_array(geometry.shape, "2th_rad", scale=False)), azimuth


def simulated(geometry, lines_deg, *, height=800.0, foreign_deg=(), texture=0.0, background=300.0):
    """Poisson counts of rings on a falling background."""
    two_theta_deg, azimuth = two_theta_map(geometry)
    rate = background * (0.3 + np.exp(-two_theta_deg / 4))
    for place, strength in [(line, height) for line in lines_deg] + [(line, 2 * height) for line in foreign_deg]:
        ring = strength * np.exp(-0.5 * ((two_theta_deg - place) / 0.04) ** 2)
        rate += ring * np.maximum(1 + texture * np.cos(2 * azimuth + place), 0.0)
    return np.random.default_rng(7).poisson(rate).astype(np.uint16)


def judge(image, geometry, lines_deg, **how):
    return ring_self_test(pattern=sectors_of(image, geometry, **how), lines_two_theta_deg=lines_deg)


def test_a_right_calibration_passes(small):
    lines = face_centred_lines_deg(NI_A, small, 8)
    result = judge(simulated(small, lines), small, lines)
    assert result.passed
    assert result.lines_found == result.lines_expected == 8
    assert abs(result.median_offset_ppm) < 200
    assert result.azimuthal_scatter_ppm < 400
    assert "8 of 8 rings" in result.text


@pytest.mark.parametrize("error_ppm", [-40000, -3000, 3000, 40000])
def test_a_wrong_distance_is_measured(small, error_ppm):
    lines = face_centred_lines_deg(NI_A, small, 8)
    wrong = dataclasses.replace(small, distance_m=small.distance_m * (1 + 1e-6 * error_ppm))
    result = judge(simulated(small, lines), wrong, lines)
    assert not result.passed
    assert result.scale_ppm == pytest.approx(error_ppm, rel=0.1)
    assert "distance or wavelength" in result.text


@pytest.mark.parametrize("pixels", [1.5, -3.0])
def test_a_shifted_beam_centre_is_named(small, pixels):
    lines = face_centred_lines_deg(NI_A, small, 8)
    wrong = dataclasses.replace(small, poni1_m=small.poni1_m + pixels * PIXEL_M)
    result = judge(simulated(small, lines), wrong, lines)
    assert not result.passed
    assert result.azimuthal_scatter_ppm > 1000
    assert "beam centre or tilt" in result.text


def test_a_mirrored_frame_fails(small):
    off_centre = dataclasses.replace(small, poni1_m=0.030)
    lines = face_centred_lines_deg(NI_A, small, 8)
    image = simulated(off_centre, lines)
    assert judge(image, off_centre, lines).passed
    assert not judge(image[::-1], off_centre, lines).passed


@pytest.mark.parametrize(("bins", "passed"), [(900, False), (110, True)])
def test_coarse_bins_are_not_asked_for_more_than_a_quarter_of_their_width(small, bins, passed):
    lines = face_centred_lines_deg(NI_A, small, 8)
    slightly_wrong = dataclasses.replace(small, distance_m=small.distance_m * 1.002)
    assert judge(simulated(small, lines), slightly_wrong, lines, bins=bins).passed == passed


def strengths_of(lines_deg):
    """Strengths that fall with the angle by a factor of 30, as those of a powder do."""
    return 100.0 * 30.0 ** (-(lines_deg - lines_deg[0]) / np.ptp(lines_deg))


def test_rings_that_drown_in_noise_are_no_fault_of_the_calibration(small):
    lines = face_centred_lines_deg(CEO2_A, small, upto_deg=14.0)
    two_theta_deg, _ = two_theta_map(small)
    rate = 3.0 + 0.0 * two_theta_deg
    for place, strength in zip(lines, strengths_of(lines), strict=True):
        rate += 0.02 * strength * np.exp(-0.5 * ((two_theta_deg - place) / 0.04) ** 2)
    few_counts = np.random.default_rng(11).poisson(rate).astype(np.uint16)
    pattern = sectors_of(few_counts, small)
    result = ring_self_test(pattern=pattern, lines_two_theta_deg=lines, relative_strengths=strengths_of(lines))
    assert result.passed, result.text
    assert result.lines_found < 0.5 * result.lines_expected
    wrong = ring_self_test(pattern=pattern, lines_two_theta_deg=1.01 * lines, relative_strengths=strengths_of(lines))
    assert not wrong.passed


def test_a_frame_without_rings_fails_with_the_reason(small):
    lines = face_centred_lines_deg(NI_A, small, 8)
    result = judge(simulated(small, []), small, lines)
    assert not result.passed
    assert "stand out nowhere" in result.text
    assert not judge(np.zeros(small.shape, np.uint16), small, lines).passed


@pytest.mark.parametrize("other_a_A", [CEO2_A, 4.05, 3.40, 5.431])
def test_rings_of_another_phase_fail(small, other_a_A):
    image = simulated(small, face_centred_lines_deg(other_a_A, small, 9))
    assert not judge(image, small, face_centred_lines_deg(NI_A, small, 8)).passed


def test_rings_of_other_phases_beside_the_expected_ones_do_no_harm(small):
    lines = face_centred_lines_deg(NI_A, small, 8)
    foreign = [1.9, 2.7, 3.3, 4.4, 5.0, 6.1, 6.6, 8.2, 9.6, 10.3]
    result = judge(simulated(small, lines, foreign_deg=foreign), small, lines)
    assert result.passed
    assert not judge(simulated(small, [], foreign_deg=foreign), small, lines).passed


def test_textured_rings_and_a_beam_stop_arm_do_no_harm(small):
    lines = face_centred_lines_deg(NI_A, small, 8)
    image = simulated(small, lines, texture=1.5)
    image[190:215, :200] = 20
    assert judge(image, small, lines).passed


def test_masked_sectors_do_no_harm(small):
    lines = face_centred_lines_deg(NI_A, small, 8)
    mask = np.zeros(small.shape, dtype=bool)
    mask[:, :200] = True
    assert judge(simulated(small, lines), small, lines, mask=mask).passed


def test_weak_rings_that_one_can_just_see_pass(small):
    lines = face_centred_lines_deg(NI_A, small, 8)
    assert judge(simulated(small, lines, height=25.0), small, lines).passed


def test_weak_lines_that_are_expected_to_be_weak_may_be_missing(small):
    lines = face_centred_lines_deg(NI_A, small, 14)
    pattern = sectors_of(simulated(small, lines[:5]), small)
    strengths = np.where(np.arange(lines.size) < 5, 100.0, 1.0)
    assert ring_self_test(pattern=pattern, lines_two_theta_deg=lines, relative_strengths=strengths).passed


def test_clusters_of_overlapping_lines_are_held_against_nothing(small):
    """Dense lines of low symmetry: the top of a cluster lies between the places of its lines."""
    few = face_centred_lines_deg(NI_A, small, upto_deg=13.0)
    clusters = np.concatenate([few[:-1] + share * np.diff(few) for share in (0.5, 0.5 + 0.06 / np.diff(few))])
    lines, strengths = np.concatenate([few, clusters]), np.concatenate([np.ones_like(few), np.ones_like(clusters)])
    frame = simulated(small, lines)
    result = ring_self_test(pattern=sectors_of(frame, small), lines_two_theta_deg=lines, relative_strengths=strengths)
    assert result.passed, result.text
    assert result.lines_expected < lines.size / 2
    assert result.lines_found == result.lines_expected


def test_without_two_rings_on_the_detector_nothing_can_be_told(small):
    pattern = sectors_of(simulated(small, []), small)
    result = ring_self_test(pattern=pattern, lines_two_theta_deg=[5.0, 80.0])
    assert not result.passed
    assert "two are needed" in result.text
    assert not ring_self_test(pattern=pattern, lines_two_theta_deg=[]).passed


def test_strengths_that_do_not_belong_to_the_lines_are_refused(small):
    pattern = sectors_of(simulated(small, []), small)
    for strengths in ([1.0], [1.0, -1.0]):
        with pytest.raises(PatternError, match="strength"):
            ring_self_test(pattern=pattern, lines_two_theta_deg=[3.0, 5.0], relative_strengths=strengths)


def test_a_pattern_of_nan_fails_and_raises_nothing():
    nothing = np.full((8, 300), np.nan)
    axis = np.linspace(1, 10, 300)
    pattern = SectorPattern(nothing, nothing, np.zeros((8, 300)), axis, np.arange(8) * 45.0)
    assert not ring_self_test(pattern=pattern, lines_two_theta_deg=[3.0, 5.0, 7.0]).passed


def test_sectors_add_up_to_the_whole(small):
    image = simulated(small, [5.0])
    how = {"geometry": small, "corrections": Corrections(), "two_theta_min_deg": 4.0, "two_theta_max_deg": 6.0}
    sectors = build_sector_operator(**how, radial_bins=20, sectors=12)
    whole = build_sector_operator(**how, radial_bins=20, sectors=1)
    np.testing.assert_array_equal(
        sectors.integrate(image, dark=None).sums.raw.reshape(12, 20).sum(axis=0),
        whole.integrate(image, dark=None).sums.raw,
    )
    two_theta_deg, _ = two_theta_map(small)
    inside = (two_theta_deg >= 4.0) & (two_theta_deg < 6.0)
    assert whole.integrate(image, dark=None).sums.raw.sum() == image[inside].sum()


def test_a_spot_stands_in_the_sector_of_its_azimuth(small):
    two_theta_deg, azimuth = two_theta_map(small)
    image = np.full(small.shape, 10, np.uint16)
    spot = (np.abs(two_theta_deg - 5.0) < 0.1) & (np.abs(np.mod(np.rad2deg(azimuth), 360) - 100.0) < 2)
    image[spot] = 5000
    pattern = sectors_of(image, small, bins=65, sectors=72)
    assert pattern.intensity.shape == pattern.sigma.shape == pattern.norm.shape == (72, 65)
    brightest = np.nanargmax(np.nanmax(pattern.intensity, axis=1))
    assert abs(pattern.azimuth_deg[brightest] - 100.0) <= 5.0


@pytest.fixture(scope="module")
def nickel(recordings):
    import fabio

    folder = recordings / "frames/pe_xpd_Ni_light_dark"
    light, dark = (fabio.open(str(folder / f"Ni_{name}_frame.tiff")).data for name in ("light", "dark"))
    names = ("refined_Ni_0.1665A.poni", "wrong_geometry.poni")
    right, wrong = (geometry_from_poni((folder / name).read_text(), origin=name, shape=light.shape) for name in names)
    return light, dark, right, wrong


def judge_nickel(image, dark, geometry, lines_deg):
    mask = dead_pixels_from_dark(dark)
    return judge(image, geometry, lines_deg, dark=dark, mask=mask, upto_deg=40.0, bins=1500)


@pytest.mark.recordings
def test_fourteen_rings_of_real_nickel_lie_within_500_ppm(nickel):
    light, dark, right, _ = nickel
    result = judge_nickel(light, dark, right, face_centred_lines_deg(NI_A, right, 14))
    assert result.passed
    assert result.lines_found == 14
    assert abs(result.worst_offset_ppm) < 500
    assert result.azimuthal_scatter_ppm < 500


@pytest.mark.recordings
def test_a_wrong_calibration_of_real_nickel_fails(nickel):
    light, dark, right, wrong = nickel
    mirrored = dataclasses.replace(right, poni1_m=2048 * 2e-4 - right.poni1_m)
    shifted = dataclasses.replace(right, poni2_m=right.poni2_m + 2 * 2e-4)
    for geometry in (wrong, mirrored, shifted):
        result = judge_nickel(light, dark, geometry, face_centred_lines_deg(NI_A, geometry, 14))
        assert not result.passed
        assert result.text.count(".") <= 1


@pytest.mark.recordings
def test_real_nickel_is_no_ceria_and_a_dark_is_no_sample(nickel):
    light, dark, right, _ = nickel
    assert not judge_nickel(light, dark, right, face_centred_lines_deg(CEO2_A, right, 14)).passed
    assert not judge_nickel(dark, dark, right, face_centred_lines_deg(NI_A, right, 14)).passed


@pytest.mark.recordings
def test_the_rings_of_real_ceria_lie_within_400_ppm(recordings):
    import h5py

    folder = recordings / "frames/ge_aps_CeO2"
    with h5py.File(folder / "ge_wppf.h5") as file:
        image = file["images/ge3/images"][0]
    geometry = geometry_from_poni((folder / "CeO2_APS_GE_80p725keV.poni").read_text(), origin="CeO2", shape=image.shape)
    lines = face_centred_lines_deg(CEO2_A, geometry, upto_deg=13.0)
    result = judge(image, geometry, lines, upto_deg=13.0, bins=1500)
    assert result.passed
    assert result.lines_found == lines.size
    assert abs(result.worst_offset_ppm) < 400
    assert not judge(image[::-1], geometry, lines, upto_deg=13.0, bins=1500).passed


def cell_pattern(scale=1.0, *, electrolyte=1.0, counts=400.0):
    """Sectors of a lithium cell at 0.1173 A: electrolyte, lithium, copper, separator and a hump."""
    axis = np.arange(0.9, 4.7, 0.0072)
    lines = {place: electrolyte * strength for place, strength in zip(LAGP_DEG, LAGP_STRENGTHS, strict=True)}
    lines |= {2.7081: 6.0, 3.8302: 1.0, 2.4478: 8.0, 3.2205: 60.0, 3.7188: 28.0, 1.0735: 30.0, 1.29: 40.0, 1.41: 35.0}
    rate = 60 + 200 * np.exp(-axis) + 40 * np.exp(-0.5 * ((axis - 2.0) / 0.5) ** 2)
    for place, strength in lines.items():
        rate = rate + strength * np.exp(-4 * np.log(2) * ((axis - place * scale) / 0.0195) ** 2)
    norm = np.full((12, axis.size), counts)
    intensity = np.random.default_rng(11).poisson(rate * norm) / norm
    return SectorPattern(intensity, np.sqrt(intensity / norm), norm, axis, np.arange(12) * 30.0 + 15)


LAGP_DEG = [1.1436, 1.6066, 1.6280, 1.8988, 2.2873, 2.5081, 2.5438, 2.8076, 2.8199, 3.6026, 3.7981, 3.8162, 4.3080]
LAGP_STRENGTHS = [22, 75, 49, 100, 43, 18, 30, 30, 23, 28, 13, 6.7, 19]


@pytest.mark.parametrize("counts", [400.0, 5.0])
def test_the_electrolyte_of_a_cell_is_found_among_all_that_is_in_the_beam(counts):
    lines = {"lines_two_theta_deg": LAGP_DEG, "relative_strengths": LAGP_STRENGTHS}
    assert ring_self_test(pattern=cell_pattern(counts=counts), **lines).passed
    assert not ring_self_test(pattern=cell_pattern(1.004, counts=counts), **lines).passed
    assert not ring_self_test(pattern=cell_pattern(electrolyte=0.0, counts=counts), **lines).passed

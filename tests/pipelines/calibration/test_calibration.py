"""Geometry and width from simulated frames of a calibrant whose truth is known, and from recorded ones."""

import dataclasses

import fabio
import numpy as np
import pytest

from fakes.calibrant_frames import PIXEL_M, SIDE, bragg_deg, ceria, pixel_angles, ring_frame, true_geometry
from ringwatch_pipelines.calibration.calibrants import calibrant_by_name
from ringwatch_pipelines.calibration.calibration import (
    CalibrantFrames,
    calibrate_geometry,
    check_geometry,
    foreign_rings_deg,
    sum_pattern,
)
from ringwatch_pipelines.calibration.instrument_width import fit_instrument_width
from ringwatch_pipelines.errors import GeometryError
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, Mask, dead_pixels_from_dark
from ringwatch_pipelines.reduction.integration import geometry_from_poni
from ringwatch_pipelines.reduction.poni_text import poni_from_geometry

NAMES = ("distance_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad")


def frames_of(*images, mask=None, calibrant=None):
    corrections = Corrections(polarization_factor=None, solid_angle=False, mask=mask)
    return CalibrantFrames(images, None, corrections, calibrant or ceria())


def beam_stop_arm():
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[205:225, 200:] = True
    return Mask(mask)


def pulls(fit, truth):
    return np.array([(getattr(fit.geometry, name) - getattr(truth, name)) / fit.sigma(name) for name in NAMES])


@pytest.fixture(scope="module")
def truth():
    return true_geometry()


def test_the_true_geometry_is_found_within_its_errors(truth):
    found = []
    for seed in range(3):
        start = dataclasses.replace(truth, distance_m=truth.distance_m * 1.0005, poni1_m=truth.poni1_m + 1e-4)
        image = ring_frame(truth, ceria(), seed=seed)
        found.append(pulls(calibrate_geometry(frames=frames_of(image), geometry=start).fit, truth))
    assert 0.4 < np.sqrt(np.mean(np.square(found))) < 1.7
    assert np.abs(found).max() < 4.5


@pytest.mark.parametrize(("distance", "up_m", "right_m"), [(1.03, 3e-3, -4e-3), (0.95, -5e-3, 1e-3), (1.0, 4e-3, 0.0)])
def test_a_start_far_off_converges(truth, distance, up_m, right_m):
    start = dataclasses.replace(
        truth, distance_m=truth.distance_m * distance, poni1_m=truth.poni1_m + up_m, poni2_m=truth.poni2_m + right_m
    )
    found = calibrate_geometry(frames=frames_of(ring_frame(truth, ceria())), geometry=start)
    assert not found.before.passed
    assert found.after.passed
    assert np.abs(pulls(found.fit, truth)).max() < 4.5


def test_texture_spots_and_the_shadow_of_the_beam_stop_do_not_pull(truth):
    image = ring_frame(truth, ceria(), texture=0.8, spots=150, seed=3)
    image[205:225, 200:] //= 50
    found = calibrate_geometry(frames=frames_of(image, mask=beam_stop_arm()), geometry=truth)
    assert np.abs(pulls(found.fit, truth)).max() < 4.5
    assert np.median(np.abs(found.fit.residual_deg)) < 0.1 * np.degrees(PIXEL_M / truth.distance_m)


def test_a_half_ring_tells_tilt_and_centre_apart_less_well(truth):
    image = ring_frame(truth, ceria())
    half = np.zeros((SIDE, SIDE), dtype=bool)
    half[:, : SIDE // 2] = True
    whole = calibrate_geometry(frames=frames_of(image), geometry=truth).fit
    part = calibrate_geometry(frames=frames_of(image, mask=Mask(half)), geometry=truth).fit
    assert part.sigma("poni2_m") > 1.5 * whole.sigma("poni2_m")
    assert np.abs(pulls(part, truth)).max() < 4.5


def test_wavelength_and_distance_together_have_the_large_errors_that_they_deserve(truth):
    frames = frames_of(ring_frame(truth, ceria()))
    held = calibrate_geometry(frames=frames, geometry=truth).fit
    free = calibrate_geometry(frames=frames, geometry=truth, refine_wavelength=True).fit
    assert held.sigma("wavelength_m") == 0.0
    assert held.geometry.wavelength_m == truth.wavelength_m
    assert free.sigma("distance_m") > 5 * held.sigma("distance_m")
    assert abs(free.correlation("distance_m", "wavelength_m")) > 0.98
    assert abs(free.geometry.wavelength_m - truth.wavelength_m) < 4.5 * free.sigma("wavelength_m")


def test_rings_of_another_substance_are_refused_in_one_sentence(truth):
    other = calibrant_by_name("LaB6", wavelength_m=truth.wavelength_m, d_min_A=0.8)
    with pytest.raises(GeometryError, match=r"^the geometry cannot be refined from here with LaB6: [^.]*(\.\d[^.]*)*$"):
        calibrate_geometry(frames=frames_of(ring_frame(truth, ceria()), calibrant=other), geometry=truth)


def test_rings_that_are_not_the_calibrants_are_named(truth):
    calibrant = ceria(10)
    pattern = sum_pattern(frames=frames_of(ring_frame(truth, calibrant)), geometry=truth)
    lines = bragg_deg(calibrant, truth)
    own = foreign_rings_deg(pattern=pattern, lines_two_theta_deg=lines, fwhm_deg=0.1)
    assert own.size == 0
    without_second = foreign_rings_deg(pattern=pattern, lines_two_theta_deg=np.delete(lines, 1), fwhm_deg=0.1)
    assert without_second == pytest.approx([lines[1]], abs=0.05)


def test_a_frame_without_rings_is_refused(truth):
    nothing = np.random.default_rng(0).poisson(300.0, (SIDE, SIDE)).astype(np.uint16)
    with pytest.raises(GeometryError, match="cannot be refined"):
        calibrate_geometry(frames=frames_of(nothing), geometry=truth)


def test_a_check_leaves_the_geometry_alone_and_says_whether_it_holds(truth):
    frames = frames_of(ring_frame(truth, ceria()))
    assert check_geometry(frames=frames, geometry=truth).passed
    assert not check_geometry(
        frames=frames, geometry=dataclasses.replace(truth, distance_m=truth.distance_m * 1.01)
    ).passed


def test_frames_of_one_calibrant_add_up(truth):
    one, two = (ring_frame(truth, ceria(), height=60.0, background=20.0, seed=seed) for seed in (0, 1))
    single = calibrate_geometry(frames=frames_of(one), geometry=truth).fit
    both = calibrate_geometry(frames=frames_of(one, two), geometry=truth).fit
    assert both.sigma("distance_m") < 0.85 * single.sigma("distance_m")


def test_a_refined_geometry_reads_back_from_its_text(truth):
    assert geometry_from_poni(poni_from_geometry(truth, remarks=["one: two"]), origin="a.poni") == truth


def test_the_pattern_of_the_sum_has_its_rings_at_bragg_angles(truth):
    calibrant = ceria(6)
    pattern = sum_pattern(frames=frames_of(ring_frame(truth, calibrant), calibrant=calibrant), geometry=truth)
    for line in bragg_deg(calibrant, truth):
        near = np.abs(pattern.two_theta_deg - line) < 0.2
        top = pattern.two_theta_deg[near][np.nanargmax(pattern.intensity[near])]
        assert abs(top - line) < 0.05
    assert pattern.two_theta_deg[-1] < pixel_angles(truth)[0].max()


@pytest.mark.recordings
def test_recorded_nickel_is_refined_from_right_and_from_wrong(recordings):
    folder = recordings / "frames/pe_xpd_Ni_light_dark"
    light, dark = (fabio.open(str(folder / f"Ni_{kind}_frame.tiff")).data for kind in ("light", "dark"))
    corrections = Corrections(mask=Mask(dead_pixels_from_dark(dark)), saturation_counts=65000)
    ends = []
    for name in ("refined_Ni_0.1665A.poni", "wrong_geometry.poni"):
        start = geometry_from_poni((folder / name).read_text(), origin=name, shape=light.shape)
        nickel = calibrant_by_name("Ni", wavelength_m=start.wavelength_m, d_min_A=0.42)
        found = calibrate_geometry(frames=CalibrantFrames((light,), Dark(dark), corrections, nickel), geometry=start)
        assert found.after.passed
        assert abs(found.after.median_offset_ppm) < 150
        assert np.unique(found.positions.line).size >= 12
        assert found.fit.rms_deg < 0.06 * np.degrees(2e-4 / start.distance_m)
        ends.append(found.fit)
    right, wrong = ends
    # The wrong one has another wavelength too, which the distance makes up for at small angles.
    assert right.geometry.distance_m * 1.665 / 1.671 == pytest.approx(wrong.geometry.distance_m, rel=5e-4)
    assert right.geometry.poni1_m == pytest.approx(wrong.geometry.poni1_m, abs=2e-4)


@pytest.mark.recordings
def test_recorded_ceria_is_refined_and_its_width_measured(recordings):
    import h5py

    folder = recordings / "frames/ge_aps_CeO2"
    with h5py.File(folder / "ge_wppf.h5") as file:
        image = file["images/ge3/images"][0]
    start = geometry_from_poni((folder / "CeO2_APS_GE_80p725keV.poni").read_text(), origin="ge", shape=image.shape)
    ceria_lines = calibrant_by_name("CeO2", wavelength_m=start.wavelength_m, d_min_A=0.6)
    frames = CalibrantFrames((image,), None, Corrections(), ceria_lines)
    found = calibrate_geometry(frames=frames, geometry=start)
    assert found.after.passed
    assert abs(found.after.median_offset_ppm) < 60 < abs(found.before.median_offset_ppm)
    width = fit_instrument_width(
        pattern=sum_pattern(frames=frames, geometry=found.fit.geometry),
        lines_two_theta_deg=found.lines_two_theta_deg,
        fwhm_guess_deg=float(np.median(found.positions.fwhm_deg)),
        wavelength_m=start.wavelength_m,
    )
    assert width.profile is not None
    strong = width.fwhm_sigma_deg < 0.01 * width.fwhm_deg
    assert np.all((width.fwhm_deg[strong] > 0.022) & (width.fwhm_deg[strong] < 0.028))

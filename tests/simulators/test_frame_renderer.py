"""Frames against formulas that are not the renderer's own."""

from dataclasses import replace

import numpy as np
import pytest
from pyFAI.detectors import Detector
from pyFAI.geometry import Geometry

from ringwatch_simulators.crystals import LAGP
from ringwatch_simulators.detector_geometry import FlatDetector, lattice_scale_seen, pixel_angles, polarisation_factor
from ringwatch_simulators.detector_maps import blurred
from ringwatch_simulators.detector_response import DetectorResponse, Mishap, MishapKind, lag_from_exponentials
from ringwatch_simulators.frame_renderer import FrameRenderer, ring_modulation
from ringwatch_simulators.radial_profile import Beam, Line, RadialPattern, add_lines, lithium_lines, radial_pattern
from ringwatch_simulators.scenario import SyntheticFrames, scenario_named
from ringwatch_simulators.scenario_catalogue import tilted
from ringwatch_simulators.supply import Exposure

TILTED = FlatDetector((64, 96), 1.6e-3, 1.6, 0.0511, 0.0777, rot1_rad=0.03, rot2_rad=-0.02, rot3_rad=0.4)
CLEAN = DetectorResponse(bad_pixels=0, bad_lines=0, beam_stop_deg=0.0, block_step_adu=0.0)


@pytest.fixture(scope="module")
def small():
    return SyntheticFrames(scenario_named("small", seed=5), start_ns=1_700_000_000_000_000_000)


def flat_pattern(renderer, counts):
    level = np.full(renderer.grid_deg.size, float(counts))
    return RadialPattern(level, np.zeros_like(level))


def counts_of(renderer, light, rng):
    return renderer.readout(renderer.charge(light, rng), rng)


def changed(scenario, **response):
    return SyntheticFrames(replace(scenario, response=replace(scenario.response, **response)), 0)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_pixels_of_any_orientation_and_edges_stand_where_a_poni_file_puts_them(orientation):
    detector = replace(TILTED, pixel2_m=0.9e-3, orientation=orientation)
    theirs = Detector(1.6e-3, 0.9e-3, max_shape=TILTED.shape, orientation=orientation)
    along = (TILTED.distance_m, TILTED.poni1_m, TILTED.poni2_m)
    rotations = (TILTED.rot1_rad, TILTED.rot2_rad, TILTED.rot3_rad)
    geometry = Geometry(*along, *rotations, detector=theirs, wavelength=TILTED.wavelength_A * 1e-10)
    np.testing.assert_allclose(
        pixel_angles(detector).two_theta_deg, np.degrees(geometry.center_array(TILTED.shape, "2th_rad")), atol=1e-9
    )


def test_the_tilted_detector_is_that_of_a_poni_file():
    theirs = Geometry(
        dist=TILTED.distance_m,
        poni1=TILTED.poni1_m,
        poni2=TILTED.poni2_m,
        rot1=TILTED.rot1_rad,
        rot2=TILTED.rot2_rad,
        rot3=TILTED.rot3_rad,
        pixel1=TILTED.pixel_m,
        pixel2=TILTED.pixel_m,
        wavelength=TILTED.wavelength_A * 1e-10,
    )
    ours = pixel_angles(TILTED)
    np.testing.assert_allclose(
        ours.two_theta_deg, np.degrees(theirs.center_array(TILTED.shape, unit="2th_rad")), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(ours.solid_angle, theirs.solidAngleArray(TILTED.shape), rtol=1e-6)
    np.testing.assert_allclose(
        polarisation_factor(ours, 0.99), theirs.polarization(TILTED.shape, factor=0.99), rtol=1e-6
    )


def test_a_written_poni_file_says_the_same_as_the_detector(tmp_path):
    path = tmp_path / "geometry.poni"
    path.write_text(TILTED.poni_text())
    read = Geometry()
    read.load(str(path))
    assert (read.dist, read.poni1, read.poni2) == (TILTED.distance_m, TILTED.poni1_m, TILTED.poni2_m)
    assert (read.rot1, read.rot2, read.rot3) == (TILTED.rot1_rad, TILTED.rot2_rad, TILTED.rot3_rad)
    assert read.wavelength == pytest.approx(TILTED.wavelength_A * 1e-10)
    assert (read.detector.shape, read.pixel1) == (TILTED.shape, TILTED.pixel_m)


@pytest.mark.parametrize("counts", [5.0, 60.0, 3000.0])
def test_the_variance_of_the_light_is_gain_times_its_mean_plus_the_read_noise(counts):
    detector = replace(TILTED, shape=(256, 256), rot1_rad=0.0, rot2_rad=0.0)
    renderer = FrameRenderer(detector, replace(CLEAN, pedestal_adu=500.0), 1)
    light = renderer.expected(flat_pattern(renderer, counts), {}, 1.0)
    rng = np.random.default_rng(2)
    difference = counts_of(renderer, light, rng).astype(float) - counts_of(renderer, light, rng)
    expected = CLEAN.adu_per_photon * light.mean() + CLEAN.read_noise_adu**2 + 1.0 / 12.0
    assert difference.var() / 2.0 == pytest.approx(expected, rel=0.03)
    assert counts_of(renderer, light, rng).mean() - renderer.pedestal.mean() == pytest.approx(light.mean(), rel=0.02)


def test_a_line_keeps_its_area_and_width_on_the_grid():
    grid = np.arange(0.0, 8.0, 2.5e-4)
    pattern = np.zeros_like(grid)
    line = Line(3.0, 10.0, 0.0083, 0.0035)
    add_lines(pattern, grid, [line])
    assert np.trapezoid(pattern, grid) == pytest.approx(10.0, rel=2e-3)
    above = grid[pattern > pattern.max() / 2]
    lorentz, gauss = 2 * line.lorentz_hwhm_deg, 2.35482 * line.gauss_sigma_deg
    voigt_fwhm = 0.5346 * lorentz + np.sqrt(0.2166 * lorentz**2 + gauss**2)
    assert np.ptp(above) == pytest.approx(voigt_fwhm, abs=6e-4)


def test_rings_stand_at_the_radius_that_braggs_law_gives(small):
    renderer, scenario = small.renderer, small.scenario
    image = small.light(Exposure(len(small) - 1, scenario.exposure_s))
    truth = small.truth(len(small) - 1).cell
    spacing = 1.0 / np.sqrt(4.0 / 3.0 * 3.0 / truth.a_A**2 + 9.0 / truth.c_A**2)
    expected = 2.0 * np.degrees(np.arcsin(scenario.detector.wavelength_A / 2.0 / spacing))
    angles = pixel_angles(scenario.detector).two_theta_deg
    near = np.abs(angles - expected) < 0.05
    weights = np.clip(image[near] - np.median(image[near]), 0.0, None) ** 2
    assert np.average(angles[near], weights=weights) == pytest.approx(expected, abs=2e-4)
    assert LAGP.a_A > truth.a_A
    assert renderer.mask().shape == image.shape


def test_the_area_on_the_azimuthal_mean_is_the_truth_with_texture_and_spots_and_without():
    scenario = scenario_named("lagp-demo", seed=3)
    detector = FlatDetector((1400, 1400), 200e-6, 1.6, 0.14, 0.14)
    frames = SyntheticFrames(replace(scenario, detector=detector, response=CLEAN), 0)
    index = len(frames) - 1
    truth = frames.truth(index).cell
    pattern = radial_pattern(truth, Beam(), frames.renderer.grid_deg, 0.0)
    lithium = RadialPattern(np.zeros_like(pattern.lithium), pattern.lithium)
    with_grains = frames.renderer.expected(lithium, frames._rings(truth, Beam()), 1.0)
    without = frames.renderer.expected(lithium, {}, 1.0)
    angles = pixel_angles(detector)
    norm = angles.solid_angle * polarisation_factor(angles, CLEAN.polarisation)
    for image in (with_grains, without):
        for line, area in zip(lithium_lines(truth, Beam())[:2], (truth.area_110, truth.area_200), strict=True):
            near = np.abs(angles.two_theta_deg - line.two_theta_deg) < 0.6
            edges = np.arange(line.two_theta_deg - 0.6, line.two_theta_deg + 0.6, 0.02)
            total = np.histogram(angles.two_theta_deg[near], edges, weights=image[near])[0]
            mean = total / np.histogram(angles.two_theta_deg[near], edges, weights=norm[near])[0]
            assert mean.sum() * 0.02 == pytest.approx(area, rel=5e-3)
    assert np.abs(with_grains - without).max() > 0.05 * without.max()


def test_spots_and_texture_leave_the_mean_of_a_ring_alone():
    grains = np.array([[0.3, 1.0], [3.0, 0.2]])
    modulation = ring_modulation(spot_fraction=0.2, second_harmonic=0.1, grains=grains)
    assert modulation.mean() == pytest.approx(1.0, abs=1e-12)
    assert modulation.max() > 3.0


def test_a_frame_depends_on_seed_and_number_only(small):
    again = SyntheticFrames(scenario_named("small", seed=5), start_ns=1)
    other = SyntheticFrames(scenario_named("small", seed=6), start_ns=1)
    request = Exposure(7, 60.0)
    np.testing.assert_array_equal(small.frame(request).image, again.frame(request).image)
    assert np.any(small.frame(request).image != other.frame(request).image)
    assert np.any(small.frame(request).image != small.frame(Exposure(8, 60.0)).image)


def test_bad_pixels_are_dead_or_hot_and_masked_and_saturation_cuts(small):
    image = small.frame(Exposure(0, 60.0)).image
    mask = small.renderer.mask().astype(bool)
    assert set(np.unique(image[mask])) <= {0, 65535}
    assert np.all((image[~mask] > 0) & (image[~mask] < 65535))
    bright = small.renderer.expected(flat_pattern(small.renderer, 1e6), {}, 1.0)
    assert counts_of(small.renderer, bright, np.random.default_rng(1))[~mask].min() == 65535


def test_lag_adds_a_share_of_the_charge_of_each_frame_before():
    frames = changed(scenario_named("small"), lag=(0.03, 0.01))
    fresh = SyntheticFrames(scenario_named("small"), 0)
    now, before, earlier = (fresh.charge(Exposure(index, 60.0)) for index in (9, 8, 7))
    expected = now + 0.03 * before + 0.01 * earlier
    np.testing.assert_allclose(frames.charge(Exposure(9, 60.0)), expected, rtol=1e-5, atol=1e-3)
    first_light = frames.scenario.darks
    np.testing.assert_array_equal(frames.charge(Exposure(first_light, 60.0)), fresh.charge(Exposure(first_light, 60.0)))
    after_light = frames.charge(Exposure(9, 60.0, dark=1))
    np.testing.assert_allclose(after_light, 0.03 * before + 0.01 * earlier, rtol=1e-5, atol=1e-3)


def test_traps_that_empty_exponentially_add_up():
    shares = lag_from_exponentials((0.02, 0.5), (0.01, 4.0), frames=3)
    assert shares == pytest.approx([0.03, 0.02 * np.exp(-2) + 0.01 * np.exp(-0.25), 0.02 * np.exp(-4) + 0.00606531])


def test_blur_keeps_all_light_and_correlates_neighbours():
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((300, 400)).astype(np.float32)
    soft = blurred(noise, 0.05)
    assert soft.sum(dtype=float) == pytest.approx(noise.sum(dtype=float), abs=1e-2)
    correlation = np.mean(soft[:, 1:] * soft[:, :-1]) / soft.var()
    assert correlation == pytest.approx(2 * 0.05 * 0.9 / (0.9**2 + 2 * 0.05**2), abs=0.02)
    point = np.zeros((5, 5), np.float32)
    point[2, 2] = 1.0
    np.testing.assert_allclose(blurred(point, 0.05)[2], [0.0, 0.045, 0.81, 0.045, 0.0], atol=1e-7)


def test_lines_keep_their_width_where_the_detector_blurs_them():
    sharp, soft = (
        changed(scenario_named("small", seed=2), blur=share, bad_pixels=0, bad_lines=0) for share in (0.0, 0.05)
    )
    images = [
        frames.renderer.charge(frames.light(Exposure(9, 60.0)), np.random.default_rng(1)) for frames in (sharp, soft)
    ]
    angles = pixel_angles(sharp.scenario.detector).two_theta_deg
    near = np.abs(angles - 1.9) < 0.05
    edges = np.arange(1.85, 1.95, 0.004)
    profiles = [np.histogram(angles[near], edges, weights=image[near])[0] for image in images]
    np.testing.assert_allclose(profiles[1], profiles[0], rtol=5e-3)


def test_offsets_of_the_readout_blocks_drift_over_the_run():
    frames = changed(scenario_named("small"), block_drift_adu=4.0, bad_pixels=0, bad_lines=0)
    rng = np.random.default_rng(0)
    first, last = (frames.renderer.readout(None, rng, course).astype(float) for course in (0.0, 1.0))
    blocks = (last - first)[:256].reshape(256, 4, 128).mean(axis=(0, 2))
    assert 1.0 < blocks.std() < 12.0
    assert np.ptp((last - first)[:256, 5:120].mean(axis=0)) < 2.0


def test_the_flat_image_is_the_sensitivity_that_frames_show():
    frames = changed(scenario_named("small"), gain_spread=0.02, block_gain_spread=0.02, flat_error=0.001, bad_pixels=0)
    renderer = frames.renderer
    light = renderer.expected(flat_pattern(renderer, 1e6), {}, 1.0)
    seen = renderer.charge(light, np.random.default_rng(1)) / light
    assert np.std(seen / renderer.flat()) == pytest.approx(np.hypot(0.001, np.sqrt(1.5e-6)), rel=0.05)
    assert np.std(renderer.flat()) > 0.02


def test_zingers_hit_single_pixels():
    frames = changed(scenario_named("small"), zingers=30.0, zinger_adu=5000.0)
    clean = SyntheticFrames(scenario_named("small"), 0)
    request = Exposure(9, 60.0)
    hit = frames.charge(request) - clean.charge(request)
    assert 10 < np.count_nonzero(hit) < 60
    assert hit.max() > 2000.0


@pytest.mark.parametrize("kind", MishapKind)
def test_a_bad_frame_is_bad_in_its_own_way_and_the_next_one_is_not(kind):
    scenario = scenario_named("small")
    bad = SyntheticFrames(replace(scenario, mishaps=(Mishap(9, kind),)), 0)
    good = SyntheticFrames(scenario, 0)
    now, then = (frames.frame(Exposure(9, 60.0)) for frames in (bad, good))
    assert np.any(now.image != then.image)
    assert (dict(now.attributes)["IonChamber"] < 0.01) == (kind is MishapKind.DUMP)
    assert not now.shutter_closed
    assert bad.truth(9).mishap == kind
    np.testing.assert_array_equal(bad.frame(Exposure(10, 60.0)).image, good.frame(Exposure(10, 60.0)).image)


def test_a_displaced_sample_changes_the_lattice_that_the_nominal_geometry_sees():
    detector = replace(TILTED, displacement_m=1e-4, rot3_rad=0.0)
    nominal, true = (pixel_angles(one).two_theta_deg for one in (replace(detector, displacement_m=0.0), detector))
    ring = np.abs(true - 3.0) < 0.05
    seen = np.mean(np.sin(np.radians(true[ring]) / 2) / np.sin(np.radians(nominal[ring]) / 2))
    assert lattice_scale_seen(detector, 3.0) == pytest.approx(seen, abs=3e-6)
    assert lattice_scale_seen(detector, 3.0) - 1.0 == pytest.approx(-6.24e-5, abs=1e-6)


def test_a_tilted_detector_keeps_the_beam_where_it_was():
    flat = replace(TILTED, rot3_rad=0.0)
    turned = tilted(flat, -0.1, 0.05)
    corners = [np.unravel_index(pixel_angles(one).two_theta_deg.argmin(), one.shape) for one in (flat, turned)]
    assert corners[0] == corners[1]

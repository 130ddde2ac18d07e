"""Gain and read noise of simulated detectors: blurred, drifting, with gain map and bad pixels."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ringwatch_pipelines.calibration.photon_transfer import photon_transfer

SIDE = 640
GAIN, READ_NOISE = 1.7, 4.0


class Panel:
    """An integrating panel in front of one ring."""

    def __init__(self, seed, *, blur=0.0, gain=GAIN):
        self.rng = np.random.default_rng(seed)
        self.blur, self.gain = blur, gain
        self.pedestal = self.rng.normal(500.0, 30.0, (SIDE, SIDE))
        self.sensitivity = self.rng.normal(1.0, 0.02, (SIDE, SIDE))
        rows, columns = np.mgrid[:SIDE, :SIDE]
        self.columns = columns
        radius = np.hypot(rows - 300, columns - 310)
        self.signal = 100 + 3000 * np.exp(-radius / 150) + 2500 * np.exp(-0.5 * ((radius - 150) / 10) ** 2)

    def light(self, *, beam=1.0, drift=0.0):
        photons = self.rng.poisson(self.signal * beam / self.gain) * self.gain
        seen = gaussian_filter(photons, self.blur) if self.blur else photons
        # The pedestal drifts smoothly, and one readout block apart from the other.
        return self._read(seen * self.sensitivity + drift * (self.columns / SIDE + (self.columns > SIDE // 2)))

    def dark(self):
        return self._read(np.zeros((SIDE, SIDE)))

    def _read(self, counts):
        return np.round(counts + self.pedestal + self.rng.normal(0, READ_NOISE, (SIDE, SIDE))).astype(np.uint16)


@pytest.mark.parametrize("blur", [0.0, 0.5, 0.8])
def test_gain_and_read_noise_are_found_within_their_errors(blur):
    pulls = []
    for seed in range(4):
        panel = Panel(seed, blur=blur)
        lights = [panel.light() for _ in range(4)]
        found = photon_transfer(lights=lights, darks=[panel.dark(), panel.dark()])
        pulls.append((found.gain - GAIN) / found.gain_sigma)
        assert found.gain_sigma < 0.1 * GAIN
        assert abs(found.read_noise_counts - READ_NOISE) < 4.0 * found.read_noise_sigma + 0.02
    assert np.abs(np.mean(pulls)) < 2.0
    assert np.abs(pulls).max() < 4.0


def test_blur_takes_variance_from_small_superpixels_and_not_from_the_gain():
    panel = Panel(1, blur=0.8)
    found = photon_transfer(lights=[panel.light() for _ in range(4)], darks=[panel.dark()])
    assert found.pixel_gain < 0.75 * GAIN
    assert found.gain == pytest.approx(GAIN, abs=4 * found.gain_sigma)


def test_drift_beam_and_bad_pixels_do_not_count_as_noise():
    panel = Panel(2)
    lights = [panel.light(beam=beam, drift=drift) for beam, drift in ((1, 0), (1.03, 15), (1.01, 10), (0.97, 3))]
    for image in lights:
        image[panel.rng.integers(0, SIDE, 60), panel.rng.integers(0, SIDE, 60)] = 60000
    found = photon_transfer(lights=lights, darks=[panel.dark(), panel.dark()])
    assert found.gain == pytest.approx(GAIN, abs=4 * found.gain_sigma)
    assert found.gain == pytest.approx(GAIN, rel=0.15)


def test_another_gain_is_told_from_this_one():
    panel = Panel(3, gain=2 * GAIN)
    found = photon_transfer(lights=[panel.light() for _ in range(4)], darks=[panel.dark()])
    assert found.gain == pytest.approx(2 * GAIN, abs=4 * found.gain_sigma)
    assert abs(found.gain - GAIN) > 4 * found.gain_sigma


def test_saturated_pixels_do_not_lower_the_variance():
    panel = Panel(4)
    lights = [np.minimum(panel.light(), 3000) for _ in range(2)]
    found = photon_transfer(lights=lights, darks=[panel.dark(), panel.dark()], saturation_counts=3000)
    assert found.gain == pytest.approx(GAIN, abs=4 * found.gain_sigma)
    assert found.signal_counts.max() < 2500


def test_one_light_frame_cannot_tell_the_gain_and_two_darks_tell_the_read_noise():
    panel = Panel(5)
    found = photon_transfer(lights=[panel.light()], darks=[panel.dark(), panel.dark()])
    assert np.isnan(found.gain)
    assert "it takes two light frames alike" in found.text
    assert found.read_noise_counts == pytest.approx(READ_NOISE, abs=4 * found.read_noise_sigma + 0.02)


def test_without_a_dark_the_read_noise_is_not_invented():
    panel = Panel(6)
    found = photon_transfer(lights=[panel.light(), panel.light()])
    assert found.gain == pytest.approx(GAIN, abs=4 * found.gain_sigma)
    assert np.isnan(found.read_noise_counts)
    assert "cannot be told without a dark" in found.text


def test_frames_of_unlike_beams_are_no_pair():
    panel = Panel(7)
    found = photon_transfer(lights=[panel.light(), panel.light(beam=2.0)], darks=[panel.dark()])
    assert np.isnan(found.gain)
    assert "more than 20 %" in found.text


def test_a_photon_counter_has_a_gain_of_one_and_no_read_noise():
    rng = np.random.default_rng(8)
    rate = 0.3 + 4.0 * np.mgrid[:SIDE, :SIDE][1] / SIDE
    lights = [rng.poisson(rate).astype(np.int32) for _ in range(2)]
    found = photon_transfer(lights=lights, darks=[np.zeros((SIDE, SIDE), np.int32)])
    assert found.gain == pytest.approx(1.0, abs=4 * found.gain_sigma)
    assert np.isnan(found.read_noise_counts)


@pytest.mark.parametrize("told", ["mask", "least counts", "nothing"])
def test_gaps_between_modules_are_no_detector_without_noise(told):
    rng = np.random.default_rng(9)
    rate = 1.0 + 6.0 * np.mgrid[:SIDE, :SIDE][1] / SIDE
    gap = (np.mgrid[:SIDE, :SIDE][0] % 160) > 120
    lights = [np.where(gap, -1, rng.poisson(rate)).astype(np.int32) for _ in range(2)]
    how = {"mask": {"usable": ~gap}, "least counts": {"minimum_counts": 0.0}, "nothing": {}}[told]
    found = photon_transfer(lights=lights, **how)
    assert found.gain == pytest.approx(1.0, abs=4 * found.gain_sigma)
    assert found.gain_sigma < 0.2


def test_without_any_frame_nothing_is_told():
    assert "cannot be told" in photon_transfer(lights=[]).text

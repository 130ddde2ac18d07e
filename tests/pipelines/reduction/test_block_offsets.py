"""Offsets of readout blocks that drift, told by the frame itself."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.reduction.block_offsets import BlockOperator, ReadoutBlocks, offsets_from_counts
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, VarianceModel
from ringwatch_pipelines.reduction.drift_correction import DriftCorrection
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import Binning, build_block_operator, build_operator, geometry_from_poni

SHAPE = (256, 256)
BLOCKS = ReadoutBlocks(rows=128, columns=32, drift_counts=3.0)
NUMBER = BLOCKS.block_of_pixel(SHAPE)
GAIN, READ_NOISE, PEDESTAL = 1.5, 4.0, 1000.0
CORRECTIONS = Corrections(
    solid_angle=False, saturation_counts=60000, variance=VarianceModel(gain=GAIN, read_noise_counts=READ_NOISE)
)
BINNING = Binning(200, 0.1, 3.0)
PONI = """poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 4e-4, "pixel2": 4e-4, "max_shape": [256, 256], "orientation": 3}
Distance: 1.6
Poni1: 0.049
Poni2: 0.053
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 1.173e-11
"""


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return geometry_from_poni(PONI, origin="a test")


@pytest.fixture(scope="module")
def operator(geometry):
    return build_operator(geometry=geometry, corrections=CORRECTIONS, binning=BINNING)


@pytest.fixture(scope="module")
def blocks(geometry, operator) -> BlockOperator:
    return build_block_operator(geometry=geometry, corrections=CORRECTIONS, axis=operator.axis, blocks=BLOCKS)


def angles():
    """(rows, columns) radius in degree and azimuth."""
    down, along = np.indices(SHAPE) + 0.5
    down, along = down * 4e-4 - 0.049, along * 4e-4 - 0.053
    return np.degrees(np.arctan(np.hypot(down, along) / 1.6)), np.arctan2(down, along)


def scatter(asymmetry=0.0, ring=0.0):
    """Counts without noise: a background, uneven around the beam, and a ring whose texture is strong."""
    radius, azimuth = angles()
    background = 150.0 * (0.4 + np.exp(-radius)) * (1.0 + asymmetry * np.cos(azimuth - 0.4))
    return background + ring * (1.0 + np.cos(azimuth)) * np.exp(-(((radius - 1.2) / 0.03) ** 2))


def drift(seed):
    """(blocks,) with a mean of 0."""
    offsets = np.random.default_rng(seed).normal(0.0, 3.0, NUMBER.max() + 1)
    return offsets - offsets.mean()


def exposed(light, offsets, seed):
    random = np.random.default_rng(seed)
    noise = np.sqrt(GAIN * light + READ_NOISE**2) * random.standard_normal(SHAPE)
    return np.rint(PEDESTAL + light + offsets[NUMBER] + noise).astype(np.uint16)


def found(blocks, image, *, monitor=1.0, drift_counts=3.0):
    return offsets_from_counts(
        operator=replace(blocks, blocks=replace(BLOCKS, drift_counts=drift_counts)),
        counts=blocks.count(image),
        dark=blocks.dark_sums(np.full(SHAPE, PEDESTAL)),
        frames_of_dark=100,
        monitor=monitor,
        variance=CORRECTIONS.variance,
    )


@pytest.mark.parametrize("asymmetry", [0.0, 0.05])
@pytest.mark.parametrize("ring", [0.0, 400.0])
def test_offsets_are_found_within_their_errors_whatever_tilts_the_scatter(blocks, asymmetry, ring):
    pulls = []
    for seed in range(6):
        truth = drift(seed)
        offsets = found(blocks, exposed(scatter(asymmetry, ring), truth, seed))
        sigma = np.sqrt(np.diag(offsets.covariance))
        assert np.median(sigma) < 0.2 * BLOCKS.drift_counts
        pulls.append((offsets.value - truth) / sigma)
    assert 0.75 < np.std(pulls) < 1.25


def test_what_all_blocks_share_is_not_told(blocks):
    offsets = found(blocks, exposed(scatter(), np.full(NUMBER.max() + 1, 5.0), 3))
    assert np.all(np.abs(offsets.value) < 5.0 * np.sqrt(np.diag(offsets.covariance)))


def test_a_prior_holds_the_offsets_of_a_frame_that_tells_little(blocks):
    image = exposed(scatter(), drift(1), 1)
    assert np.abs(found(blocks, image, drift_counts=1e-3).value).max() < 1e-3


@given(st.integers(0, 15), st.floats(0.3, 3.0))
def test_a_saturated_block_does_no_harm_to_the_others(blocks, block, monitor):
    truth = drift(2)
    image = exposed(monitor * scatter(), truth, 2)
    image[block == NUMBER] = 65535
    offsets = found(blocks, image, monitor=monitor)
    others = np.arange(truth.size) != block
    expected = truth[others] - truth[others].mean()
    sigma = np.sqrt(np.diag(offsets.covariance))[others]
    assert offsets.value[block] == 0.0
    assert np.all(np.abs(offsets.value[others] - expected) < 5.0 * sigma)


def test_a_pattern_without_its_drift_is_that_of_a_detector_that_does_not_drift(blocks, operator):
    correction = DriftCorrection(blocks, fold=operator.fold, variance=CORRECTIONS.variance)
    dark = Dark(np.full(SHAPE, PEDESTAL), frames=100)
    image = exposed(scatter(), 3.0 * drift(4), 4)
    sums = operator.integrate(image, dark=operator.dark_sums(dark)).sums
    corrected = correction.taken_off(sums, blocks.count(image), dark=dark, monitor=1.0)
    clean, _ = operator.fold.static_sums(scatter())
    filled = sums.norm > 20
    drifted, left = ((one.raw - one.dark - clean)[filled] / sums.norm[filled] for one in (sums, corrected))
    smooth = np.convolve(left - left.mean(), np.ones(9) / 9, "valid").std()
    assert smooth < 0.3 * np.convolve(drifted - drifted.mean(), np.ones(9) / 9, "valid").std()
    assert np.all(corrected.variance >= sums.variance)
    np.testing.assert_array_equal(corrected.raw, sums.raw)


def test_offsets_that_are_not_known_are_noise_of_steps_between_bins_alone(blocks, operator):
    """What drawn errors of the offsets make of a pattern: sigma has its steps, and not its slow part."""
    correction = DriftCorrection(blocks, fold=operator.fold, variance=CORRECTIONS.variance)
    dark, image = Dark(np.full(SHAPE, PEDESTAL), frames=100), exposed(scatter(), drift(4), 4)
    sums = operator.integrate(image, dark=operator.dark_sums(dark)).sums
    added = correction.taken_off(sums, blocks.count(image), dark=dark, monitor=1.0).variance - sums.variance
    covariance = found(blocks, image).covariance
    maps = [(number == NUMBER).astype(np.float32) for number in range(len(covariance))]
    coverage = np.array([operator.fold.static_sums(one)[0] for one in maps])
    errors = np.random.default_rng(5).multivariate_normal(np.zeros(len(covariance)), covariance, 2000) @ coverage
    full = coverage.sum(axis=0) > 20
    level = errors[:, full] / coverage.sum(axis=0)[full]
    stated = added[full] / coverage.sum(axis=0)[full] ** 2
    steps = np.diff(level, axis=1).var(axis=0) / 2.0
    assert 0.5 < steps.mean() / stated.mean() < 1.2
    assert stated.mean() < 0.3 * level.var(axis=0).mean()


def test_blocks_need_a_size_and_a_drift():
    for wrong in ({"rows": 0, "columns": 4}, {"rows": 4, "columns": 4, "drift_counts": 0.0}):
        with pytest.raises(CorrectionError, match="size and a drift"):
            ReadoutBlocks(**wrong)


def test_blocks_cover_a_detector_that_they_do_not_divide():
    number = ReadoutBlocks(rows=100, columns=60).block_of_pixel(SHAPE)
    assert number.max() + 1 == ReadoutBlocks(rows=100, columns=60).number(SHAPE) == 15
    assert number[99, 59] == 0
    assert number[100, 60] == 6

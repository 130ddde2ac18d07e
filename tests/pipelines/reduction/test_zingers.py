"""Single pixels that a particle struck are left out; light is not."""

import numpy as np
import pytest

from ringwatch_pipelines.errors import CorrectionError
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, VarianceModel
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import Binning, build_operator, geometry_from_poni
from ringwatch_pipelines.reduction.zingers import ZingerRule, without_zingers, zingers

SHAPE = (200, 300)
RULE = ZingerRule(200.0)
NOISE = 17.0
PONI = """poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 2e-4, "pixel2": 2e-4, "max_shape": [200, 300], "orientation": 3}
Distance: 0.5
Poni1: 0.02
Poni2: 0.03
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 1e-10
"""


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    return geometry_from_poni(PONI, origin="a test")


def picture(dtype="uint16", seed=1):
    """Noise on a background with readout blocks and rings four pixels wide."""
    down, along = np.indices(SHAPE)
    radius = np.hypot(down - 100, along - 150)
    rings = 1500.0 * np.exp(-0.5 * ((radius % 25 - 12) / 1.7) ** 2)
    blocks = 300.0 * (along // 64 % 2)
    noise = np.random.default_rng(seed).normal(0.0, NOISE, SHAPE)
    return np.rint(3000.0 + blocks + rings + noise).astype(dtype)


def struck(image, height, pixels):
    image = image.copy()
    image.ravel()[pixels] += np.asarray(height).astype(image.dtype)
    return image


@pytest.mark.parametrize("dtype", ["uint16", "int32", "uint32", "float32"])
def test_struck_pixels_are_found_and_nothing_else(dtype):
    image = picture(dtype)
    assert zingers(image, RULE).size == 0
    inside = np.arange(image.size).reshape(SHAPE)[2:-2, 2:-2].ravel()
    hits = np.sort(np.random.default_rng(2).choice(inside[::3], 60, replace=False))
    found = zingers(struck(image, 8000, hits), RULE)
    assert set(found) <= set(hits)
    assert found.size > 0.9 * hits.size


def test_the_flank_of_a_ring_hides_small_ones_only():
    image = picture()
    inside = np.arange(image.size).reshape(SHAPE)[2:-2, 2:-2].ravel()[::7]
    shares = [np.isin(inside, zingers(struck(image, height, inside), RULE)).mean() for height in (400, 20000)]
    assert 0.2 < shares[0] < shares[1]
    assert shares[1] > 0.99


@pytest.mark.parametrize("width", [0.8, 1.2, 4.0])
def test_a_spot_of_light_stays_however_strong(width):
    """Widths in pixels, one standard deviation: the sharpest shows 46 % of its height in a neighbour."""
    down, along = np.indices(SHAPE)
    for offset in (0.0, 0.3, 0.5):
        spot = 30000.0 * np.exp(-0.5 * ((down - 80 - offset) ** 2 + (along - 90) ** 2) / width**2)
        assert zingers((picture() + spot).astype(np.uint16), RULE).size == 0


def test_noise_alone_is_never_cut():
    """A million pixels at 12 times their noise: sigma stays what it is."""
    random = np.random.default_rng(5)
    image = np.rint(3000.0 + NOISE * random.standard_normal((1000, 1000))).astype(np.uint16)
    assert zingers(image, RULE).size == 0


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_a_frame_without_its_zingers_has_the_sums_of_the_pixels_that_are_left(geometry, splitting):
    corrections = Corrections(saturation_counts=60000, variance=VarianceModel(1.5, 4.0))
    operator = build_operator(geometry=geometry, corrections=corrections, binning=Binning(150, splitting=splitting))
    dark = operator.dark_sums(Dark(np.full(SHAPE, 1000.0)))
    hits = np.array([31 * 300 + 40, 120 * 300 + 200])
    image = struck(picture(), 9000, hits)
    image[10, 10] = 65535
    masked = image.copy()
    masked.ravel()[hits] = 65535
    counts = operator.count(image)
    found = without_zingers(counts, image, zingers(image, RULE), fold=operator.fold)
    left = operator.corrected(found, dark=dark).sums
    expected = operator.integrate(masked, dark=dark).sums
    for name in ("raw", "dark", "norm", "variance"):
        np.testing.assert_allclose(getattr(left, name), getattr(expected, name), rtol=1e-6)
    assert found.raw.dtype == counts.raw.dtype


def test_the_result_does_not_depend_on_the_threads_and_small_frames_have_none():
    image = struck(picture(), 9000, np.array([20 * 300 + 20, 150 * 300 + 99]))
    np.testing.assert_array_equal(zingers(image, RULE, threads=1), zingers(image, RULE, threads=2))
    for shape in ((1, 1), (2, 5), (5, 2), (3, 3)):
        assert zingers(np.full(shape, 7, np.uint16), RULE).size == 0


def test_a_height_must_be_positive():
    with pytest.raises(CorrectionError, match="must be positive"):
        ZingerRule(0.0)

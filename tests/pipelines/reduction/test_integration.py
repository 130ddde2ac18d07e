"""The folded operator against pyFAI itself, and against what it must never do."""

import dataclasses
import itertools
import json
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyFAI.detectors import detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from pipelines.small_detector import BINS, RANGE_DEG, SHAPE, counts, pedestal, sensitivity, shadow, small_geometry
from ringwatch_pipelines.errors import CorrectionError, FrameShapeError, FrameTypeError, GeometryError, PatternError
from ringwatch_pipelines.patterns import pattern_from_sums
from ringwatch_pipelines.reduction.corrections import (
    Corrections,
    Dark,
    Flat,
    Mask,
    VarianceKind,
    VarianceModel,
    dead_pixels_from_dark,
)
from ringwatch_pipelines.reduction.integration import Binning, build_operator, geometry_from_poni

GAIN, READ_NOISE, DARK_FRAMES = 2.0, 3.0, 4


def integrator_of(geometry):
    return AzimuthalIntegrator(
        geometry.distance_m,
        geometry.poni1_m,
        geometry.poni2_m,
        geometry.rot1_rad,
        geometry.rot2_rad,
        geometry.rot3_rad,
        detector=detector_factory(geometry.detector, json.loads(geometry.detector_config)),
        wavelength=geometry.wavelength_m,
    )


def operator_for(corrections=None, *, splitting="none", threads=2, bins=BINS):
    binning = Binning(bins, *RANGE_DEG, splitting)
    return build_operator(
        geometry=small_geometry(), corrections=corrections or Corrections(), binning=binning, threads=threads
    )


def assert_same_pattern(pattern, reference, rtol=1e-6, sigma_in=slice(None)):
    filled = reference.count > 0
    np.testing.assert_array_equal(np.isfinite(pattern.intensity), filled)
    np.testing.assert_allclose(pattern.two_theta_deg, reference.radial, rtol=1e-9)
    np.testing.assert_allclose(pattern.intensity[filled], reference.intensity[filled], rtol=rtol)
    np.testing.assert_allclose(pattern.sigma[filled][sigma_in], reference.sigma[filled][sigma_in], rtol=rtol)


@pytest.fixture(scope="module")
def reference_integrator():
    return integrator_of(small_geometry())


@pytest.mark.parametrize("kind", list(VarianceKind))
@pytest.mark.parametrize(("splitting", "engine"), [("none", "csr"), ("none", "histogram"), ("bbox", "csr")])
def test_every_combination_of_corrections_equals_pyfai(reference_integrator, engine, splitting, kind):
    raw = counts()
    raw[3:9, 4:30] = 65535
    raw[80:84, 70:75] = 0
    # The mask changes least often: pyFAI makes its bins anew each time.
    for use_mask, limited, use_flat, solid_angle, polarised in itertools.product([False, True], repeat=5):
        masked = shadow() if use_mask else np.zeros(SHAPE, dtype=bool)
        if limited:
            masked |= (raw >= 65535) | (raw < 1)
        corrections = Corrections(
            mask=Mask(shadow()) if use_mask else None,
            flat=Flat(sensitivity()) if use_flat else None,
            solid_angle=solid_angle,
            polarization_factor=0.95 if polarised else None,
            saturation_counts=65535.0 if limited else None,
            minimum_counts=1.0 if limited else None,
            variance=VarianceModel(GAIN, READ_NOISE, kind),
        )
        operator = operator_for(corrections, splitting=splitting)
        for use_dark, monitor in itertools.product([False, True], [1.0, 2.5]):
            dark = operator.dark_sums(Dark(pedestal(), frames=DARK_FRAMES)) if use_dark else None
            sums = operator.integrate(raw, dark=dark, monitor=monitor).sums
            reference = reference_integrator.integrate1d_ng(
                raw,
                BINS,
                unit="2th_deg",
                radial_range=RANGE_DEG,
                method=({"none": "no"}.get(splitting, splitting), engine, "cython"),
                mask=masked,
                dark=pedestal().astype(float) if use_dark else None,
                flat=sensitivity() if use_flat else None,
                correctSolidAngle=solid_angle,
                polarization_factor=0.95 if polarised else None,
                normalization_factor=monitor,
                **noise_for_pyfai(raw, kind, use_dark=use_dark),
            )
            assert_same_pattern(pattern_from_sums(sums=sums, axis=operator.axis), reference)


def noise_for_pyfai(raw, kind, *, use_dark):
    if kind is VarianceKind.POISSON:
        return {"variance": raw.astype(float)}
    signal = raw - (pedestal() if use_dark else np.zeros(SHAPE)).astype(float)
    return {"variance": GAIN * signal + READ_NOISE**2 * (1 + (1 / DARK_FRAMES if use_dark else 0))}


@pytest.mark.parametrize("splitting", ["none", "bbox"])
@pytest.mark.parametrize("use_mask", [False, True])
def test_the_detectors_own_range_is_pyfais(reference_integrator, splitting, use_mask):
    mask = shadow() if use_mask else None
    operator = build_operator(
        geometry=small_geometry(),
        corrections=Corrections(mask=Mask(shadow()) if use_mask else None),
        binning=Binning(BINS, splitting=splitting),
    )
    reference = reference_integrator.integrate1d_ng(
        counts(), BINS, unit="2th_deg", method=({"none": "no"}.get(splitting, splitting), "csr", "cython"),
        mask=mask, variance=counts().astype(float),
    )  # fmt: skip
    sums = operator.integrate(counts(), dark=None).sums
    assert_same_pattern(pattern_from_sums(sums=sums, axis=operator.axis), reference)


@pytest.mark.parametrize(
    ("splitting", "dtype"),
    [("none", name) for name in ("u1", "u2", "u4", "i1", "i2", "i4", "i8", "f4", "f8", ">u2", ">i4", ">f4", "<f2")]
    + [("bbox", name) for name in ("u2", "i4", "f8", ">u2", ">f4")],
)
def test_every_type_of_frame_gives_the_same_sums(splitting, dtype):
    image = np.random.default_rng(5).integers(0, 120, SHAPE)
    operator = operator_for(splitting=splitting)
    expected = operator.integrate(image.astype("f8"), dark=None).sums
    sums = operator.integrate(image.astype(dtype), dark=None).sums
    np.testing.assert_allclose(sums.raw, expected.raw, rtol=1e-13)
    np.testing.assert_allclose(sums.variance, expected.variance, rtol=1e-13)


def test_sums_of_integers_are_integers_without_splitting():
    assert operator_for().integrate(counts(), dark=None).sums.raw.dtype == np.int64


def test_a_frame_with_gaps_between_its_pixels_in_memory_is_read_rightly():
    wide = np.repeat(np.repeat(counts(), 2, axis=0), 2, axis=1)
    operator = operator_for()
    for image in (wide[::2, ::2], np.asfortranarray(counts())):
        assert not image.flags.c_contiguous
        np.testing.assert_array_equal(
            operator.integrate(image, dark=None).sums.raw, operator.integrate(counts(), dark=None).sums.raw
        )


def test_large_counts_do_not_overflow():
    operator = operator_for(bins=2)
    for dtype in (np.uint32, np.uint16):
        full = np.full(SHAPE, np.iinfo(dtype).max, dtype=dtype)
        expected = int(np.iinfo(dtype).max) * operator.squares.astype(int)
        np.testing.assert_array_equal(operator.integrate(full, dark=None).sums.raw, expected)


def test_counts_below_the_dark_stay_negative():
    operator = operator_for()
    image, dark = np.full(SHAPE, 100, np.uint16), np.full(SHAPE, 105, np.uint16)
    sums = operator.integrate(image, dark=operator.dark_sums(Dark(dark))).sums
    pixels = operator.squares
    np.testing.assert_allclose(sums.raw - sums.dark, -5 * pixels)
    assert (sums.variance >= 0).all()


@pytest.mark.parametrize("splitting", ["none", "bbox"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_no_bit_depends_on_the_number_of_threads(splitting, dtype):
    rng = np.random.default_rng(3)
    image = (rng.uniform(0, 3e4, SHAPE)).astype(dtype)

    def bytes_with(threads):
        operator = operator_for(Corrections(saturation_counts=2.5e4), splitting=splitting, threads=threads)
        sums = operator.integrate(image, dark=operator.dark_sums(Dark(pedestal()))).sums
        return [getattr(sums, name).tobytes() for name in ("raw", "dark", "norm", "variance")]

    assert all(bytes_with(threads) == bytes_with(1) for threads in (2, 3, 7))


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_several_python_threads_may_integrate_at_once(splitting):
    operator = operator_for(splitting=splitting, threads=3)
    expected = operator.integrate(counts(), dark=None).sums.raw
    wrong = []

    def work():
        results = (operator.integrate(counts(), dark=None).sums.raw for _ in range(5))
        wrong.extend(result for result in results if not np.array_equal(result, expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not wrong


def test_an_operator_can_be_sent_to_another_process():
    operator = operator_for()
    copy = pickle.loads(pickle.dumps(operator))
    np.testing.assert_array_equal(
        copy.integrate(counts(), dark=None).sums.raw, operator.integrate(counts(), dark=None).sums.raw
    )


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_a_masked_pixel_counts_nowhere(splitting):
    operator = operator_for(Corrections(mask=Mask(shadow()), saturation_counts=60000.0), splitting=splitting)
    clean, dirty = counts(), counts()
    dirty[shadow()] = 65535
    one, other = operator.integrate(clean, dark=None), operator.integrate(dirty, dark=None)
    np.testing.assert_array_equal(one.sums.raw, other.sums.raw)
    np.testing.assert_array_equal(one.sums.norm, other.sums.norm)
    assert other.saturated_pixels == other.bad_pixels == 0


@pytest.mark.parametrize("splitting", ["none", "bbox"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_pixel_bad_in_one_frame_is_as_if_masked_in_it(splitting, data):
    bad = np.zeros(SHAPE, dtype=bool)
    for _ in range(data.draw(st.integers(1, 30))):
        row, column = data.draw(st.integers(0, SHAPE[0] - 1)), data.draw(st.integers(0, SHAPE[1] - 1))
        bad[row, column : column + data.draw(st.integers(1, 20))] = True
    image = counts()
    image[bad] = 65535
    limited = operator_for(Corrections(saturation_counts=65535.0, polarization_factor=0.9), splitting=splitting)
    masked = operator_for(Corrections(mask=Mask(bad), polarization_factor=0.9), splitting=splitting)
    dark = Dark(pedestal())
    found = limited.integrate(image, dark=limited.dark_sums(dark))
    expected = masked.integrate(image, dark=masked.dark_sums(dark)).sums
    for name in ("raw", "dark", "norm", "variance"):
        np.testing.assert_allclose(getattr(found.sums, name), getattr(expected, name), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_a_frame_of_bad_pixels_alone_is_empty_and_not_zero(splitting):
    operator = operator_for(Corrections(saturation_counts=65535.0), splitting=splitting)
    dark = operator.dark_sums(Dark(pedestal()))
    result = operator.integrate(np.full(SHAPE, 65535, np.uint16), dark=dark)
    pattern = pattern_from_sums(sums=result.sums, axis=operator.axis)
    assert np.isnan(pattern.intensity).all()
    assert (result.sums.norm == 0).all()
    assert (result.sums.dark == 0).all()
    assert result.saturated_pixels == result.bad_pixels > 0


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_bad_pixels_are_counted_by_kind(splitting):
    operator = operator_for(Corrections(saturation_counts=1e4, minimum_counts=0.0), splitting=splitting)
    image = counts().astype(np.float32)
    row, column = 40, 100
    image[row, column : column + 5] = [np.nan, np.inf, -np.inf, -1.0, 2e4]
    result = operator.integrate(image, dark=None)
    assert result.bad_pixels == 5
    assert result.saturated_pixels == 2
    assert np.isfinite(result.sums.raw).all()


def test_a_photon_counter_scatters_as_its_sigma_says_at_a_tenth_of_a_photon_a_pixel():
    operator = operator_for(Corrections(variance=VarianceModel(kind=VarianceKind.POISSON)))
    rng = np.random.default_rng(4)
    frames = [operator.integrate(rng.poisson(0.1, SHAPE).astype(np.int32), dark=None).sums for _ in range(60)]
    full = operator.squares > 100
    scatter = np.var([sums.raw[full] for sums in frames], axis=0, ddof=1)
    stated = np.mean([sums.variance[full] for sums in frames], axis=0)
    assert np.mean(scatter / stated) == pytest.approx(1.0, abs=0.1)


def test_a_bin_without_a_photon_is_not_the_surest_of_all():
    operator = operator_for(Corrections(variance=VarianceModel(kind=VarianceKind.POISSON)))
    sums = operator.integrate(np.zeros(SHAPE, np.int32), dark=None).sums
    np.testing.assert_array_equal(sums.variance, operator.squares > 0)


@pytest.mark.parametrize("splitting", ["none", "bbox"])
def test_nan_in_a_frame_never_reaches_a_bin(splitting):
    image = counts().astype(np.float64)
    image[10:20] = np.nan
    operator = operator_for(Corrections(variance=VarianceModel(kind=VarianceKind.POISSON)), splitting=splitting)
    sums = operator.integrate(image, dark=operator.dark_sums(Dark(pedestal()))).sums
    for name in ("raw", "dark", "norm", "variance"):
        assert np.isfinite(getattr(sums, name)).all()


def test_the_gaps_of_a_module_detector_are_masked_without_being_asked():
    text = "Detector: Pilatus100k\nDetector_config: {}\nDistance: 0.2\nPoni1: 0.02\nPoni2: 0.04\nWavelength: 1e-10\n"
    geometry = geometry_from_poni(text.replace("100k", "300k"), origin="pilatus.poni")
    operator = build_operator(geometry=geometry, corrections=Corrections(), binning=Binning(100))
    image = np.full(geometry.shape, 7, np.int32)
    gaps = np.asarray(detector_factory("Pilatus300k").mask, dtype=bool)
    image[gaps] = -1
    sums = operator.integrate(image, dark=None).sums
    np.testing.assert_array_equal(sums.raw, 7 * operator.squares.astype(int))
    assert operator.masked_fraction == pytest.approx(gaps.mean())


def test_summing_frames_is_exact():
    operator = operator_for()
    total = operator.integrate(counts(0), dark=None).sums + operator.integrate(counts(1), dark=None).sums
    at_once = operator.integrate(counts(0).astype(np.uint32) + counts(1), dark=None).sums
    np.testing.assert_array_equal(total.raw, at_once.raw)


def test_splitting_keeps_every_count():
    one = build_operator(geometry=small_geometry(), corrections=Corrections(), binning=Binning(BINS))
    split = build_operator(
        geometry=small_geometry(), corrections=Corrections(), binning=Binning(BINS, splitting="bbox")
    )
    total = split.integrate(counts(), dark=None).sums.raw.sum()
    assert total == pytest.approx(one.integrate(counts(), dark=None).sums.raw.sum(), rel=1e-4)


def test_a_dark_of_another_shape_or_operator_is_refused():
    operator, other = operator_for(), operator_for(bins=BINS + 1)
    with pytest.raises(CorrectionError, match=r"\(2, 2\)"):
        operator.dark_sums(Dark(np.ones((2, 2))))
    with pytest.raises(CorrectionError, match="prepared for 61 bins"):
        operator.integrate(counts(), dark=other.dark_sums(Dark(pedestal())))


@pytest.mark.parametrize("monitor", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_monitor_is_refused(monitor):
    with pytest.raises(CorrectionError, match="monitor"):
        operator_for().integrate(counts(), dark=None, monitor=monitor)


@pytest.mark.parametrize(
    "image", [np.ones((3, 4)), np.ones(SHAPE[0] * SHAPE[1]), np.ones((*SHAPE, 3)), np.ones((0, 0))]
)
def test_a_frame_of_another_shape_is_refused(image):
    with pytest.raises(FrameShapeError, match=r"\(96, 127\)"):
        operator_for().integrate(image, dark=None)


@pytest.mark.parametrize("dtype", [bool, complex, "U3", "O", np.uint64, "M8[s]"])
def test_a_frame_of_no_counts_is_refused(dtype):
    with pytest.raises(FrameTypeError):
        operator_for().integrate(np.zeros(SHAPE).astype(dtype), dark=None)


def test_limits_that_leave_no_counts_are_refused():
    operator = operator_for(Corrections(minimum_counts=300.0))
    with pytest.raises(FrameTypeError, match="uint8"):
        operator.integrate(np.ones(SHAPE, np.uint8), dark=None)


@pytest.mark.parametrize(
    ("low", "high", "kept"), [(None, None, 256), (0.5, None, 255), (1.0, 255.0, 254), (-5.0, 1e9, 256), (3.2, 4.1, 1)]
)
def test_limits_mean_the_same_for_integers_and_floats(low, high, kept):
    ramp = np.resize(np.arange(256), SHAPE)
    mask = np.ones(SHAPE, dtype=bool)
    mask[40:43, 20:106] = False
    mask.ravel()[40 * SHAPE[1] :][: 2 * SHAPE[1]] = False
    operator = operator_for(Corrections(saturation_counts=high, minimum_counts=low))
    results = [operator.integrate(ramp.astype(dtype), dark=None) for dtype in ("u1", "i2", "u4", "f4", "f8")]
    assert len({result.bad_pixels for result in results}) == 1
    share = 1 - results[0].bad_pixels / operator.squares.sum()
    assert share == pytest.approx(kept / 256, abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [{"bins": 0}, {"bins": 5, "two_theta_min_deg": 3.0, "two_theta_max_deg": 2.0}, {"bins": 5, "splitting": "x"}],
)
def test_impossible_bins_are_refused(wrong):
    with pytest.raises(GeometryError):
        Binning(**wrong)


def test_a_range_beyond_the_detector_is_refused():
    with pytest.raises(GeometryError, match="no pixel counts between 50"):
        build_operator(geometry=small_geometry(), corrections=Corrections(), binning=Binning(10, 50.0, 60.0))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(CorrectionError, match=r"\(96, 127\)"):
        operator_for(Corrections(mask=Mask(np.zeros((127, 96), bool))))


def test_more_bins_than_16_bit_can_number_still_work():
    operator = operator_for(bins=70000)
    image = counts()
    inside = operator.fold.bin_of_pixel < 70000
    assert operator.integrate(image, dark=None).sums.raw.sum() == image[inside].sum()


def test_an_open_end_of_the_range_is_the_detectors_own():
    corrections, geometry = Corrections(), small_geometry()
    both = build_operator(geometry=geometry, corrections=corrections, binning=Binning(BINS))
    low = build_operator(geometry=geometry, corrections=corrections, binning=Binning(BINS, 1.0, None))
    assert low.axis.edges_two_theta_deg[0] == pytest.approx(1.0)
    assert low.axis.edges_two_theta_deg[-1] == pytest.approx(both.axis.edges_two_theta_deg[-1], rel=1e-6)


def test_results_cannot_be_written_back_into_the_operator():
    operator = operator_for()
    with pytest.raises(ValueError, match="read-only"):
        operator.norm[0] = 1.0
    sums = operator.integrate(counts(), dark=operator.dark_sums(Dark(pedestal()))).sums
    before = operator.norm.copy()
    sums.norm[:] = 0
    sums.dark[:] = 0
    np.testing.assert_array_equal(operator.norm, before)


def test_the_operator_knows_its_geometry():
    geometry = small_geometry()
    assert operator_for().geometry_fingerprint == geometry.fingerprint
    assert dataclasses.replace(geometry, rot1_rad=0.5).fingerprint != geometry.fingerprint
    assert operator_for().shape == SHAPE
    with pytest.raises(PatternError):
        operator_for().integrate(counts(), dark=None).sums + operator_for(bins=3).integrate(counts(), dark=None).sums


@pytest.mark.recordings
def test_the_real_nickel_frame_equals_pyfai(recordings):
    import fabio

    folder = recordings / "frames/pe_xpd_Ni_light_dark"
    light, dark = (fabio.open(str(folder / f"Ni_{name}_frame.tiff")).data for name in ("light", "dark"))
    text = (folder / "refined_Ni_0.1665A.poni").read_text()
    geometry = geometry_from_poni(text, origin="refined_Ni_0.1665A.poni", shape=light.shape)
    dead = dead_pixels_from_dark(dark)
    corrections = Corrections(
        mask=Mask(dead), polarization_factor=0.95, saturation_counts=65535.0, variance=VarianceModel(1.5, 4.0)
    )
    operator = build_operator(geometry=geometry, corrections=corrections, binning=Binning(2048, 0.0, 60.0))
    result = operator.integrate(light, dark=operator.dark_sums(Dark(dark)))
    assert result.saturated_pixels == np.count_nonzero(light == 65535) == 36
    reference = integrator_of(geometry).integrate1d_ng(
        light,
        2048,
        unit="2th_deg",
        radial_range=(0.0, 60.0),
        method=("no", "csr", "cython"),
        mask=dead | (light == 65535),
        dark=dark.astype(float),
        polarization_factor=0.95,
        variance=1.5 * (light.astype(float) - dark) + 32.0,
    )
    pattern = pattern_from_sums(sums=result.sums, axis=operator.axis)
    # A corner of the panel reads less than its dark: there the photon part of the variance ends at zero.
    lit = pattern.intensity[reference.count > 0] > 0
    assert np.count_nonzero(~lit) < 5
    assert_same_pattern(pattern, reference, sigma_in=lit)

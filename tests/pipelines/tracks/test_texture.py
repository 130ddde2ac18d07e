"""Smooth part, spots and second harmonic against known truth."""

import math

import numpy as np
import pytest

from ringwatch_pipelines.errors import PatternError
from ringwatch_pipelines.reduction.operators import SectorPattern
from ringwatch_pipelines.tracks.texture import (
    SectorAreas,
    areas_from_sectors,
    texture_from_areas,
    texture_from_sectors,
)

SECTORS = 72
AZIMUTH_DEG = (np.arange(SECTORS) + 0.5) * 360 / SECTORS
TWO_THETA_DEG = np.linspace(2.65, 2.77, 24)
PROFILE = np.exp(-0.5 * ((TWO_THETA_DEG - 2.708) / 0.009) ** 2) / (0.009 * np.sqrt(2 * np.pi))
NEIGHBOUR = 40.0 * np.exp(-0.5 * ((TWO_THETA_DEG - 2.735) / 0.009) ** 2)
DRAWS = 300


def smooth_ring(a2=0.0, phase_deg=0.0):
    return 1 + a2 * np.cos(2 * np.deg2rad(AZIMUTH_DEG - phase_deg))


def sectors_of(ring, random, *, area=0.8, counts=40.0):
    """(sectors, radial bins) with Poisson noise: line, neighbouring line and a sloping background."""
    background = 100 + 200 * (TWO_THETA_DEG - 2.7)
    truth = area * ring[:, None] * PROFILE + NEIGHBOUR + background
    intensity = random.poisson(truth * counts) / counts
    return SectorPattern(
        intensity=intensity,
        sigma=np.sqrt(np.maximum(intensity, 1 / counts) / counts),
        norm=np.full(intensity.shape, counts),
        two_theta_deg=TWO_THETA_DEG,
        azimuth_deg=AZIMUTH_DEG,
    )


def areas_of(ring, random, sigma=0.05):
    return SectorAreas(AZIMUTH_DEG, ring + sigma * random.standard_normal(SECTORS), np.full(SECTORS, sigma))


def tracks(ring, seed, sigma=0.05):
    random = np.random.default_rng(seed)
    return [texture_from_areas(label="110", areas=areas_of(ring, random, sigma)) for _ in range(DRAWS)]


def values(estimates):
    return np.array([[one.value, one.sigma] for one in estimates]).T


def spotted(random, spots=12, share=0.4):
    """A smooth ring with bright spots that hold `share` of all intensity."""
    ring = np.zeros(SECTORS)
    heights = 1 + random.exponential(1.0, spots)
    ring[random.choice(SECTORS, spots, replace=False)] = heights / heights.sum()
    return 1 + ring * SECTORS * share / (1 - share)


def test_the_area_of_each_sector_is_found_beside_its_neighbour_within_its_error():
    random = np.random.default_rng(1)
    ring = smooth_ring(0.3)
    pulls = []
    for _ in range(20):
        areas = areas_from_sectors(sectors=sectors_of(ring, random), profile=PROFILE, others=NEIGHBOUR)
        pulls.append((areas.area - 0.8 * ring) / areas.sigma)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(20 * SECTORS)
    assert np.std(pulls) == pytest.approx(1, abs=0.08)


def test_a_neighbour_that_is_not_taken_off_is_seen_in_the_area():
    areas = areas_from_sectors(sectors=sectors_of(smooth_ring(), np.random.default_rng(2)), profile=PROFILE)
    assert abs(np.mean(areas.area) - 0.8) > 0.05


def test_bins_without_a_model_of_the_others_are_left_out():
    others = np.where(TWO_THETA_DEG > 2.745, np.nan, NEIGHBOUR)
    areas = areas_from_sectors(
        sectors=sectors_of(smooth_ring(), np.random.default_rng(16)), profile=PROFILE, others=others
    )
    assert np.mean(areas.area) == pytest.approx(0.8, abs=4 * np.mean(areas.sigma) / math.sqrt(SECTORS))


def test_pure_noise_on_a_smooth_ring_makes_no_spots():
    share, sigma = values([track.spot_fraction for track in tracks(np.ones(SECTORS), 3)])
    assert abs(share.mean()) < 0.4 * sigma.mean()
    assert share.std() == pytest.approx(sigma.mean(), rel=0.2)
    assert np.mean(np.abs(share) < 2 * sigma) > 0.9


def test_the_smooth_level_of_pure_noise_is_unbiased_and_its_error_holds():
    level, sigma = values([track.smooth for track in tracks(np.ones(SECTORS), 4)])
    assert abs(level.mean() - 1) < 4 * level.std() / math.sqrt(DRAWS)
    assert level.std() == pytest.approx(sigma.mean(), rel=0.15)


def test_clipping_without_its_correction_would_be_seen():
    """The bias that the correction takes away is larger than what the tests above allow."""
    random = np.random.default_rng(5)
    noise = random.standard_normal((DRAWS, SECTORS))
    clipped = np.where(noise < 2.0, noise, np.nan)
    assert abs(np.nanmean(clipped)) > 4 / math.sqrt(DRAWS * SECTORS)


def test_spots_are_told_from_the_smooth_ring():
    random = np.random.default_rng(6)
    found = [texture_from_areas(label="110", areas=areas_of(spotted(random), random, 0.03)) for _ in range(DRAWS)]
    share, _ = values([track.spot_fraction for track in found])
    level, _ = values([track.smooth for track in found])
    assert share.mean() == pytest.approx(0.4, abs=0.005)
    assert level.mean() == pytest.approx(1.0, abs=0.01)


def test_the_second_harmonic_is_found_with_its_error_and_makes_no_spots():
    found = tracks(smooth_ring(0.2, phase_deg=30), 7)
    a2, sigma = values([track.a2 for track in found])
    assert a2.mean() == pytest.approx(0.2, abs=4 * a2.std() / math.sqrt(DRAWS) + 1e-3)
    assert a2.std() == pytest.approx(sigma.mean(), rel=0.15)
    share, sigma = values([track.spot_fraction for track in found])
    assert abs(share.mean()) < 0.4 * sigma.mean()


def test_the_second_harmonic_is_found_below_spots():
    random = np.random.default_rng(8)
    found = [
        texture_from_areas(label="110", areas=areas_of(spotted(random) - 1 + smooth_ring(0.25), random, 0.03))
        for _ in range(100)
    ]
    assert np.mean([track.a2.value for track in found]) == pytest.approx(0.25, abs=0.02)


def test_missing_sectors_are_left_out():
    random = np.random.default_rng(9)
    sectors = sectors_of(smooth_ring(0.2), random)
    masked = np.zeros(SECTORS, dtype=bool)
    masked[10:25] = True
    intensity, sigma, norm = (
        np.where(masked[:, None], fill, array)
        for fill, array in [(np.nan, sectors.intensity), (np.nan, sectors.sigma), (0.0, sectors.norm)]
    )
    track = texture_from_sectors(
        label="110",
        sectors=SectorPattern(intensity, sigma, norm, TWO_THETA_DEG, AZIMUTH_DEG),
        profile=PROFILE,
        others=NEIGHBOUR,
    )
    assert track.smooth.value == pytest.approx(0.8, abs=4 * track.smooth.sigma)
    assert track.a2.value == pytest.approx(0.2, abs=4 * track.a2.sigma)
    assert track.spot_fraction.value == pytest.approx(0.0, abs=4 * track.spot_fraction.sigma + 0.002)


def test_a_sector_without_the_middle_of_the_line_has_no_area():
    sectors = sectors_of(smooth_ring(), np.random.default_rng(10))
    norm = sectors.norm.copy()
    norm[3, np.abs(TWO_THETA_DEG - 2.708) < 0.015] = 0
    intensity = np.where(norm > 0, sectors.intensity, np.nan)
    areas = areas_from_sectors(
        sectors=SectorPattern(intensity, sectors.sigma, norm, TWO_THETA_DEG, AZIMUTH_DEG), profile=PROFILE
    )
    assert np.flatnonzero(np.isnan(areas.area)).tolist() == [3]


def test_scatter_beyond_counting_widens_the_errors():
    quiet = tracks(np.ones(SECTORS), 11)
    random = np.random.default_rng(12)
    rough = [
        texture_from_areas(
            label="110",
            areas=SectorAreas(AZIMUTH_DEG, areas_of(np.ones(SECTORS), random, 0.15).area, np.full(72, 0.05)),
        )
        for _ in range(DRAWS)
    ]
    level, sigma = values([track.smooth for track in rough])
    assert sigma.mean() > 2.5 * np.mean([track.smooth.sigma for track in quiet])
    assert level.std() < 1.7 * sigma.mean()


def test_a_line_that_is_not_there_has_no_share_and_no_harmonic_but_a_level_near_zero():
    areas = areas_of(np.zeros(SECTORS), np.random.default_rng(13))
    track = texture_from_areas(label="110", areas=areas)
    assert abs(track.smooth.value) < 4 * track.smooth.sigma
    assert math.isnan(track.spot_fraction.value)
    assert math.isnan(track.a2.value)


def test_too_few_sectors_say_nothing():
    areas = areas_of(np.ones(SECTORS), np.random.default_rng(14))
    area = np.where(np.arange(SECTORS) < 8, areas.area, np.nan)
    track = texture_from_areas(label="110", areas=SectorAreas(AZIMUTH_DEG, area, areas.sigma))
    assert math.isnan(track.smooth.value)


def test_a_profile_of_other_bins_is_refused():
    with pytest.raises(PatternError, match="expected a profile of 24 radial bins"):
        areas_from_sectors(sectors=sectors_of(smooth_ring(), np.random.default_rng(15)), profile=PROFILE[1:])

"""What ``check`` warns of before the beam is on."""

from dataclasses import replace

import pytest

from fakes.synthetic_patterns import lagp, lithium, recipe
from ringwatch_daemon.composition.fit_cautions import fit_cautions
from ringwatch_daemon.settings import FitSettings
from ringwatch_pipelines.crystals.phases import PhaseRole, phase_from_cell
from ringwatch_pipelines.fit.peak_widths import constant_instrument_profile

GIVEN = FitSettings.model_validate({"instrument": {"w_deg2": 3.8e-4}})
GUESSED = FitSettings()


def sharp(*phases, bin_width_deg=0.003):
    instrument = constant_instrument_profile(fwhm_deg=0.02)
    return replace(recipe(*phases), instrument=instrument, bin_width_deg=bin_width_deg)


def dense():
    """Baddeleyite up to 11 degree at 0.1173 angstrom."""
    return phase_from_cell(
        name="zirconia",
        role=PhaseRole.FREE,
        cell=(5.1505, 5.2116, 5.3173, 90.0, 99.23, 90.0),
        space_group="P 21/c",
        d_min_A=0.61,
        wavelength_m=1.173e-11,
        size_nm=40.0,
    )


def test_a_sound_configuration_is_not_warned_of():
    assert fit_cautions(GIVEN, sharp(lagp(), lithium())) == []
    assert fit_cautions(GUESSED, None) == []


def test_a_width_that_nobody_measured_is_named_where_sizes_are_refined():
    (caution,) = fit_cautions(GUESSED, sharp(lagp()))
    assert caution.startswith("fit.instrument is not given")
    assert fit_cautions(GUESSED, sharp(lithium())) == []


@pytest.mark.parametrize(("bin_width_deg", "warned"), [(0.007, False), (0.02, True)])
def test_bins_too_coarse_for_the_lines_are_named_with_how_many_it_takes(bin_width_deg, warned):
    cautions = fit_cautions(GIVEN, sharp(lagp(), bin_width_deg=bin_width_deg))
    assert [caution.startswith("bins of 0.0200 degree") for caution in cautions] == [True] * warned


def test_a_phase_whose_lines_mostly_overlap_is_named():
    crowded = replace(sharp(dense()), two_theta_range_deg=(1.4, 11.0))
    (caution,) = fit_cautions(GIVEN, crowded)
    assert "of zirconia" in caution
    assert "fit.merge_fwhm = 0.3" in caution
    assert fit_cautions(GIVEN, replace(crowded, two_theta_range_deg=(1.4, 3.0))) == []

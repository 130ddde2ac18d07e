"""What a configuration may be used with, and what its numbers will then not be worth; said by ``ringwatch check``."""

import numpy as np

from ringwatch_daemon.settings import FitSettings
from ringwatch_pipelines.crystals.phases import Phase, PhaseRole
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.line_groups import lines_of_phase

COARSE_BIN = 0.4
"""Part of a line's width above which the bins bias what is fitted: a bin is taken for a Gaussian of its variance."""

CLOSE_FWHM, MANY_CLOSE = 0.3, 0.25
"""Neighbours within this part of their width are told apart only by many counts; so large a part of all is many."""


def fit_cautions(settings: FitSettings, fit: FitRecipe | None) -> list[str]:
    """One sentence each; none where all is well."""
    if fit is None:
        return []
    refined = [phase for phase in fit.phases if phase.role is PhaseRole.FREE]
    said = [_instrument_caution(settings) if refined else "", _bin_caution(fit)]
    said += [_overlap_caution(phase, fit) for phase in refined]
    return [text for text in said if text]


def _instrument_caution(settings: FitSettings) -> str:
    if "instrument" in settings.model_fields_set:
        return ""
    return (
        f"fit.instrument is not given, and {settings.instrument.w_deg2**0.5:.4f} degree is a guess: size and "
        "strain mean nothing without the width that ringwatch calibrate measures"
    )


def _bin_caution(fit: FitRecipe) -> str:
    lines = [lines_of_phase(phase=phase, recipe=fit).fwhm_deg for phase in fit.phases]
    narrowest = float(np.min(np.concatenate([np.zeros(0), *lines]), initial=np.inf))
    if not fit.bin_width_deg > COARSE_BIN * narrowest:
        return ""
    low, high = fit.two_theta_range_deg
    return (
        f"bins of {fit.bin_width_deg:.4f} degree are {fit.bin_width_deg / narrowest:.1f} of the narrowest line's "
        f"width: size, strain and lattice will be biased; {COARSE_BIN:g} or less needs at least "
        f"{np.ceil((high - low) / (COARSE_BIN * narrowest)):.0f} bins over the range of the fit"
    )


def _overlap_caution(phase: Phase, fit: FitRecipe) -> str:
    lines = lines_of_phase(phase=phase, recipe=fit)
    order = lines.leads[np.argsort(lines.two_theta_deg[lines.leads])]
    gaps = np.diff(lines.two_theta_deg[order]) / lines.fwhm_deg[order][1:]
    close = int(np.sum(gaps < CLOSE_FWHM))
    if not close > MANY_CLOSE * max(order.size, 1):
        return ""
    return (
        f"{close} of {order.size} intensities of {phase.name} belong to lines nearer than {CLOSE_FWHM:g} of their "
        "width to the next one: with few counts its lattice wanders by more than its sigma; fit.merge_fwhm = "
        f"{CLOSE_FWHM:g} mends that where its sites are known"
    )

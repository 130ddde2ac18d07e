"""The files that a calibration leaves: a ``.poni``, TOML to paste, and a JSON record of every value."""

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ringwatch_daemon.calibration.outcome import CalibrationOutcome
from ringwatch_pipelines.calibration.geometry_refinement import WAVELENGTH
from ringwatch_pipelines.calibration.instrument_width import TERMS
from ringwatch_pipelines.reduction.poni_text import poni_from_geometry

RECORD_SCHEMA = 1
_UNITS = {"m": "m", "rad": "rad", "deg2": "degree^2", "deg": "degree"}


def poni_text(outcome: CalibrationOutcome) -> str:
    """The refined geometry."""
    fit = outcome.geometry.fit
    errors = ", ".join(f"{name} {fit.sigma(name):.2g}" for name in fit.names)
    remarks = (
        f"Calibration done on {outcome.made_utc} by ringwatch with {outcome.calibrant.name}",
        f"one sigma: {errors}",
    )
    return poni_from_geometry(fit.geometry, remarks=remarks)


def toml_text(outcome: CalibrationOutcome, *, poni_name: str) -> str:
    """Settings to paste into a configuration."""
    lines = [
        f"# {outcome.calibrant.name}, {outcome.made_utc}; errors are one sigma. Merge with the tables of these names.",
        "[geometry]",
        f'poni = "{poni_name}"',
        "",
        *_instrument_lines(outcome),
        "",
        *_detector_lines(outcome),
    ]
    return "\n".join(lines) + "\n"


def _instrument_lines(outcome: CalibrationOutcome) -> list[str]:
    width = outcome.width
    if width.profile is None:
        return [f"# {width.text}"]
    lines = ["[fit.instrument]  # without the width of a bin, which the fit adds itself"]
    for term in TERMS:
        value = getattr(width.profile, term)
        fitted = f"+- {width.sigma(term):.2g}" if term in width.terms else "not supported by the data"
        lines.append(f"{term} = {value:.6g}  # {fitted}")
    return lines


def _detector_lines(outcome: CalibrationOutcome) -> list[str]:
    transfer = outcome.transfer
    values = []
    if math.isfinite(transfer.gain):
        values.append(f"gain_counts = {transfer.gain:.5g}  # +- {transfer.gain_sigma:.2g}")
    if math.isfinite(transfer.read_noise_counts):
        values.append(f"read_noise_counts = {transfer.read_noise_counts:.5g}  # +- {transfer.read_noise_sigma:.2g}")
    header = ["[detector]"] if values else []
    return [*header, *values, f"# {transfer.text}"]


def record_text(outcome: CalibrationOutcome) -> str:
    """Every value with its uncertainty, covariance and provenance, as JSON."""
    record = {
        "schema": RECORD_SCHEMA,
        "made_utc": outcome.made_utc,
        "calibrant": {
            "name": outcome.calibrant.name,
            "source": outcome.calibrant.source,
            "size_nm": outcome.broadening.size_nm,
            "strain": outcome.broadening.strain,
            "d_spacing_A": outcome.geometry.d_spacing_A,
        },
        "inputs": [{"role": file.role, "path": file.path, "sha256": file.sha256} for file in outcome.inputs],
        "versions": dict(outcome.versions),
        "geometry": _geometry_record(outcome),
        "instrument": _instrument_record(outcome),
        "detector": _detector_record(outcome),
    }
    return json.dumps(_plain(record), indent=1, allow_nan=False) + "\n"


def _geometry_record(outcome: CalibrationOutcome) -> dict[str, Any]:
    found, fit = outcome.geometry, outcome.geometry.fit
    return {
        "detector": fit.geometry.detector,
        "fingerprint": fit.geometry.fingerprint,
        "start_fingerprint": found.start.fingerprint,
        "parameters": {
            name: {
                "value": getattr(fit.geometry, name),
                "sigma": fit.sigma(name),
                "start": getattr(found.start, name),
                "refined": name in fit.names,
                "unit": _UNITS[name.rpartition("_")[2]],
            }
            for name in ("distance_m", "poni1_m", "poni2_m", "rot1_rad", "rot2_rad", "rot3_rad", WAVELENGTH)
        },
        "covariance_of": fit.names,
        "covariance": fit.covariance,
        "rms_deg": fit.rms_deg,
        "ring_rms_deg": fit.ring_rms_deg,
        "excess_scatter_deg": fit.excess_scatter_deg,
        "rounds": found.rounds,
        "self_test_before": found.before.text,
        "self_test_after": found.after.text,
        "rings": {
            "line": found.positions.line,
            "azimuth_deg": fit.azimuth_deg,
            "two_theta_deg": fit.two_theta_deg,
            "residual_deg": fit.residual_deg,
            "sigma_deg": fit.sigma_deg,
            "used": fit.used,
        },
    }


def _instrument_record(outcome: CalibrationOutcome) -> dict[str, Any]:
    width = outcome.width
    return {
        "text": width.text,
        "bin_width_contained": False,
        "measured_in_bins_of_deg": width.bin_width_deg,
        "terms": {
            term: {
                "value": None if width.profile is None else getattr(width.profile, term),
                "sigma": width.sigma(term),
                "fitted": term in width.terms,
                "unit": _UNITS[term.rpartition("_")[2]],
            }
            for term in TERMS
        },
        "covariance_of": width.terms,
        "covariance": width.covariance,
        "chi_square": width.chi_square,
        "lines": {
            "two_theta_deg": width.two_theta_deg,
            "fwhm_deg": width.fwhm_deg,
            "fwhm_sigma_deg": width.fwhm_sigma_deg,
        },
    }


def _detector_record(outcome: CalibrationOutcome) -> dict[str, Any]:
    transfer = outcome.transfer
    return {
        "text": transfer.text,
        "gain_counts": {"value": transfer.gain, "sigma": transfer.gain_sigma},
        "read_noise_counts": {"value": transfer.read_noise_counts, "sigma": transfer.read_noise_sigma},
        "gain_of_small_superpixels": transfer.pixel_gain,
        "light_pairs": transfer.light_pairs,
        "dark_pairs": transfer.dark_pairs,
        "points": {
            "signal_counts": transfer.signal_counts,
            "variance": transfer.variance,
            "variance_sigma": transfer.variance_sigma,
        },
    }


def _plain(value: Any) -> Any:
    """What JSON holds: arrays become lists, and numbers that are none become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

"""From frames of a calibrant to a calibration: geometry, width of the instrument, noise of the detector."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ringwatch_daemon.calibration.outcome import CalibrationOutcome, InputFile
from ringwatch_daemon.calibration.texts import poni_text, record_text, toml_text
from ringwatch_daemon.composition.provenance import versions
from ringwatch_daemon.composition.recipes import metadata_names, recipe_from_settings
from ringwatch_daemon.core.clock import Clock, SystemClock
from ringwatch_daemon.core.errors import InputFileError, SettingsError
from ringwatch_daemon.settings import Settings
from ringwatch_daemon.settings_file import load_settings
from ringwatch_daemon.sources.folders import files_of
from ringwatch_daemon.sources.images import read_frames, split_dataset
from ringwatch_daemon.sources.metadata import details_from_metadata, lower_keys
from ringwatch_pipelines.analysis import Recipe
from ringwatch_pipelines.calibration.calibrants import calibrant_by_name, calibrant_from_cif, calibrant_from_phase
from ringwatch_pipelines.calibration.calibration import (
    Calibrant,
    CalibrantFrames,
    calibrate_geometry,
    check_geometry,
    foreign_rings_deg,
    sum_pattern,
)
from ringwatch_pipelines.calibration.instrument_width import KnownBroadening, fit_instrument_width
from ringwatch_pipelines.calibration.photon_transfer import PhotonTransfer, photon_transfer
from ringwatch_pipelines.errors import CorrectionError, GeometryError
from ringwatch_pipelines.frames import DetectorConditions
from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.quantities import d_spacing_from_two_theta
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, select_dark
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import counting_pixels, reach_of

PONI, SETTINGS, RECORD, FIGURE = "calibrated.poni", "calibrated.toml", "calibration.json", "calibration.png"
MOST_FRAMES = 64
WHOLE_RINGS = 0.7
"""Part of the residuals from which on it is said that they are those of whole rings."""
NOTABLE = 0.02
"""Part of a line's width below which nobody minds where a whole ring lies."""
WRONG_RINGS, WRONG_SHARE = 2, 0.2
"""So many foreign rings, and so large a part of the calibrant's, are those of another substance."""
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationOrder:
    """What the command is asked for.

    Parameters
    ----------
    frames, darks
        Files, patterns or folders; without darks the configuration's count.
    calibrant
        Name of a standard or a CIF; empty takes `phase`, and without that ``geometry.ring_test``.
    phase
        One of the configuration's phases.
    refine_wavelength
        Let the wavelength go too.
    size_nm, strain
        What the calibrant itself adds to the width, by its certificate.
    check_only
        Leave the calibration as it is, and say whether the rings agree with it.
    """

    frames: tuple[str, ...]
    darks: tuple[str, ...] = ()
    calibrant: str = ""
    phase: str = ""
    refine_wavelength: bool = False
    size_nm: float = float("inf")
    strain: float = 0.0
    check_only: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """Everything that was read."""

    lights: tuple[NDArray[Any], ...]
    darks: tuple[NDArray[Any], ...]
    dark: Dark | None
    files: tuple[InputFile, ...]


def calibrate(config: Path, order: CalibrationOrder, directory: Path, *, console: Console) -> None:
    """Calibrate and write what was found into a folder.

    Raises
    ------
    RingwatchError
        An input cannot be used, or the rings are not those of the calibrant.
    """
    settings = load_settings(config)
    recipe = _recipe(settings)
    inputs = _read(config, settings, recipe, order)
    frames = CalibrantFrames(
        images=inputs.lights,
        dark=inputs.dark,
        corrections=recipe.corrections,
        calibrant=_calibrant(settings, recipe, order),
    )
    if order.check_only:
        result = check_geometry(frames=frames, geometry=recipe.geometry)
        _say(console, f"{frames.calibrant.name}: {result.text}")
        if not result.passed:
            raise GeometryError(f"{settings.geometry.poni} is not the calibration of these frames")
        return
    outcome = _calibrated(frames, recipe.geometry, inputs, order, SystemClock())
    _require_its_rings(outcome)
    for line in _summary(outcome):
        _say(console, line)
    written = _write(outcome, directory)
    figure = _drawn(outcome, directory / FIGURE)
    if figure is None:
        _say(console, "no figure: it needs matplotlib, pip install 'ringwatch[figures]'")
    else:
        written.append(figure)
    _say(console, ", ".join(map(str, written)))


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _recipe(settings: Settings) -> Recipe:
    """Geometry, corrections and darks of the configuration, without its fit."""
    geometry = settings.geometry.model_copy(update={"ring_test": None})
    return recipe_from_settings(settings.model_copy(update={"phases": (), "geometry": geometry}))


def _calibrant(settings: Settings, recipe: Recipe, order: CalibrationOrder) -> Calibrant:
    wavelength_m = recipe.geometry.wavelength_m
    reach = reach_of(geometry=recipe.geometry, corrections=recipe.corrections)
    # The start may be off by a tenth, and a ring more costs nothing.
    farthest_deg = min(1.2 * reach.two_theta_max_deg, 170.0)
    d_min_A = float(d_spacing_from_two_theta(two_theta_deg=farthest_deg, wavelength_m=wavelength_m))
    cif = Path(order.calibrant)
    if order.calibrant and cif.suffix.lower() == ".cif":
        try:
            text = cif.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputFileError(f"expected the CIF of a calibrant in {cif}, but it cannot be read: {error}") from error
        return calibrant_from_cif(text, name=cif.stem, wavelength_m=wavelength_m, d_min_A=d_min_A)
    if order.calibrant:
        return calibrant_by_name(order.calibrant, wavelength_m=wavelength_m, d_min_A=d_min_A)
    name = order.phase or settings.geometry.ring_test
    if not name:
        raise SettingsError("expected --calibrant (CeO2, LaB6, Si, Ni or a CIF) or --phase, got neither")
    fit = recipe_from_settings(settings).fit
    phases = {} if fit is None else {phase.name: phase for phase in fit.phases}
    if name not in phases:
        raise SettingsError(f"expected a phase of the configuration ({', '.join(phases) or 'none'}), got {name}")
    return calibrant_from_phase(phases[name], source="configuration")


def _read(config: Path, settings: Settings, recipe: Recipe, order: CalibrationOrder) -> _Inputs:
    shape = recipe.geometry.shape
    light_files = _files(order.frames)
    lights, conditions = _images(light_files, settings, shape)
    dark_files = _files(order.darks)
    darks, _ = _images(dark_files, settings, shape)
    listed = [("frame", light_files), ("dark", dark_files), ("configuration", [str(config)])]
    listed.append(("poni", [str(settings.geometry.poni)]))
    if not darks:
        listed.append(("dark", [str(path) for path in settings.dark.files]))
    for role, path in (("mask", settings.geometry.mask), ("flat", settings.geometry.flat)):
        listed.append((role, [str(path)] if path else []))
    files = tuple(InputFile(role, path, _sha256(path)) for role, paths in listed for path in paths)
    dark = _mean_dark(darks) if darks else _configured_dark(recipe, conditions)
    return _Inputs(lights, darks, dark, files)


def _files(paths: Sequence[str]) -> list[str]:
    return [file for path in paths for file in files_of(path)]


def _images(
    files: Sequence[str], settings: Settings, shape: tuple[int, int]
) -> tuple[tuple[NDArray[Any], ...], DetectorConditions]:
    """All images of the files, and the conditions of the first one."""
    images: list[NDArray[Any]] = []
    conditions = DetectorConditions()
    for file in files:
        for frame in read_frames(file):
            if frame.image.shape != shape:
                raise InputFileError(f"expected frames of {shape} (rows, columns), got {frame.image.shape} from {file}")
            if not images:
                conditions = details_from_metadata(lower_keys(frame.header), metadata_names(settings)).conditions
            images.append(frame.image)
            if len(images) > MOST_FRAMES:
                raise InputFileError(f"expected up to {MOST_FRAMES} frames, got more: choose some of them")
    return tuple(images), conditions


def _mean_dark(darks: Sequence[NDArray[Any]]) -> Dark:
    mean = darks[0] if len(darks) == 1 else np.mean([np.asarray(dark, dtype=np.float64) for dark in darks], axis=0)
    return Dark(mean, frames=len(darks), origin="--dark")


def _configured_dark(recipe: Recipe, conditions: DetectorConditions) -> Dark | None:
    if not recipe.darks:
        return None
    choice = select_dark(recipe.darks, conditions=conditions, timestamp_ns=0)
    if choice.dark is None:
        raise CorrectionError(choice.text)
    return choice.dark


def _sha256(path: str) -> str:
    file, _ = split_dataset(path)
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _calibrated(
    frames: CalibrantFrames, geometry: Geometry, inputs: _Inputs, order: CalibrationOrder, clock: Clock
) -> CalibrationOutcome:
    found = calibrate_geometry(frames=frames, geometry=geometry, refine_wavelength=order.refine_wavelength)
    broadening = KnownBroadening(size_nm=order.size_nm, strain=order.strain)
    pattern = sum_pattern(frames=frames, geometry=found.fit.geometry)
    width = fit_instrument_width(
        pattern=pattern,
        lines_two_theta_deg=found.lines_two_theta_deg,
        fwhm_guess_deg=float(np.median(found.positions.fwhm_deg)),
        wavelength_m=found.fit.geometry.wavelength_m,
        broadening=broadening,
    )
    now = datetime.fromtimestamp(clock.utc_ns() // NS_PER_S, tz=UTC)
    return CalibrationOutcome(
        made_utc=now.isoformat(),
        calibrant=frames.calibrant,
        broadening=broadening,
        inputs=inputs.files,
        geometry=found,
        pattern=pattern,
        width=width,
        transfer=_transfer(geometry, frames.corrections, inputs),
        versions=versions(),
    )


def _transfer(geometry: Geometry, corrections: Corrections, inputs: _Inputs) -> PhotonTransfer:
    single = [] if inputs.dark is None else [inputs.dark.image]
    return photon_transfer(
        lights=inputs.lights,
        darks=inputs.darks or single,
        usable=counting_pixels(geometry=geometry, corrections=corrections),
        minimum_counts=corrections.minimum_counts,
        saturation_counts=corrections.saturation_counts,
    )


def _require_its_rings(outcome: CalibrationOutcome) -> None:
    """Refuse what was fitted to some of the rings of another substance; the geometry is wrong by its lattice."""
    foreign, own = _foreign_rings(outcome), np.unique(outcome.geometry.positions.line).size
    if foreign.size >= max(WRONG_RINGS, WRONG_SHARE * own):
        raise GeometryError(
            f"{outcome.calibrant.name} is not what was in the beam: its rings are seen, but {_listed(foreign)} not its"
        )


def _foreign_rings(outcome: CalibrationOutcome) -> FloatArray:
    return foreign_rings_deg(
        pattern=outcome.pattern,
        lines_two_theta_deg=outcome.geometry.lines_two_theta_deg,
        fwhm_deg=float(np.median(outcome.geometry.positions.fwhm_deg)),
    )


def _listed(rings_deg: FloatArray) -> str:
    places = ", ".join(f"{place:.3f}" for place in rings_deg[:6]) + (", ..." if rings_deg.size > 6 else "")
    one = rings_deg.size == 1
    return f"{rings_deg.size} strong ring{'' if one else 's'} at {places} degree {'is' if one else 'are'}"


def _summary(outcome: CalibrationOutcome) -> list[str]:
    found, fit, width = outcome.geometry, outcome.geometry.fit, outcome.width
    lines = [f"before: {found.before.text}", f"after: {found.after.text}"]
    for name in fit.names:
        quantity, _, unit = name.rpartition("_")
        value, start = getattr(fit.geometry, name), getattr(found.start, name)
        lines.append(f"{quantity} {value:.8g} +- {fit.sigma(name):.2g} {unit} (from {start:.8g})")
    lines.append(
        f"{np.unique(found.positions.line).size} rings in {fit.used.size} places, {np.sum(~fit.used)} of them far off; "
        f"residual {1e3 * fit.rms_deg:.3f} millidegree rms, of whole rings {1e3 * fit.ring_rms_deg:.3f}"
    )
    if fit.ring_rms_deg > max(WHOLE_RINGS * fit.rms_deg, NOTABLE * float(np.median(found.positions.fwhm_deg))):
        lines.append(
            "whole rings lie off together, which no place of a flat detector mends: "
            "distortion of the detector, wrong spacings, or a wrong wavelength"
        )
    if "wavelength_m" in fit.names:
        together = fit.correlation("distance_m", "wavelength_m")
        lines.append(
            f"wavelength and distance are correlated by {together:.5f}: rings of small angles tell their ratio only"
        )
    foreign = _foreign_rings(outcome)
    if foreign.size:
        lines.append(f"{_listed(foreign)} not of {outcome.calibrant.name}: something else is in the beam too")
    lines.append(width.text)
    if width.profile is not None:
        fitted = (f"{term} = {getattr(width.profile, term):.5g} +- {width.sigma(term):.2g}" for term in width.terms)
        lines.append(f"{', '.join(fitted)}, bin width not contained")
    return [*lines, outcome.transfer.text]


def _write(outcome: CalibrationOutcome, directory: Path) -> list[Path]:
    texts = {
        PONI: poni_text(outcome),
        SETTINGS: toml_text(outcome, poni_name=PONI),
        RECORD: record_text(outcome),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputFileError(f"{directory} cannot take the calibration: {error}") from error
    return [directory / name for name in texts]


def _drawn(outcome: CalibrationOutcome, path: Path) -> Path | None:
    """The figure; None without matplotlib, which is an extra."""
    try:
        from ringwatch_daemon.calibration.figure import write_figure  # noqa: PLC0415 - an extra that may be missing
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        return None
    write_figure(outcome, path)
    return path

"""From the configuration to the recipe of the analysis: reads calibration, mask, flat, darks and CIFs."""

from dataclasses import replace
from pathlib import Path

from ringwatch_daemon.composition.fit_options import background_from_settings, displacement_from_settings
from ringwatch_daemon.composition.remembering import array_store
from ringwatch_daemon.core.errors import InputFileError, SettingsError
from ringwatch_daemon.settings import DarkSettings, PhaseSettings, Settings
from ringwatch_daemon.sources.images import read_image, read_mask, read_mean_image
from ringwatch_daemon.sources.metadata import MetadataNames, details_from_metadata, lower_keys
from ringwatch_pipelines.analysis import Recipe
from ringwatch_pipelines.crystals.cells import completed_cell
from ringwatch_pipelines.crystals.lattices import Cell
from ringwatch_pipelines.crystals.phases import Phase, PhaseRole, Site, phase_from_cell, phase_from_cif
from ringwatch_pipelines.fit.displacement import Displacement
from ringwatch_pipelines.fit.fit_recipe import FitRecipe, Hump
from ringwatch_pipelines.fit.peak_widths import InstrumentProfile
from ringwatch_pipelines.frames import DetectorConditions
from ringwatch_pipelines.quantities import d_spacing_from_two_theta
from ringwatch_pipelines.reduction.block_offsets import ReadoutBlocks
from ringwatch_pipelines.reduction.cadence import Cadence
from ringwatch_pipelines.reduction.corrections import Corrections, Dark, Flat, Mask, VarianceKind, VarianceModel
from ringwatch_pipelines.reduction.frame_quality import LightWatch
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.integration import Binning, bin_width_deg, geometry_from_poni
from ringwatch_pipelines.reduction.lag import Lag
from ringwatch_pipelines.reduction.ring_check import RingCheckRecipe
from ringwatch_pipelines.reduction.zingers import ZingerRule
from ringwatch_pipelines.scan_analysis import ScanRecipe
from ringwatch_pipelines.scans import Sweep
from ringwatch_pipelines.tracks.change_points import OnsetRule, threshold_from_false_alarm_rate
from ringwatch_pipelines.tracks.line_texture import TextureRecipe

BEYOND_RANGE = 1.05
"""Lines up to this part of the range's upper end are known: the flank of one just outside it lies inside."""


def metadata_names(settings: Settings) -> MetadataNames:
    """The names under which frames carry their conditions: the usual ones after those of the configuration."""
    usual, ours, monitor = MetadataNames(), settings.detector.attributes, settings.detector.monitor
    return MetadataNames(
        exposure=ours.exposure + usual.exposure,
        gain=ours.gain + usual.gain,
        trigger_mode=ours.trigger_mode + usual.trigger_mode,
        dark=ours.dark + usual.dark,
        offset_subtracted=ours.offset_subtracted + usual.offset_subtracted,
        monitor=tuple(name for name in (monitor.attribute, monitor.pv) if name),
        cell=tuple(name for name in (settings.detector.cell_attribute,) if name),
        cells=tuple((cell.told, cell.name) for cell in settings.cells),
    )


def recipe_from_settings(settings: Settings) -> Recipe:
    """Everything that decides a result.

    Raises
    ------
    RingwatchError
        A file cannot be read, does not fit, or makes no sense; in one sentence.
    """
    geometry = geometry_from_settings(settings)
    detector = settings.detector
    monitored = bool(detector.monitor.attribute or detector.monitor.pv)
    corrections = _corrections(settings, geometry)
    binning = Binning(**settings.binning.model_dump())
    store = array_store(settings.run.cache)
    fit = _fit(
        settings,
        wavelength_m=geometry.wavelength_m,
        bin_width_deg=bin_width_deg(geometry=geometry, corrections=corrections, binning=binning, store=store),
        displacement=displacement_from_settings(settings.fit, geometry),
    )
    return Recipe(
        geometry=geometry,
        corrections=corrections,
        binning=binning,
        darks=tuple(_dark(path, settings.dark, metadata_names(settings)) for path in settings.dark.files),
        dark_required=settings.dark.required and _expects_darks(settings),
        monitor_reference=detector.monitor.reference if monitored else None,
        cadence=Cadence(settings.summing.frames, settings.summing.seconds),
        fit=fit,
        texture=() if fit is None else _textures(settings, fit),
        ring_check=None if fit is None else _ring_check(settings, fit),
        onset=None if fit is None else _onset_rule(settings, fit),
        lag=Lag(detector.lag),
        light_watch=LightWatch(detector.bad_first_frames) if detector.watch_light else None,
        blocks=None if detector.blocks is None else ReadoutBlocks(**detector.blocks.model_dump()),
        zingers=None if detector.zinger_counts is None else ZingerRule(detector.zinger_counts),
        store=store,
    )


def _expects_darks(settings: Settings) -> bool:
    return bool(settings.dark.files or settings.detector.attributes.dark)


def scan_recipe_from_settings(settings: Settings) -> ScanRecipe:
    """Everything that decides a result of 1-D scans.

    Raises
    ------
    RingwatchError
        A file cannot be read, does not fit, or makes no sense; in one sentence.
    """
    told_A = None if settings.scan is None else settings.scan.wavelength_A
    wavelength_m = geometry_from_settings(settings).wavelength_m if told_A is None else told_A * 1e-10
    if settings.fit.standard is not None:
        raise SettingsError("fit.standard: the place of the sample is refined for frames of a detector, not for scans")
    textured = [phase.name for phase in settings.phases if phase.texture]
    if textured:
        raise SettingsError(f"phases: {textured[0]} has lines with a texture, which a scan does not show")
    detector, fit = settings.detector, _fit(settings, wavelength_m=wavelength_m)
    return ScanRecipe(
        wavelength_m=wavelength_m,
        monitor_reference=detector.monitor.reference if detector.monitor.attribute else None,
        cadence=Cadence(settings.summing.frames, settings.summing.seconds),
        fit=fit,
        onset=None if fit is None else _onset_rule(settings, fit),
        sweep=Sweep.RISING if settings.scan is None else Sweep(settings.scan.sweep),
    )


def geometry_from_settings(settings: Settings) -> Geometry:
    """The calibration.

    Raises
    ------
    RingwatchError
        There is none, or it cannot be read.
    """
    path = settings.geometry.poni
    if path is None:
        raise SettingsError("geometry.poni: frames of a detector need a calibration")
    return geometry_from_poni(_text(path, "a calibration"), origin=str(path), shape=settings.geometry.shape)


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"expected {what} in {path}, but it cannot be read: {error}") from error


def _textures(settings: Settings, fit: FitRecipe) -> tuple[TextureRecipe, ...]:
    by_name = {phase.name: phase for phase in fit.phases}
    return tuple(
        TextureRecipe(by_name[phase.name], label, settings.fit.texture_half_window_deg)
        for phase in settings.phases
        for label in phase.texture
    )


def _ring_check(settings: Settings, fit: FitRecipe) -> RingCheckRecipe | None:
    for phase in fit.phases:
        if phase.name == settings.geometry.ring_test:
            two_theta_deg, _ = phase.lattice.two_theta_deg(hkl=phase.reflections.hkl, wavelength_m=fit.wavelength_m)
            return RingCheckRecipe(phase.name, two_theta_deg, phase.reflections.relative_intensity)
    return None


def _onset_rule(settings: Settings, fit: FitRecipe) -> OnsetRule | None:
    watched = sum(phase.role is PhaseRole.REFERENCE for phase in fit.phases) + (fit.hump is not None)
    onset = settings.onset
    if not watched or onset.false_alarms_per_run is None:
        return None
    threshold = threshold_from_false_alarm_rate(
        rate_per_run=onset.false_alarms_per_run / watched,
        frames_per_run=onset.expected_frames,
        burn_in=onset.burn_in_frames,
    )
    return OnsetRule(threshold, burn_in=onset.burn_in_frames)


def _corrections(settings: Settings, geometry: Geometry) -> Corrections:
    detector, static = settings.detector, settings.geometry
    mask = flat = None
    if static.mask is not None:
        mask = Mask(read_mask(static.mask, shape=geometry.shape), origin=str(static.mask))
    if static.flat is not None:
        flat = Flat(read_image(static.flat)[0], origin=str(static.flat))
    return Corrections(
        mask=mask,
        flat=flat,
        solid_angle=static.solid_angle,
        polarization_factor=static.polarization,
        saturation_counts=detector.saturation_counts,
        minimum_counts=detector.minimum_counts,
        variance=VarianceModel(
            gain=detector.gain_counts,
            read_noise_counts=detector.read_noise_counts,
            kind=VarianceKind(detector.variance.upper()),
        ),
    )


def _dark(path: Path, settings: DarkSettings, names: MetadataNames) -> Dark:
    image, header, images = read_mean_image(path)
    told = details_from_metadata(lower_keys(header), names).conditions
    conditions = DetectorConditions(
        exposure_s=settings.exposure_s or told.exposure_s,
        gain=settings.gain or told.gain,
        trigger_mode=settings.trigger_mode or told.trigger_mode,
    )
    # Somebody who names a dark vouches for it, whenever it was taken: time 0 is older than every frame.
    frames = images * settings.averaged
    return Dark(image=image, conditions=conditions, timestamp_ns=0, frames=frames, origin=str(path))


def _fit(
    settings: Settings, *, wavelength_m: float, bin_width_deg: float = 0.0, displacement: Displacement | None = None
) -> FitRecipe | None:
    if not settings.phases:
        return None
    fit, hump = settings.fit, settings.fit.hump
    low_deg, high_deg = _fit_range(settings)
    farthest_deg = min(BEYOND_RANGE * high_deg, 179.0)
    d_min_A = float(d_spacing_from_two_theta(two_theta_deg=farthest_deg, wavelength_m=wavelength_m))
    return FitRecipe(
        phases=tuple(_phase(phase, d_min_A=d_min_A, wavelength_m=wavelength_m) for phase in settings.phases),
        wavelength_m=wavelength_m,
        two_theta_range_deg=(low_deg, high_deg),
        excluded_deg=fit.excluded_deg,
        background_terms=fit.background_terms,
        merge_fwhm=fit.merge_fwhm,
        scherrer_constant=fit.scherrer_constant,
        max_iterations=fit.max_iterations,
        reference_background=background_from_settings(fit, (low_deg, high_deg)),
        displacement=displacement,
        hump=None if hump is None else Hump(two_theta_deg=hump.two_theta_deg, fwhm_deg=hump.fwhm_deg),
        instrument=InstrumentProfile(**fit.instrument.model_dump()),
        bin_width_deg=bin_width_deg,
    )


def _fit_range(settings: Settings) -> tuple[float, float]:
    fit, binning = settings.fit, settings.binning
    low_deg = _first_given(fit.two_theta_min_deg, binning.two_theta_min_deg) or 0.0
    high_deg = _first_given(fit.two_theta_max_deg, binning.two_theta_max_deg)
    if high_deg is None:
        raise SettingsError(
            "a fit needs fit.two_theta_max_deg (or binning.two_theta_max_deg): it decides which lines exist"
        )
    return low_deg, high_deg


def _first_given(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _phase(settings: PhaseSettings, *, d_min_A: float, wavelength_m: float) -> Phase:
    role = PhaseRole(settings.role.upper())
    cell = _cell(settings)
    if settings.cif is not None:
        phase = phase_from_cif(
            name=settings.name,
            role=role,
            cif_text=_text(settings.cif, f"the CIF of {settings.name}"),
            cell=cell,
            d_min_A=d_min_A,
            wavelength_m=wavelength_m,
        )
    elif cell is not None:
        phase = phase_from_cell(
            name=settings.name,
            role=role,
            cell=cell,
            space_group=settings.space_group,
            sites=tuple(Site(**site.model_dump()) for site in settings.sites),
            lines=tuple((line.hkl, line.intensity) for line in settings.lines),
            d_min_A=d_min_A,
            wavelength_m=wavelength_m,
        )
    else:
        raise SettingsError(f"phase {settings.name} needs a cif or a lattice")
    return replace(
        phase,
        lattice_prior=settings.lattice_prior_relative,
        size_nm=settings.size_nm,
        strain=settings.strain,
        ratio=settings.ratio,
        reported_lines=settings.reported_lines,
    )


def _cell(settings: PhaseSettings) -> Cell | None:
    if settings.lattice is None:
        return None
    return completed_cell(space_group=settings.space_group, **settings.lattice.model_dump())

"""Everything that decided a number, as facts for the file and the stream."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from ringwatch_daemon.core.records import Provenance
from ringwatch_daemon.settings import Settings
from ringwatch_pipelines.analysis import Recipe
from ringwatch_pipelines.quantities import energy_from_wavelength
from ringwatch_pipelines.reduction.corrections import checksum_of
from ringwatch_pipelines.scan_analysis import ScanRecipe

DECIDING_PACKAGES = ("ringwatch", "pyFAI", "numpy", "scipy", "numba", "gemmi", "fabio", "h5py", "p4p", "pyepics")
INTEGRATION_REFERENCE = "Kieffer, Valls, Blanc and Hennig (2020), J. Synchrotron Rad. 27, 558"


def provenance_of(settings: Settings, recipe: Recipe | ScanRecipe, *, configuration: str) -> tuple[Provenance, ...]:
    """The facts of a run.

    Parameters
    ----------
    configuration
        Text of the configuration file.
    """
    measured = _of_scans(settings, recipe) if isinstance(recipe, ScanRecipe) else _of_frames(settings, recipe)
    found = [*_sample(settings), *_cells(settings), *measured, *_fit(settings, recipe)]
    found.append(Provenance("reduction/program", "ringwatch"))
    found.append(Provenance("reduction/version", _version("ringwatch")))
    found.append(Provenance("reduction/reference", INTEGRATION_REFERENCE))
    found.append(Provenance("reduction/input/configuration", configuration))
    found.extend(Provenance(f"reduction/versions/{name}", text) for name, text in versions())
    return tuple(found)


def versions() -> tuple[tuple[str, str], ...]:
    """Name and version of everything that decides a number."""
    return (*((name, _version(name)) for name in DECIDING_PACKAGES), ("python", platform.python_version()))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _sample(settings: Settings) -> Iterator[Provenance]:
    sample = settings.sample
    yield Provenance("sample/name", sample.name)
    yield Provenance("sample/description", sample.description)
    if sample.area_cm2 is not None:
        yield Provenance("sample/electrode_area", sample.area_cm2, "cm^2")
    yield Provenance("sample/symmetric", sample.symmetric)


def _cells(settings: Settings) -> Iterator[Provenance]:
    for cell in settings.cells:
        sample, at = cell.sample, f"cells/{cell.name}/"
        yield Provenance(f"{at}value", cell.told)
        yield Provenance(f"{at}name", sample.name)
        yield Provenance(f"{at}description", sample.description)
        if sample.area_cm2 is not None:
            yield Provenance(f"{at}electrode_area", sample.area_cm2, "cm^2")
        yield Provenance(f"{at}symmetric", sample.symmetric)
        yield Provenance(f"{at}phases", ", ".join(cell.phases or (phase.name for phase in settings.phases)))


def _of_frames(settings: Settings, recipe: Recipe) -> Iterator[Provenance]:
    yield from _instrument(settings, recipe.geometry.wavelength_m)
    yield from _detector(settings, recipe)
    yield from _corrections(recipe)


def _of_scans(settings: Settings, recipe: ScanRecipe) -> Iterator[Provenance]:
    yield from _instrument(settings, recipe.wavelength_m)
    for name in ("solid_angle_applied", "polarization_applied"):
        yield Provenance(name, value=False)
    yield Provenance("normalization_applied", value=True)
    yield Provenance("monitor_applied", recipe.monitor_reference is not None)
    if settings.scan is not None:
        yield Provenance("reduction/input/scan_sweep", settings.scan.sweep)


def _instrument(settings: Settings, wavelength_m: float) -> Iterator[Provenance]:
    yield Provenance("instrument/name", settings.beamline.beamline)
    yield Provenance("instrument/source/name", settings.beamline.facility)
    yield Provenance("instrument/source/type", settings.beamline.source_type)
    yield Provenance("instrument/source/probe", "x-ray")
    yield Provenance("instrument/monochromator/wavelength", wavelength_m * 1e10, "angstrom")
    energy_keV = float(energy_from_wavelength(wavelength_m=wavelength_m))
    yield Provenance("instrument/monochromator/energy", energy_keV, "keV")


def _detector(settings: Settings, recipe: Recipe) -> Iterator[Provenance]:
    geometry, detector = recipe.geometry, settings.detector
    yield Provenance("instrument/detector/description", geometry.detector)
    yield Provenance("instrument/detector/configuration", geometry.detector_config)
    yield Provenance("instrument/detector/distance", geometry.distance_m, "m")
    for name in ("poni1", "poni2"):
        yield Provenance(f"instrument/detector/{name}", getattr(geometry, f"{name}_m"), "m")
    for name in ("rot1", "rot2", "rot3"):
        yield Provenance(f"instrument/detector/{name}", getattr(geometry, f"{name}_rad"), "rad")
    yield Provenance("instrument/detector/geometry_fingerprint", geometry.fingerprint)
    if detector.saturation_counts is not None:
        yield Provenance("instrument/detector/saturation_value", detector.saturation_counts, "counts")
    yield Provenance("instrument/detector/variance_model", detector.variance)
    yield Provenance("instrument/detector/gain", detector.gain_counts, "counts")
    yield Provenance("instrument/detector/read_noise", detector.read_noise_counts, "counts")


def _corrections(recipe: Recipe) -> Iterator[Provenance]:
    corrections = recipe.corrections
    yield Provenance("solid_angle_applied", corrections.solid_angle)
    yield Provenance("polarization_applied", corrections.polarization_factor is not None)
    yield Provenance("normalization_applied", value=True)
    yield Provenance("monitor_applied", recipe.monitor_reference is not None)
    given = "reduction/input/"
    if corrections.polarization_factor is not None:
        yield Provenance(f"{given}polarization_factor", corrections.polarization_factor)
    if corrections.mask is not None:
        yield Provenance(f"{given}mask_sha256", corrections.mask.checksum)
        yield Provenance(f"{given}masked_fraction", corrections.mask.masked_fraction)
    if corrections.flat is not None:
        yield Provenance(f"{given}flat_sha256", corrections.flat.checksum)
    for index, dark in enumerate(recipe.darks):
        yield Provenance(f"{given}dark_{index}_sha256", dark.checksum)
    yield Provenance(f"{given}bins", recipe.binning.bins)
    yield Provenance(f"{given}pixel_splitting", recipe.binning.splitting)


def _fit(settings: Settings, recipe: Recipe | ScanRecipe) -> Iterator[Provenance]:
    fit = recipe.fit
    if fit is None:
        return
    given = "reduction/input/"
    yield Provenance(f"{given}fit_two_theta_min", fit.two_theta_range_deg[0], "degree")
    yield Provenance(f"{given}fit_two_theta_max", fit.two_theta_range_deg[1], "degree")
    yield Provenance(f"{given}background_terms", fit.background_terms)
    yield Provenance(f"{given}scherrer_constant", fit.scherrer_constant)
    yield Provenance(f"{given}lattice_standard", settings.fit.standard or "none")
    if fit.reference_background is not None:
        yield Provenance(f"{given}background_sha256", checksum_of(fit.reference_background.intensity))
    if fit.hump is not None:
        yield Provenance(f"{given}hump_two_theta", fit.hump.two_theta_deg, "degree")
        yield Provenance(f"{given}hump_fwhm", fit.hump.fwhm_deg, "degree")
    if recipe.onset is not None:
        yield Provenance(f"{given}onset_threshold", recipe.onset.threshold)
        yield Provenance(f"{given}onset_burn_in", recipe.onset.burn_in)
    yield Provenance(f"{given}phases", ", ".join(phase.name for phase in fit.phases))

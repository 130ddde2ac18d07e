"""What a configuration means, said before the beam is on."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from ringwatch_daemon.composition.cell_recipes import recipes_of_cells
from ringwatch_daemon.composition.disk_need import disk_need
from ringwatch_daemon.composition.fit_cautions import fit_cautions
from ringwatch_daemon.composition.recipes import recipe_from_settings, scan_recipe_from_settings
from ringwatch_daemon.settings import CyclerSettings, ScanSettings, Settings
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.analysis import Analyser
from ringwatch_pipelines.fit.fit_bins import hump_share
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.results import FreePhaseTrack, LinePhaseTrack, PhaseTrack
from ringwatch_pipelines.scan_analysis import ScanAnalyser

_LEAST_HUMP_SHARE = 0.01
"""Less of a hump's shape than this makes sigma of its height a hundred times larger."""


def check(config: Path, *, console: Console) -> None:
    """Read everything that a run would read, and print what it comes to.

    Raises
    ------
    RingwatchError
        The first thing that is wrong, in one sentence.
    """
    settings = load_settings(config)
    done = _what_is_done(settings) if settings.scan is None else _what_is_done_with_scans(settings, settings.scan)
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, text in (*_what_comes(settings), *done, *_what_goes(settings)):
        table.add_row(name, text)
    console.print(table)
    console.print(f"{config} can be used", highlight=False, markup=False, soft_wrap=True)


def _what_comes(settings: Settings) -> list[tuple[str, str]]:
    detector = settings.detector
    frames = {
        "pva": f"{detector.prefix}{detector.pva_image} over PVA",
        "ca": f"{detector.prefix}{detector.ca_image}ArrayData over Channel Access",
        "files": ", ".join(map(str, settings.files.paths)) or "those given to reprocess",
    }
    come = frames["files" if settings.scan is not None else detector.protocol]
    return [("frames", come), *_cells(settings)]


def _cells(settings: Settings) -> list[tuple[str, str]]:
    if not settings.cells:
        return [("cycler", _told_by(settings.cycler))]
    by = settings.detector.cell_attribute or settings.detector.cell_pv
    return [
        (f"cell {cell.name}", f"where {by} is {cell.told}; cycler: {_told_by(cell.cycler)}") for cell in settings.cells
    ]


def _told_by(cycler: CyclerSettings) -> str:
    if cycler.kind == "epics":
        return f"{cycler.voltage_pv}, {cycler.current_pv}"
    return "none" if cycler.kind == "none" else str(cycler.file)


def _what_is_done(settings: Settings) -> list[tuple[str, str]]:
    recipe = recipe_from_settings(settings)
    for of_cell in {id(each): each for each in recipes_of_cells(settings, recipe).values()}.values():
        Analyser(of_cell)
    analyser = Analyser(recipe)
    geometry, corrections = recipe.geometry, recipe.corrections
    edges_deg = analyser.axis.edges_two_theta_deg
    empty = int(np.count_nonzero(analyser.norm == 0))
    masked = "no mask" if corrections.mask is None else f"{100 * corrections.mask.masked_fraction:.2f} % masked"
    darks = f"{len(recipe.darks)} from files" if recipe.darks else "none from files"
    if settings.detector.attributes.dark:
        darks += f"; frames with {' or '.join(settings.detector.attributes.dark)} become darks"
    rows = [
        ("detector", f"{geometry.detector}, {geometry.shape[0]} x {geometry.shape[1]}, {masked}"),
        ("distance", f"{1e3 * geometry.distance_m:.2f} mm at {1e10 * geometry.wavelength_m:.5f} angstrom"),
        ("dark", darks + (", required" if recipe.dark_required else "")),
        ("bins", f"{edges_deg.size - 1} from {edges_deg[0]:.4f} to {edges_deg[-1]:.4f} degree, {empty} empty"),
        ("disk", disk_need(settings, analyser)),
    ]
    phases = [(track.name, _phase_text(track)) for track in analyser.blank().phases]
    return rows + phases + _hump(recipe.fit, analyser) + _cautions(settings, recipe.fit)


def _cautions(settings: Settings, fit: FitRecipe | None) -> list[tuple[str, str]]:
    return [("caution", text) for text in fit_cautions(settings.fit, fit)]


def _hump(fit: FitRecipe | None, analyser: Analyser) -> list[tuple[str, str]]:
    if fit is None or fit.hump is None:
        return []
    share = hump_share(recipe=fit, two_theta_deg=analyser.axis.two_theta_deg)
    text = f"{share:.2g} of its shape is told from the background"
    if share < _LEAST_HUMP_SHARE:
        text += ": its height will not be known without fit.background_file and few background_terms"
    return [("hump", text)]


def _what_is_done_with_scans(settings: Settings, scan: ScanSettings) -> list[tuple[str, str]]:
    recipe = scan_recipe_from_settings(settings)
    times = "as their files tell" if scan.log is None else f"from {scan.log.file}"
    rows = [
        ("scans", f"at {1e10 * recipe.wavelength_m:.5f} angstrom, on the angles of the first"),
        ("times", times + (f", in {settings.files.time_zone}" if settings.files.time_zone else "")),
    ]
    phases = [(track.name, _phase_text(track)) for track in ScanAnalyser(recipe).blank().phases]
    return rows + phases + _cautions(settings, recipe.fit)


def _phase_text(track: PhaseTrack) -> str:
    match track:
        case FreePhaseTrack():
            return f"{len(track.peaks.hkl)} peaks of free intensity, lattice, size and strain"
        case LinePhaseTrack():
            return f"lines {', '.join(line.label for line in track.lines)}, each free in sign"
        case _:
            return "one amount on reference intensities"


def _what_goes(settings: Settings) -> list[tuple[str, str]]:
    stream = settings.stream.endpoint if settings.stream.enabled else "off"
    prefix = settings.result_pvs.prefix
    pvs = [("PVs", f"{prefix}... over PVA")] if prefix else []
    return [("files", f"{settings.run.directory / settings.run.name}-*.h5"), ("stream", stream), *pvs]

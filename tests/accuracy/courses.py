"""Simulated courses through the analysis of live frames: what is measured of every frame, and what is true."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accuracy.figures import Measured, watched
from ringwatch_daemon.composition.recipes import recipe_from_settings
from ringwatch_daemon.examples import CONFIGURATION, example_folder
from ringwatch_daemon.settings_file import load_settings
from ringwatch_pipelines.analysis import Analyser, Recipe
from ringwatch_pipelines.calibration.instrument_width import KnownBroadening, fit_instrument_width
from ringwatch_pipelines.fit.displacement import Displacement
from ringwatch_pipelines.fit.fit_recipe import FitRecipe
from ringwatch_pipelines.fit.peak_widths import InstrumentProfile
from ringwatch_pipelines.frames import DetectorConditions, Frame, FrameKind
from ringwatch_pipelines.patterns import Pattern, pattern_from_sums
from ringwatch_pipelines.reduction.lag import Lag
from ringwatch_pipelines.results import Estimate, FitState, FrameResult, FreePhaseTrack, LinePhaseTrack, Tracked
from ringwatch_pipelines.tracks.onsets import watched_amounts
from ringwatch_pipelines.tracks.tracking import TrackerState, track
from ringwatch_simulators.crystals import CERIA
from ringwatch_simulators.detector_response import DetectorResponse
from ringwatch_simulators.radial_profile import Beam, minor_lines
from ringwatch_simulators.scenario import SCENARIOS, FrameTruth, Scenario, SyntheticFrames, write_beamline_files
from ringwatch_simulators.supply import Exposure

START_NS = 1_700_000_000_000_000_000
NS_PER_H = 3.6e12
ONSET = "ONSET_"
STANDARD_EVERY = 5
SEEN_SIGMAS = 10.0
FEWEST_EXPECTED = 60
LAG_KNOWN_TO = 0.95
"""What the analysis is told of the detector's lag, relative to its true shares."""

COPPER = """
[[phases]]
name = "copper"
role = "lines"
space_group = "F m -3 m"
lattice = { a_A = 3.6150 }
lines = [{ hkl = [1, 1, 1] }, { hkl = [2, 0, 0] }, { hkl = [2, 2, 0] }]
size_nm = 250.0
"""


@dataclass(frozen=True, slots=True)
class Told:
    """An onset that the run told: of what, when it was told, when it is said to have begun, and how surely."""

    name: str
    alarm_h: float
    date_h: float
    sigma_h: float


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One run: what was measured of each fitted frame, by name, in order of time, and what it told meanwhile."""

    seed: int
    time_h: NDArray[np.float64]
    measured: dict[str, Measured]
    chi_square: NDArray[np.float64]
    unfitted: int
    onsets: tuple[Told, ...] = ()


def beamline_recipe(folder: Path, frames: SyntheticFrames) -> Recipe:
    """The example beamline in front of the simulated detector, with its flat and with copper in the beam.

    The hump is left out: a background of many free terms makes it itself.
    """
    write_beamline_files(folder, frames)
    text = (example_folder() / CONFIGURATION).read_text(encoding="utf-8")
    for old, new in (
        ('"mask.edf.gz"', '"mask.edf"\nflat = "flat.edf"'),
        ('kind = "csv"', 'kind = "none"'),
        ("background_terms = 10 ", "background_terms = 24 "),
        ('background_file = "empty_cell.xy"', ""),
        ("expected_frames = 2000", f"expected_frames = {max(len(frames), FEWEST_EXPECTED)}"),
        ("#: blocks =", "blocks ="),
        ("#: zinger_counts", "zinger_counts"),
    ):
        assert old in text
        text = text.replace(old, new)
    marker = '[[phases]]\nname = "li"'
    assert marker in text
    if frames.scenario.cell.copper_share > 0.0:
        text = text.replace(marker, COPPER.lstrip() + "\n" + marker)
    path = folder / CONFIGURATION
    path.write_text(text, encoding="utf-8")
    recipe = recipe_from_settings(load_settings(path))
    assert recipe.fit is not None
    lag = Lag(tuple(LAG_KNOWN_TO * share for share in frames.scenario.response.lag))
    return replace(recipe, lag=lag, fit=replace(recipe.fit, hump=None))


def calibrated(recipe: Recipe, scenario: Scenario) -> Recipe:
    """The recipe with the width of this instrument."""
    assert recipe.fit is not None
    return replace(recipe, fit=replace(recipe.fit, instrument=calibrated_instrument(scenario, recipe)))


def calibrated_instrument(scenario: Scenario, recipe: Recipe) -> InstrumentProfile:
    """The width of the instrument, from frames of a calibrant on the same detector."""
    calibrant = replace(
        SCENARIOS["ceria"],
        detector=replace(scenario.detector, displacement_m=0.0),
        response=within_an_hour(scenario),
        seed=scenario.seed,
    )
    assert recipe.fit is not None
    frames = SyntheticFrames(calibrant, START_NS)
    pattern = summed_pattern(replace(recipe, fit=None, texture=(), ring_check=None), frames)
    found = fit_instrument_width(
        pattern=pattern,
        lines_two_theta_deg=ceria_angles_deg(recipe.fit.two_theta_range_deg),
        fwhm_guess_deg=0.02,
        wavelength_m=recipe.fit.wavelength_m,
        broadening=KnownBroadening(size_nm=2000.0),
    )
    assert found.profile is not None, found.text
    return found.profile


def within_an_hour(scenario: Scenario) -> DetectorResponse:
    """The detector of a run in frames that follow each other: its offsets drift by so much less."""
    hour = 1.0 / scenario.cell.duration_h
    return replace(scenario.response, block_drift_adu=scenario.response.block_drift_adu * hour)


def summed_pattern(recipe: Recipe, frames: SyntheticFrames) -> Pattern:
    """The pattern of all frames of a run together."""
    analyser = Analyser(recipe)
    total = None
    for _, result in results(analyser, frames):
        if result.sums is not None:
            total = result.sums if total is None else total + result.sums
    assert total is not None
    return at_means(pattern_from_sums(sums=total, axis=analyser.axis), analyser)


def at_means(pattern: Pattern, analyser: Analyser) -> Pattern:
    """The pattern at the mean angles of its bins, as the analysis fits it."""
    return replace(pattern, two_theta_deg=analyser.axis.mean_two_theta_deg)


def ceria_angles_deg(within_deg: tuple[float, float]) -> NDArray[np.float64]:
    """Lines of the calibrant in a range."""
    beam = Beam()
    lines = minor_lines(CERIA, 1.0, beam)
    angles = np.array(sorted(line.two_theta_deg for line in lines))
    return angles[(angles > within_deg[0]) & (angles < within_deg[1])]


def results(
    analyser: Analyser, frames: SyntheticFrames, from_h: float = 0.0
) -> Iterator[tuple[FrameTruth, FrameResult]]:
    """The frames of the run through one analyser, as they come: the darks at its start, and all from a time on."""
    for index in range(len(frames)):
        truth = frames.truth(index)
        if index >= frames.scenario.darks and truth.cell.time_h < from_h:
            continue
        yield truth, analyser.analyse(live_frame(frames, index), timestamp_ns=truth.timestamp_ns)


def live_frame(frames: SyntheticFrames, index: int) -> Frame:
    """A frame as a source hands it over."""
    exposure_s = frames.scenario.exposure_s
    supplied = frames.frame(Exposure(index, exposure_s))
    truth = frames.truth(index)
    return Frame(
        unique_id=truth.unique_id,
        timestamp_ns=truth.timestamp_ns,
        received_ns=truth.timestamp_ns,
        exposure_s=exposure_s,
        image=supplied.image,
        monitor=float(dict(supplied.attributes)["IonChamber"]),
        origin="the simulated detector",
        kind=FrameKind.DARK if supplied.shutter_closed else FrameKind.LIGHT,
        conditions=DetectorConditions(exposure_s=exposure_s),
        attributes=supplied.attributes,
    )


def run_course(
    scenario: Scenario,
    folder: Path,
    *,
    prepared: Callable[[Recipe], Recipe] = lambda recipe: recipe,
    from_h: float = 0.0,
) -> Course:
    """Measure a whole run.

    Parameters
    ----------
    prepared
        Makes the recipe of this course from that of the beamline.
    from_h
        Light frames before this time are left out.
    """
    frames = SyntheticFrames(scenario, START_NS)
    rows: list[dict[str, tuple[float, float, float]]] = []
    times, chi_squares, unfitted, onsets = [], [], 0, list[Told]()
    recipe = prepared(calibrated(beamline_recipe(folder, frames), scenario))
    standard = with_copper_as_standard(recipe)
    analyser = Analyser(recipe)
    for truth, result in results(analyser, frames, from_h):
        if truth.dark:
            continue
        tracked = result.tracked
        onsets += told_onsets(result, truth)
        if tracked is None or tracked.fit_state is not FitState.CONVERGED:
            unfitted += 1
            continue
        assert result.pattern is not None
        rows.append({**row_of(tracked, truth), "a_true": true_a(standard, at_means(result.pattern, analyser), truth)})
        times.append(truth.cell.time_h)
        chi_squares.append(tracked.chi_square)
    measured = {name: Measured(*np.array([row[name] for row in rows]).T) for name in rows[0]} if rows else {}
    return Course(scenario.seed, np.array(times), measured, np.array(chi_squares), unfitted, tuple(onsets))


def told_onsets(result: FrameResult, truth: FrameTruth) -> list[Told]:
    """The onsets among the events that a frame raises."""
    return [
        Told(
            notice.kind.removeprefix(ONSET).lower(),
            alarm_h=truth.cell.time_h,
            date_h=(notice.timestamp_ns - START_NS) / NS_PER_H,
            sigma_h=notice.sigma_h,
        )
        for notice in result.notices
        if notice.kind.startswith(ONSET) and notice.timestamp_ns is not None
    ]


def with_copper_as_standard(recipe: Recipe) -> FitRecipe | None:
    """The fit with the place of the sample refined, told by copper's known lattice; None without copper."""
    fit = recipe.fit
    assert fit is not None
    if all(phase.name != "copper" for phase in fit.phases):
        return None
    phases = tuple(replace(phase, lattice_prior=1e-6) if phase.name == "copper" else phase for phase in fit.phases)
    return replace(fit, phases=phases, displacement=Displacement(recipe.geometry.distance_m))


def true_a(standard: FitRecipe | None, pattern: Pattern, truth: FrameTruth) -> tuple[float, float, float]:
    """LAGP's a with copper as internal standard, on every tenth frame."""
    nothing = (float("nan"), float("nan"), truth.cell.a_A)
    if standard is None or truth.unique_id % STANDARD_EVERY:
        return nothing
    _, _, tracked = track(TrackerState(), pattern, standard)
    lagp = next(phase for phase in tracked.phases if isinstance(phase, FreePhaseTrack))
    a = dict(lagp.lattice)["a"]
    return a.value, a.sigma, truth.cell.a_A


def row_of(tracked: Tracked, truth: FrameTruth) -> dict[str, tuple[float, float, float]]:
    """(value, sigma, truth) of every quantity of one frame."""
    phases = {phase.name: phase for phase in tracked.phases}
    lagp, lithium = phases["lagp"], phases["li"]
    assert isinstance(lagp, FreePhaseTrack)
    assert isinstance(lithium, LinePhaseTrack)
    cell, lattice, texture = truth.cell, dict(lagp.lattice), tracked.texture[0]
    a, c = lattice["a"], lattice["c"]
    areas = {line.label: line.area for line in lithium.lines}
    told = {
        "ratio": (lithium.ratio if _is_seen(areas["200"], cell.area_200) else Estimate(), cell.ratio),
        "a": (a, truth.a_seen_A),
        "c": (c, truth.c_seen_A),
        "c/a": (_quotient(c, a), cell.c_A / cell.a_A),
        "size": (lagp.size_nm, cell.size_nm),
        "strain": (lagp.strain, cell.strain),
        "110": (areas["110"], cell.area_110),
        "200": (areas["200"], cell.area_200),
        "smooth": (texture.smooth, cell.area_110 * (1.0 - cell.spot_fraction)),
        "spots": (texture.spot_fraction, cell.spot_fraction),
        "a2": (texture.a2, cell.second_harmonic),
        "lioh": (phases["lioh"].amount, cell.lioh_area),
        "alpo4": (phases["alpo4"].amount, cell.alpo4_area),
        "hump": (tracked.hump, cell.hump_counts),
        "ratio of all": (lithium.ratio, cell.ratio),
    }
    told |= {watched(name): (amount, told[name][1]) for name, amount in watched_amounts(tracked)}
    if "copper" in phases:
        told["a_cu"] = (dict(phases["copper"].lattice)["a"], 3.6150 * truth.a_seen_A / cell.a_A)
    return {name: (estimate.value, estimate.sigma, true) for name, (estimate, true) in told.items()}


def _is_seen(area: Estimate, true: float) -> bool:
    """Whether the line truly stands high enough for a ratio to be asked for; what was measured does not decide."""
    return true > SEEN_SIGMAS * area.sigma


def _quotient(first: Estimate, second: Estimate) -> Estimate:
    """Their ratio; the errors are taken as independent."""
    value = first.value / second.value
    return Estimate(value, float(value * np.hypot(first.sigma / first.value, second.sigma / second.value)))

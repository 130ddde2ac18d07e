"""What a simulated run is made of, and the runs that have a name."""

import argparse
from dataclasses import dataclass, field, replace

from ringwatch_simulators.cell_current import ShortCircuits
from ringwatch_simulators.cell_model import CellParameters
from ringwatch_simulators.cycler_options import CyclerOptions
from ringwatch_simulators.detector_geometry import FlatDetector, beam_from_poni_m
from ringwatch_simulators.detector_response import DetectorResponse, Mishap, MishapKind, lag_from_exponentials
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.expected.scene import Scene
from ringwatch_simulators.radial_profile import Beam


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run of the simulated beamline.

    Parameters
    ----------
    frames, darks
        How many frames in all, and how many of them, at the start, are darks.
    exposure_s
        Of every frame, in data time; frames follow each other at equal steps of the course.
    seed
        Decides noise, grains and bad pixels.
    instrument_fwhm_deg
        Gaussian width of an ideal line, pixel and blur included.
    mishaps
        Frames that are bad.
    dark_every, dark_series
        After so many light frames a series of so many darks is taken again; 0 for never. The detector is read out a
        few times before such a series, so that no residual image is in it.
    cycler
        How the cycler writes, and what its clock shows.
    scene
        What is in the beam instead of the cell, of a beamline that somebody expects.
    caglioti_deg2, lorentz_deg
        Of the instrument's width; see `Beam`.
    """

    name: str
    detector: FlatDetector
    response: DetectorResponse = field(default_factory=DetectorResponse)
    cell: CellParameters = field(default_factory=CellParameters)
    instrument_fwhm_deg: float = 0.0195
    frames: int = 240
    darks: int = 8
    exposure_s: float = 60.0
    seed: int = 20260
    wall_s: float = 110.0
    """How long a run is shown when no speed is asked for."""
    mishaps: tuple[Mishap, ...] = ()
    dark_every: int = 0
    dark_series: int = 4
    cycler: CyclerOptions = field(default_factory=CyclerOptions)
    scene: Scene | None = None
    caglioti_deg2: tuple[float, float] = (0.0, 0.0)
    lorentz_deg: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.frames <= self.darks:
            raise ScenarioError(f"a scenario needs more frames than its {self.darks} darks, got {self.frames}")

    def of_length(self, frames: int | None) -> "Scenario":
        """The same course in so many frames, with the darks in proportion; None for as many as it has."""
        if frames is None:
            return self
        return replace(self, frames=frames, darks=min(self.darks, max(1, frames // 5)))

    def with_seed(self, seed: int | None) -> "Scenario":
        """The same course with other noise; None for its own."""
        return self if seed is None else replace(self, seed=seed)

    @property
    def cadence_s(self) -> float:
        """Data time from frame to frame."""
        return self.cell.duration_h * 3600.0 / (self.frames - self.darks)

    @property
    def default_speed(self) -> float:
        """Data seconds per second of wall time that show the run in `wall_s`."""
        return self.frames * self.cadence_s / self.wall_s

    @property
    def beam(self) -> Beam:
        """Wavelength and instrument width."""
        return Beam(self.detector.wavelength_A, self.instrument_fwhm_deg, self.caglioti_deg2, self.lorentz_deg)

    def course(self, index: int) -> float:
        """Part of the run, 0 to 1, that is over at a frame."""
        return index / (self.frames - 1)

    def is_dark(self, index: int) -> bool:
        """The shutter is closed for this frame."""
        if index < self.darks or self.dark_every == 0:
            return index < self.darks
        return (index - self.darks) % (self.dark_every + self.dark_series) >= self.dark_every

    def mishap(self, index: int) -> Mishap | None:
        """What is wrong with a frame, if anything."""
        return next((mishap for mishap in self.mishaps if mishap.index == index), None)


_DEMO_DETECTOR = FlatDetector(
    shape=(2048, 2048), pixel_m=200e-6, distance_m=1.6, poni1_m=0.20436, poni2_m=0.20551, rot1_rad=0.0041,
    rot2_rad=-0.0027,
)  # fmt: skip
_REAL_RESPONSE = DetectorResponse(
    block_drift_adu=4.0,
    gain_spread=0.01,
    block_gain_spread=0.01,
    flat_error=0.001,
    lag=lag_from_exponentials((0.020, 0.7), (0.006, 3.0), frames=6),
    blur=0.05,
    zingers=20.0,
    bad_pixels=4000,
    bad_lines=6,
)
_REAL_CELL = CellParameters(copper_share=0.10, window_share=0.25, hump_counts=9.0)
_REAL_DETECTOR = replace(_DEMO_DETECTOR, displacement_m=1e-4)
_CALIBRANT = CellParameters(pellet=False, ceria_area=800.0, background_counts=60.0)
_SPOTLESS = CellParameters(spot_fraction=0.0, second_harmonic=0.0)

SCENARIOS = {
    "lagp-demo": Scenario("lagp-demo", _DEMO_DETECTOR),
    "full": Scenario("full", _REAL_DETECTOR, _REAL_RESPONSE, _REAL_CELL, frames=404, dark_every=24),
    "empty": Scenario("empty", _REAL_DETECTOR, _REAL_RESPONSE, replace(_REAL_CELL, pellet=False), frames=16),
    "ceria": Scenario("ceria", _DEMO_DETECTOR, _REAL_RESPONSE, _CALIBRANT, frames=16),
    "quick": Scenario(
        "quick",
        replace(_DEMO_DETECTOR, shape=(1024, 1024), poni1_m=0.0123, poni2_m=0.0117),
        cell=_SPOTLESS,
        frames=40,
        darks=4,
        wall_s=20.0,
    ),
    "small": Scenario(
        "small",
        replace(_DEMO_DETECTOR, shape=(512, 512), poni1_m=0.0063, poni2_m=-0.0057),
        response=DetectorResponse(beam_stop_deg=0.0, bad_pixels=60),
        cell=_SPOTLESS,
        frames=20,
        darks=4,
        wall_s=6.0,
    ),
    "shorted": Scenario(
        "shorted",
        replace(_DEMO_DETECTOR, shape=(512, 512), poni1_m=0.0063, poni2_m=-0.0057),
        response=DetectorResponse(beam_stop_deg=0.0, bad_pixels=60),
        cell=replace(
            _SPOTLESS,
            half_cycle_h=7.7,
            pause_h=0.35,
            breathing=6.0e-5,
            shorts=ShortCircuits(soft_h=212.0, hard_h=287.0),
        ).with_light(8.0),
        frames=2048,
        exposure_s=300.0,
        cycler=CyclerOptions(clock_offset_s=437.0, clock_drift_ppm=35.0, rows_at_switches=True, noise_V=1e-4),
    ),
}
"""``full`` has every fault that a real detector and beamline add, ``lagp-demo`` few of them; ``empty`` is its cell
without the pellet, ``ceria`` a calibrant where the geometry says that the sample is. ``quick`` and
``small`` see a quarter of the rings at the resolution of ``lagp-demo``, with fewer pixels and without texture, which
would not average out over a part of a ring. ``shorted`` is the whole course on such a panel, a frame every ten minutes
and as bright as a whole panel: the pellet is bridged softly after 212 h and for good after 287 h, and the
cycler's clock is wrong."""


def scenario_named(
    name: str,
    *,
    frames: int | None = None,
    seed: int | None = None,
    light: float = 1.0,
    tilt_rad: tuple[float, float] | None = None,
) -> Scenario:
    """A scenario by name, changed where asked for.

    Parameters
    ----------
    frames
        How many, with the darks in proportion.
    light
        Factor on all counts of the light.
    tilt_rad
        rot1 and rot2 of the detector.

    Raises
    ------
    ScenarioError
        There is none of that name.
    """
    if name not in SCENARIOS:
        raise ScenarioError(f"expected a scenario of {', '.join(SCENARIOS)}, counting; got {name!r}")
    scenario = SCENARIOS[name]
    scenario = replace(scenario, cell=scenario.cell.with_light(light)).of_length(frames).with_seed(seed)
    if tilt_rad is not None:
        scenario = replace(scenario, detector=tilted(scenario.detector, *tilt_rad))
    return scenario


def scenario_from_options(options: argparse.Namespace, *, frames: int | None = None) -> Scenario:
    """The scenario that a command line asks for."""
    tilt_rad = None if options.tilt is None else (options.tilt[0], options.tilt[1])
    scenario = scenario_named(
        options.scenario, frames=frames, seed=options.seed, light=options.light, tilt_rad=tilt_rad
    )
    return with_mishaps(scenario, options)


def with_mishaps(scenario: Scenario, options: argparse.Namespace) -> Scenario:
    """The scenario with the bad frames that a command line asks for."""
    return replace(scenario, mishaps=tuple(mishap_from_text(text) for text in options.mishap))


def mishap_from_text(text: str) -> Mishap:
    """Read ``KIND@INDEX``.

    Raises
    ------
    ScenarioError
        It reads otherwise.
    """
    kind, _, index = text.partition("@")
    if kind not in set(MishapKind) or not index.isdigit():
        raise ScenarioError(f"a mishap reads KIND@INDEX with a kind of {', '.join(MishapKind)}; got {text!r}")
    return Mishap(int(index), MishapKind(kind))


def tilted(detector: FlatDetector, rot1_rad: float, rot2_rad: float) -> FlatDetector:
    """The detector turned about where the beam meets it, so that the rings stay on it."""
    turned = replace(detector, rot1_rad=rot1_rad, rot2_rad=rot2_rad)
    moved1_m, moved2_m = beam_from_poni_m(detector) - beam_from_poni_m(turned)
    return replace(turned, poni1_m=float(detector.poni1_m + moved1_m), poni2_m=float(detector.poni2_m + moved2_m))

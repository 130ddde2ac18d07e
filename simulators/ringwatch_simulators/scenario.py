"""Named runs of the simulated beamline: a cell, a detector, a course of frames with known truth.

The data time of a run ends when the run is set up, or before: ``start_ns`` is now minus the length of
the course and one frame, so that no frame lies in the future however fast the run is shown. The first frames are
darks with the shutter closed; the first light frame opens the course.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.cell_model import CellModel, CellParameters, CellTruth
from ringwatch_simulators.crystals import ALPO4, LAGP, LIOH, LITHIUM
from ringwatch_simulators.detector_geometry import FlatDetector
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.frame_renderer import DetectorResponse, Float32Array, FrameRenderer, ring_modulation
from ringwatch_simulators.radial_profile import Beam, lithium_lines, radial_pattern
from ringwatch_simulators.supply import Exposure, SuppliedFrame

NS_PER_S = 1_000_000_000
NS_PER_H = 3600 * NS_PER_S
GRAINS = 40
FULL_BEAM_MA = 102.0
"""Ring current after a top-up."""


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

    def __post_init__(self) -> None:
        if self.frames <= self.darks:
            raise ScenarioError(f"a scenario needs more frames than its {self.darks} darks, got {self.frames}")

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
        return Beam(self.detector.wavelength_A, self.instrument_fwhm_deg)


_DEMO_DETECTOR = FlatDetector(
    shape=(2048, 2048), pixel_m=200e-6, distance_m=1.6, poni1_m=0.20436, poni2_m=0.20551, rot1_rad=0.0041,
    rot2_rad=-0.0027,
)  # fmt: skip
_SPOTLESS = CellParameters(spot_fraction=0.0, second_harmonic=0.0)

SCENARIOS = {
    "lagp-demo": Scenario("lagp-demo", _DEMO_DETECTOR),
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
}
"""``quick`` and ``small`` see a quarter of the rings at the resolution of ``lagp-demo``, with fewer pixels and
without texture, which would not average out over a part of a ring."""


def scenario_named(name: str, *, frames: int | None = None, seed: int | None = None) -> Scenario:
    """A scenario by name, with another number of frames or seed where asked for.

    Raises
    ------
    ScenarioError
        There is none of that name.
    """
    if name not in SCENARIOS:
        raise ScenarioError(f"expected a scenario of {', '.join(SCENARIOS)}, counting; got {name!r}")
    scenario = SCENARIOS[name]
    if frames is not None:
        scenario = replace(scenario, frames=frames, darks=min(scenario.darks, max(1, frames // 5)))
    return scenario if seed is None else replace(scenario, seed=seed)


def start_ns_for(scenario: Scenario, end_ns: int | None = None) -> int:
    """Start of the course such that one frame more would end at `end_ns`, by default now.

    That leaves the cycler room to write beyond the last frame.
    """
    end = time.time_ns() if end_ns is None else end_ns
    lights = scenario.frames - scenario.darks
    return end - int((lights * scenario.cadence_s + scenario.exposure_s) * NS_PER_S)


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """What is true of one frame.

    Parameters
    ----------
    unique_id
        Number of the frame when the counter starts at 0.
    timestamp_ns
        UTC, nanoseconds since 1970, middle of the exposure.
    dark
        The shutter was closed.
    """

    unique_id: int
    timestamp_ns: int
    dark: bool
    cell: CellTruth

    def to_json(self) -> str:
        """One line of JSON, flat."""
        head = {"unique_id": self.unique_id, "timestamp_ns": self.timestamp_ns, "dark": self.dark}
        return json.dumps({**head, **asdict(self.cell)})


class SyntheticFrames:
    """The frames of a scenario as a supply; every frame depends on the seed and its number only.

    Parameters
    ----------
    scenario
        What to show.
    start_ns
        UTC, nanoseconds since 1970, of the first light frame's exposure.
    """

    def __init__(self, scenario: Scenario, start_ns: int) -> None:
        self.scenario = scenario
        self.start_ns = start_ns
        self.model = CellModel(scenario.cell)
        self.renderer = FrameRenderer(scenario.detector, scenario.response, scenario.seed)
        rng = np.random.default_rng([scenario.seed, 2])
        self._grain_azimuths = rng.uniform(0.0, 2.0 * np.pi, (3, GRAINS))
        self._grain_phases = rng.uniform(0.0, 2.0 * np.pi, (3, GRAINS))

    def __len__(self) -> int:
        return self.scenario.frames

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame of that number, or a dark where the operator closed the shutter."""
        truth = self.truth(exposure.index)
        closed = truth.dark or exposure.dark > 0
        light = None if closed else self.light(exposure)
        rng = np.random.default_rng([self.scenario.seed, 3, exposure.index, exposure.dark])
        counts = self.renderer.counts(light, rng)
        monitor = 0.0 if closed else truth.cell.monitor * exposure.exposure_s / self.scenario.exposure_s
        return SuppliedFrame(
            counts,
            end_ns=self.end_ns(exposure.index),
            shutter_closed=closed,
            attributes=(("RingCurrent", FULL_BEAM_MA * truth.cell.monitor), ("IonChamber", monitor)),
        )

    def light(self, exposure: Exposure) -> Float32Array:
        """Mean counts of the light of one frame, the lag of the frame before it included."""
        light = self._fresh_light(exposure)
        lag = self.scenario.response.lag
        if lag > 0.0 and exposure.index > self.scenario.darks:
            light = light + np.float32(lag) * self._fresh_light(replace(exposure, index=exposure.index - 1))
        return light

    def truth(self, index: int) -> FrameTruth:
        """What is true of frame `index`."""
        middle_ns = self.end_ns(index) - int(self.scenario.exposure_s * NS_PER_S / 2)
        time_h = (middle_ns - self.start_ns) / NS_PER_H
        return FrameTruth(index + 1, middle_ns, index < self.scenario.darks, self.model.at(time_h))

    def truths(self) -> Iterator[FrameTruth]:
        """What is true of every frame, in order."""
        return (self.truth(index) for index in range(len(self)))

    def end_ns(self, index: int) -> int:
        """When the exposure of frame `index` ends."""
        since_s = (index - self.scenario.darks) * self.scenario.cadence_s + self.scenario.exposure_s
        return self.start_ns + int(since_s * NS_PER_S)

    def _fresh_light(self, exposure: Exposure) -> Float32Array:
        truth = self.truth(exposure.index).cell
        beam = self.scenario.beam
        pattern = radial_pattern(truth, beam, self.renderer.grid_deg, self.scenario.cell.background_counts)
        scale = truth.monitor * exposure.exposure_s / self.scenario.exposure_s
        return self.renderer.expected(pattern, self._rings(truth, beam), scale)

    def _rings(self, truth: CellTruth, beam: Beam) -> dict[float, NDArray[np.float64]]:
        if truth.spot_fraction <= 0.0 and truth.second_harmonic <= 0.0:
            return {}
        return {
            line.two_theta_deg: ring_modulation(
                spot_fraction=truth.spot_fraction,
                second_harmonic=truth.second_harmonic,
                grains=self._grains(ring, truth.time_h),
            )
            for ring, line in enumerate(lithium_lines(truth, beam)[:3])
        }

    def _grains(self, ring: int, time_h: float) -> NDArray[np.float64]:
        """Grains that come and go over about a day."""
        strength = (1.0 + np.sin(self._grain_phases[ring] + 2.0 * np.pi * time_h / 30.0)) ** 3
        return np.column_stack([self._grain_azimuths[ring], strength])


def write_truth(path: Path, frames: SyntheticFrames) -> None:
    """One line of JSON for each frame, whether it will be shown or not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for truth in frames.truths():
            file.write(truth.to_json() + "\n")


def write_beamline_files(folder: Path, frames: SyntheticFrames) -> list[Path]:
    """Write ``geometry.poni``, ``mask.edf`` and ``truth_header.json`` of the scenario; return their paths."""
    import fabio.edfimage  # noqa: PLC0415 - slow to import, needed here only

    folder.mkdir(parents=True, exist_ok=True)
    scenario = frames.scenario
    geometry, mask, header = (folder / name for name in ("geometry.poni", "mask.edf", "truth_header.json"))
    geometry.write_text(scenario.detector.poni_text(), encoding="utf-8")
    fabio.edfimage.EdfImage(data=frames.renderer.mask()).write(str(mask))
    header.write_text(json.dumps(truth_header(scenario), indent=2) + "\n", encoding="utf-8")
    return [geometry, mask, header]


def truth_header(scenario: Scenario) -> dict[str, object]:
    """What is true of the whole run, for people and programs that judge an analysis by it."""
    return {
        "definition_of_area": "azimuthal mean of (counts - pedestal) / (solid angle relative to normal incidence"
        " x polarisation factor) for monitor 1, integrated over 2theta in degree",
        "definition_of_size": "Lorentzian FWHM = 0.9 wavelength / (size cos theta)",
        "definition_of_strain": "Gaussian FWHM = 4 strain tan theta",
        "scenario": asdict(scenario),
        "crystals": [asdict(crystal) for crystal in (LAGP, LITHIUM, LIOH, ALPO4)],
    }

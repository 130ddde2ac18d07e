"""Named runs of the simulated beamline: a cell, a detector, a course of frames with known truth.

The data time of a run ends when the run is set up, or before: ``start_ns`` is now minus the length of
the course and one frame, so that no frame lies in the future however fast the run is shown. The first frames are
darks with the shutter closed; the first light frame opens the course.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_simulators.cell_model import CellModel, CellTruth
from ringwatch_simulators.crystals import ALPO4, COPPER, LAGP, LIOH, LITHIUM
from ringwatch_simulators.detector_geometry import lattice_scale_seen
from ringwatch_simulators.detector_maps import Float32Array
from ringwatch_simulators.detector_response import MishapKind
from ringwatch_simulators.expected.phases import facts_of
from ringwatch_simulators.frame_renderer import FrameRenderer, ring_modulation
from ringwatch_simulators.measured_maps import MeasuredMaps
from ringwatch_simulators.radial_profile import Beam, RadialPattern, lithium_lines, radial_pattern
from ringwatch_simulators.scenario_catalogue import (
    SCENARIOS,
    Scenario,
    scenario_from_options,
    scenario_named,
    with_mishaps,
)
from ringwatch_simulators.supply import AttributeValue, Exposure, SuppliedFrame

__all__ = [
    "SCENARIOS",
    "FrameTruth",
    "Scenario",
    "SyntheticFrames",
    "scenario_from_options",
    "scenario_named",
    "start_ns_for",
    "truth_header",
    "with_mishaps",
    "write_beamline_files",
    "write_truth",
]

NS_PER_S = 1_000_000_000
NS_PER_H = 3600 * NS_PER_S
GRAINS = 40
FULL_BEAM_MA = 102.0
"""Ring current after a top-up."""
_TRUE_OF_ANY_CELL = (
    "time_h", "hump_counts", "spot_fraction", "second_harmonic", "monitor", "voltage_V", "current_A", "half_cycle",
    "short_circuit",
)  # fmt: skip
_SEEN_AROUND_DEG = 3.0
"""Where the lattice is measured, for the small change of a displacement's effect with angle."""


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
    a_seen_A, c_seen_A
        Lattice of LAGP as the nominal geometry sees it, sample displacement included.
    mishap
        What is wrong with the frame, or an empty word.
    cell_name
        Of several cells, the one in the beam.
    """

    unique_id: int
    timestamp_ns: int
    dark: bool
    cell: CellTruth
    a_seen_A: float
    c_seen_A: float
    mishap: str = ""
    cell_name: str = ""

    def to_json(self) -> str:
        """One line of JSON, flat; the phases of an expected beamline by their names."""
        if self.cell.phases:
            head = {name: getattr(self, name) for name in ("unique_id", "timestamp_ns", "dark", "mishap", "cell_name")}
            told = {name: getattr(self.cell, name) for name in _TRUE_OF_ANY_CELL}
            return json.dumps({**head, **told, "phases": {phase.name: facts_of(phase) for phase in self.cell.phases}})
        head = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "cell"}
        return json.dumps({**head, **{name: value for name, value in asdict(self.cell).items() if name != "phases"}})


class SyntheticFrames:
    """The frames of a scenario as a supply; every frame depends on the seed and its number only.

    Parameters
    ----------
    scenario
        What to show.
    start_ns
        UTC, nanoseconds since 1970, of the first light frame's exposure.
    maps
        Of a detector that somebody has measured.
    """

    def __init__(self, scenario: Scenario, start_ns: int, maps: MeasuredMaps | None = None) -> None:
        self.scenario = scenario
        self.start_ns = start_ns
        self.model = CellModel(scenario.cell, () if scenario.scene is None else scenario.scene.phases)
        self.renderer = FrameRenderer(scenario.detector, scenario.response, scenario.seed, maps)
        rng = np.random.default_rng([scenario.seed, 2])
        self._grain_azimuths = rng.uniform(0.0, 2.0 * np.pi, (3, GRAINS))
        self._grain_phases = rng.uniform(0.0, 2.0 * np.pi, (3, GRAINS))

        # One more than a frame needs: the next frame takes the place of the one that is needed no more.
        self._charge = lru_cache(maxsize=len(scenario.response.lag) + 2)(self._fresh_charge)

    def __len__(self) -> int:
        return self.scenario.frames

    def frame(self, exposure: Exposure) -> SuppliedFrame:
        """The frame of that number, or a dark where the operator closed the shutter."""
        truth = self.truth(exposure.index)
        closed = truth.dark or exposure.dark > 0
        monitor = 0.0 if closed else self._monitor(truth, exposure)
        return SuppliedFrame(
            self._counts(exposure, self.charge(exposure)),
            end_ns=self.end_ns(exposure.index),
            shutter_closed=closed,
            attributes=self._attributes(truth, exposure.index, closed=closed, monitor=monitor),
        )

    def _attributes(
        self, truth: FrameTruth, index: int, *, closed: bool, monitor: float
    ) -> tuple[tuple[str, AttributeValue], ...]:
        cycler = self.model.cycling_at((self.end_ns(index) - self.start_ns) / NS_PER_H)
        if self.scenario.scene is not None:
            return self.scenario.scene.tidings.of(closed=closed, monitor=monitor, cycler=cycler)
        return (
            ("RingCurrent", FULL_BEAM_MA * truth.cell.monitor),
            ("IonChamber", monitor),
            # What the detector's own voltmeter shows of the cell when the frame is read out.
            ("CellVoltage", cycler.voltage_V),
        )

    def charge(self, exposure: Exposure) -> Float32Array | None:
        """What the light of one frame and of those before it leave in the pixels; None for nothing."""
        if self.scenario.is_dark(exposure.index) and not exposure.dark:
            return None
        shown = None if exposure.dark else self._charge(exposure.index, exposure.exposure_s)
        total = None if shown is None else shown.copy()
        for back, share in enumerate(self.scenario.response.lag, start=1):
            index = exposure.index - back + max(0, exposure.dark - 1)
            seen = self.scenario.darks <= index < exposure.index
            earlier = self._charge(index, exposure.exposure_s) if seen else None
            if earlier is not None:
                total = np.zeros_like(earlier) if total is None else total
                total += np.float32(share) * earlier
        return total

    def light(self, exposure: Exposure) -> Float32Array:
        """Mean light of one frame, without what the detector adds to it."""
        truth = self.truth(exposure.index).cell
        beam = self.scenario.beam
        pattern = self._pattern(truth, beam)
        scale = truth.monitor * exposure.exposure_s / self.scenario.exposure_s
        return self.renderer.expected(pattern, self._rings(truth, beam), scale)

    def _pattern(self, truth: CellTruth, beam: Beam) -> RadialPattern:
        look = radial_pattern if self.scenario.scene is None else self.scenario.scene.pattern
        return look(truth, beam, self.renderer.grid_deg, self.scenario.cell.background_counts)

    def truth(self, index: int) -> FrameTruth:
        """What is true of frame `index`."""
        middle_ns = self.end_ns(index) - int(self.scenario.exposure_s * NS_PER_S / 2)
        time_h = (middle_ns - self.start_ns) / NS_PER_H
        cell = self.model.at(time_h)
        seen = lattice_scale_seen(self.scenario.detector, _SEEN_AROUND_DEG)
        mishap = self.scenario.mishap(index)
        return FrameTruth(
            index + 1,
            middle_ns,
            self.scenario.is_dark(index),
            cell,
            a_seen_A=cell.a_A * seen,
            c_seen_A=cell.c_A * seen,
            mishap="" if mishap is None else mishap.kind.value,
        )

    def truths(self) -> Iterator[FrameTruth]:
        """What is true of every frame, in order."""
        return (self.truth(index) for index in range(len(self)))

    def end_ns(self, index: int) -> int:
        """When the exposure of frame `index` ends."""
        since_s = (index - self.scenario.darks) * self.scenario.cadence_s + self.scenario.exposure_s
        return self.start_ns + int(since_s * NS_PER_S)

    def _fresh_charge(self, index: int, exposure_s: float) -> Float32Array | None:
        mishap = self.scenario.mishap(index)
        share = 1.0 if mishap is None else mishap.light_share
        if self.scenario.is_dark(index) or share == 0.0:
            return None
        light = self.light(Exposure(index, exposure_s)) * np.float32(share)
        return self.renderer.charge(light, np.random.default_rng([self.scenario.seed, 3, index]))

    def _counts(self, exposure: Exposure, charge: Float32Array | None) -> NDArray[Any]:
        rng = np.random.default_rng([self.scenario.seed, 4, exposure.index, exposure.dark])
        counts = self.renderer.readout(charge, rng, self.scenario.course(exposure.index))
        mishap = self.scenario.mishap(exposure.index)
        if mishap is not None and exposure.dark == 0:
            counts += counts.dtype.type(mishap.offset_adu)
            counts[round(mishap.rows_read * len(counts)) :] = 0
        return counts

    def _monitor(self, truth: FrameTruth, exposure: Exposure) -> float:
        """The ion chamber stands before the shutter; with no beam it reads a little noise."""
        if truth.mishap == MishapKind.DUMP:
            return 1e-3
        return truth.cell.monitor * exposure.exposure_s / self.scenario.exposure_s

    def _rings(self, truth: CellTruth, beam: Beam) -> dict[float, NDArray[np.float64]]:
        if truth.spot_fraction <= 0.0 and truth.second_harmonic <= 0.0:
            return {}
        scene = self.scenario.scene
        lines = lithium_lines(truth, beam) if scene is None else scene.varied_lines(truth, beam)
        return {
            line.two_theta_deg: ring_modulation(
                spot_fraction=truth.spot_fraction,
                second_harmonic=truth.second_harmonic,
                grains=self._grains(ring, truth.time_h),
            )
            for ring, line in enumerate(lines[:3])
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
    """Write ``geometry.poni``, ``mask.edf``, ``flat.edf`` and ``truth_header.json``; return their paths."""
    import fabio.edfimage  # noqa: PLC0415 - slow to import, needed here only

    folder.mkdir(parents=True, exist_ok=True)
    scenario = frames.scenario
    names = ("geometry.poni", "mask.edf", "flat.edf", "truth_header.json")
    geometry, mask, flat, header = (folder / name for name in names)
    geometry.write_text(scenario.detector.poni_text(), encoding="utf-8")
    fabio.edfimage.EdfImage(data=frames.renderer.mask()).write(str(mask))
    fabio.edfimage.EdfImage(data=frames.renderer.flat()).write(str(flat))
    header.write_text(json.dumps(truth_header(scenario), indent=2) + "\n", encoding="utf-8")
    return [geometry, mask, flat, header]


def truth_header(scenario: Scenario) -> dict[str, object]:
    """What is true of the whole run, for people and programs that judge an analysis by it."""
    return {
        "definition_of_area": "azimuthal mean of (counts - pedestal) / (solid angle relative to normal incidence"
        " x polarisation factor) for monitor 1, integrated over 2theta in degree",
        "definition_of_size": "Lorentzian FWHM = 0.9 wavelength / (size cos theta)",
        "definition_of_strain": "Gaussian FWHM = 4 strain tan theta",
        "scenario": asdict(scenario),
        "crystals": [asdict(crystal) for crystal in (LAGP, LITHIUM, LIOH, ALPO4, COPPER)],
    }

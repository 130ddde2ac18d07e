"""The run of an expected beamline: light enough to see, too little to saturate, and nothing that nobody expects."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ringwatch_simulators.cell_model import CellParameters
from ringwatch_simulators.crystals import LITHIUM
from ringwatch_simulators.detector_geometry import FlatDetector, pixel_angles
from ringwatch_simulators.detector_response import DetectorResponse
from ringwatch_simulators.errors import ScenarioError
from ringwatch_simulators.expected.beamline import ExpectedBeamline, ExpectedDetector, ExpectedPhase
from ringwatch_simulators.expected.crystals import crystal_from_phase, lines_of_phase, space_group_of
from ringwatch_simulators.expected.phases import Course, PhaseModel, course_of, true_size_nm, true_strain
from ringwatch_simulators.expected.poni_file import detector_from_poni
from ringwatch_simulators.expected.scene import Scene, Tidings
from ringwatch_simulators.measured_maps import MeasuredMaps, measured_maps
from ringwatch_simulators.scenario_catalogue import Scenario
from ringwatch_simulators.supply import AttributeValue

PEAK_PHOTONS = 1300.0
PEAK_OF_RANGE = 0.25
"""Height of the strongest line: so many photons a pixel, and this part of what a pixel can count at most."""
BACKGROUND_OF_PEAK, HUMP_OF_PEAK = 0.11, 0.0025
SHARES = {
    Course.ELECTROLYTE: 1.0,
    Course.LITHIUM: 0.057,
    Course.LATE: 0.012,
    Course.LATER: 0.006,
}
STEADY_SHARES = {"free": 1.0, "lines": 0.3, "reference": 0.05}
"""Strongest line of a phase in units of the strongest of all, by its course, or by its role."""
DISPLACED_OF_DISTANCE = 6e-5
PEDESTAL_ADU, PEDESTAL_OF_RANGE = 2800.0, 0.05
READ_NOISES_FROM_ZERO = 10.0
DARKS = 8
BEYOND_RANGE = 1.05
_AREA_OF_PEAK = 1.2
"""Area of a line over height times FWHM, between a Gaussian's 1.06 and a Lorentzian's 1.57."""
_FULL_TURN_SECTORS = 72
_RING_HALF_WIDTH_DEG = 0.1


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """A scenario with the maps of its detector."""

    scenario: Scenario
    maps: MeasuredMaps


def expected_run(
    beamline: ExpectedBeamline,
    *,
    frames: int | None = None,
    seed: int | None = None,
    light: float = 1.0,
    dtype: str | None = None,
) -> ExpectedRun:
    """The run of a beamline.

    Parameters
    ----------
    frames
        How many, darks included.
    light
        Factor on all counts of the light.
    dtype
        Of the frames, instead of the expected one.

    Raises
    ------
    SimulatorError
        A file cannot be read, or the parts do not fit together.
    """
    told = beamline.detector
    detector, response = _detector(told), _response(told, np.dtype(dtype or told.dtype))
    maps = measured_maps(mask=told.mask, flat=told.flat, darks=told.darks, shape=told.shape)
    peak = light * min(PEAK_PHOTONS * response.adu_per_photon, PEAK_OF_RANGE * _room(told, response.largest_count))
    scene = _scene(beamline, detector, maps, peak=peak)
    instrument = beamline.instrument
    scenario = Scenario(
        "expected",
        detector,
        response,
        _cell(beamline, scene, peak=peak),
        instrument_fwhm_deg=instrument.w_deg2**0.5,
        caglioti_deg2=(instrument.u_deg2, instrument.v_deg2),
        lorentz_deg=(instrument.x_deg, instrument.y_deg),
        darks=DARKS if told.dark_attributes else 0,
        exposure_s=told.exposure_s or 60.0,
        scene=scene,
    )
    return ExpectedRun(scenario.of_length(frames).with_seed(seed), maps)


def _scene(beamline: ExpectedBeamline, detector: FlatDetector, maps: MeasuredMaps, *, peak: float) -> Scene:
    high_deg, hump = _highest_deg(beamline, detector), beamline.hump
    return Scene(
        phases=_phases(beamline, detector, maps, peak=peak, high_deg=high_deg),
        range_deg=(beamline.two_theta_range_deg[0], high_deg),
        background=_background(beamline),
        hump=None if hump is None else (hump.two_theta_deg, hump.fwhm_deg),
        tidings=_tidings(beamline),
    )


def _cell(beamline: ExpectedBeamline, scene: Scene, *, peak: float) -> CellParameters:
    """What is the same whatever the phases are: background, hump, texture, beam and the cycler's programme."""
    textured = any(phase.textured for phase in scene.phases)
    return CellParameters(
        lagp_area=0.0,
        hump_counts=HUMP_OF_PEAK * peak if scene.hump is not None else 0.0,
        background_counts=BACKGROUND_OF_PEAK * peak,
        spot_fraction=0.10 if textured else 0.0,
        second_harmonic=0.05 if textured else 0.0,
        area_cm2=beamline.area_cm2,
        beam_decays=bool(beamline.monitor.attribute),  # else nobody could tell it from a loss of the sample
    )


def _detector(told: ExpectedDetector) -> FlatDetector:
    nominal = detector_from_poni(told.poni, shape=told.shape, pixels_m=told.pixels_m, orientation=told.orientation)
    return replace(nominal, displacement_m=DISPLACED_OF_DISTANCE * nominal.distance_m) if told.displaced else nominal


def _response(told: ExpectedDetector, dtype: "np.dtype[Any]") -> DetectorResponse:
    """A detector without a fault that nobody expects: what is bad stands in its mask, what drifts is taken off."""
    if dtype.kind not in "uif":
        raise ScenarioError(f"the frames' type must be a real number, got {dtype}")
    # Counts are made in float32, which tells whole numbers apart up to 2^24.
    largest = min(int(np.iinfo(dtype).max), 1 << 24) if dtype.kind in "ui" else 1 << 24
    pedestal = min(PEDESTAL_ADU, PEDESTAL_OF_RANGE * _room(told, largest)) if told.dark_attributes else 0.0
    return DetectorResponse(
        adu_per_photon=told.counts_per_photon,
        read_noise_adu=told.read_noise_counts,
        pedestal_adu=pedestal or READ_NOISES_FROM_ZERO * told.read_noise_counts,
        block_step_adu=0.1 * pedestal,
        lag=told.lag,
        bad_pixels=0,
        bad_lines=0,
        beam_stop_deg=0.0,
        largest_count=largest,
        polarisation=told.polarization,
        dtype=dtype.name,
    )


def _room(told: ExpectedDetector, largest_count: int) -> float:
    """Counts below saturation."""
    return min(float(largest_count), told.saturation_counts or np.inf)


def _highest_deg(beamline: ExpectedBeamline, detector: FlatDetector) -> float:
    edge_deg = float(pixel_angles(detector).two_theta_deg.max())
    return min(beamline.two_theta_range_deg[1] or edge_deg, edge_deg)


def _phases(
    beamline: ExpectedBeamline, detector: FlatDetector, maps: MeasuredMaps, *, peak: float, high_deg: float
) -> tuple[PhaseModel, ...]:
    d_min_A = detector.wavelength_A / (2.0 * np.sin(np.radians(min(BEYOND_RANGE * high_deg, 179.0)) / 2.0))
    area = peak * _AREA_OF_PEAK * beamline.instrument.w_deg2**0.5
    free = any(phase.role == "free" for phase in beamline.phases)
    models = (_phase(phase, detector, maps, float(d_min_A)) for phase in beamline.phases)
    return tuple(
        replace(model, area=area * _share(phase, model.course, alone=not free))
        for phase, model in zip(beamline.phases, models, strict=True)
    )


def _share(phase: ExpectedPhase, course: Course, *, alone: bool) -> float:
    if alone:
        return 1.0
    return SHARES.get(course, STEADY_SHARES[phase.role])


def _phase(phase: ExpectedPhase, detector: FlatDetector, maps: MeasuredMaps, d_min_A: float) -> PhaseModel:
    crystal = crystal_from_phase(phase)
    course = course_of(space_group_of(phase).number, crystal)
    if course is Course.LITHIUM and not crystal.sites:
        crystal = replace(crystal, sites=LITHIUM.sites)
    lines = lines_of_phase(phase, crystal, detector.wavelength_A, d_min_A)
    if not lines:
        raise ScenarioError(f"expected lines of the phase {phase.name} in the range of the fit, found none")
    return PhaseModel(
        phase.name,
        crystal,
        lines,
        course,
        drifts=phase.role == "free",
        area=0.0,
        size_nm=true_size_nm(phase.size_nm),
        strain=true_strain(phase.strain),
        textured=phase.textured and course is Course.LITHIUM and _sees_whole_ring(detector, maps),
    )


def _sees_whole_ring(detector: FlatDetector, maps: MeasuredMaps) -> bool:
    """Whether lithium (110) lies on the detector all around: grains would not average out over a part of its ring."""
    angles = pixel_angles(detector)
    ring_deg = 2.0 * np.degrees(np.arcsin(detector.wavelength_A / (np.sqrt(2.0) * LITHIUM.a_A)))
    on_ring = np.abs(angles.two_theta_deg - ring_deg) < _RING_HALF_WIDTH_DEG
    if maps.bad is not None:
        on_ring &= ~maps.bad
    sectors = np.floor(angles.azimuth_rad[on_ring] / (2.0 * np.pi) * _FULL_TURN_SECTORS)
    return np.unique(sectors).size >= _FULL_TURN_SECTORS


def _background(beamline: ExpectedBeamline) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The measured one with 1 for its median within the range."""
    if beamline.background is None:
        return None
    angles, intensity = (np.array(column) for column in beamline.background)
    low_deg, high_deg = beamline.two_theta_range_deg
    inside = (angles >= low_deg) & (angles <= (high_deg or np.inf))
    level = float(np.median(intensity[inside])) if inside.any() else 0.0
    if level <= 0.0:
        raise ScenarioError("expected a background above zero in the range of the fit, found none")
    return tuple(angles.tolist()), tuple((np.maximum(intensity, 0.0) / level).tolist())


def _tidings(beamline: ExpectedBeamline) -> Tidings:
    told, mark = beamline.detector, beamline.mark
    fixed: list[tuple[str, AttributeValue]] = []
    if told.gain is not None:
        fixed.append(("PEGain", told.gain))
    if told.trigger_mode is not None:
        fixed.append(("TriggerMode", told.trigger_mode))
    return Tidings(
        monitor=beamline.monitor.attribute,
        reference=beamline.monitor.reference,
        dark=told.dark_attributes,
        mark="" if mark is None else mark.attribute,
        quantity="voltage_V" if mark is None else mark.quantity,
        fixed=tuple(fixed),
    )

"""What a configuration expects of its beamline, as the plain facts that a simulated one is made of.

The simulators share no code with the daemon: this file's output, a JSON file, is where they meet.
"""

import json
from pathlib import Path

import numpy as np

from ringwatch_daemon.composition.recipes import geometry_from_settings, metadata_names
from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.settings import CyclerSettings, DetectorSettings, PhaseSettings, Settings, TableSettings
from ringwatch_daemon.sources.background_patterns import background_from_file
from ringwatch_daemon.sources.images import read_mean_image
from ringwatch_daemon.sources.metadata import details_from_metadata, lower_keys
from ringwatch_pipelines.crystals.cells import completed_cell
from ringwatch_pipelines.frames import DetectorConditions
from ringwatch_pipelines.reduction.geometry import Geometry
from ringwatch_pipelines.reduction.pyfai_door import Instrument

Facts = dict[str, object]

_ONE_FILE = str.maketrans({"*": "simulated", "?": "0"})
"""What stands for the marks of a pattern in the name of a simulated cycler's file."""
_BATTERY_DATA_FORMAT: Facts = {
    "time": {"name": "Unix Time / s", "kind": "epoch"},
    "test_time": "Test Time / s",
    "voltage": {"name": "Voltage / V", "unit": "V"},
    "current": {"name": "Current / A", "unit": "A"},
    "cycle": "Cycle Count / 1",
    "step": "Step Index / 1",
}


def expected_beamline(settings: Settings) -> Facts:
    """The facts, as JSON has them.

    Raises
    ------
    RingwatchError
        Nothing comes over EPICS, or something that the configuration names cannot be simulated.
    """
    _require_simulable(settings)
    geometry = geometry_from_settings(settings)
    # Where only a PV tells the monitor, each frame carries it under the PV's name.
    monitor, hump, mark = settings.detector.monitor, settings.fit.hump, settings.cycler.clock_mark
    return {
        "detector": _detector(settings, geometry),
        "monitor": {"attribute": monitor.attribute or monitor.pv, "reference": monitor.reference},
        "attribute_pvs": {**settings.detector.pvs, **({monitor.pv: monitor.pv} if monitor.pv else {})},
        "two_theta_range_deg": _range_deg(settings),
        "instrument": settings.fit.instrument.model_dump(),
        "background": _background(settings),
        "hump": None if hump is None else hump.model_dump(),
        "phases": [_phase(phase) for phase in settings.phases],
        "cell_attribute": settings.detector.cell_attribute,
        "cells": [
            {"told": cell.told, "phases": cell.phases, "cycler": _cycler(cell.cycler)} for cell in settings.cells
        ],
        "cycler": _cycler(settings.cycler),
        "mark": None if mark is None else {"attribute": mark.attribute, "quantity": mark.quantity},
        **({} if settings.sample.area_cm2 is None else {"area_cm2": settings.sample.area_cm2}),
    }


def write_expected_beamline(settings: Settings, path: Path) -> None:
    """Write the facts to a file."""
    facts = expected_beamline(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1, default=str) + "\n", encoding="utf-8")


def pv_arguments(detector: DetectorSettings) -> list[str]:
    """Arguments with which the simulated detector has the names of this one."""
    return [
        *("--prefix", detector.prefix),
        *("--camera", detector.camera),
        *("--ca-image", detector.ca_image),
        *("--pva-image", detector.pva_image),
    ]


def _require_simulable(settings: Settings) -> None:
    detector = settings.detector
    if settings.scan is not None:
        raise SettingsError("simulate serves frames of a detector over EPICS, but the configuration is for scans")
    if detector.protocol == "files":
        raise SettingsError("simulate serves frames over EPICS, but detector.protocol is files")
    if settings.cells and not detector.cell_attribute:
        raise SettingsError(
            "simulate names the cell in the beam by an attribute of each frame: give detector.cell_attribute beside"
            " detector.cell_pv"
        )


def _detector(settings: Settings, geometry: Geometry) -> Facts:
    detector, static, dark = settings.detector, settings.geometry, settings.dark
    instrument = Instrument(geometry)
    if not instrument.is_flat:
        raise SettingsError(f"simulate has flat detectors only, but {static.poni} is of a {geometry.detector}")
    config = json.loads(geometry.detector_config)
    conditions = _conditions(settings)
    return {
        "poni": static.poni,
        "shape": geometry.shape,
        "pixels_m": [config.get(name) or instrument.pixel_m for name in ("pixel1", "pixel2")],
        "orientation": geometry.orientation,
        "dtype": _dtype(detector),
        "saturation_counts": detector.saturation_counts,
        "counts_per_photon": detector.gain_counts,
        "read_noise_counts": detector.read_noise_counts,
        "lag": detector.lag,
        "polarization": 0.99 if static.polarization is None else static.polarization,
        "mask": static.mask,
        "flat": static.flat,
        "darks": dark.files,
        "dark_attributes": detector.attributes.dark,
        "exposure_s": conditions.exposure_s,
        "gain": conditions.gain,
        "trigger_mode": conditions.trigger_mode,
        "displaced": settings.fit.standard is not None,
    }


def _conditions(settings: Settings) -> DetectorConditions:
    """What a frame has to share with the darks from files: as declared, else as their headers tell."""
    dark = settings.dark
    told = DetectorConditions()
    if dark.files:
        _, header, _ = read_mean_image(dark.files[0])
        told = details_from_metadata(lower_keys(header), metadata_names(settings)).conditions
    return DetectorConditions(
        exposure_s=dark.exposure_s or told.exposure_s,
        gain=dark.gain or told.gain,
        trigger_mode=dark.trigger_mode or told.trigger_mode,
    )


def _dtype(detector: DetectorSettings) -> str:
    """The narrowest type that holds the counts which the settings speak of; they do not tell it themselves."""
    least, most = detector.minimum_counts or 0.0, detector.saturation_counts
    if least < 0.0:
        return "int32"
    return "uint16" if most is not None and most <= np.iinfo(np.uint16).max else "uint32"


def _range_deg(settings: Settings) -> tuple[float, float | None]:
    fit, binning = settings.fit, settings.binning
    low_deg = binning.two_theta_min_deg if fit.two_theta_min_deg is None else fit.two_theta_min_deg
    return low_deg or 0.0, binning.two_theta_max_deg if fit.two_theta_max_deg is None else fit.two_theta_max_deg


def _background(settings: Settings) -> list[list[float]] | None:
    if settings.fit.background_file is None:
        return None
    return [column.tolist() for column in background_from_file(settings.fit.background_file)]


def _phase(phase: PhaseSettings) -> Facts:
    lattice = phase.lattice
    cell = None if lattice is None else completed_cell(space_group=phase.space_group, **lattice.model_dump())
    same = ("name", "role", "cif", "space_group", "size_nm", "strain")
    return {
        **{name: getattr(phase, name) for name in same},
        "cell": cell,
        "sites": [site.model_dump() for site in phase.sites],
        "lines": [line.model_dump() for line in phase.lines],
        "textured": bool(phase.texture),
    }


def _cycler(cycler: CyclerSettings) -> Facts:
    if cycler.kind == "epics":
        return {"voltage_pv": cycler.voltage_pv, "current_pv": cycler.current_pv}
    if cycler.file is None or cycler.kind == "none":
        return {}
    if cycler.kind == "file":
        name = cycler.file.name.translate(_ONE_FILE)
        return {"file": cycler.file.with_name(name), "table": _BATTERY_DATA_FORMAT}
    return {"file": cycler.file, "table": _table(cycler.table)}


def _table(table: TableSettings) -> Facts:
    def column(quantity: str) -> Facts | None:
        given = getattr(table, quantity)
        return None if given is None else {"name": given.column, "unit": given.unit}

    return {
        "time": {"name": table.time.column, **table.time.model_dump(exclude={"column"})},
        **{quantity: column(quantity) for quantity in ("voltage", "current", "charge")},
        "cycle": table.cycle,
        "step": table.step,
        "separator": table.separator or ",",
        "decimal": table.decimal or ".",
        "header_line": table.header_line,
    }

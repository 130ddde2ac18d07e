"""What stands where in the file: the groups, facts and tables of a run, all made before it grows.

Readers follow the file in SWMR mode, where nothing can be added later: no group, dataset or attribute.
"""

import math
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ringwatch_daemon.core.clock import NS_PER_S
from ringwatch_daemon.core.columns import STATE_WIDTH, Column
from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.core.records import SCHEMA, Provenance, RunStart
from ringwatch_daemon.sinks.growing_table import Field
from ringwatch_pipelines.cell.cycling import CellState, CyclerSamples

STATE = f"S{STATE_WIDTH}"
TEXT_WIDTH = 512
"""Of texts of events; longer ones are cut."""
TEXT = f"S{TEXT_WIDTH}"

VALUES_A_CHUNK = 1024
PATTERNS_A_CHUNK = 64
BINS_A_CHUNK = 256
EVENTS_A_CHUNK = 16

EPOCH = "nanoseconds since 1970-01-01T00:00:00Z"
HC_KEV_ANGSTROM = 12.398419843320026
"""Planck constant times speed of light (CODATA 2018, exact), in keV angstrom."""

_CLASSES = {
    "sample": "NXsample",
    "instrument": "NXinstrument",
    "instrument/monochromator": "NXmonochromator",
    "instrument/source": "NXsource",
    "instrument/detector": "NXdetector",
    "reduction": "NXprocess",
    "reduction/input": "NXparameters",
}
_UNKNOWN = {
    "instrument/name": "unknown",
    "instrument/source/name": "unknown",
    "instrument/source/type": "Synchrotron X-ray Source",
    "instrument/source/probe": "x-ray",
}
_NEEDED = ("solid_angle_applied", "polarization_applied", "instrument/monochromator/wavelength")
_REFERENCE = "Kieffer et al. (2020), J. Synchrotron Rad. 27, 558; Pawley (1981), J. Appl. Cryst. 14, 357"

_UNITS = {
    "timestamp_ns": "ns",
    "cycler_timestamp_ns": "ns",
    "received_ns": "ns",
    "exposure_s": "s",
    "voltage_V": "V",
    "current_A": "A",
    "charge_C": "C",
    "current_density_mA_cm2": "mA/cm^2",
    "areal_charge_mAh_cm2": "mAh/cm^2",
    "total_areal_charge_mAh_cm2": "mAh/cm^2",
    "areal_throughput_mAh_cm2": "mAh/cm^2",
    "sigma_h": "hour",
    "reference_ns": "ns",
    "offset_s": "s",
    "offset_s_errors": "s",
    "drift_ppm": "1e-6",
    "drift_ppm_errors": "1e-6",
    "declared_offset_s": "s",
    "declared_drift_ppm": "1e-6",
}
_LONG_NAMES = {
    "unique_id": "counter of the detector",
    "timestamp_ns": f"UTC, {EPOCH}",
    "cycler_timestamp_ns": f"UTC on the cycler's own clock, {EPOCH}",
    "received_ns": f"UTC of receipt, {EPOCH}",
    "exposure_s": "exposure time",
    "monitor": "incident-beam monitor over the exposure",
    "dark_index": "index of the dark that was taken off, -1 for none",
    "state": "where the frame ended",
    "reason": "why it was lost or rejected",
    "voltage_V": "cell voltage",
    "current_A": "cell current",
    "charge_C": "charge passed since the first sample",
    "cycle": "cycle of the cycler, -1 where not told",
    "half_cycle": "stretch of one current direction, from 0, -1 where not known",
    "step": "step of the cycler, -1 where not told",
    "current_density_mA_cm2": "current over the electrode area",
    "areal_charge_mAh_cm2": "charge since the start of the half-cycle over the electrode area",
    "total_areal_charge_mAh_cm2": "net charge since the first sample over the electrode area",
    "areal_throughput_mAh_cm2": "charge since the first sample, in either direction, over the electrode area",
    "frame": "row of the frame, -1 for none",
    "kind": "what happened",
    "text": "in one sentence",
    "sigma_h": "uncertainty of the time",
    "reference_ns": f"time of the cycler's clock that the offset holds for, {EPOCH}",
    "offset_s": "detector's clock minus cycler's, as measured",
    "offset_s_errors": "one sigma of the measured offset",
    "drift_ppm": "growth of the offset, as measured",
    "drift_ppm_errors": "one sigma of the measured drift",
    "declared_offset_s": "detector's clock minus cycler's, as declared, at the same reference",
    "declared_drift_ppm": "growth of the offset, as declared",
    "method": "how it was measured: MARK or BREATHING",
    "support": "switches or frames that it rests on",
    "applied": "1 where the measured clock replaced the declared one, 0 where it was told only",
    "cell": "name of the cell, empty where it concerns none or nobody knows",
}

_CLOCK_COUNTS = ("reference_ns", "support", "applied")
_CLOCK_VALUES = (
    "offset_s",
    "offset_s_errors",
    "drift_ppm",
    "drift_ppm_errors",
    "declared_offset_s",
    "declared_drift_ppm",
)
_COUNTS = frozenset({"timestamp_ns", "cycler_timestamp_ns", "cycle", "half_cycle", "step"})

TOTALS = ("announced", "processed", "rejected", "lost")
COMMITTED = ("rows", "samples", "events", "clocks")
"""Lengths up to which a table is whole: written after its datasets, one of which may be longer after a kill."""


def start_entry(file: h5py.File, start: RunStart) -> h5py.Group:
    """The entry with everything of the run that does not grow.

    Raises
    ------
    SinkError
        A fact is missing that the application definition needs.
    """
    file.attrs["default"] = "entry"
    file.attrs["creator"] = "ringwatch"
    file.attrs["HDF5_Version"] = h5py.version.hdf5_version
    file.attrs["h5py_version"] = h5py.__version__
    file.attrs["file_time"] = iso_from_ns(start.started_ns)
    entry = _group(file, "entry", "NXentry")
    entry.attrs["default"] = "azint1d"
    entry["definition"] = "NXazint1d"
    entry["schema"] = np.int64(SCHEMA)
    entry["schema"].attrs["long_name"] = "version of ringwatch's table of paths"
    entry["title"] = start.run_id
    entry["run_id"] = start.run_id
    entry["start_time"] = iso_from_ns(start.started_ns)
    _write_facts(entry, start)
    _write_axis(entry, start)
    _write_ledger_totals(entry, start)
    for name in ("frames", "tracking", "cycling", "cycling/at_frame", "cycling/clock", "events"):
        _group(entry, name, "NXcollection")
    for table in start.fixed_tables:
        dataset = _below(entry, f"tracking/{table.path}", "NXcollection").create_dataset(
            table.path.rsplit("/", 1)[-1], data=table.values
        )
        dataset.attrs["long_name"] = table.long_name
    for column in start.columns:
        _below(entry, f"tracking/{column.path}", "NXcollection")
    return entry


def frame_fields(start: RunStart) -> tuple[Field, ...]:
    """Every (frames, ...) dataset of the run."""
    fixed = (*_pattern_fields(start), *_ledger_fields(), *_tracking_fields(start.columns), *_cell_fields())
    return (*fixed, *_name_of_cell("frames", several_cells=bool(start.cells)))


def bytes_a_frame(start: RunStart) -> int:
    """What the row of a frame takes in the file, over all its datasets; nothing is compressed."""
    return sum(np.dtype(field.dtype).itemsize * math.prod(field.shape) for field in frame_fields(start))


def sample_fields(*, several_cells: bool = False) -> tuple[Field, ...]:
    """Every (samples) dataset: the own series of the cycler, or of all cyclers in the order in which they told."""
    series = (
        _value(f"cycling/{entry.name}", np.int64 if entry.name in _COUNTS else np.float64)
        for entry in fields(CyclerSamples)
    )
    return (*series, *_name_of_cell("cycling", several_cells=several_cells))


def clock_fields(*, several_cells: bool = False) -> tuple[Field, ...]:
    """Every (clocks) dataset: the cycler's clock as it was measured in the course of the run."""
    return (
        *_name_of_cell("cycling/clock", several_cells=several_cells, rows=EVENTS_A_CHUNK),
        *(_value(f"cycling/clock/{name}", np.int64, rows=EVENTS_A_CHUNK) for name in _CLOCK_COUNTS),
        *(_value(f"cycling/clock/{name}", np.float64, rows=EVENTS_A_CHUNK) for name in _CLOCK_VALUES),
        _value("cycling/clock/method", STATE, rows=EVENTS_A_CHUNK),
    )


def event_fields(*, several_cells: bool = False) -> tuple[Field, ...]:
    """Every (events) dataset."""
    return (
        *_name_of_cell("events", several_cells=several_cells, rows=EVENTS_A_CHUNK),
        _value("events/timestamp_ns", np.int64, rows=EVENTS_A_CHUNK),
        _value("events/frame", np.int64, rows=EVENTS_A_CHUNK),
        _value("events/kind", STATE, rows=EVENTS_A_CHUNK),
        _value("events/text", TEXT, rows=EVENTS_A_CHUNK),
        _value("events/sigma_h", np.float64, rows=EVENTS_A_CHUNK),
    )


def add_plots(entry: h5py.Group, columns: tuple[Column, ...]) -> None:
    """Ready-made plots of ratios and lattice parameters over the frames, as links to the tracks."""
    plots = _group(entry, "plots", "NXcollection")
    for column in columns:
        last = column.path.rsplit("/", 1)[-1]
        if column.kind != "number" or last.endswith("_errors"):
            continue
        if last == "ratio" or column.unit == "angstrom":
            plot = _group(plots, column.path.replace("/", "_"), "NXdata")
            plot.attrs["signal"] = last
            plot.attrs["axes"] = ["."]
            plot.attrs["title"] = column.long_name
            plot[last] = entry["tracking"][column.path]
            plot[f"{last}_errors"] = entry["tracking"][f"{column.path}_errors"]


def iso_from_ns(timestamp_ns: int) -> str:
    """UTC as ISO 8601 with microseconds."""
    seconds, rest_ns = divmod(timestamp_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest_ns // 1000:06d}+00:00"


def fixed_text(text: str, width: int) -> bytes:
    """UTF-8 of at most `width` bytes, cut between characters."""
    return text.encode()[:width].decode(errors="ignore").encode()


def _write_facts(entry: h5py.Group, start: RunStart) -> None:
    facts = {fact.path.strip("/"): fact for fact in start.provenance}
    missing = [path for path in _NEEDED if path not in facts]
    if missing:
        raise SinkError(f"the provenance of run {start.run_id} must tell {missing[0]}, which NXazint1d asks for")
    wavelength = float(np.asarray(facts["instrument/monochromator/wavelength"].value))
    defaults = [Provenance(path, value) for path, value in _UNKNOWN.items()]
    defaults += [
        Provenance("normalization_applied", value=True),
        Provenance("instrument/monochromator/energy", HC_KEV_ANGSTROM / wavelength, "keV"),
        Provenance("reduction/program", "ringwatch"),
        Provenance("reduction/version", version("ringwatch")),
        Provenance("reduction/date", iso_from_ns(start.started_ns)),
        Provenance("reduction/reference", _REFERENCE),
    ]
    for path, name in _CLASSES.items():
        _group(entry, path, name)
    for fact in ({fact.path: fact for fact in defaults} | facts).values():
        group = _below(entry, fact.path.strip("/"), "NXcollection")
        group[fact.path.strip("/").rsplit("/", 1)[-1]] = _stored(fact.value)
        if fact.unit:
            entry[fact.path.strip("/")].attrs["units"] = fact.unit


def _stored(value: str | float | bool | NDArray[np.generic]) -> Any:
    """Fixed-width bytes for text, the value itself for anything else."""
    if isinstance(value, str):
        return np.array(value.encode(), dtype=h5py.string_dtype("utf-8", max(1, len(value.encode()))))
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return np.char.encode(value.astype(np.str_), "utf-8")
    return value


def _write_axis(entry: h5py.Group, start: RunStart) -> None:
    data = _group(entry, "azint1d", "NXdata")
    data.attrs["signal"] = "I"
    data.attrs["axes"] = [".", "radial_axis"]
    data.attrs["interpretation"] = "spectrum"
    axis = start.axis
    for name, values, long_name, unit in (
        ("radial_axis", axis.two_theta_deg, "2theta", "degree"),
        ("radial_axis_edges", axis.edges_two_theta_deg, "2theta bin edges", "degree"),
        ("norm", start.norm, "effective number of pixels contributing to the corresponding bin", "arbitrary units"),
    ):
        data[name] = values
        data[name].attrs["long_name"] = long_name
        data[name].attrs["units"] = unit
    if start.measured_at is not None:
        data["measured_at"] = start.measured_at
        data["measured_at"].attrs["long_name"] = "when within a scan a bin is measured, 0 at the start, 1 at the end"


def _write_ledger_totals(entry: h5py.Group, start: RunStart) -> None:
    """What is known at the end only, with room for it from the start."""
    ledger = _group(entry, "ledger", "NXcollection")
    for name in TOTALS:
        ledger[name] = np.int64(0)
        ledger[name].attrs["long_name"] = f"frames {name}: announced = processed + rejected + lost"
    for name in COMMITTED:
        ledger[name] = np.int64(0)
        ledger[name].attrs["long_name"] = f"{name} that are whole in every dataset"
    for name, long_name in (
        ("reasons", "frames by reason"),
        ("flags", "standing warnings about the run"),
        ("stopped", "why the run ended; empty while it runs, or when it was cut off"),
    ):
        ledger[name] = np.array(b"", dtype=TEXT)
        ledger[name].attrs["long_name"] = long_name
    entry["end_time"] = np.array(iso_from_ns(start.started_ns).encode(), dtype="S32")
    entry["end_time"].attrs["long_name"] = "end of the run, or the last write so far"


def _pattern_fields(start: RunStart) -> Iterator[Field]:
    bins = len(start.norm)
    # Equal chunks: a last one that is only half in use would take its whole room.
    bins_a_chunk = math.ceil(bins / math.ceil(bins / BINS_A_CHUNK))
    for name, long_name in (("I", "intensity"), ("I_errors", "estimated intensity error")):
        yield Field(
            f"azint1d/{name}",
            np.float32,
            chunk=(PATTERNS_A_CHUNK, bins_a_chunk),
            shape=(bins,),
            attributes=(("long_name", long_name), ("units", "arbitrary units")),
        )


def _ledger_fields() -> Iterator[Field]:
    for name, dtype in (
        ("unique_id", np.int64),
        ("timestamp_ns", np.int64),
        ("received_ns", np.int64),
        ("exposure_s", np.float64),
        ("monitor", np.float64),
        ("state", STATE),
        ("reason", STATE),
        ("dark_index", np.int64),
    ):
        yield _value(f"frames/{name}", dtype)


def _tracking_fields(columns: tuple[Column, ...]) -> Iterator[Field]:
    for column in columns:
        text = column.kind == "state"
        yield Field(
            f"tracking/{column.path}",
            STATE if text else np.float64,
            chunk=(VALUES_A_CHUNK // 8, column.peaks) if column.peaks else (VALUES_A_CHUNK,),
            shape=(column.peaks,) if column.peaks else (),
            blank=b"" if text else float("nan"),
            attributes=_attributes(column.long_name, column.unit),
        )


def _cell_fields() -> Iterator[Field]:
    for entry in fields(CellState):
        dtype: DTypeLike = STATE if entry.name == "state" else np.int64 if entry.name in _COUNTS else np.float64
        field = _value(f"cycling/at_frame/{entry.name}", dtype)
        if entry.name == "state":
            long_name = "whether the state of the cell is known, or why not"
            field = Field(field.path, dtype, field.chunk, blank=b"", attributes=_attributes(long_name, ""))
        yield field


def _name_of_cell(table: str, *, several_cells: bool, rows: int = VALUES_A_CHUNK) -> Iterator[Field]:
    if several_cells:
        yield _value(f"{table}/cell", STATE, rows=rows)


def _value(path: str, dtype: Any, *, rows: int = VALUES_A_CHUNK) -> Field:
    name = path.rsplit("/", 1)[-1]
    attributes = _attributes(_LONG_NAMES[name], _UNITS.get(name, ""))
    blank = b"" if isinstance(dtype, str) else (float("nan") if dtype is np.float64 else -1)
    return Field(path, dtype, chunk=(rows,), blank=blank, attributes=attributes)


def _attributes(long_name: str, unit: str) -> tuple[tuple[str, str], ...]:
    return (("long_name", long_name), ("units", unit)) if unit else (("long_name", long_name),)


def _below(entry: h5py.Group, path: str, nx_class: str) -> h5py.Group:
    """The group that `path` stands in; what is missing on the way is made."""
    group = entry
    for name in path.split("/")[:-1]:
        group = _group(group, name, nx_class)
    return group


def _group(parent: h5py.Group, path: str, nx_class: str) -> h5py.Group:
    group = parent.require_group(path)
    if "NX_class" not in group.attrs:
        group.attrs["NX_class"] = nx_class
    return group

"""The columns under ``/entry/tracking``: one table for the file, the stream and the report.

`columns_from_tracked` lists them before the first frame, since a file that readers follow
while it grows cannot be given a new dataset; `values_from_tracked` fills them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.patterns import FloatArray
from ringwatch_pipelines.results import (
    Estimate,
    FreePhaseTrack,
    LinePhaseTrack,
    PhaseTrack,
    ReferencePhaseTrack,
    TextureTrack,
    Tracked,
)

STATE_WIDTH = 32
"""Bytes of a state or reason in the file: variable-length strings and SWMR do not go together."""


@dataclass(frozen=True, slots=True)
class Column:
    """One dataset of the tracks.

    Parameters
    ----------
    path
        Below ``/entry/tracking``, as in ``lagp/a_errors``.
    kind
        ``number`` (float64, NaN where there is none) or ``state`` (fixed-width ASCII).
    peaks
        Length of the second dimension, 0 for one value a frame.
    """

    path: str
    unit: str
    long_name: str
    kind: Literal["number", "state"] = "number"
    peaks: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class FixedTable:
    """A dataset of the tracks that does not change during a run, as the Miller indices of the peaks."""

    path: str
    long_name: str
    values: NDArray[np.int32] | NDArray[np.float64]


Value = float | str | FloatArray


def _estimate(path: str, unit: str, long_name: str, peaks: int = 0) -> Iterator[Column]:
    yield Column(path, unit, long_name, peaks=peaks)
    yield Column(f"{path}_errors", unit, f"one sigma of {long_name}", peaks=peaks)


def _values(path: str, estimate: Estimate) -> Iterator[tuple[str, Value]]:
    yield path, estimate.value
    yield f"{path}_errors", estimate.sigma


def _free_phase_columns(track: FreePhaseTrack, reported: tuple[str, ...]) -> Iterator[Column]:
    name = track.name
    for parameter, _ in track.lattice:
        yield from _estimate(f"{name}/{parameter}", _lattice_unit(parameter), f"{name} lattice parameter {parameter}")
    yield from _estimate(f"{name}/size_nm", "nm", f"{name} crystallite size")
    yield from _estimate(f"{name}/strain", "", f"{name} microstrain")
    yield Column(f"{name}/state", "", f"whether {name} is seen", kind="state")
    for label in reported:
        yield from _estimate(f"{name}/intensity_{label}", "intensity degree", f"{name} ({label}) integrated intensity")
    peaks = len(track.peaks.hkl)
    yield from _estimate(f"{name}/peaks/two_theta", "degree", f"{name} peak position", peaks)
    yield Column(
        f"{name}/peaks/shift", "degree", f"{name} peak position minus that of the configured lattice", peaks=peaks
    )
    yield from _estimate(f"{name}/peaks/area", "intensity degree", f"{name} peak area", peaks)
    yield Column(f"{name}/peaks/fwhm", "degree", f"{name} full width at half maximum", peaks=peaks)


def _line_phase_columns(track: LinePhaseTrack) -> Iterator[Column]:
    name = track.name
    for parameter, _ in track.lattice:
        yield from _estimate(f"{name}/{parameter}", _lattice_unit(parameter), f"{name} lattice parameter {parameter}")
    yield Column(f"{name}/state", "", f"whether {name} is seen", kind="state")
    for line in track.lines:
        yield from _estimate(f"{name}/area_{line.label}", "intensity degree", f"{name} ({line.label}) area")
        yield Column(
            f"{name}/area_{line.label}_limit", "intensity degree", f"95 % upper limit of the {name} ({line.label}) area"
        )
        yield Column(f"{name}/area_{line.label}_state", "", f"whether {name} ({line.label}) is seen", kind="state")
    yield from _estimate(f"{name}/ratio", "", f"{name} {_ratio_name(track.ratio_labels)}")
    yield Column(f"{name}/ratio_state", "", f"whether the {name} ratio is one", kind="state")


def _ratio_name(labels: tuple[str, str] | None) -> str:
    return "intensity ratio, none configured" if labels is None else f"({labels[0]})/({labels[1]}) intensity ratio"


def _reference_phase_columns(track: ReferencePhaseTrack) -> Iterator[Column]:
    name = track.name
    yield from _estimate(f"{name}/amount", "intensity degree", f"{name} area of its strongest line")
    yield Column(f"{name}/limit", "intensity degree", f"95 % upper limit of the {name} amount")
    yield Column(f"{name}/z", "", f"root of the chi-square that {name} saves, signed as its amount")
    yield Column(f"{name}/state", "", f"whether {name} is seen", kind="state")


def _lattice_unit(parameter: str) -> str:
    return "degree" if parameter in {"alpha", "beta", "gamma"} else "angstrom"


def _phase_columns(track: PhaseTrack, reported: tuple[str, ...]) -> Iterator[Column]:
    match track:
        case FreePhaseTrack():
            yield from _free_phase_columns(track, reported)
        case LinePhaseTrack():
            yield from _line_phase_columns(track)
        case ReferencePhaseTrack():
            yield from _reference_phase_columns(track)


def _texture_columns(track: TextureTrack) -> Iterator[Column]:
    label = track.label
    yield from _estimate(f"texture/spot_fraction_{label}", "", f"share of ({label}) in spots of coarse grains")
    yield from _estimate(
        f"texture/smooth_{label}", "intensity degree", f"area of the smooth part of ({label}), indicative"
    )
    yield from _estimate(f"texture/a2_{label}", "", f"second azimuthal harmonic of ({label}) over its mean")


def columns_from_tracked(blank: Tracked, *, reported: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[Column, ...]:
    """List the columns of a run.

    Parameters
    ----------
    blank
        The tracks of a frame that was not fitted: it has every phase, line and peak of the run.
    reported
        For each phase with free intensities, the labels of the lines whose intensity gets a column of its own.
    """
    by_phase = dict(reported)
    columns = [
        Column("fit_state", "", "outcome of the whole-pattern fit", kind="state"),
        Column("chi_square", "", "reduced chi-square of the fit"),
    ]
    for track in blank.phases:
        columns.extend(_phase_columns(track, by_phase.get(track.name, ())))
    if blank.displacement_mm is not None:
        columns.extend(_estimate("displacement_mm", "mm", "distance of the sample beyond the calibrated one"))
    columns.extend(_estimate("hump/amplitude", "intensity", "height of the amorphous hump"))
    for texture in blank.texture:
        columns.extend(_texture_columns(texture))
    return tuple(columns)


def fixed_tables_from_tracked(blank: Tracked) -> tuple[FixedTable, ...]:
    """The Miller indices of each phase whose peaks are listed."""
    return tuple(
        FixedTable(f"{track.name}/peaks/hkl", f"Miller indices of the {track.name} peaks", track.peaks.hkl)
        for track in blank.phases
        if isinstance(track, FreePhaseTrack)
    )


def times_of_lines(blank: Tracked, measured_at: Mapping[str, Mapping[str, float]]) -> tuple[FixedTable, ...]:
    """When within a scan each peak and each line is measured.

    Parameters
    ----------
    measured_at
        By phase and Miller indices written together.
    """
    return tuple(table for track in blank.phases for table in _line_times(track, measured_at.get(track.name, {})))


def _line_times(track: PhaseTrack, measured_at: Mapping[str, float]) -> Iterator[FixedTable]:
    nowhere = float("nan")
    what = "is measured within a scan, 0 at the start and 1 at the end"
    match track:
        case FreePhaseTrack():
            times = np.array([measured_at.get(_label(hkl), nowhere) for hkl in track.peaks.hkl], dtype=np.float64)
            yield FixedTable(f"{track.name}/peaks/measured_at", f"when each {track.name} peak {what}", times)
        case LinePhaseTrack():
            for line in track.lines:
                time = np.full((), measured_at.get(line.label, nowhere))
                yield FixedTable(f"{track.name}/measured_at_{line.label}", f"when ({line.label}) {what}", time)


def _label(hkl: NDArray[np.int32]) -> str:
    return "".join(str(index) for index in hkl)


def _free_phase_values(track: FreePhaseTrack) -> Iterator[tuple[str, Value]]:
    name, peaks = track.name, track.peaks
    for parameter, estimate in track.lattice:
        yield from _values(f"{name}/{parameter}", estimate)
    yield from _values(f"{name}/size_nm", track.size_nm)
    yield from _values(f"{name}/strain", track.strain)
    yield f"{name}/state", track.state.value
    for hkl, area, sigma in zip(peaks.hkl, peaks.area, peaks.area_errors, strict=True):
        yield from _values(f"{name}/intensity_{_label(hkl)}", Estimate(float(area), float(sigma)))
    yield f"{name}/peaks/two_theta", peaks.two_theta_deg
    yield f"{name}/peaks/two_theta_errors", peaks.two_theta_errors_deg
    yield f"{name}/peaks/shift", peaks.shift_deg
    yield f"{name}/peaks/area", peaks.area
    yield f"{name}/peaks/area_errors", peaks.area_errors
    yield f"{name}/peaks/fwhm", peaks.fwhm_deg


def _line_phase_values(track: LinePhaseTrack) -> Iterator[tuple[str, Value]]:
    name = track.name
    for parameter, estimate in track.lattice:
        yield from _values(f"{name}/{parameter}", estimate)
    yield f"{name}/state", track.state.value
    for line in track.lines:
        yield from _values(f"{name}/area_{line.label}", line.area)
        yield f"{name}/area_{line.label}_limit", line.upper_limit
        yield f"{name}/area_{line.label}_state", line.state.value
    yield from _values(f"{name}/ratio", track.ratio)
    yield f"{name}/ratio_state", track.ratio_state.value


def _phase_values(track: PhaseTrack) -> Iterator[tuple[str, Value]]:
    match track:
        case FreePhaseTrack():
            yield from _free_phase_values(track)
        case LinePhaseTrack():
            yield from _line_phase_values(track)
        case ReferencePhaseTrack():
            yield from _values(f"{track.name}/amount", track.amount)
            yield f"{track.name}/limit", track.upper_limit
            yield f"{track.name}/z", track.z
            yield f"{track.name}/state", track.state.value


def values_from_tracked(tracked: Tracked) -> dict[str, Value]:
    """The value of every column, by path; `columns_from_tracked` says which of them a run keeps."""
    values: dict[str, Value] = {"fit_state": tracked.fit_state.value, "chi_square": tracked.chi_square}
    for track in tracked.phases:
        values.update(_phase_values(track))
    if tracked.displacement_mm is not None:
        values.update(_values("displacement_mm", tracked.displacement_mm))
    values.update(_values("hump/amplitude", tracked.hump))
    for texture in tracked.texture:
        values.update(_values(f"texture/spot_fraction_{texture.label}", texture.spot_fraction))
        values.update(_values(f"texture/smooth_{texture.label}", texture.smooth))
        values.update(_values(f"texture/a2_{texture.label}", texture.a2))
    return values

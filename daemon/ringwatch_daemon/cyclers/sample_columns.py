"""Columns of a binary file as samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import read_only
from ringwatch_pipelines.patterns import FloatArray

MOST_V = 1000.0
MOST_A = 10_000.0
"""No cycler reaches beyond these."""


def samples_from_columns(
    *,
    cycler_timestamp_ns: NDArray[np.int64],
    clock_offset_ns: int,
    voltage_V: NDArray[Any],
    current_A: NDArray[Any],
    charge_C: NDArray[Any],
    cycle: NDArray[Any] | None,
    step: NDArray[Any] | None,
) -> CyclerSamples:
    """Samples of (rows,) columns; cycle and step are None where the file does not count them.

    Raises
    ------
    CyclerError
        Voltages or currents are not those of a cell: most binary formats carry no checksum.
    """
    for values, limit, unit in ((voltage_V, MOST_V, "V"), (current_A, MOST_A, "A")):
        found = np.abs(values[np.isfinite(values)])
        if found.size and found.max() > limit:
            raise CyclerError(f"expected at most {limit:g} {unit}, got {found.max():g} {unit}: the file is damaged")
    untold = np.full(cycler_timestamp_ns.size, -1, dtype=np.int64)
    return CyclerSamples(
        timestamp_ns=read_only(cycler_timestamp_ns + clock_offset_ns),
        cycler_timestamp_ns=read_only(cycler_timestamp_ns),
        voltage_V=read_only(np.asarray(voltage_V, dtype=np.float64)),
        current_A=read_only(np.asarray(current_A, dtype=np.float64)),
        cycle=read_only(untold if cycle is None else np.asarray(cycle, dtype=np.int64)),
        step=read_only(untold if step is None else np.asarray(step, dtype=np.int64)),
        charge_C=read_only(np.asarray(charge_C, dtype=np.float64)),
    )


def charge_over_steps(*, charge: FloatArray, step: NDArray[np.int64]) -> FloatArray:
    """Charge since the first row from a (rows,) count that begins at zero with every step."""
    if not charge.size:
        return charge
    begins = np.concatenate([[True], step[1:] != step[:-1]])
    grown = np.where(begins, charge, np.diff(charge, prepend=0.0))
    grown[0] = 0.0
    return np.cumsum(grown)

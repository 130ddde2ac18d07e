"""The numbers behind a figure, as CSV."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.patterns import FloatArray

Column = FloatArray | NDArray[np.str_] | NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class NumberTable:
    """Columns of equal length.

    Parameters
    ----------
    name
        Stem of the file.
    columns
        Heading with the unit, and values; NaN becomes an empty field.
    """

    name: str
    columns: tuple[tuple[str, Column], ...]

    def write(self, directory: Path) -> Path:
        """Write the table as CSV with a heading."""
        path = directory / f"{self.name}.csv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([heading for heading, _ in self.columns])
            writer.writerows(zip(*(_fields(values) for _, values in self.columns), strict=True))
        return path


def _fields(values: Column) -> list[str]:
    if values.dtype.kind in "iub":
        return [str(value) for value in values.tolist()]
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else f"{value:.10g}" for value in values.tolist()]
    return [str(value) for value in values.tolist()]

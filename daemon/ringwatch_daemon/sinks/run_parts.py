"""Where the parts of a long run stand, and how its file reads as one over them.

Once the frames of ``RUN.h5`` are ``part_rows``, the file becomes ``RUN.parts/part0001.h5`` and a new ``RUN.h5`` takes
its place, in which every (frames, ...) dataset is virtual: it maps onto the same dataset of each part, of those
too that do not exist yet. So nothing has to be added to it when the next part begins.
"""

from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from ringwatch_daemon.sinks.growing_table import Field

MOST_PARTS = 64
"""Mapped from the start. The last one takes all rows that still come."""
PART_ROWS = "part_rows"

_Spaces = tuple[h5s.SpaceID, tuple[h5s.SpaceID, ...]]


def parts_folder(output: Path) -> Path:
    """The folder beside the file of a run that its parts stand in."""
    return output.with_name(output.stem + ".parts")


def part_path(output: Path, index: int) -> Path:
    """The file of part `index`, from 0."""
    return parts_folder(output) / f"part{index + 1:04d}.h5"


def parts_there(output: Path, *, after: int = -1) -> tuple[Path, ...]:
    """Files of parts that exist, of those later than part `after`."""
    paths = (part_path(output, index) for index in range(after + 1, MOST_PARTS))
    return tuple(path for path in paths if path.exists())


def clear_parts(output: Path, *, after: int = -1) -> None:
    """Remove the parts later than part `after`, and their folder when nothing is left in it."""
    for path in parts_there(output, after=after):
        path.unlink()
    folder = parts_folder(output)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def part_of_row(row: int, *, part_rows: int) -> int:
    """Index of the part that `row` stands in."""
    return min(row // part_rows, MOST_PARTS - 1)


def part_rows_of(entry: h5py.Group) -> int | None:
    """Rows of each part of a run; None where all frames stand in the file itself."""
    return int(entry[PART_ROWS][()]) if PART_ROWS in entry else None


def add_virtual_tables(entry: h5py.Group, fields: tuple[Field, ...], *, output: Path, part_rows: int) -> None:
    """Make every dataset of `fields` a virtual one over all parts that there may be.

    Each part is mapped from its first row on without an end, so a dataset is as long as its newest part
    makes it. Rows of a part that is missing are blank.

    Parameters
    ----------
    entry
        Of the file that reads as one.
    output
        Its path; parts are named relative to it.
    """
    entry[PART_ROWS] = np.int64(part_rows)
    entry[PART_ROWS].attrs["long_name"] = f"frames in each file of {parts_folder(output).name}"
    # A percent sign would begin a pattern of names.
    sources = [
        f"{parts_folder(output).name}/{part_path(output, index).name}".replace("%", "%%").encode()
        for index in range(MOST_PARTS)
    ]
    spaces: dict[tuple[int, ...], _Spaces] = {}
    for field in fields:
        if field.shape not in spaces:
            spaces[field.shape] = _spaces(field.shape, part_rows)
        _add_virtual(entry, field, sources, spaces[field.shape], part_rows)


def _add_virtual(entry: h5py.Group, field: Field, sources: list[bytes], spaces: _Spaces, part_rows: int) -> None:
    in_part, in_run = spaces
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(h5d.VIRTUAL)
    for source, selected in zip(sources, in_run, strict=True):
        creation.set_virtual(selected, source, f"/entry/{field.path}".encode(), in_part)
    dtype = np.dtype(field.dtype)
    if dtype.kind != "S":
        # Text is empty where nothing else is said; h5py takes a fill of fixed width for one of variable width.
        creation.set_fill_value(np.array([field.blank], dtype=dtype))
    above, _, name = field.path.rpartition("/")
    made = h5d.create(
        entry.require_group(above).id,
        name.encode(),
        h5t.py_create(dtype, logical=True),
        _extent((MOST_PARTS * part_rows, *field.shape)),
        dcpl=creation,
    )
    dataset = h5py.Dataset(made)
    for key, value in field.attributes:
        dataset.attrs[key] = value


def _spaces(row_shape: tuple[int, ...], part_rows: int) -> _Spaces:
    """What is selected in a part, and where each part stands in the run: from a first row on, without an end."""
    in_part = _from_row(0, (part_rows, *row_shape))
    in_run = (_from_row(index * part_rows, (MOST_PARTS * part_rows, *row_shape)) for index in range(MOST_PARTS))
    return in_part, tuple(in_run)


def _from_row(first: int, shape: tuple[int, ...]) -> h5s.SpaceID:
    space = _extent(shape)
    space.select_hyperslab((first, *(0 for _ in shape[1:])), (1,) * len(shape), None, (h5s.UNLIMITED, *shape[1:]))
    return space


def _extent(shape: tuple[int, ...]) -> h5s.SpaceID:
    return h5s.create_simple(shape, (h5s.UNLIMITED, *shape[1:]))

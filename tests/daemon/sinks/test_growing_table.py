from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringwatch_daemon.sinks.growing_table import Field, GrowingTable

FIELDS = (
    Field("group/number", np.float64, chunk=(8,)),
    Field("group/row", np.float32, chunk=(4, 3), shape=(3,)),
    Field("group/count", np.int64, chunk=(8,), blank=-1),
    Field("text", "S8", chunk=(8,), blank=b"", attributes=(("units", "none"),)),
)


@pytest.fixture
def file(tmp_path: Path):
    with h5py.File(tmp_path / "t.h5", "w", libver="latest") as made:
        yield made


def fill(table: GrowingTable, count: int) -> None:
    for row in range(count):
        table.append({"group/number": row, "group/row": [row] * 3, "group/count": row, "text": b"t%d" % row})


def test_rows_come_out_as_they_went_in(file):
    table = GrowingTable(file, FIELDS, batch_rows=4)
    fill(table, 10)
    assert (table.rows, table.waiting) == (10, 2)
    table.write()
    assert np.array_equal(file["group/number"], range(10))
    assert file["group/row"].shape == (10, 3)
    assert np.array_equal(file["group/row"][7], [7, 7, 7])
    assert file["text"][9] == b"t9"
    assert file["text"].attrs["units"] == "none"
    assert table.waiting == 0


def test_what_a_row_does_not_have_is_blank(file):
    table = GrowingTable(file, FIELDS, batch_rows=4)
    table.append({})
    table.write()
    assert np.isnan(file["group/number"][0])
    assert np.all(np.isnan(file["group/row"][0]))
    assert file["group/count"][0] == -1
    assert file["text"][0] == b""


def test_many_rows_at_once_pass_through_the_same_small_memory(file):
    table = GrowingTable(file, FIELDS, batch_rows=4)
    fill(table, 3)
    before = table.batch_bytes
    columns = {
        "group/number": np.arange(100.0),
        "group/row": np.ones((100, 3)),
        "group/count": np.arange(100),
        "text": np.full(100, b"x"),
    }
    table.extend(columns, 100)
    table.write()
    assert table.batch_bytes == before
    assert np.array_equal(file["group/number"], [*range(3), *range(100)])


@given(
    count=st.integers(1, 30),
    batch_rows=st.integers(1, 8),
    changes=st.lists(st.lists(st.integers(0, 29), min_size=1, max_size=12, unique=True), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_rewriting_reaches_rows_in_the_file_and_in_memory(tmp_path_factory, count, batch_rows, changes):
    path = tmp_path_factory.mktemp("rewrite") / "t.h5"
    truth = np.arange(count, dtype=np.float64)
    with h5py.File(path, "w", libver="latest") as file:
        table = GrowingTable(file, FIELDS, batch_rows=batch_rows)
        fill(table, count)
        for number, rows in enumerate(changes, start=1):
            known = np.array([row for row in rows if row < count], dtype=np.int64)
            values = 1000.0 * number + known
            truth[known] = values
            table.rewrite(known, {"group/number": values})
        table.write()
        assert np.array_equal(file["group/number"], truth)
        assert np.array_equal(file["group/count"], range(count))


def test_rows_that_have_not_come_cannot_be_rewritten(file):
    table = GrowingTable(file, FIELDS, batch_rows=4)
    fill(table, 6)
    for row in (-1, 6):
        with pytest.raises(IndexError, match="rows from 0 to 5"):
            table.rewrite(np.array([row]), {"group/number": np.zeros(1)})

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.background_patterns import background_from_file

ANGLE = np.linspace(1.0, 6.0, 40)
LEVEL = 100.0 + ANGLE**2


def text_of(angle, intensity, *, head="", separator=" ", sigma=False):
    columns = zip(angle, intensity, [1.0] * len(angle), strict=True)
    rows = (separator.join(map(repr, row if sigma else row[:2])) for row in columns)
    return head + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain.xy", {}),
        ("with_errors.xye", {"sigma": True}),
        ("pyfai.xy", {"head": "# == pyFAI calibration ==\n# Distance 0.2846 m\n# 2th_deg I\n"}),
        ("fit2d.chi", {"head": "empty cell\n2-Theta Angle (Degrees)\nIntensity\n       40\n"}),
        ("commas.csv", {"head": "two_theta,intensity\n", "separator": ","}),
        ("tabs.dat", {"head": "' an old program\n\n", "separator": "\t"}),
    ],
)
def test_columns_of_text_are_read_as_every_program_writes_them(tmp_path, name, written):
    file = tmp_path / name
    file.write_text(text_of(ANGLE.tolist(), LEVEL.tolist(), **written))
    angle, intensity = background_from_file(file)
    np.testing.assert_array_equal(angle, ANGLE)
    np.testing.assert_array_equal(intensity, LEVEL)


@given(levels=st.lists(st.floats(-1e12, 1e12), min_size=40, max_size=40))
def test_what_is_written_comes_back(tmp_path_factory, levels):
    file = tmp_path_factory.mktemp("any") / "any.xy"
    file.write_text(text_of(ANGLE.tolist(), levels))
    np.testing.assert_array_equal(background_from_file(file)[1], levels)


def test_a_run_gives_the_mean_of_its_patterns_without_lost_frames_and_empty_bins(tmp_path):
    file = tmp_path / "empty_cell.h5"
    patterns = np.stack([LEVEL, np.full(LEVEL.size, np.nan), 3.0 * LEVEL])
    patterns[:, 5] = np.nan
    patterns[0, 7] = np.nan
    with h5py.File(file, "w") as opened:
        opened["entry/azint1d/radial_axis"] = ANGLE
        opened["entry/azint1d/I"] = patterns
    angle, intensity = background_from_file(file)
    kept = np.arange(ANGLE.size) != 5
    np.testing.assert_array_equal(angle, ANGLE[kept])
    expected = np.where(np.arange(ANGLE.size) == 7, 3.0 * LEVEL, 2.0 * LEVEL)
    np.testing.assert_allclose(intensity, expected[kept])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.xy", b""),
        ("words.xy", b"this is no pattern\n" * 20),
        ("short.xy", b"1.0 2.0\n1.1 2.0\n"),
        ("to_and_fro.xy", text_of([*ANGLE.tolist()[::-1], *ANGLE.tolist()], [*LEVEL.tolist()] * 2).encode()),
        ("binary.xy", bytes(range(256)) * 8),
        ("not_a_run.h5", b"no HDF5"),
    ],
)
def test_what_is_no_pattern_is_refused_in_one_sentence(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputFileError, match=name):
        background_from_file(file)


def test_a_file_that_is_not_there_and_a_file_without_patterns_are_refused(tmp_path):
    with pytest.raises(InputFileError, match="cannot be read"):
        background_from_file(tmp_path / "nowhere.xy")
    with h5py.File(tmp_path / "other.h5", "w") as opened:
        opened["data"] = [1.0]
    with pytest.raises(InputFileError, match="without entry/azint1d"):
        background_from_file(tmp_path / "other.h5")

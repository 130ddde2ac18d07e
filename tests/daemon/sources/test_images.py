from pathlib import Path

import fabio
import numpy as np
import pytest

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.images import read_image, read_mask, read_mean_image

SHAPE = (20, 30)
MASK = np.zeros(SHAPE, dtype=np.uint8)
MASK[3, 4] = 1


@pytest.mark.parametrize("suffix", ["npy", "edf", "tif"])
@pytest.mark.parametrize("masked", [1, 255])
def test_a_mask_is_true_where_the_file_is_not_zero(tmp_path: Path, suffix: str, masked: int):
    path = tmp_path / f"mask.{suffix}"
    if suffix == "npy":
        np.save(path, MASK * masked)
    else:
        {"edf": fabio.edfimage.EdfImage, "tif": fabio.tifimage.TifImage}[suffix](data=MASK * masked).write(str(path))
    mask = read_mask(path, shape=SHAPE)
    assert mask.dtype == np.bool_
    assert np.argwhere(mask).tolist() == [[3, 4]]


def test_a_mask_of_another_shape_is_an_error(tmp_path: Path):
    np.save(tmp_path / "mask.npy", MASK.T)
    with pytest.raises(InputFileError, match=r"\(20, 30\).*\(30, 20\).*mask\.npy"):
        read_mask(tmp_path / "mask.npy", shape=SHAPE)


def test_an_image_is_not_taken_for_a_mask(tmp_path: Path):
    np.save(tmp_path / "light.npy", np.arange(600).reshape(SHAPE))
    with pytest.raises(InputFileError, match="expected a mask"):
        read_mask(tmp_path / "light.npy", shape=SHAPE)


def test_an_unreadable_mask_is_an_error(tmp_path: Path):
    (tmp_path / "mask.edf").write_bytes(b"garbage")
    with pytest.raises(InputFileError, match=r"mask\.edf"):
        read_mask(tmp_path / "mask.edf", shape=SHAPE)


def test_a_stack_is_not_one_image_but_has_a_mean(tmp_path: Path):
    path = tmp_path / "darks.npy"
    np.save(path, np.stack([np.full(SHAPE, 10, np.uint16), np.full(SHAPE, 13, np.uint16)]))
    with pytest.raises(InputFileError, match="stack"):
        read_image(path)
    mean, _, count = read_mean_image(path)
    assert count == 2
    assert np.all(mean == 11.5)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["light.cbf", "light.img"])
def test_a_cbf_file_that_ends_before_its_pixels_is_refused_and_not_searched_for_ever(tmp_path: Path, name: str):
    whole = tmp_path / "whole.cbf"
    fabio.cbfimage.CbfImage(data=np.arange(600, dtype=np.int32).reshape(SHAPE)).write(str(whole))
    content = whole.read_bytes()
    (tmp_path / name).write_bytes(content[: content.index(b"\x0c\x1a\x04\xd5")])
    with pytest.raises(InputFileError, match="before"):
        read_image(tmp_path / name)


def test_an_image_cannot_be_written_through(tmp_path: Path):
    np.save(tmp_path / "light.npy", MASK)
    image, _ = read_image(tmp_path / "light.npy")
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 1


def test_a_pickle_in_a_numpy_file_is_never_opened(tmp_path: Path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputFileError, match=r"evil\.npy"):
        read_image(tmp_path / "evil.npy")

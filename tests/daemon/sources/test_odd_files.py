"""Folders and files as beamlines leave them: each frame gives its row, whatever else lies there."""

import threading
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.intake import RecordingIntake
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.files import FileSource, FileSourceConfig, ReadAhead
from ringwatch_daemon.sources.images import read_frames, read_image
from ringwatch_daemon.sources.read_ahead import ReadingThreads
from ringwatch_daemon.sources.tiff_tags import tiff_directories

IMAGE = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48)
TIFF_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")


def frames_from(*paths: Path | str) -> RecordingIntake:
    intake = RecordingIntake()
    source = FileSource(FileSourceConfig(tuple(str(path) for path in paths)), SystemClock())
    source.read_ahead(ReadAhead(ReadingThreads))
    source.run(intake, threading.Event())
    assert source.expected == len(intake.frames) + len(intake.refusals)
    return intake


def firsts(intake: RecordingIntake) -> list[int]:
    return [int(frame.image[0, 0]) for frame in intake.frames]


def write_tiff(path: Path, image: np.ndarray) -> Path:
    fabio.tifimage.TifImage(data=image).write(str(path))
    return path


def write_part(path: Path, first: int, count: int) -> Path:
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.stack([IMAGE + np.uint16(first + number) for number in range(count)])
    return path


def write_eiger_master(folder: Path, parts: tuple[int, ...], *, per_part: int = 4, **columns: object) -> Path:
    """A master with external links to its parts, of which only those in `parts` are there."""
    with h5py.File(folder / "run_master.h5", "w") as master:
        data = master.create_group("entry/data")
        for number in range(1, max(parts) + 1):
            data[f"data_{number:06d}"] = h5py.ExternalLink(f"run_data_{number:06d}.h5", "/entry/data/data")
        for name, values in columns.items():
            master[f"entry/instrument/detector/{name}"] = values
    for number in parts:
        write_part(folder / f"run_data_{number:06d}.h5", per_part * (number - 1), per_part)
    return folder / "run_master.h5"


# folders


def test_thousands_of_small_files_keep_their_order(tmp_path: Path):
    for number in range(2000):
        np.save(tmp_path / f"frame_{number}.npy", np.full((16, 16), number, np.uint16))
    intake = frames_from(tmp_path)
    assert firsts(intake) == list(range(2000))
    assert intake.ids == list(range(1, 2001))


def test_what_does_not_belong_to_a_folder_is_left_alone(tmp_path: Path):
    write_tiff(tmp_path / "1.tif", IMAGE)
    write_tiff(tmp_path / "2.TIFF", IMAGE + np.uint16(1))
    for name in ("notes.txt", "Thumbs.db", ".hidden.tif", "1.tif.metadata", "run.toml"):
        (tmp_path / name).write_text("[metadata]\n")
    (tmp_path / "darks.tif").mkdir()
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    intake = frames_from(tmp_path)
    assert firsts(intake) == [0, 1]
    assert intake.refusals == []


def test_links_and_names_with_spaces_and_brackets_are_files_as_others_are(tmp_path: Path):
    store, folder = tmp_path / "store of frames", tmp_path / "links to it"
    store.mkdir()
    folder.mkdir()
    write_tiff(store / "cell 1 [50 degC].tif", IMAGE + np.uint16(7))
    (folder / "cell 1 [50 degC].tif").symlink_to(store / "cell 1 [50 degC].tif")
    (tmp_path / "also").symlink_to(folder)
    for path in (folder, folder / "cell 1 [50 degC].tif", tmp_path / "also", tmp_path / "links*" / "*.tif"):
        assert firsts(frames_from(path)) == [7], path


def test_a_pattern_may_name_a_dataset_in_each_of_its_files(tmp_path: Path):
    for number in (2, 10, 1):
        with h5py.File(tmp_path / f"scan_{number}.h5", "w") as file:
            file["measured/a"], file["measured/b"] = IMAGE[None] + np.uint16(number), IMAGE[None]
    assert firsts(frames_from(f"{tmp_path}/scan_*.h5::measured/a")) == [1, 2, 10]
    assert firsts(frames_from(f"{tmp_path}::measured/a")) == [1, 2, 10]


# stacks


def test_ten_thousand_frames_of_one_file_keep_their_order_and_their_columns(tmp_path: Path):
    count = 10_000
    with h5py.File(tmp_path / "long.h5", "w") as file:
        stack = np.zeros((count, 16, 16), np.uint16)
        stack[:, 0, 0] = np.arange(count)
        file.create_dataset("entry/data/data", data=stack, chunks=(100, 16, 16))
        file["entry/instrument/NDAttributes/NDArrayUniqueId"] = np.arange(count) + 5
        file["entry/instrument/NDAttributes/timestamp_ns"] = 1_700_000_000_000_000_000 + np.arange(count) * 10**9
    intake = frames_from(tmp_path / "long.h5")
    assert firsts(intake) == list(range(count))
    assert intake.ids == list(range(5, count + 5))
    assert intake.frames[-1].timestamp_ns - intake.frames[0].timestamp_ns == (count - 1) * 10**9


def test_the_parts_that_a_master_links_are_one_stack_with_the_columns_of_the_master(tmp_path: Path):
    counts = np.arange(12.0)
    master = write_eiger_master(tmp_path, (1, 2, 3), ring_current=counts, count_time=0.5)
    intake = frames_from(master)
    assert firsts(intake) == list(range(12))
    assert [dict(frame.attributes)["ring_current"] for frame in intake.frames] == counts.tolist()
    assert {frame.exposure_s for frame in intake.frames} == {0.5}


def test_a_part_that_is_not_there_is_told_and_the_others_are_taken(tmp_path: Path):
    intake = frames_from(write_eiger_master(tmp_path, (1, 3)))
    assert firsts(intake) == [0, 1, 2, 3, 8, 9, 10, 11]
    (refusal,) = intake.refusals
    assert "data_000002" in refusal.text
    assert "run_master.h5" in refusal.text


def test_a_master_without_any_of_its_parts_says_which_are_missing(tmp_path: Path):
    master = write_eiger_master(tmp_path, (2,))
    (tmp_path / "run_data_000002.h5").unlink()
    (refusal,) = frames_from(master).refusals
    assert refusal.reason == Reason.UNREADABLE
    assert "run_data_000001.h5" in refusal.text


def test_a_virtual_stack_whose_source_is_gone_is_not_taken_for_zeros(tmp_path: Path):
    write_part(tmp_path / "part.h5", 40, 3)
    layout = h5py.VirtualLayout((3, *IMAGE.shape), np.uint16)
    layout[:] = h5py.VirtualSource("part.h5", "entry/data/data", (3, *IMAGE.shape))
    with h5py.File(tmp_path / "virtual.nxs", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    assert firsts(frames_from(tmp_path / "virtual.nxs")) == [40, 41, 42]
    (tmp_path / "part.h5").unlink()
    intake = frames_from(tmp_path / "virtual.nxs")
    assert intake.frames == []
    assert "part.h5" in intake.refusals[0].text


def test_every_frame_of_a_multi_frame_file_is_taken_whatever_its_format(tmp_path: Path):
    images = [IMAGE + np.uint16(number) for number in range(5)]
    edf = fabio.edfimage.EdfImage(data=images[0])
    for image in images[1:]:
        edf.append_frame(data=image)
    edf.write(str(tmp_path / "many.edf"))
    np.save(tmp_path / "many.npy", np.stack(images))
    write_stacked_tiff(tmp_path / "many.tif", images)
    panel = np.zeros((5, 2048, 2048), np.uint16)
    panel[:, 0, 0] = np.arange(5)
    header = bytearray(8192)
    (tmp_path / "many.ge3").write_bytes(bytes(header) + panel.tobytes())
    for name in ("many.edf", "many.npy", "many.tif", "many.ge3"):
        assert firsts(frames_from(tmp_path / name)) == [0, 1, 2, 3, 4], name


# plain TIFFs, which are read without FabIO


def tiff_bytes(images: list[np.ndarray], order: str) -> bytes:
    """A classic TIFF of one strip an image, in either byte order."""
    kinds = {"u": 1, "i": 2, "f": 3}
    head = (b"II*\0" if order == "<" else b"MM\0*") + b"%s"
    body, directories = bytearray(), []
    for image in images:
        offset = 8 + len(body)
        body += image.astype(image.dtype.newbyteorder(order)).tobytes()
        directories.append((image, offset))
    start, out = 8 + len(body), bytearray()
    for number, (image, offset) in enumerate(directories):
        rows, columns = image.shape
        tags = [
            (256, 4, columns), (257, 4, rows), (258, 3, 8 * image.dtype.itemsize), (259, 3, 1), (262, 3, 1),
            (273, 4, offset), (277, 3, 1), (278, 4, rows), (279, 4, image.nbytes), (339, 3, kinds[image.dtype.kind]),
        ]  # fmt: skip
        size = 2 + 12 * len(tags) + 4
        out += np.array(len(tags), f"{order}u2").tobytes()
        for tag, kind, value in tags:
            out += np.array([tag, kind], f"{order}u2").tobytes() + np.array(1, f"{order}u4").tobytes()
            packed = np.array(value, f"{order}u{2 if kind == 3 else 4}").tobytes()
            out += packed.ljust(4, b"\0")
        following = start + size * (number + 1) if number + 1 < len(directories) else 0
        out += np.array(following, f"{order}u4").tobytes()
    return head.replace(b"%s", np.array(start, f"{order}u4").tobytes()) + bytes(body) + bytes(out)


def write_stacked_tiff(path: Path, images: list[np.ndarray], order: str = "<") -> None:
    path.write_bytes(tiff_bytes(images, order))


@settings(max_examples=40)
@given(
    form=st.tuples(st.sampled_from("<>"), st.sampled_from(TIFF_TYPES)),
    shape=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    count=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_a_plain_tiff_is_read_as_fabio_reads_it(tmp_path_factory, form, shape, count, seed):
    order, kind = form
    rng = np.random.default_rng(seed)
    images = [(rng.integers(0, 120, shape)).astype(kind) for _ in range(count)]
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    write_stacked_tiff(path, images, order)
    assert all(directory.pixels is not None for directory in tiff_directories(path))
    with fabio.open(str(path)) as by_fabio:
        expected = [by_fabio.getframe(number).data for number in range(by_fabio.nframes)]
    mine = [frame.image for frame in read_frames(path)]
    assert len(mine) == len(expected) == count
    for image, other, written in zip(mine, expected, images, strict=True):
        assert image.dtype == other.dtype
        assert image.dtype.isnative
        np.testing.assert_array_equal(image, other)
        np.testing.assert_array_equal(image, written)


def test_a_packed_tiff_is_left_to_fabio(tmp_path: Path):
    from PIL import Image

    Image.fromarray(IMAGE).save(tmp_path / "packed.tif", compression="tiff_lzw")
    assert tiff_directories(tmp_path / "packed.tif")[0].pixels is None
    np.testing.assert_array_equal(read_image(tmp_path / "packed.tif")[0], IMAGE)


def test_a_plain_tiff_that_lost_its_end_is_refused(tmp_path: Path):
    write_stacked_tiff(tmp_path / "a.tif", [IMAGE])
    content = bytearray((tmp_path / "a.tif").read_bytes())
    at = content.index(np.array([273, 4], "<u2").tobytes()) + 8
    content[at : at + 4] = np.array(len(content) - 100, "<u4").tobytes()
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputFileError, match=r"bytes of TIFF, got \d+ from .*a\.tif"):
        read_image(tmp_path / "a.tif")

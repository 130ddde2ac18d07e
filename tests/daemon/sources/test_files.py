import os
import threading
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest

from fakes.intake import RecordingIntake
from ringwatch_daemon.core.clock import SystemClock
from ringwatch_daemon.core.errors import InputFileError, SettingsError
from ringwatch_daemon.core.records import Reason
from ringwatch_daemon.sources.files import FileSource, FileSourceConfig
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_pipelines.frames import FrameKind

EPICS_EPOCH_S = 631_152_000
IMAGE = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48)


def frames_from(*paths: Path | str, **settings: object) -> RecordingIntake:
    intake = RecordingIntake()
    config = FileSourceConfig(tuple(str(path) for path in paths), **settings)
    FileSource(config, SystemClock()).run(intake, threading.Event())
    return intake


def write_edf(path: Path, image: np.ndarray = IMAGE, **header: object) -> Path:
    fabio.edfimage.EdfImage(data=image, header={key: str(value) for key, value in header.items()}).write(str(path))
    return path


@pytest.mark.recordings
def test_the_pilatus_sequence_keeps_its_ids_its_gaps_and_its_epics_times(recordings: Path):
    intake = frames_from(recordings / "frames" / "pilatus_areadetector_seq", timestamp_marks="end")
    assert intake.ids == [4051, 4052, 4053, 4056, 4057]
    first = intake.frames[0]
    epics_ns = (847888003 + EPICS_EPOCH_S) * 1_000_000_000 + 375356916
    assert first.timestamp_ns == epics_ns - round(29.999e9 / 2)
    assert first.exposure_s == 29.999
    attributes = dict(first.attributes)
    assert attributes["EPICSTSSec"] == 847888003
    assert attributes["EPICSTSNsec"] == 375356916
    assert attributes["ID RingCurrent"] == 101.78601
    assert intake.refusals == []
    assert intake.warnings == []


@pytest.mark.recordings
def test_the_ring_current_can_be_the_monitor(recordings: Path):
    names = MetadataNames(monitor=("ID RingCurrent",))
    intake = frames_from(recordings / "frames" / "pilatus_areadetector_seq", names=names)
    assert intake.frames[0].monitor == pytest.approx(101.78601)


@pytest.mark.recordings
def test_the_only_stack_of_an_hdf5_file_is_found(recordings: Path):
    intake = frames_from(recordings / "frames" / "ge_aps_CeO2" / "ge_wppf.h5")
    (frame,) = intake.frames
    assert (frame.image.shape, frame.image.dtype) == ((2048, 2048), np.uint16)
    assert intake.warned_of("FILE_TIME")


@pytest.mark.recordings
def test_a_tiff_time_is_read_in_the_configured_zone(recordings: Path):
    folder = recordings / "frames" / "pe_xpd_Ni_light_dark"
    intake = frames_from(folder / "Ni_light_frame.tiff", time_zone="America/New_York")
    (frame,) = intake.frames
    assert frame.timestamp_ns == 1649859378 * 1_000_000_000  # 2022-04-13 10:16:18 EDT
    assert not intake.warned_of("FILE_TIME")
    assert not frame.image.flags.writeable


def test_a_time_without_zone_is_not_used_and_the_warning_says_so(tmp_path: Path):
    path = write_edf(tmp_path / "a.edf", IMAGE, Date="2024-05-01T10:00:00", exposure_time="2")
    os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    intake = frames_from(path)
    assert intake.frames[0].timestamp_ns == 1_700_000_000_000_000_000 - 1_000_000_000
    ((kind, text),) = intake.warnings
    assert kind == "FILE_TIME"
    assert "without a time zone" in text
    assert "a.edf" in text


def test_an_edf_header_gives_time_exposure_and_monitor(tmp_path: Path):
    path = write_edf(tmp_path / "a.edf", IMAGE, Date="2024-05-01T10:00:00+02:00", exposure_time="500 ms", ic1="12.5")
    intake = frames_from(path, names=MetadataNames(monitor=("IC1",)), timestamp_marks="start")
    (frame,) = intake.frames
    assert frame.timestamp_ns == 1714550400_250_000_000
    assert frame.exposure_s == 0.5
    assert frame.monitor == 12.5
    assert frame.conditions.exposure_s == 0.5
    np.testing.assert_array_equal(frame.image, IMAGE)


def test_a_closed_shutter_in_the_header_makes_a_dark(tmp_path: Path):
    path = write_edf(tmp_path / "a.edf", IMAGE, shutter="Closed")
    intake = frames_from(path, names=MetadataNames(dark=("Shutter",)))
    assert intake.frames[0].kind is FrameKind.DARK


def test_a_folder_is_taken_in_natural_order_and_without_what_is_no_image(tmp_path: Path):
    for number in (10, 9, 1):
        write_edf(tmp_path / f"frame_{number}.edf", IMAGE + np.uint16(number))
    (tmp_path / "frame_1.xy").write_text("1 2")
    intake = frames_from(tmp_path)
    assert [frame.image[0, 0] for frame in intake.frames] == [1, 9, 10]
    assert intake.ids == [1, 2, 3]
    assert intake.refusals == []


def test_a_pattern_names_files(tmp_path: Path):
    for number in (2, 1):
        write_edf(tmp_path / f"light_{number}.edf")
    write_edf(tmp_path / "dark_1.edf")
    intake = frames_from(tmp_path / "light_*.edf")
    assert [Path(frame.origin).name for frame in intake.frames] == ["light_1.edf", "light_2.edf"]


def test_every_frame_of_a_multi_frame_edf_is_taken(tmp_path: Path):
    path = tmp_path / "many.edf"
    many = fabio.edfimage.EdfImage(data=IMAGE)
    many.append_frame(data=IMAGE + np.uint16(1))
    many.write(str(path))
    intake = frames_from(path)
    assert [int(frame.image[0, 0]) for frame in intake.frames] == [0, 1]


def test_an_area_detector_stack_keeps_ids_and_times_of_each_frame(tmp_path: Path):
    path = tmp_path / "stack.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.stack([IMAGE, IMAGE])
        attributes = file.create_group("entry/instrument/NDAttributes")
        attributes["NDArrayUniqueId"] = np.array([7, 9])
        attributes["NDArrayEpicsTSSec"] = np.array([847888003, 847888013])
        attributes["NDArrayEpicsTSnSec"] = np.array([5, 6])
        attributes["AcquireTime"] = np.array([1.0, 2.0])
    intake = frames_from(path)
    assert intake.ids == [7, 9]
    assert [frame.exposure_s for frame in intake.frames] == [1.0, 2.0]
    assert intake.frames[1].timestamp_ns == (847888012 + EPICS_EPOCH_S) * 1_000_000_000 + 6
    assert intake.warnings == []


def test_a_stack_that_tells_only_its_start_has_its_frames_counted_on(tmp_path: Path):
    path = tmp_path / "stack.nxs"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.stack([IMAGE, IMAGE, IMAGE])
        file["entry/start_time"] = "2024-05-01T10:00:00Z"
        file["entry/instrument/detector/count_time"] = 2.0
        file["entry/instrument/detector/frame_time"] = 5.0
    intake = frames_from(path)
    first_ns = 1714557600 * 1_000_000_000
    assert [frame.timestamp_ns - first_ns for frame in intake.frames] == [10**9, 6 * 10**9, 11 * 10**9]
    assert "by 5 s a frame" in intake.warnings[0][1]


def test_the_driver_time_of_area_detector_counts_from_1990(tmp_path: Path):
    path = tmp_path / "stack.h5"
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = IMAGE[np.newaxis]
        file["entry/instrument/NDAttributes/NDArrayTimeStamp"] = np.array([847888003.5])
    assert frames_from(path).frames[0].timestamp_ns == (847888003 + EPICS_EPOCH_S) * 1_000_000_000 + 500_000_000


def test_the_default_signal_of_nexus_is_taken(tmp_path: Path):
    path = tmp_path / "stack.nxs"
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "run"
        file.create_group("run").attrs["default"] = "plot"
        file.create_group("run/plot").attrs["signal"] = "counts"
        file["run/plot/counts"] = IMAGE[np.newaxis]
        file["run/other"] = IMAGE[np.newaxis] * 0
    assert frames_from(path).frames[0].image[0, 1] == 1


def test_two_stacks_that_could_be_meant_are_not_guessed_between(tmp_path: Path):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["a"] = file["b"] = IMAGE[np.newaxis]
    (refusal,) = frames_from(path).refusals
    assert "/a, /b" in refusal.text
    assert "two.h5" in refusal.text
    assert len(frames_from(f"{path}::b").frames) == 1


def test_a_file_that_cannot_be_read_is_refused_by_name_and_the_next_is_taken(tmp_path: Path):
    whole = write_edf(tmp_path / "1_whole.edf")
    (tmp_path / "2_half.edf").write_bytes(whole.read_bytes()[:-1000])
    (tmp_path / "3_empty.edf").touch()
    (tmp_path / "4_text.tif").write_text("no image at all")
    fabio.tifimage.TifImage(data=IMAGE).write(str(tmp_path / "5_whole.tif"))
    (tmp_path / "6_half.tif").write_bytes((tmp_path / "5_whole.tif").read_bytes()[:-1000])
    (tmp_path / "7_half.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    np.save(tmp_path / "8_complex.npy", IMAGE.astype(np.complex64))
    write_edf(tmp_path / "9_last.edf")
    intake = frames_from(tmp_path)
    assert [Path(frame.origin).name for frame in intake.frames] == ["1_whole.edf", "5_whole.tif", "9_last.edf"]
    assert intake.ids == [1, 5, 9]
    assert intake.reasons == [Reason.UNREADABLE] * 5 + [Reason.WRONG_TYPE]
    names = ["2_half.edf", "3_empty.edf", "4_text.tif", "6_half.tif", "7_half.h5", "8_complex.npy"]
    assert all(name in refusal.text for name, refusal in zip(names, intake.refusals, strict=True))


def test_a_cbf_whose_checksum_is_wrong_is_refused(tmp_path: Path):
    path = tmp_path / "frame.cbf"
    fabio.cbfimage.CbfImage(data=IMAGE.astype(np.int32)).write(str(path))
    assert len(frames_from(path).frames) == 1
    content = bytearray(path.read_bytes())
    content[-1500] ^= 1
    path.write_bytes(content)
    (refusal,) = frames_from(path).refusals
    assert "checksum" in refusal.text


def test_nothing_under_the_path_is_an_error_before_the_run(tmp_path: Path):
    with pytest.raises(InputFileError, match="nowhere"):
        FileSource(FileSourceConfig((str(tmp_path / "nowhere"),)), SystemClock())


def test_an_unknown_time_zone_is_an_error_before_the_run(tmp_path: Path):
    with pytest.raises(SettingsError, match="Mars"):
        FileSource(FileSourceConfig((str(tmp_path),), follow=True, time_zone="Mars/Olympus"), SystemClock())


def test_a_stop_between_frames_ends_the_reading(tmp_path: Path):
    np.save(tmp_path / "stack.npy", np.stack([IMAGE] * 5))
    stop = threading.Event()

    class StoppingIntake(RecordingIntake):
        def frame(self, frame):
            super().frame(frame)
            stop.set()

    intake = StoppingIntake()
    FileSource(FileSourceConfig((str(tmp_path),)), SystemClock()).run(intake, stop)
    assert intake.ids == [1]


def test_a_growing_folder_gives_each_file_once_it_is_whole(tmp_path: Path):
    config = FileSourceConfig((str(tmp_path),), follow=True, poll_s=0.02, settle_s=0.1, give_up_s=30)
    intake, stop = RecordingIntake(), threading.Event()
    reader = threading.Thread(target=FileSource(config, SystemClock()).run, args=(intake, stop))
    reader.start()
    try:
        content = write_edf(tmp_path.parent / f"{tmp_path.name}_source.edf").read_bytes()
        growing = tmp_path / "frame_1.edf"
        growing.write_bytes(content[:-1000])
        intake.wait_for(lambda: intake.is_connected)
        write_edf(tmp_path / "frame_2.edf", IMAGE + np.uint16(1))
        assert not stop.wait(0.5)
        assert intake.frames == []
        with growing.open("ab") as file:
            file.write(content[-1000:])
        intake.wait_for(lambda: len(intake.frames) == 2)
        assert [int(frame.image[0, 0]) for frame in intake.frames] == [0, 1]
        assert intake.refusals == []
    finally:
        stop.set()
        reader.join(20)
    assert not reader.is_alive()


def test_a_file_of_a_growing_folder_that_stays_broken_is_refused(tmp_path: Path):
    config = FileSourceConfig((str(tmp_path),), follow=True, poll_s=0.02, settle_s=0.05, give_up_s=0.2)
    (tmp_path / "frame_1.tif").write_text("broken")
    write_edf(tmp_path / "frame_2.edf")
    (tmp_path / "frame_3.tif").write_text("broken too")
    intake, stop = RecordingIntake(), threading.Event()
    reader = threading.Thread(target=FileSource(config, SystemClock()).run, args=(intake, stop))
    reader.start()
    try:
        intake.wait_for(lambda: len(intake.frames) == 1)
    finally:
        stop.set()
        reader.join(20)
    assert intake.reasons == [Reason.UNREADABLE, Reason.UNREADABLE]
    assert intake.ids == [2]
    assert "frame_3.tif" in intake.refusals[1].text

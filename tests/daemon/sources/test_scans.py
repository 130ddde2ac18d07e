"""Files of 1-D scans, and when they were measured."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import ManualClock
from fakes.intake import RecordingIntake
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.first_scan import BegunByFirstScan
from ringwatch_daemon.sources.scan_files import read_scans
from ringwatch_daemon.sources.scan_log import ScanLogConfig
from ringwatch_daemon.sources.scans import ScanSource, ScanSourceConfig
from ringwatch_pipelines.errors import PatternError

NS = 10**9
XRDML = """<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5" status="Completed">
 <xrdMeasurement measurementType="Scan">
  <scan appendNumber="0" mode="Continuous" scanAxis="Gonio" status="Completed">
   <header><startTimeStamp>2024-07-01T12:00:00+02:00</startTimeStamp>
    <endTimeStamp>2024-07-01T13:00:00+02:00</endTimeStamp></header>
   <dataPoints>
    <positions axis="2Theta" unit="deg"><startPosition>10.0</startPosition><endPosition>10.3</endPosition></positions>
    <positions axis="Omega" unit="deg"><startPosition>5.0</startPosition><endPosition>5.15</endPosition></positions>
    <commonCountingTime unit="seconds">2.0</commonCountingTime>
    <intensities unit="UNIT">5 6 7 8</intensities>
   </dataPoints>
  </scan>
 </xrdMeasurement>
</xrdMeasurements>
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_columns_of_every_usual_kind_are_read(tmp_path):
    kinds = {
        "plain.xye": "10.0 5 2\n10.1 6 3\n10.2 7 4\n",
        "comments.xy": "# start_time: 2024-07-01T12:00:00Z\n! made by somebody\n\n10.0\t5\t2\n10.1\t6\t3\n10.2\t7\t4\n",
        "names.csv": "two_theta,intensity,sigma\n10.0,5,2\n10.1,6,3\n10.2,7,4\n",
        "commas.dat": "10,0;5,0;2,0\n10,1;6,0;3,0\n10,2;7,0;4,0\n",
        "falling.xy": "10.2 7 4\n10.1 6 3\n10.0 5 2\n",
    }
    for name, text in kinds.items():
        (image,) = read_scans(written(tmp_path / name, text))
        assert image.two_theta_deg == pytest.approx([10.0, 10.1, 10.2]), name
        assert image.intensity.tolist() == [5, 6, 7]
        assert image.sigma.tolist() == [2, 3, 4]
    (image,) = read_scans(tmp_path / "comments.xy")
    assert image.header == {"start_time": "2024-07-01T12:00:00Z"}
    (image,) = read_scans(written(tmp_path / "two.xy", "10.0 5\n10.1 6\n"))
    assert image.sigma is None


@pytest.mark.parametrize(("unit", "factor"), [("counts", 1.0), ("cps", 2.0)])
def test_xrdml_tells_angles_counts_and_times(tmp_path, unit, factor):
    (image,) = read_scans(written(tmp_path / "scan.any", XRDML.replace("UNIT", unit)))
    assert image.two_theta_deg == pytest.approx([10.0, 10.1, 10.2, 10.3])
    assert image.intensity == pytest.approx(factor * np.array([5, 6, 7, 8]))
    assert image.header["start_time"] == "2024-07-01T12:00:00+02:00"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "expected columns of angle"),
        (b"10 5\n10.1 6 7\n", "expected 2 numbers in line 2, got 3"),
        (b"10 5 1\n10.1 six 1\n", "expected numbers in line 2"),
        (b"1 2 3 4\n2 3 4 5\n", "expected two or three columns, got 4"),
        (b"RAW1.01 and so on", "none that can be read"),
        (b"PK\x03\x04", "damaged"),
        (XRDML[:-60].encode(), "truncated or damaged"),
        (XRDML.replace("intensities", "nothing").encode(), "expected counts or intensities"),
        (XRDML.replace('"2Theta"', '"Phi"').encode(), "expected positions of the axis 2Theta"),
        (XRDML.replace("5 6 7 8", "5 6 x 8").encode(), "expected numbers in intensities"),
        (XRDML.replace("<xrdMeasurements", "<!DOCTYPE x><xrdMeasurements").encode(), "without entities"),
    ],
)
def test_what_is_no_scan_gives_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "scan"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=sentence) as caught:
        read_scans(path)
    assert str(path) in str(caught.value)


@given(
    beginning=st.sampled_from(
        [b"", b"10 5 1\n10.1 6 1\n", b"<?xml version='1.0'?><xrdMeasurements", XRDML[:900].encode()]
    ),
    rest=st.binary(max_size=300),
)
def test_no_bytes_bring_the_reader_of_scans_down(tmp_path_factory, beginning, rest):
    path = tmp_path_factory.mktemp("bytes") / "scan"
    path.write_bytes(beginning + rest)
    with suppress(InputFileError):
        for image in read_scans(path):
            assert image.two_theta_deg.shape == image.intensity.shape


def columns(count=20):
    return "".join(f"{10 + 0.1 * index:.1f} {index + 5} 1\n" for index in range(count))


def brought(config, clock=None):
    intake = RecordingIntake()
    ScanSource(config, clock or ManualClock()).run(intake, threading.Event())
    return intake


LOG = "scan_number,start_time,end_time\n101,2024-07-01 12:00:00,2024-07-01 12:01:00\n102,2024-07-01 12:10:00,\n"


def test_a_log_tells_the_times_in_the_declared_zone(tmp_path):
    written(tmp_path / "101_summed.xye", columns())
    log = ScanLogConfig(written(tmp_path / "log.csv", LOG))
    config = ScanSourceConfig((str(tmp_path / "*.xye"),), log=log, time_zone="Europe/London")
    (scan,) = brought(config).frames
    assert scan.start_ns == 1_719_831_600 * NS
    assert scan.exposure_s == 60.0
    assert scan.timestamp_ns == scan.start_ns + 30 * NS


@pytest.mark.parametrize(
    ("name", "zone", "sentence"),
    [
        ("101.xye", "", "without a time zone"),
        ("102.xye", "UTC", "expected a time in"),
        ("103.xye", "UTC", "expected one line for 103.xye"),
    ],
)
def test_a_scan_without_its_time_in_the_log_is_refused(tmp_path, name, zone, sentence):
    written(tmp_path / name, columns())
    log = ScanLogConfig(written(tmp_path / "log.csv", LOG))
    intake = brought(ScanSourceConfig((str(tmp_path / name),), log=log, time_zone=zone))
    assert intake.frames == []
    assert sentence in intake.refusals[0].text


def test_a_header_tells_the_times_where_there_is_no_log(tmp_path):
    head = "# start_time = 2024-07-01T12:00:00Z\n# end_time = 2024-07-01T13:00:00Z\n"
    (scan,) = brought(ScanSourceConfig((str(written(tmp_path / "a.xye", head + columns())),))).frames
    assert (scan.start_ns, scan.exposure_s) == (1_719_835_200 * NS, 3600.0)


def test_the_time_of_the_file_stands_in_with_a_warning(tmp_path):
    for name in ("a.xye", "b.xye"):
        os.utime(written(tmp_path / name, columns()), (1_700_000_000, 1_700_000_000))
    intake = brought(ScanSourceConfig((str(tmp_path),)))
    assert [scan.timestamp_ns for scan in intake.frames] == [1_700_000_000 * NS] * 2
    assert [scan.unique_id for scan in intake.frames] == [1, 2]
    assert [kind for kind, _ in intake.warnings] == ["FILE_TIME"]


def test_scans_come_in_natural_order_and_bad_ones_are_refused_by_name(tmp_path):
    for number in (1, 2, 10):
        written(tmp_path / f"scan_{number}.xye", columns() if number != 2 else "nothing\n")
    intake = brought(ScanSourceConfig((str(tmp_path),)))
    assert [(scan.unique_id, Path(scan.origin).name) for scan in intake.frames] == [
        (1, "scan_1.xye"),
        (3, "scan_10.xye"),
    ]
    assert intake.refusals[0].unique_id == 2
    assert "scan_2.xye" in intake.refusals[0].text


def test_nothing_at_all_is_told_before_the_run(tmp_path):
    with pytest.raises(InputFileError, match="expected scans, got nothing"):
        ScanSource(ScanSourceConfig((str(tmp_path / "none.xye"),)), ManualClock())


def test_a_growing_folder_is_followed(tmp_path):
    clock, stop, intake = ManualClock(), threading.Event(), RecordingIntake()
    source = ScanSource(ScanSourceConfig((str(tmp_path),), follow=True, poll_s=0.01), clock)
    thread = threading.Thread(target=source.run, args=(intake, stop))
    thread.start()
    try:
        for number in (1, 2):
            written(tmp_path / f"{number}.xye", columns())
            while len(intake.frames) < number:
                clock.go_on(2.0)
                stop.wait(0.02)
    finally:
        stop.set()
        thread.join()
    assert [scan.unique_id for scan in intake.frames] == [1, 2]


class Fixed:
    """A source of what it was given."""

    def __init__(self, *actions):
        self._actions = actions

    def run(self, intake, stop):
        for action in self._actions:
            action(intake)


def refuse(number):
    return lambda intake: intake.refused(unique_id=number, timestamp_ns=1, reason="UNREADABLE", text=f"bad {number}")


def test_refusals_wait_until_the_first_good_scan_has_told_the_angles(tmp_path):
    written(tmp_path / "a.xye", columns())
    (scan,) = brought(ScanSourceConfig((str(tmp_path),))).frames
    begun, intake = [], RecordingIntake()

    def begin(first):
        if not begun:
            begun.append("bad")
            raise PatternError("steps of no equal width")
        assert intake.refusals == []
        begun.append(first)

    def hand_over(taker):
        taker.frame(scan)

    source = Fixed(refuse(1), hand_over, hand_over, refuse(3))
    BegunByFirstScan(source, begin).run(intake, threading.Event())
    assert begun == ["bad", scan]
    assert [refusal.text for refusal in intake.refusals] == ["bad 1", "steps of no equal width", "bad 3"]
    assert intake.frames == [scan]


def test_without_a_good_scan_what_was_wrong_is_told_all_the_same():
    intake = RecordingIntake()
    BegunByFirstScan(Fixed(refuse(1)), lambda _: None).run(intake, threading.Event())
    assert [text for _, text in intake.warnings] == ["bad 1"]
    assert intake.refusals == []

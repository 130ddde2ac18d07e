from pathlib import Path

import pytest

from ringwatch_daemon.sources.header_texts import header_from_cbf_text, header_from_fabio
from ringwatch_daemon.sources.metadata import MetadataNames, details_from_metadata, lower_keys, seconds_from_scalar
from ringwatch_daemon.sources.qxrd import header_from_qxrd
from ringwatch_daemon.sources.times import stamp_from_header
from ringwatch_pipelines.frames import FrameKind

CBF = """# Detector: PILATUS 1M, S/N 10-0110
# 2016-11-13T06:26:42.123
# Exposure_time 29.999 s
# Exposure_period = 30.0 s
# Tau = 0 s
"""


def test_the_comments_of_a_cbf_give_time_and_exposure():
    header = header_from_cbf_text(CBF)
    assert header["date"] == "2016-11-13T06:26:42.123"
    assert header["Exposure_time"] == "29.999 s"
    assert details_from_metadata(lower_keys(header), MetadataNames()).exposure_s == 29.999


def test_marccd_milliseconds_become_seconds():
    header = header_from_fabio({"exposure_time": 2500, "acquire_timestamp": "061815312018.56"}, kind="MarccdImage")
    assert header["exposure_time"] == 2.5
    assert header["date"] == "2018-06-18T15:31:56"


@pytest.mark.recordings
def test_a_qxrd_sidecar_gives_the_time_the_summed_exposure_and_the_subtraction(recordings: Path):
    text = (recordings / "frames" / "qxrd_metadata" / "Si_free_dc1000_1-00000.tif.metadata").read_text("latin-1")
    header = lower_keys(header_from_qxrd(text))
    details = details_from_metadata(header, MetadataNames(monitor=("userComment2",)))
    assert stamp_from_header(header, keys=("timeStamp",), zone=None).utc_ns == pytest.approx(1529526716.01e9, abs=1e3)
    assert details.exposure_s == 10
    assert details.monitor == 3399
    assert details.offset_subtracted
    assert details.conditions.gain == "0"
    assert details.conditions.trigger_mode == "1"


@pytest.mark.parametrize(
    ("value", "seconds"), [("500 ms", 0.5), ("29.999 s", 29.999), (2, 2.0), ("1e-3", 1e-3), ("250us", 2.5e-4)]
)
def test_an_exposure_may_name_its_unit(value: str | float, seconds: float):
    assert seconds_from_scalar(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [None, "fast", -1, float("inf"), ""])
def test_an_exposure_that_is_no_duration_is_unknown(value: str | float | None):
    assert seconds_from_scalar(value) != seconds_from_scalar(value)


def test_what_nobody_reports_stays_unknown():
    details = details_from_metadata({}, MetadataNames(monitor=("ic1",), dark=("shutter",)))
    assert details.exposure_s != details.exposure_s
    assert details.conditions.exposure_s is None
    assert details.conditions.gain is None
    assert details.kind is FrameKind.LIGHT
    assert not details.offset_subtracted

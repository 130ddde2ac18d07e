from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringwatch_daemon.core.errors import SettingsError
from ringwatch_daemon.sources.times import (
    EPICS_EPOCH_S,
    StampMarks,
    is_set,
    mid_exposure_ns,
    stamp_from_header,
    utc_ns_from_scalar,
    zone_from_name,
)

YEARS = st.datetimes(datetime(1995, 1, 1), datetime(2095, 1, 1))
EXPECTED_NS = 1529526716_000_000_000


@given(YEARS, st.sampled_from(["%Y:%m:%d %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%Y-%m-%dT%H:%M:%S", "%d-%b-%Y %H:%M:%S"]))
def test_a_written_time_comes_back_to_the_second(moment: datetime, spelling: str):
    stamp = utc_ns_from_scalar(moment.strftime(spelling), zone=UTC)
    assert stamp.utc_ns == int(moment.replace(microsecond=0, tzinfo=UTC).timestamp()) * 1_000_000_000


@given(st.integers(1_000_000_000, 4_000_000_000), st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]))
def test_a_number_is_seconds_milli_micro_or_nanoseconds_by_its_size(seconds: int, per_second: int):
    assert utc_ns_from_scalar(seconds * per_second, zone=None).utc_ns == seconds * 1_000_000_000


@pytest.mark.parametrize("value", [0, -5.0, 0.1, 1e300, float("nan"), "12.5", "", "no time", EPICS_EPOCH_S, "25:61:99"])
def test_what_is_no_time_is_not_taken_for_one(value: str | float):
    assert utc_ns_from_scalar(value, zone=UTC).utc_ns is None


def test_a_time_without_zone_needs_one():
    stamp = utc_ns_from_scalar("2018.06.20 : 15:31:56.000", zone=None)
    assert stamp.utc_ns is None
    assert "without a time zone" in stamp.problem
    zoned = utc_ns_from_scalar("2018.06.20 : 15:31:56.000", zone=zone_from_name("America/Chicago"))
    assert zoned.utc_ns == EXPECTED_NS


def test_epics_seconds_win_over_a_date():
    header = {"epicstssec": EXPECTED_NS // 10**9 - EPICS_EPOCH_S, "epicstsnsec": 7, "date": "2001-01-01T00:00:00Z"}
    assert stamp_from_header(header, keys=("Date",), zone=None).utc_ns == EXPECTED_NS + 7


@given(st.integers(10**18, 2 * 10**18), st.floats(0, 1e5))
def test_start_and_end_lie_one_exposure_apart(stamp_ns: int, exposure_s: float):
    start = mid_exposure_ns(stamp_ns=stamp_ns, exposure_s=exposure_s, marks=StampMarks.START)
    end = mid_exposure_ns(stamp_ns=stamp_ns, exposure_s=exposure_s, marks=StampMarks.END)
    assert start - end == pytest.approx(exposure_s * 1e9, abs=2)
    assert mid_exposure_ns(stamp_ns=stamp_ns, exposure_s=exposure_s, marks=StampMarks.MIDDLE) == stamp_ns


def test_neither_epoch_is_a_time_that_was_set():
    assert not is_set(0)
    assert not is_set(EPICS_EPOCH_S * 10**9)
    assert is_set(EXPECTED_NS)


def test_an_unknown_zone_is_named():
    with pytest.raises(SettingsError, match="Mars/Olympus"):
        zone_from_name("Mars/Olympus")

"""The clocks that were measured stand in the file, and the samples on the one that is applied."""

import h5py
import numpy as np
import pytest

from fakes import records
from ringwatch_daemon.core.records import CyclerClock, CyclingSamples
from ringwatch_daemon.sinks.cut_off_run import measured_clocks
from ringwatch_daemon.sinks.nexus import NexusFile
from ringwatch_pipelines.cell.clock import ClockEstimate, ClockMethod, ClockRelation
from ringwatch_pipelines.cell.cycling import CyclerSamples

S = 10**9
START_NS = records.START_NS


def samples(seconds, *, relation=None):
    own_ns = START_NS + np.asarray(seconds, dtype=np.int64) * S
    stamps = (relation or ClockRelation()).detector_from_cycler_ns(own_ns)
    nobody, ones = np.full(own_ns.size, -1, dtype=np.int64), np.ones(own_ns.size)
    return CyclingSamples(CyclerSamples(stamps, own_ns, ones, ones, nobody, nobody, ones))


def clock(offset_s, *, applied):
    relation = ClockRelation(offset_s, 35.0, START_NS)
    estimate = ClockEstimate(relation, 12.5, 20.0, ClockMethod.BREATHING, 340)
    return CyclerClock(estimate, ClockRelation(5.0, 1.0, START_NS - 10**6 * S), applied=applied)


@pytest.fixture
def sink(tmp_path):
    one = NexusFile(path=tmp_path / "run.h5")
    one.accept(records.run_start())
    yield one
    one.close()


def series(sink, name):
    sink.flush()
    with h5py.File(sink.path, locking=False) as file:
        return file[f"entry/cycling/{name}"][()]


def test_a_clock_that_is_told_only_moves_no_sample(sink):
    sink.accept(samples([0, 10]))
    before = series(sink, "timestamp_ns")
    sink.accept(clock(-437.0, applied=False))
    assert np.array_equal(series(sink, "timestamp_ns"), before)
    assert series(sink, "clock/offset_s").tolist() == [-437.0]
    assert series(sink, "clock/declared_offset_s") == pytest.approx([6.0])
    assert series(sink, "clock/applied").tolist() == [0]


def test_a_clock_that_is_applied_moves_the_samples_that_stand_there_and_those_that_wait(sink):
    sink.accept(samples([0, 100_000]))
    sink.flush()
    sink.accept(samples([200_000]))
    sink.accept(clock(-437.0, applied=True))
    since_s = (series(sink, "timestamp_ns") - START_NS) / S
    assert since_s == pytest.approx([-437.0, 100_000 - 433.5, 200_000 - 430.0])
    assert ((series(sink, "cycler_timestamp_ns") - START_NS) // S).tolist() == [0, 100_000, 200_000]


def test_every_measurement_stays_and_the_newest_is_what_a_resumed_run_goes_on_with(sink):
    for offset_s, applied in ((-400.0, False), (-437.0, True)):
        sink.accept(clock(offset_s, applied=applied))
    assert series(sink, "clock/offset_s").tolist() == [-400.0, -437.0]
    with h5py.File(sink.path, locking=False) as file:
        [told] = measured_clocks(file["entry"])
    newest = clock(-437.0, applied=True)
    assert told.estimate == newest.estimate
    assert told.applied
    assert told.declared == newest.declared.at(START_NS)


def test_a_run_without_a_measured_clock_has_an_empty_table(sink):
    assert series(sink, "clock/offset_s").size == 0

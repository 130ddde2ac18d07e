"""A server may answer before p4p has noted the subscription, or nobody be woken: frames must come all the same."""

import threading
import time

import pytest
from p4p.client import raw

from fakes.clock import ManualClock
from fakes.intake import RecordingIntake
from fakes.pva_server import PvaServer
from hostile_frames.ntndarrays import fields_of
from ringwatch_daemon.sources.pva import PvaSource, PvaSourceConfig

PV = "P:Pva1:Image"
LATE_S = 1.0
"""A thread that was not given the processor for so long, on a busy machine."""


@pytest.mark.sockets
def test_frames_come_although_the_server_was_quicker_than_our_thread(monkeypatch):
    subscribe = raw.Context.monitor

    def held_up(self, name, callback, request=None):
        made = subscribe(self, name, callback, request)
        time.sleep(LATE_S)
        return made

    monkeypatch.setattr(raw.Context, "monitor", held_up)
    server, intake, stop = PvaServer(PV), RecordingIntake(), threading.Event()
    source = PvaSource(PvaSourceConfig(PV, network=server.client), ManualClock(10**18))
    thread = threading.Thread(target=source.run, args=(intake, stop))
    thread.start()
    try:
        intake.wait_for(lambda: intake.is_connected)
        server.post(fields_of(2))
        intake.wait_for(lambda: intake.ids == [2])
    finally:
        stop.set()
        thread.join(30.0)
        server.close()


@pytest.mark.sockets
def test_frames_come_although_nobody_was_woken_for_them(monkeypatch):
    subscribe, asleep = raw.Context.monitor, threading.Event()

    def wakes_when_it_can(self, name, callback, request=None):
        return subscribe(self, name, lambda: None if asleep.is_set() else callback(), request)

    monkeypatch.setattr(raw.Context, "monitor", wakes_when_it_can)
    server, intake, stop, clock = PvaServer(PV), RecordingIntake(), threading.Event(), ManualClock(10**18)
    source = PvaSource(PvaSourceConfig(PV, network=server.client), clock)
    thread = threading.Thread(target=source.run, args=(intake, stop))
    thread.start()
    try:
        intake.wait_for(lambda: intake.is_connected)
        asleep.set()  # as for want of memory: p4p does not wake again before the events are taken
        server.post(fields_of(2))
        for _ in range(10):
            clock.go_on(2.0)
            time.sleep(0.1)
        intake.wait_for(lambda: intake.ids == [2])
    finally:
        stop.set()
        thread.join(30.0)
        server.close()

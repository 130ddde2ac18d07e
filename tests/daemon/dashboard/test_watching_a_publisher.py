import io
from itertools import chain

import pytest
from rich.console import Console

from fakes import records, streams
from ringwatch_daemon.client import subscribe
from ringwatch_daemon.dashboard.terminal import show
from ringwatch_daemon.sinks.zmq_publisher import ZmqPublisher

pytestmark = pytest.mark.sockets


def test_a_watcher_who_comes_late_sees_the_run_from_its_start_without_a_hole() -> None:
    publisher = ZmqPublisher(endpoint="tcp://127.0.0.1:*")
    try:
        publisher.accept(streams.cell_run_start())
        for row in range(20):
            publisher.accept(streams.cell_frame(row))
        with subscribe(publisher.endpoint, snapshot_endpoint=publisher.snapshot_endpoint, timeout_s=20.0) as messages:
            first = next(messages)
            publisher.accept(streams.cell_frame(20))
            publisher.accept(records.run_stop(announced=21))
            view = show(chain([first], messages), console=Console(file=io.StringIO()))
    finally:
        publisher.close()
    assert view.started_ns == records.START_NS
    assert view.missed == 0
    assert view.fit is not None
    assert view.fit.row == 20
    assert view.stopped == "asked to stop"

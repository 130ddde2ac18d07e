"""The page as a whole program: `ringwatch watch --page` beside a publisher."""

import http.client
import json
import os
import re
import signal
import subprocess
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from fakes import records, streams
from fakes.service import PATIENCE_S, PROGRAM, wait_until
from ringwatch_daemon.sinks.zmq_publisher import ZmqPublisher

pytestmark = pytest.mark.sockets


def state_at(address: str) -> dict:
    place = urlsplit(address)
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/state")
        return json.loads(connection.getresponse().read())


def test_a_page_is_fed_by_the_stream_alone_follows_one_run_after_the_other_and_ends_with_ctrl_c():
    publisher = ZmqPublisher(endpoint="tcp://127.0.0.1:*")
    command = [*PROGRAM, "watch", publisher.endpoint, "--snapshot-endpoint", publisher.snapshot_endpoint, "--page", "0"]
    watcher = subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True)
    try:
        publisher.accept(streams.cell_run_start())
        for row in range(12):
            publisher.accept(streams.cell_frame(row))
        publisher.accept(records.run_stop(announced=12))
        assert watcher.stdout is not None
        address = re.match(r"(http://127\.0\.0\.1:\d+/) shows the run", watcher.stdout.readline())[1]
        wait_until(lambda: state_at(address)["stopped"], "the end of the run on the page")
        state = state_at(address)
        assert state["run"] == "run_one"
        assert state["cells"][0]["tracks"]["li/ratio"]["v"][-1] == pytest.approx(5.43 + 0.11)
        assert state["totals"]["announced"] == 12
    finally:
        publisher.close()
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(PATIENCE_S) == 0
        watcher.stdout.close()

"""The corpus of hostile frames before the whole service."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from fakes.beamlines import write_plain_beamline
from fakes.pva_server import PvaServer
from fakes.service import assert_whole, rows, serving
from hostile_frames.ntndarrays import HOSTILE_NTNDARRAYS, SHAPE, HostileFrame, fields_of
from ringwatch_daemon.client import subscribe
from ringwatch_daemon.local_beamline import free_tcp_pair

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

GOOD = HostileFrame("a good frame", fields_of(0))
GAP = ("LOST", "GAP_IN_ID")


class Detector:
    """Posts frames and keeps what it posted; its counter goes on from whatever number a frame claims."""

    def __init__(self, server: PvaServer) -> None:
        self._server = server
        self._stamp: Mapping[str, int] = {}
        self.posted: list[tuple[HostileFrame, int]] = []
        self.counter = 0

    def post(self, frame: HostileFrame) -> None:
        self.counter += 1
        fields: dict[str, Any] = {**frame.fields, "uniqueId": self._claimed_id(frame)}
        if "time" not in frame.tags:
            fields["timeStamp"] = fields["dataTimeStamp"] = self._time(frame)
        self._server.post(fields)
        self.posted.append((frame, fields["uniqueId"]))

    def _claimed_id(self, frame: HostileFrame) -> int:
        if frame.name == "a repeated id":
            self.counter -= 1
        elif frame.name == "an id that went back":
            self.counter = 3
        elif frame.name == "a negative id":
            self.counter -= 1
            return -5
        return self.counter

    def _time(self, frame: HostileFrame) -> Mapping[str, int]:
        if frame.name != "a repeated id":
            seconds, nanoseconds = divmod(time.time_ns(), 10**9)
            self._stamp = {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds}
        return self._stamp


def expected_end(frame: HostileFrame) -> tuple[str, set[str]]:
    """State and the reasons that fit."""
    if frame.reason:
        return "REJECTED", {frame.reason}
    if "time" in frame.tags:
        return "PROCESSED", {"NO_TIMESTAMP", "FUTURE_TIMESTAMP"}
    by_name = {
        "another shape": ("REJECTED", {"WRONG_SHAPE"}),
        "a repeated id": ("REJECTED", {"DUPLICATE"}),
        "not a number": ("REJECTED", {"NOT_FINITE"}),
    }
    return by_name.get(frame.name, ("PROCESSED", {""}))


def test_hostile_frames_between_good_ones_cost_themselves_and_nothing_else(tmp_path):
    server, endpoint = PvaServer("13PE1:Pva1:Image"), free_tcp_pair()
    configuration = write_plain_beamline(tmp_path, shape=SHAPE, endpoint=endpoint)
    with serving(configuration, tmp_path / "run.h5", dict(server.client)) as daemon:
        daemon.wait_heard("STATUS=connected")
        detector = Detector(server)
        detector.post(GOOD)
        for hostile in HOSTILE_NTNDARRAYS:
            detector.post(hostile)
            detector.post(GOOD)
            last = detector.counter
            daemon.wait_rows(lambda ids, last=last: ids[-1] == last, f"the good frame after {hostile.name}")
        told = rows(daemon.output)
        with subscribe(endpoint, topics=["frame.tracking"], timeout_s=60.0) as messages:
            texts = {message.frame: message.data["text"] for _, message in zip(told, messages, strict=False)}
        assert daemon.stop() == 0
    server.close()
    came = [(row, *end) for row, end in enumerate(told) if end[1:] != GAP]
    for (frame, claimed_id), (row, unique_id, state, reason) in zip(detector.posted, came, strict=True):
        wanted_state, wanted_reasons = expected_end(frame)
        assert (unique_id, state) == (claimed_id, wanted_state), frame.name
        assert reason in wanted_reasons, frame.name
        assert frame.says in texts[row], frame.name
        assert bool(texts[row]) == (state == "REJECTED"), frame.name
        assert "\n" not in texts[row], frame.name
    assert not [unique_id for unique_id, *end in told if tuple(end) == GAP]
    assert_whole(daemon.output)

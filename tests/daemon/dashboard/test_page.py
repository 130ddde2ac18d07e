"""The page: right numbers, over real sockets, whatever comes on the stream and whoever asks."""

import http.client
import json
import math
import socket
import threading
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import records, streams
from fakes.service import wait_until
from ringwatch_daemon.core.errors import PageError
from ringwatch_daemon.core.records import Event, Totals
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.dashboard.page.curve import CAPACITY, Curve
from ringwatch_daemon.dashboard.page.model import MOST_CELLS, MOST_EVENTS, MOST_QUANTITIES, PageModel
from ringwatch_daemon.dashboard.page.pattern import MOST_POINTS
from ringwatch_daemon.dashboard.page.server import MOST_CONNECTIONS, PageServer, follow
from ringwatch_pipelines.results import FitState


def model_of(told, start=None) -> PageModel:
    start = start or streams.cell_run_start()
    model = PageModel()
    for message in streams.messages([start, *told], start=start):
        model.take(message)
    return model


def state_of(model: PageModel) -> dict:
    return json.loads(model.encoded())


@pytest.fixture
def page():
    model = model_of([streams.cell_frame(row) for row in range(5)])
    with PageServer(model) as server:
        yield server, model


def get(server: PageServer, path: str, *, method: str = "GET", headers: dict[str, str] | None = None):
    place = urlsplit(server.address)
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=20.0)) as connection:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


# what is shown


def test_the_tracks_are_those_of_the_stream_with_their_errors():
    state = state_of(model_of([streams.cell_frame(row) for row in range(20)]))
    [cell] = state["cells"]
    ratio, a = cell["tracks"]["li/ratio"], cell["tracks"]["lagp/a"]
    assert ratio["v"] == pytest.approx([5.43 + 0.01 * row for row in range(20)])
    assert ratio["s"] == pytest.approx([0.12] * 20)
    assert a["v"] == pytest.approx([8.25702 - 1e-5 * row for row in range(20)])
    assert ratio["t"] == pytest.approx([row * records.FRAME_NS / 3.6e12 for row in range(20)])
    assert cell["newest"]["lagp/a"].startswith("8.25683(3) Å")
    assert state["fit"] == {"state": "CONVERGED", "chi_square": 1.034}


def test_a_fit_without_values_leaves_no_point():
    told = [streams.cell_frame(0), streams.cell_frame(1, state=FitState.NOT_CONVERGED), streams.cell_frame(2)]
    [cell] = state_of(model_of(told))["cells"]
    assert len(cell["tracks"]["li/ratio"]["v"]) == 2


def test_the_pattern_is_the_newest_one():
    pattern = state_of(model_of([streams.cell_frame(row) for row in range(3)]))["pattern"]
    start = streams.cell_run_start()
    assert pattern["frame"] == 2
    assert pattern["x"] == pytest.approx(start.axis.two_theta_deg.tolist(), rel=1e-5)
    assert set(pattern["y"]) == {2.0, None}  # an empty bin has no value


def pattern_told(**arrays):
    model = PageModel()
    angles = np.linspace(1.0, 5.0, 4)
    model.take(StreamMessage("run.start", "run", 0, "run.start", -1, 1, {}, (("two_theta_deg", angles),)))
    model.take(StreamMessage("frame.pattern", "run", 1, "frame.pattern", 0, 1, {}, tuple(arrays.items())))
    return state_of(model)["pattern"]


def test_the_fit_is_drawn_over_its_pattern_with_what_it_leaves_in_units_of_sigma():
    pattern = pattern_told(
        I=np.array([10.0, 20.0, 30.0, np.nan], np.float32),
        I_errors=np.array([2.0, 2.0, 0.0, np.nan], np.float32),
        fitted=np.array([8.0, 21.0, 30.0, np.nan], np.float32),
        background=np.array([5.0, 5.0, np.nan, np.nan], np.float32),
    )
    assert pattern["fit"] == [8.0, 21.0, 30.0, None]
    assert pattern["background"] == [5.0, 5.0, None, None]
    assert pattern["residual"] == [1.0, -0.5, None, None]


@pytest.mark.parametrize("length", [None, 3])
def test_a_pattern_without_a_fit_over_its_bins_is_drawn_alone(length):
    counts = np.ones(4, np.float32)
    fit = {} if length is None else {"fitted": counts[:length], "background": counts[:length]}
    pattern = pattern_told(I=counts, I_errors=counts, **fit)
    assert pattern["y"] == [1.0] * 4
    assert pattern.keys().isdisjoint({"fit", "background", "residual"})


def test_a_wide_pattern_keeps_its_peaks():
    angles = np.linspace(1.0, 5.0, 50_000)
    intensity = np.ones(50_000, dtype=np.float32)
    intensity[31_234] = 900.0
    model = PageModel()
    model.take(StreamMessage("run.start", "run", 0, "run.start", -1, 1, {}, (("two_theta_deg", angles),)))
    model.take(StreamMessage("frame.pattern", "run", 1, "frame.pattern", 0, 1, {}, (("I", intensity),)))
    pattern = state_of(model)["pattern"]
    assert len(pattern["x"]) <= MOST_POINTS
    assert pattern["x"][pattern["y"].index(900.0)] == pytest.approx(angles[31_234], abs=1e-4)


def test_voltage_and_current_come_from_the_cycler_and_totals_from_the_ledger():
    totals = Totals(announced=8, processed=5, rejected=1, lost=2, reasons=(("GAP_IN_ID", 2),))
    told = [records.cycling_samples(0, 6), *(streams.cell_frame(row) for row in range(5)), streams.cell_status(totals)]
    state = state_of(model_of(told))
    [cell] = state["cells"]
    samples = records.cycling_samples(0, 6).samples
    assert cell["voltage"]["v"] == pytest.approx(samples.voltage_V.tolist())
    assert cell["current"]["v"] == pytest.approx((1e3 * samples.current_A).tolist())
    assert state["totals"] == {"announced": 8, "processed": 5, "rejected": 1, "lost": 2}
    assert state["latency_s"] == pytest.approx(0.0213)
    assert [queue["name"] for queue in state["queues"]] == ["frames", "records"]


def test_each_cell_has_its_own_curves_and_its_events_name_it():
    start = replace(streams.cell_run_start(), cells=("fresh", "aged"))
    frames = [replace(streams.cell_frame(row), cell_name="fresh" if row % 2 else "aged") for row in range(10)]
    onset = Event(records.START_NS, 3, "ONSET_LIOH", "lioh appears", 0.3, "aged")
    state = state_of(model_of([*frames, onset], start=start))
    assert [cell["name"] for cell in state["cells"]] == ["fresh", "aged"]
    for cell, first in zip(state["cells"], (1, 0), strict=True):
        assert cell["tracks"]["li/ratio"]["v"] == pytest.approx([5.43 + 0.01 * row for row in range(first, 10, 2)])
    assert state["events"][-1]["cell"] == "aged"


def test_another_run_begins_with_an_empty_page():
    model = model_of([streams.cell_frame(row) for row in range(5)])
    other = streams.cell_run_start(run_id="run_two")
    for message in streams.messages([other], start=other):
        model.take(message)
    state = state_of(model)
    assert (state["run"], state["cells"], state["pattern"]) == ("run_two", [], None)


# bounds


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3000))
def test_a_curve_is_bounded_and_keeps_its_mean(values):
    curve = Curve()
    for place, value in enumerate(values):
        curve.add(float(place), value, 2.0)
    time_h, shown, sigma = curve.points()
    assert len(shown) <= CAPACITY + 1
    assert time_h == sorted(time_h)
    whole = len(values) // curve.stretch * curve.stretch
    means = [np.mean(values[first : first + curve.stretch]) for first in range(0, whole, curve.stretch)]
    assert shown[: len(means)] == pytest.approx(means, abs=1e-6)
    assert sigma[: len(means)] == pytest.approx([2.0 / math.sqrt(curve.stretch)] * len(means))


def test_a_long_and_wide_run_takes_no_more_than_its_bounds():
    columns = [{"path": f"p{n}/ratio", "unit": "", "long_name": "", "kind": "number"} for n in range(120)]
    cells = [f"cell{n}" for n in range(100)]
    model = PageModel()
    model.take(StreamMessage("run.start", "run", 0, "run.start", -1, 1, {"columns": columns, "cells": cells}))
    values = {"fit_state": "CONVERGED", **{column["path"]: 1.0 for column in columns}}
    for row in range(150):
        data = {"values": values, "cell_name": f"cell{row % 100}", "state": "PROCESSED"}
        model.take(StreamMessage("frame.tracking", "run", row + 1, "frame.tracking", row, 10**18 + row, data))
        model.take(StreamMessage("event", "run", row + 1, "event", row, 10**18, {"kind": "X", "text": "y" * 10_000}))
    state = state_of(model)
    assert len(state["cells"]) == MOST_CELLS
    assert all(len(cell["tracks"]) <= MOST_QUANTITIES for cell in state["cells"])
    assert len(state["events"]) == MOST_EVENTS
    assert max(len(event["text"]) for event in state["events"]) <= 300


@given(
    kind=st.sampled_from(["run.start", "frame.pattern", "frame.tracking", "cycling.samples", "event", "status"]),
    data=st.dictionaries(
        st.sampled_from(["values", "cell_name", "cells", "columns", "kind", "text", "sigma_h", "totals", "queues"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
    ),
    stamp=st.integers(-(2**63), 2**63 - 1),
)
def test_no_message_brings_the_page_down(kind, data, stamp):
    model = PageModel()
    arrays = (("timestamp_ns", np.array([stamp])), ("voltage_V", np.array([np.nan])), ("current_A", np.array([np.inf])))
    model.take(StreamMessage(kind, "run", 0, kind, 0, stamp, data, arrays))
    state_of(model)  # JSON without NaN, whatever came


# over sockets


def test_the_page_and_what_it_needs_are_served_and_nothing_from_elsewhere(page):
    server, _ = page
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        status, headers, body = get(server, path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        outside = body.replace(b"http://www.w3.org/2000/svg", b"")  # the name of a language, not a place
        assert b"http:" not in outside
        assert b"https:" not in outside
    assert server.address.startswith("http://127.0.0.1:")


def test_the_state_over_http_is_that_of_the_model(page):
    server, model = page
    status, headers, body = get(server, "/state?anything=1")
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(body)["cells"] == state_of(model)["cells"]


def test_news_are_pushed(page):
    server, model = page
    place = urlsplit(server.address)
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=20.0)) as connection:
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.getheader("Content-Type").startswith("text/event-stream")
        first = json.loads(answer.readline().removeprefix(b"data: "))
        start = streams.cell_run_start()
        for message in list(streams.messages([start, *map(streams.cell_frame, range(9))], start=start))[-8:]:
            model.take(message)
        answer.readline()
        second = json.loads(answer.readline().removeprefix(b"data: "))
    assert second["version"] > first["version"]
    assert len(second["cells"][0]["tracks"]["li/ratio"]["v"]) > len(first["cells"][0]["tracks"]["li/ratio"]["v"])


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/../../etc/passwd", "GET", {}, 404),
        ("/page.py", "GET", {}, 404),
        ("//evil/", "GET", {}, 404),
        ("/state", "POST", {}, 501),
        ("/state", "DELETE", {}, 501),
        ("/state", "GET", {"Host": "evil.example"}, 421),
        ("/state", "GET", {"Host": "localhost:1234"}, 200),
        ("/" + "a" * 70_000, "GET", {}, 414),
        ("/state", "GET", {f"X-{n}": "y" for n in range(200)}, 431),
    ],
)
def test_what_is_asked_amiss_is_refused(page, path, method, headers, status):
    assert get(page[0], path, method=method, headers=headers)[0] == status


@pytest.fixture
def connected(page):
    """Makes raw connections, closed at the end."""
    place = urlsplit(page[0].address)
    with ExitStack() as held:
        yield lambda: held.enter_context(socket.create_connection((place.hostname, place.port), timeout=20.0))


def test_garbage_and_browsers_that_never_read_harm_nobody(page, connected):
    server, model = page
    for number in range(MOST_CONNECTIONS // 2):
        connected().sendall(
            b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n" if number % 2 else bytes(range(256)) * 20
        )
    for row in range(2000):
        model.take(StreamMessage("frame.tracking", "run", row, "frame.tracking", row, 10**18, {}))
    assert get(server, "/state")[0] == 200


def was_refused(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1)
    except ConnectionResetError:
        return True


def answers(server: PageServer) -> bool:
    try:
        return get(server, "/state")[0] == 200
    except (http.client.HTTPException, OSError):
        return False


def test_more_connections_than_there_is_room_for_are_closed_and_room_comes_back(page, connected):
    many = [connected() for _ in range(MOST_CONNECTIONS + 8)]
    for connection in many:
        with suppress(OSError):  # closed already
            connection.sendall(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert sum(was_refused(connection) for connection in many) == 8
    for connection in many:
        connection.close()
    wait_until(lambda: answers(page[0]), "room for another browser")


def test_a_port_that_is_taken_is_one_sentence(page):
    port = urlsplit(page[0].address).port
    with pytest.raises(PageError, match=f"127.0.0.1:{port}"):
        PageServer(PageModel(), port=port)


def test_messages_are_passed_on_as_they_were():
    start = streams.cell_run_start()
    told = list(streams.messages([start, streams.cell_frame(0)], start=start))
    model = PageModel()
    assert list(follow(iter(told), model)) == told
    assert state_of(model)["totals"]["processed"] == 1


def test_a_server_that_is_left_is_gone():
    with PageServer(PageModel()) as server:
        assert answers(server)
    assert not answers(server)
    assert not [thread for thread in threading.enumerate() if thread.name == "page"]

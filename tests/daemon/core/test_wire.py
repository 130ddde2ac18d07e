import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ringwatch_daemon.core.errors import WireError
from ringwatch_daemon.core.wire import (
    DTYPES,
    MAX_BUFFERS,
    MAX_HEADER_BYTES,
    TOPICS,
    StreamMessage,
    decode,
    decode_json,
    encode,
    encode_json,
    next_port_endpoint,
)

names = st.text(min_size=1, max_size=20)
integers = st.integers(-(2**53), 2**53)
json_leaves = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_objects = st.dictionaries(st.text(), json_leaves | st.lists(json_leaves) | st.dictionaries(st.text(), json_leaves))
arrays = hnp.arrays(
    st.sampled_from([np.dtype(code) for code in DTYPES]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
messages = st.builds(
    StreamMessage,
    topic=st.sampled_from(TOPICS),
    run=names,
    seq=st.integers(0, 2**62),
    kind=names,
    frame=st.integers(-1, 2**62),
    timestamp_ns=integers,
    data=json_objects,
    arrays=st.dictionaries(names, arrays, max_size=4).map(lambda named: tuple(named.items())),
)


def a_message(**changes: object) -> list[bytes]:
    parts = encode(StreamMessage("event", "r", 3, "event", 7, 12, {"a": 1.5}, (("x", np.arange(3.0)),)))
    header = json.loads(parts[1])
    header.update(changes)
    return [parts[0], json.dumps(header).encode(), parts[2]]


@given(messages)
@settings(max_examples=40, deadline=None)
def test_a_message_comes_back_as_it_was_sent(message: StreamMessage):
    back = decode(encode(message))
    for name in ("topic", "run", "seq", "kind", "frame", "timestamp_ns", "data"):
        assert getattr(back, name) == getattr(message, name)
    assert [name for name, _ in back.arrays] == [name for name, _ in message.arrays]
    for (_, sent), (_, came) in zip(message.arrays, back.arrays, strict=True):
        assert came.dtype == sent.dtype
        assert came.shape == sent.shape
        assert came.tobytes() == sent.tobytes()


def test_big_endian_and_strided_arrays_travel_little_endian_and_packed():
    sent = np.arange(12, dtype=">f8").reshape(3, 4)[:, ::2]
    parts = encode(StreamMessage("cycling", "r", 0, "k", -1, 0, {}, (("x", sent),)))
    assert parts[2] == sent.astype("<f8").tobytes()
    assert np.array_equal(decode(parts).array("x"), sent)


def test_arrays_from_the_wire_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        decode(a_message()).array("x")[0] = 1


def test_an_array_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="no 'y'"):
        decode(a_message()).array("y")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: np.float64("nan")}])
def test_what_strict_json_cannot_hold_is_not_sent(value):
    with pytest.raises(WireError, match="strict JSON"):
        encode(StreamMessage("event", "r", 0, "k", -1, 0, {"a": value}))


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.zeros((1,) * 5), np.zeros(2, complex)])
def test_an_array_without_a_form_on_the_wire_is_not_sent(array):
    with pytest.raises(WireError, match="no form on the wire"):
        encode(StreamMessage("event", "r", 0, "k", -1, 0, {}, (("a", array),)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 2}, "schema 1"),
        ({"schema": True}, "schema 1"),
        ({"seq": -1}, "seq must be"),
        ({"seq": 1.0}, "seq must be"),
        ({"seq": True}, "seq must be"),
        ({"seq": 2**63}, "seq must be"),
        ({"frame": -2}, "frame must be"),
        ({"run": ""}, "run must be"),
        ({"run": "r" * 201}, "run must be"),
        ({"kind": 5}, "kind must be"),
        ({"data": []}, "data of a"),
        ({"more": 1}, "needs the keys"),
        ({"buffers": []}, "1 buffers"),
        ({"buffers": "x"}, "1 buffers"),
        ({"buffers": [{"name": "x", "dtype": "<f8"}]}, "name, dtype and shape"),
        ({"buffers": [{"name": "x", "dtype": "O", "shape": [3]}]}, "dtype of"),
        ({"buffers": [{"name": "x", "dtype": ["<f8"], "shape": [3]}]}, "dtype of"),
        ({"buffers": [{"name": "x", "dtype": "<f8", "shape": [2]}]}, "does not have 24 bytes"),
        ({"buffers": [{"name": "x", "dtype": "<f8", "shape": [2**40, 2**40]}]}, "does not have 24 bytes"),
        ({"buffers": [{"name": "x", "dtype": "<f8", "shape": [-3]}]}, "must be an integer from 0"),
        ({"buffers": [{"name": "x", "dtype": "<f8", "shape": [1] * 5}]}, "at most 4 lengths"),
        ({"data": {"a": float("nan")}}, "NaN is not JSON"),
        ({"data": {"a": [[[[[[[[[[[[1]]]]]]]]]]]]}}, "levels"),
    ],
)
def test_a_header_out_of_bounds_is_refused_with_a_sentence(change, sentence):
    with pytest.raises(WireError, match=sentence):
        decode(a_message(**change))


def test_a_missing_key_a_wrong_topic_and_a_wrong_number_of_parts_are_refused():
    topic, header, buffer = a_message()
    short = {key: value for key, value in json.loads(header).items() if key != "seq"}
    for parts, sentence in [
        ([topic, json.dumps(short).encode(), buffer], "needs the keys"),
        ([b"frame", header, buffer], "a topic of"),
        ([topic], "parts"),
        ([topic, header, buffer, buffer], "2 buffers"),
        ([topic, header, *[b""] * (MAX_BUFFERS + 1)], "parts"),
        ([topic, b" " * (MAX_HEADER_BYTES + 1)], "at most"),
    ]:
        with pytest.raises(WireError, match=sentence):
            decode(parts)


def test_two_buffers_of_one_name_are_refused():
    entry = {"name": "x", "dtype": "<f8", "shape": [3]}
    topic, header, buffer = a_message(buffers=[entry, entry])
    with pytest.raises(WireError, match="different names"):
        decode([topic, header, buffer, buffer])


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b'{"a":1,"a":2}', b"[" * 100_000, b"1e999", b"Infinity", b"9" * 5000, b"{} {}"]
)
def test_json_that_is_not_strict_is_refused(text):
    with pytest.raises(WireError, match=r"strict JSON"):
        decode_json(text, limit=MAX_HEADER_BYTES)


@given(st.lists(st.binary(max_size=200), max_size=6))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_and_nothing_else_happens(parts):
    with pytest.raises(WireError):
        decode(parts)


def test_a_truncated_message_is_refused():
    good = a_message()
    for index, part in enumerate(good):
        for keep in range(len(part)):
            with pytest.raises(WireError):
                decode([*good[:index], part[:keep], *good[index + 1 :]])


def test_a_header_beyond_its_bound_is_not_sent():
    with pytest.raises(WireError, match="header has at most"):
        encode(StreamMessage("event", "r", 0, "k", -1, 0, {"a": "x" * MAX_HEADER_BYTES}))


def test_the_snapshot_socket_is_one_port_further():
    assert next_port_endpoint("tcp://127.0.0.1:5556") == "tcp://127.0.0.1:5557"
    for endpoint in ("tcp://127.0.0.1:65535", "ipc:///x", "tcp://host", "tcp://h:0"):
        with pytest.raises(WireError, match="HOST:PORT"):
            next_port_endpoint(endpoint)


def test_json_is_written_without_spaces_and_in_utf8():
    assert encode_json({"a": "µ", "b": [1, None]}) == '{"a":"µ","b":[1,null]}'.encode()

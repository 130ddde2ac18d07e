import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from fakes import records
from ringwatch_daemon.core.errors import SinkError
from ringwatch_daemon.core.wire import decode
from ringwatch_daemon.sinks.stream_requests import MAX_REQUEST_BYTES
from ringwatch_daemon.sinks.zmq_publisher import CurveKeys, ZmqPublisher

pytestmark = pytest.mark.sockets
ANY_PORT = "tcp://127.0.0.1:*"


@pytest.fixture
def publisher() -> Iterator[ZmqPublisher]:
    made = ZmqPublisher(endpoint=ANY_PORT)
    yield made
    made.close()


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    with zmq.Context() as made:
        yield made


def ask(context: "zmq.Context[zmq.Socket[bytes]]", publisher: ZmqPublisher, *parts: bytes) -> tuple[dict, list[bytes]]:
    with context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(publisher.snapshot_endpoint)
        dealer.send_multipart(parts)
        assert dealer.poll(5000)
        head, *rest = dealer.recv_multipart()
    return json.loads(head), rest


def port_of(endpoint: str) -> int:
    return int(endpoint.rsplit(":", 1)[1])


def publish_a_run(publisher: ZmqPublisher, frames: int) -> None:
    publisher.accept(records.run_start())
    for row in range(frames):
        publisher.accept(records.frame_record(row))


def test_free_ports_are_found_and_told(publisher):
    assert port_of(publisher.snapshot_endpoint) == port_of(publisher.endpoint) + 1


def test_messages_are_numbered_without_a_gap_from_the_start(publisher, context):
    with context.socket(zmq.SUB) as sub:
        sub.linger = 0
        sub.subscribe(b"")
        sub.connect(publisher.endpoint)
        while publisher.statistics().subscriptions == 0:
            sub.poll(10)
        publish_a_run(publisher, 5)
        publisher.accept(records.event())
        came = []
        while len(came) < 12:
            assert sub.poll(5000)
            came.append(decode(sub.recv_multipart()))
    assert [message.seq for message in came] == list(range(12))
    assert [message.topic for message in came[:3]] == ["run.start", "frame.pattern", "frame.tracking"]
    assert came[-1].topic == "event"


def test_a_subscriber_that_leaves_is_counted_out(publisher, context):
    with context.socket(zmq.SUB) as sub:
        sub.linger = 0
        sub.subscribe(b"")
        sub.connect(publisher.endpoint)
        while publisher.statistics().subscriptions == 0:
            sub.poll(10)
    with context.socket(zmq.SUB) as waiting:
        while publisher.statistics().subscriptions:
            waiting.poll(10)


def test_a_snapshot_holds_the_start_and_the_newest_of_each_topic(publisher, context):
    publish_a_run(publisher, 3)
    head, parts = ask(context, publisher, b'{"request":"snapshot","id":9}')
    assert (head["id"], head["reply"], head["run"], head["next_seq"]) == (9, "snapshot", "run_one", 7)
    sizes = iter(head["parts"])
    first = decode(parts[: next(sizes)])
    assert first.kind == "run.start"
    assert len(head["parts"]) == 3
    assert sum(head["parts"]) == len(parts)


def test_a_req_socket_is_answered_too(publisher, context):
    publish_a_run(publisher, 1)
    with context.socket(zmq.REQ) as req:
        req.linger = 0
        req.connect(publisher.snapshot_endpoint)
        req.send(b'{"request":"since","seq":2}')
        assert req.poll(5000)
        head, *parts = req.recv_multipart()
    assert json.loads(head)["next_seq"] == 3
    assert decode(parts).seq == 2


def test_what_is_gone_is_named(context):
    publisher = ZmqPublisher(endpoint=ANY_PORT, history_bytes=40_000)
    publish_a_run(publisher, 50)
    head, _ = ask(context, publisher, b'{"request":"since","seq":0}')
    publisher.close()
    ((first, last),) = head["gone"]
    assert first == 1
    assert 50 < last < 101
    assert head["next_seq"] == head["newest_seq"] == 101


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"request":"all"}',
        b'{"request":["snapshot"]}',
        b'{"request":"since"}',
        b'{"request":"since","seq":-1}',
        b'{"request":"since","seq":true}',
        b'{"request":"since","seq":1,"run":5}',
        b'{"request":"snapshot","seq":1}',
        b'{"request":"snapshot","id":"x"}',
        b"\x80\x04.",
        b"[" * 3000,
    ],
)
def test_a_malformed_request_is_answered_with_a_sentence(publisher, context, request_):
    head, parts = ask(context, publisher, request_)
    assert head["reply"] == "error"
    assert len(head["text"]) > 10
    assert parts == []
    assert publisher.statistics().refused == 1


def test_a_request_of_many_parts_is_refused(publisher, context):
    head, _ = ask(context, publisher, *[b"{}"] * 50)
    assert "50 parts" in head["text"]


def fuzz(chance: random.Random) -> list[bytes]:
    seeds = [b'{"request":"since","seq":1}', b'{"request":"snapshot"}', b"", b"\x01frame", b"\x00"]
    parts = []
    for _ in range(chance.randint(1, 4)):
        part = bytearray(chance.choice(seeds) or chance.randbytes(chance.randint(0, 300)))
        for _ in range(chance.randint(0, 4)):
            if part:
                part[chance.randrange(len(part))] = chance.randrange(256)
        parts.append(bytes(part))
    return parts


def test_thousands_of_garbage_messages_on_both_sockets_change_nothing(publisher, context):
    chance = random.Random(20260901)
    publish_a_run(publisher, 2)
    with context.socket(zmq.DEALER) as dealer, context.socket(zmq.XSUB) as xsub:
        for garbage, endpoint in ((dealer, publisher.snapshot_endpoint), (xsub, publisher.endpoint)):
            garbage.linger = 0
            garbage.connect(endpoint)
        for _ in range(3000):
            for garbage in (dealer, xsub):
                garbage.send_multipart(fuzz(chance))
            while dealer.poll(0):
                json.loads(next(filter(None, dealer.recv_multipart())))
        head, _ = ask(context, publisher, b'{"request":"snapshot"}')
    assert head["reply"] == "snapshot"
    assert publisher.statistics().refused > 1000
    publisher.accept(records.event())
    head, _ = ask(context, publisher, b'{"request":"snapshot"}')
    assert head["next_seq"] == 6


def test_raw_bytes_that_are_no_zmq_at_all_change_nothing(publisher, context):
    chance = random.Random(7)
    publish_a_run(publisher, 1)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    for number in range(60):
        address = ("127.0.0.1", port_of((publisher.endpoint, publisher.snapshot_endpoint)[number % 2]))
        with socket.create_connection(address, timeout=5) as raw:
            raw.sendall(chance.choice([b"", greeting, b"GET / HTTP/1.1\r\n\r\n"]) + chance.randbytes(2000))
    head, _ = ask(context, publisher, b'{"request":"snapshot"}')
    assert head["run"] == "run_one"


def test_a_request_beyond_the_bound_costs_its_sender_the_connection(publisher, context):
    with context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(publisher.snapshot_endpoint)
        dealer.send(b"x" * (MAX_REQUEST_BYTES + 1))
        assert not dealer.poll(200)
    head, _ = ask(context, publisher, b'{"request":"snapshot"}')
    assert head["reply"] == "snapshot"


def test_a_subscriber_that_never_reads_holds_nobody_up(context):
    publisher = ZmqPublisher(endpoint=ANY_PORT, high_water=5, linger_s=0.0)
    with context.socket(zmq.SUB) as asleep, context.socket(zmq.SUB) as awake:
        for sub, high_water in ((asleep, 1), (awake, 10_000)):
            sub.linger = 0
            sub.rcvhwm = high_water
            sub.subscribe(b"")
            sub.connect(publisher.endpoint)
        while publisher.statistics().subscriptions < 2:
            awake.poll(10)
        publish_a_run(publisher, 0)
        for row in range(300):
            publisher.accept(records.frame_record(row, bins=4000))
        last = -1
        while last <= 600:
            publisher.accept(records.event())
            while awake.poll(20):
                last = decode(awake.recv_multipart()).seq
    publisher.close()


def test_a_subscriber_with_half_a_message_does_not_hold_up_or_end_the_daemon(context):
    publisher = ZmqPublisher(endpoint=ANY_PORT, high_water=5, linger_s=0.05)
    with context.socket(zmq.SUB) as asleep:
        asleep.linger = 0
        asleep.rcvhwm = 1
        asleep.subscribe(b"")
        asleep.connect(publisher.endpoint)
        while publisher.statistics().subscriptions == 0:
            asleep.poll(10)
        publish_a_run(publisher, 0)
        for row in range(200):
            publisher.accept(records.frame_record(row, bins=4000))
        publisher.close()


def test_off_loopback_needs_keys_or_a_word():
    for endpoint in (
        "tcp://0.0.0.0:*",
        "tcp://*:*",
        "tcp://192.168.0.1:5556",
        "tcp://[::]:*",
        "tcp://127.0.0.1.evil:1",
    ):
        with pytest.raises(SinkError, match="open to everybody"):
            ZmqPublisher(endpoint=endpoint)
    with pytest.raises(SinkError, match="open to everybody"):
        ZmqPublisher(endpoint=ANY_PORT, snapshot_endpoint="tcp://0.0.0.0:*")
    ZmqPublisher(endpoint="tcp://0.0.0.0:*", insecure=True).close()


def test_an_endpoint_that_is_none_or_taken_is_told(publisher):
    with pytest.raises(SinkError, match="an endpoint like"):
        ZmqPublisher(endpoint="somewhere")
    with pytest.raises(SinkError, match="cannot be offered"):
        ZmqPublisher(endpoint=publisher.endpoint)


def test_a_record_before_the_start_or_after_the_end_is_told(publisher):
    with pytest.raises(SinkError, match="start of a run first"):
        publisher.accept(records.event())
    publisher.accept(records.run_start())
    publisher.flush()
    publisher.close()
    publisher.close()
    with pytest.raises(SinkError, match="closed"):
        publisher.accept(records.event())


def test_keys_are_made_once_and_kept_to_their_owner(tmp_path: Path):
    first = CurveKeys.from_directory(tmp_path / "keys")
    assert CurveKeys.from_directory(tmp_path / "keys") == first
    assert (tmp_path / "keys" / "ringwatch.key_secret").stat().st_mode & 0o077 == 0
    (tmp_path / "keys" / "ringwatch.key_secret").write_text("no key\n")
    with pytest.raises(SinkError, match="key pair was expected"):
        CurveKeys.from_directory(tmp_path / "keys")

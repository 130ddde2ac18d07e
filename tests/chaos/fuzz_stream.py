"""Nonsense for the sockets of the stream: half-valid requests, subscription frames, and bytes that are no ZeroMQ."""

import json
import random
import socket
import string
from collections.abc import Iterator
from typing import Any

import zmq

from ringwatch_daemon.core.wire import next_port_endpoint

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
AT_ONCE = 200
LINGER_MS = 1000
"""Time for what was sent to arrive; a daemon that is away is not waited for longer."""


def requests(chance: random.Random) -> Iterator[list[bytes]]:
    """Requests of the ROUTER socket without end: good ones, nearly good ones, and bytes."""
    while True:
        body = chance.choice((_request, _wrong_request, _bytes))(chance)
        parts = [_mutated(body, chance) if chance.random() < 0.4 else body]
        if chance.random() < 0.2:
            parts = [b"", *parts]
        if chance.random() < 0.1:
            parts += [_bytes(chance) for _ in range(chance.randint(1, 6))]
        yield parts


def subscriptions(chance: random.Random) -> Iterator[list[bytes]]:
    """Frames for the XPUB socket without end."""
    while True:
        prefix = chance.choice((b"\x00", b"\x01", b"\x01", b"", b"\x02", b"\xff"))
        topic = chance.choice((b"", b"frame.", b"frame.tracking", b"event", _bytes(chance)[:100]))
        parts = [prefix + topic]
        if chance.random() < 0.1:
            parts.append(_bytes(chance))
        yield parts


def burst(endpoint: str, chance: random.Random, *, messages: int) -> None:
    """Send so many messages to both sockets of a publisher, and some connections that speak no ZeroMQ."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer, context.socket(zmq.XSUB) as xsub:
        senders = ((dealer, next_port_endpoint(endpoint), requests(chance)), (xsub, endpoint, subscriptions(chance)))
        for sender, address, _ in senders:
            sender.linger = LINGER_MS
            sender.sndtimeo = 2000
            sender.connect(address)
        for number in range(messages // 2):
            for sender, _, source in senders:
                _send(sender, next(source))
            while dealer.poll(0):
                dealer.recv_multipart()
            if number % AT_ONCE == 0:
                _speak_no_zmq(endpoint, chance)


def _send(sender: "zmq.Socket[bytes]", parts: list[bytes]) -> None:
    try:
        sender.send_multipart(parts)
    except zmq.Again:
        return  # the daemon is away at the moment; nonsense need not arrive


def _speak_no_zmq(endpoint: str, chance: random.Random) -> None:
    host, port = endpoint.removeprefix("tcp://").split(":")
    with socket.socket() as raw:
        raw.settimeout(1.0)
        try:
            raw.connect((host, int(port) + chance.randrange(2)))
            raw.sendall(chance.choice((b"", GREETING, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01")) + _bytes(chance))
        except OSError:
            return  # refused or reset: that is an answer too


def _request(chance: random.Random) -> bytes:
    request: dict[str, Any] = {"request": chance.choice(("snapshot", "since"))}
    if request["request"] == "since":
        request["seq"] = chance.choice((0, 1, 5, chance.randrange(1000), 2**62))
        if chance.random() < 0.3:
            request["run"] = chance.choice(("run", "", "another"))
    if chance.random() < 0.5:
        request["id"] = chance.randrange(2**40)
    return json.dumps(request).encode()


def _wrong_request(chance: random.Random) -> bytes:
    odd = (None, True, -1, 1.5, 2**63, 2**200, "", "x" * 300, [], {}, [[[[]]]], "\ud800", "NaN")
    keys = ("request", "seq", "id", "run", "topic", "".join(chance.choices(string.printable, k=5)))
    body = {chance.choice(keys): chance.choice(odd) for _ in range(chance.randint(0, 5))}
    if chance.random() < 0.5:
        body.setdefault("request", chance.choice(("snapshot", "since", "SINCE", "all")))
    return json.dumps(body).encode("utf-8", "surrogatepass")


def _bytes(chance: random.Random) -> bytes:
    made = chance.randrange(4)
    if made == 0:
        return b"[" * chance.randint(1, 4000)
    if made == 1:
        return b'{"request":"since","seq":' + str(10 ** chance.randint(1, 3000)).encode() + b"}"
    return chance.randbytes(chance.choice((0, 1, 10, 300, 5000)))


def _mutated(body: bytes, chance: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.randint(1, 6)):
        if not changed:
            break
        at = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randint(1, 8)]
            case _:
                changed[at:at] = chance.randbytes(chance.randint(1, 8))
    return bytes(changed)

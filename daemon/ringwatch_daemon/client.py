"""Follow a run from another program: ``for message in subscribe("tcp://127.0.0.1:5556"): ...``.

Needs pyzmq and numpy only. A subscription hears a run from its start message on, however late it
joins: what was said before comes from the publisher's history. Every message of a run has a number,
so a hole is seen and fetched again from the history. What cannot be fetched any more is told by a
message of kind ``gap``, at its place in the order, with ``first_seq`` and ``last_seq`` in its data.

All topics are subscribed to and filtered here: a stream of some 20 kB a frame costs little, and only
who sees every number can tell a hole from a message of another topic.
"""

import time
import weakref
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple

import zmq

from ringwatch_daemon.core.errors import SubscriptionError, WireError
from ringwatch_daemon.core.records import SCHEMA
from ringwatch_daemon.core.wire import (
    MAX_HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    TOPICS,
    StreamMessage,
    decode,
    decode_json,
    encode_json,
    next_port_endpoint,
)

GAP = "gap"
"""Kind and topic of the message that stands for messages nobody has any more."""

_ANSWER_S = 2.0
_IDLE_S = 1.0
_WAITING_MESSAGES = 10_000
_KEEPALIVE = (
    (zmq.TCP_KEEPALIVE, 1),
    (zmq.TCP_KEEPALIVE_IDLE, 10),
    (zmq.TCP_KEEPALIVE_INTVL, 5),
    (zmq.TCP_KEEPALIVE_CNT, 3),
)
_RUNS_REMEMBERED = 16


def subscribe(
    endpoint: str,
    topics: Iterable[str] | None = None,
    snapshot_endpoint: str | None = None,
    server_key: str | None = None,
    timeout_s: float | None = None,
) -> "Subscription":
    """Follow the publisher at `endpoint`.

    Parameters
    ----------
    endpoint
        As in ``tcp://127.0.0.1:5556``.
    topics
        Deliver only these (and gaps); see `ringwatch_daemon.core.wire.TOPICS`. All by default.
    snapshot_endpoint
        Where the history is served; the next port by default.
    server_key
        The publisher's public CURVE key, where it uses CURVE.
    timeout_s
        Longest silence to bear; for ever by default.

    Raises
    ------
    SubscriptionError
        An endpoint, topic or key cannot be used.
    """
    wanted = frozenset(TOPICS if topics is None else topics)
    unknown = sorted(wanted - set(TOPICS))
    if unknown:
        raise SubscriptionError(f"topics of {', '.join(TOPICS)} were expected, got {unknown[0]!r}")
    try:
        history = snapshot_endpoint or next_port_endpoint(endpoint)
    except WireError as error:
        raise SubscriptionError(str(error)) from error
    return Subscription(_Sockets(endpoint, history, server_key), wanted, timeout_s)


class Subscription:
    """Messages in their order; an iterator, and a context manager that closes it.

    A publisher that restarts is waited for, and its new run begins with its start message.
    Made by `subscribe`.
    """

    def __init__(self, sockets: "_Sockets", topics: frozenset[str], timeout_s: float | None) -> None:
        self._sockets = sockets
        self._topics = topics
        self._timeout_s = timeout_s
        self._ready: deque[StreamMessage] = deque()
        self._held: StreamMessage | None = None
        self._behind = True
        self._run = ""
        self._past_runs: deque[str] = deque(maxlen=_RUNS_REMEMBERED)
        self._next_seq = 0
        self._missed = 0

    @property
    def missed(self) -> int:
        """Messages that this subscription could not get, over all runs."""
        return self._missed

    @property
    def run(self) -> str:
        """Name of the run that is followed; empty before the first message."""
        return self._run

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> "Subscription":
        return self

    def __next__(self) -> StreamMessage:
        """The next message; waits for it.

        Raises
        ------
        SubscriptionError
            Nothing came within the timeout, or what came is no message of ringwatch.
        StopIteration
            The subscription was closed.
        """
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while not self._ready:
            if self._sockets.closed:
                raise StopIteration
            left_s = _IDLE_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                raise SubscriptionError(f"no message came from {self._sockets.endpoint} within {self._timeout_s:g} s")
            self._advance(left_s)
        return self._ready.popleft()

    def close(self) -> None:
        """Close the sockets; the iteration ends."""
        self._sockets.close()

    def _advance(self, left_s: float) -> None:
        """One step: hear what was missed, or else what happens now."""
        if self._behind:
            self._hear_history(min(left_s, _ANSWER_S))
            return
        message = self._sockets.receive(min(left_s, _IDLE_S))
        if message is None:
            self._behind = True  # silence: ask, since the last message of a run has no follower that shows a hole
        elif message.run in self._past_runs:
            return
        elif message.run == self._run and message.seq <= self._next_seq:
            self._take(message)
        else:
            self._held, self._behind = message, True

    def _hear_history(self, wait_s: float) -> None:
        page = self._sockets.history(run=self._run, seq=self._next_seq, wait_s=wait_s)
        if page is None or not page.run or page.run in self._past_runs:
            self._behind = False  # nobody there, or no run yet: listen, and ask again after a silence
            self._release()
            return
        if page.run != self._run:
            self._begin(page.run)
        for message in page.messages:
            self._take(message)
        self._skip_to(page.next_seq)
        if page.next_seq >= page.newest_seq:
            self._behind = False
            self._release()

    def _release(self) -> None:
        """Deliver the message that had shown a hole."""
        held, self._held = self._held, None
        if held is None or held.run in self._past_runs:
            return
        if held.run != self._run:
            self._begin(held.run)
        self._take(held)

    def _begin(self, run: str) -> None:
        if self._run:
            self._past_runs.append(self._run)
        self._run, self._next_seq = run, 0

    def _take(self, message: StreamMessage) -> None:
        if message.seq < self._next_seq:
            return
        self._skip_to(message.seq)
        self._next_seq = message.seq + 1
        if message.topic in self._topics:
            self._ready.append(message)

    def _skip_to(self, seq: int) -> None:
        """Tell of the messages before `seq` that did not come."""
        if seq <= self._next_seq:
            return
        self._missed += seq - self._next_seq
        data = {"first_seq": self._next_seq, "last_seq": seq - 1}
        self._ready.append(StreamMessage(GAP, self._run, self._next_seq, GAP, -1, 0, data))
        self._next_seq = seq


class _History(NamedTuple):
    """A page of the publisher's history."""

    run: str
    messages: tuple[StreamMessage, ...]
    next_seq: int
    newest_seq: int


class _Sockets:
    """The two sockets of a subscription, closed at the latest when nobody holds it any more."""

    def __init__(self, endpoint: str, snapshot_endpoint: str, server_key: str | None) -> None:
        self.endpoint = endpoint
        self._snapshot_endpoint = snapshot_endpoint
        self._context = zmq.Context()
        self._request_id = 0
        self._events = self._context.socket(zmq.SUB)
        self._requests = self._context.socket(zmq.DEALER)
        self._finalizer = weakref.finalize(self, _close, self._context, self._events, self._requests)
        try:
            self._prepare(server_key)
        except (zmq.ZMQError, ValueError) as error:
            self.close()
            raise SubscriptionError(f"{endpoint} cannot be subscribed to: {error}") from error

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        self._finalizer()

    def receive(self, wait_s: float) -> StreamMessage | None:
        """The next message from now, or None when none came in time."""
        if not self._events.poll(_milliseconds(wait_s)):
            return None
        try:
            return decode(self._events.recv_multipart())
        except WireError as error:
            raise SubscriptionError(f"{self.endpoint} sent what is no message of ringwatch: {error}") from error

    def history(self, *, run: str, seq: int, wait_s: float) -> _History | None:
        """What the publisher has kept from `seq` on, or None when it did not answer in time."""
        deadline = time.monotonic() + wait_s
        if not self._requests.poll(_milliseconds(wait_s), zmq.POLLOUT):
            return None
        self._request_id += 1
        request: dict[str, Any] = {"request": "since", "id": self._request_id, "seq": seq}
        if run:
            request["run"] = run
        self._requests.send(encode_json(request), zmq.NOBLOCK)
        while self._requests.poll(_milliseconds(deadline - time.monotonic())):
            parts = self._requests.recv_multipart()
            try:
                head = _head(parts[0])
                if head["id"] == self._request_id:
                    return _page(head, parts[1:])
            except WireError as error:
                raise SubscriptionError(
                    f"{self._snapshot_endpoint} gave an answer that is none of ringwatch: {error}"
                ) from error
        return None

    def _prepare(self, server_key: str | None) -> None:
        for used in (self._events, self._requests):
            used.setsockopt(zmq.LINGER, 0)
            used.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
            used.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
            # not ZMQ heartbeats: with a full queue libzmq 4.3 ends the process over them (its issue 4767)
            for option, value in _KEEPALIVE:
                used.setsockopt(option, value)
            used.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
            used.setsockopt(zmq.IPV6, int("[" in self.endpoint))
            if server_key is not None:
                public, secret = zmq.curve_keypair()
                used.setsockopt(zmq.CURVE_SERVERKEY, server_key.encode())
                used.setsockopt(zmq.CURVE_PUBLICKEY, public)
                used.setsockopt(zmq.CURVE_SECRETKEY, secret)
        self._requests.setsockopt(zmq.IMMEDIATE, 1)  # a question to nobody must not be answered minutes later
        self._events.setsockopt(zmq.SUBSCRIBE, b"")
        self._events.connect(self.endpoint)
        self._requests.connect(self._snapshot_endpoint)


def _close(context: "zmq.Context[Any]", *sockets: "zmq.Socket[bytes]") -> None:
    for used in sockets:
        used.close(linger=0)
    context.term()


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _head(part: bytes) -> dict[str, Any]:
    head = decode_json(part, limit=MAX_HEADER_BYTES)
    if not isinstance(head, dict) or "id" not in head or head.get("schema") != SCHEMA:
        raise WireError("an answer needs a schema and an id")
    if head.get("reply") == "error":
        raise WireError(str(head.get("text"))[:300])
    return head


def _page(head: dict[str, Any], parts: list[bytes]) -> _History:
    counts = head.get("parts")
    if not isinstance(counts, list) or not all(isinstance(count, int) and count > 0 for count in counts):
        raise WireError("an answer needs the number of parts of each message")
    if sum(counts) != len(parts):
        raise WireError(f"an answer of {sum(counts)} parts came with {len(parts)}")
    messages, first = [], 0
    for count in counts:
        messages.append(decode(parts[first : first + count]))
        first += count
    run, next_seq, newest_seq = head.get("run"), head.get("next_seq"), head.get("newest_seq")
    if not isinstance(run, str) or not isinstance(next_seq, int) or not isinstance(newest_seq, int):
        raise WireError("an answer needs run, next_seq and newest_seq")
    return _History(run, tuple(messages), next_seq, newest_seq)

"""The stream of a run over ZeroMQ: an XPUB socket for what happens, a ROUTER socket for what has happened.

One thread owns both sockets. `ZmqPublisher.accept` only encodes the record into the history and
wakes that thread, so nothing that happens on the network can hold the daemon up. A subscriber that
is too slow loses its own messages at its own high-water mark and sees so by their numbers; the
history lets it fetch them again.
"""

import logging
import re
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth

from ringwatch_daemon.core.clock import Clock, SystemClock
from ringwatch_daemon.core.errors import SinkError, WireError
from ringwatch_daemon.core.messages import messages_from_record
from ringwatch_daemon.core.records import Record, RunStart
from ringwatch_daemon.core.wire import next_port_endpoint
from ringwatch_daemon.sinks.sequence_mark import SequenceMark
from ringwatch_daemon.sinks.stream_history import StreamHistory
from ringwatch_daemon.sinks.stream_requests import MAX_REQUEST_BYTES, answer

HISTORY_BYTES = 64 * 2**20
HIGH_WATER = 1000
REPLIES_WAITING = 8
LINGER_S = 1.0
_POLL_MS = 500
_AT_ONCE = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """A CURVE key pair in Z85, 40 characters each."""

    public: str
    secret: str

    @classmethod
    def from_directory(cls, directory: Path, *, name: str = "ringwatch") -> "CurveKeys":
        """Read ``NAME.key_secret`` of `directory`; make the pair if the folder holds none.

        Raises
        ------
        SinkError
            The files cannot be read or written.
        """
        path = directory / f"{name}.key_secret"
        try:
            if not path.exists():
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                zmq.auth.create_certificates(directory, name)
                path.chmod(0o600)
            public, secret = zmq.auth.load_certificate(path)
        except (OSError, ValueError) as error:
            raise SinkError(f"a CURVE key pair was expected in {path}: {error}") from error
        if secret is None:
            raise SinkError(f"{path} holds no secret key")
        return cls(public.decode(), secret.decode())


@dataclass(frozen=True, slots=True)
class PublisherStatistics:
    """What the publisher has seen of its peers.

    Parameters
    ----------
    subscriptions
        Standing now; a client of `ringwatch_daemon.client` has one.
    requests
        Answered on the snapshot socket.
    refused
        Requests that were not understood, and subscriptions that were no such thing.
    unpublished
        Messages that left the history before the sockets' thread could send them.
    """

    subscriptions: int = 0
    requests: int = 0
    refused: int = 0
    unpublished: int = 0


class ZmqPublisher:
    """A sink that publishes every record.

    Parameters
    ----------
    endpoint
        ``tcp://HOST:PORT``; port ``*`` or 0 takes a free one.
    snapshot_endpoint
        For late joiners; the next port by default.
    curve
        The server's keys; a client then needs the public one.
    insecure
        Allow an endpoint off loopback without CURVE.
    history_bytes
        Bound on what is kept for late joiners.
    high_water
        Messages that wait for one subscriber before it loses the next.
    linger_s
        How long `close` waits for the last messages to leave.
    mark
        Notes every number before its message leaves; None where a run is not resumed.
    resumed_seq
        Go on with a run whose messages below this number have been told by an earlier process.

    Raises
    ------
    SinkError
        The endpoint cannot be bound, or lies open to the network.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        snapshot_endpoint: str | None = None,
        curve: CurveKeys | None = None,
        insecure: bool = False,
        history_bytes: int = HISTORY_BYTES,
        high_water: int = HIGH_WATER,
        linger_s: float = LINGER_S,
        mark: SequenceMark | None = None,
        resumed_seq: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        for address in (endpoint, snapshot_endpoint or endpoint):
            _refuse_open_endpoint(address, safe=insecure or curve is not None)
        self._clock = clock or SystemClock()
        self._history = StreamHistory(history_bytes)
        self._start: RunStart | None = None
        self._next_seq = 0
        self._mark = mark
        self._resumed_seq = resumed_seq
        self._server = _Server(self._history, curve=curve, high_water=high_water, linger_s=linger_s)
        self.endpoint, self.snapshot_endpoint = self._server.bind(endpoint, snapshot_endpoint)
        self._server.start()

    def accept(self, record: Record) -> None:
        """Publish the messages of `record`; never waits for a subscriber.

        Raises
        ------
        SinkError
            The record has no form on the wire, no run has started, or the sockets failed.
        """
        if isinstance(record, RunStart):
            self._start, self._next_seq = record, 0
            if self._resumed_seq:
                self._resume(record, self._resumed_seq)
                return
        if self._start is None:
            raise SinkError(f"the stream expected the start of a run first, got {type(record).__name__}")
        self._server.raise_failure()
        try:
            messages = messages_from_record(
                record, start=self._start, first_seq=self._next_seq, now_ns=self._clock.utc_ns()
            )
            if self._mark is not None:
                self._mark.note(self._next_seq + len(messages))
            for message in messages:
                self._history.append(message)
                self._next_seq += 1
        except (WireError, OSError) as error:
            raise SinkError(f"a {type(record).__name__} cannot be published: {error}") from error
        self._server.wake()

    def flush(self) -> None:
        """Nothing to do: messages leave at once."""

    def close(self) -> None:
        """Send what waits, within the time to linger, and close the sockets."""
        self._server.stop()
        if self._mark is not None:
            self._mark.close()

    def statistics(self) -> PublisherStatistics:
        """What the publisher has seen of its peers."""
        return self._server.statistics()

    def _resume(self, start: RunStart, next_seq: int) -> None:
        """Keep the start for late joiners, and tell nobody what was told before."""
        (message,) = messages_from_record(start, start=start, first_seq=0, now_ns=self._clock.utc_ns())
        self._next_seq = next_seq
        self._server.resume(start.run_id, next_seq)
        self._history.resume(message, next_seq)


class _Server:
    """The sockets and their thread."""

    def __init__(self, history: StreamHistory, *, curve: CurveKeys | None, high_water: int, linger_s: float) -> None:
        self._history = history
        self._context = zmq.Context()
        self._linger_s = linger_s
        self._events = self._socket(zmq.XPUB, curve, high_water)
        self._requests = self._socket(zmq.ROUTER, curve, REPLIES_WAITING)
        self._events.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._failure: Exception | None = None
        self._run_id = ""
        self._published = 0
        self._subscriptions = 0
        self._answered = 0
        self._refused = 0
        self._unpublished = 0

    def bind(self, endpoint: str, snapshot_endpoint: str | None) -> tuple[str, str]:
        """Bind both sockets and say where; a free port whose neighbour is taken is tried again."""
        any_port = re.fullmatch(r"(tcp://.+):(\*|0)", endpoint)
        for attempts_left in reversed(range(20 if any_port and snapshot_endpoint is None else 1)):
            try:
                bound = _bind(self._events, f"{any_port[1]}:*" if any_port else endpoint)
                try:
                    return bound, _bind(self._requests, snapshot_endpoint or next_port_endpoint(bound))
                except (zmq.ZMQError, WireError):
                    self._events.unbind(bound)
                    raise
            except (zmq.ZMQError, WireError) as error:
                if not attempts_left:
                    self._wake_in.close()
                    self._wake_out.close()
                    self._close()
                    raise SinkError(f"the stream cannot be offered at {endpoint}: {error}") from error
        raise AssertionError("the last attempt returns or raises")

    def start(self) -> None:
        self._thread.start()

    def resume(self, run_id: str, next_seq: int) -> None:
        """Begin to publish at `next_seq`; called before the history has anything of the run."""
        self._run_id, self._published = run_id, next_seq

    def wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def stop(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        self.wake()
        self._thread.join()
        self._wake_in.close()
        self._wake_out.close()

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise SinkError(f"the stream's sockets failed: {self._failure}") from self._failure
        if self._stopping.is_set() or not self._thread.is_alive():
            raise SinkError("the stream is closed")

    def statistics(self) -> PublisherStatistics:
        return PublisherStatistics(self._subscriptions, self._answered, self._refused, self._unpublished)

    def _socket(self, kind: int, curve: CurveKeys | None, high_water: int) -> "zmq.Socket[bytes]":
        made = self._context.socket(kind)
        made.setsockopt(zmq.SNDHWM, high_water)
        made.setsockopt(zmq.RCVHWM, high_water)
        made.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
        made.setsockopt(zmq.TCP_KEEPALIVE, 1)
        if curve is not None:
            made.setsockopt(zmq.CURVE_SERVER, 1)
            made.setsockopt(zmq.CURVE_PUBLICKEY, curve.public.encode())
            made.setsockopt(zmq.CURVE_SECRETKEY, curve.secret.encode())
        return made

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - whatever ends the stream is raised by the next record
            self._failure = error
            _log.exception("the stream's sockets failed")
        finally:
            self._close()

    def _serve(self) -> None:
        poller = zmq.Poller()
        for readable in (self._wake_out, self._events, self._requests):
            poller.register(readable, zmq.POLLIN)
        while True:
            stopping = self._stopping.is_set()
            ready = dict(poller.poll(0 if stopping else _POLL_MS))
            if self._wake_out.fileno() in ready:
                self._wake_out.recv(4096)
            self._count_subscriptions()
            self._publish()
            self._answer_requests()
            if stopping:
                return

    def _publish(self) -> None:
        while True:
            page = self._history.since(run=self._run_id, seq=self._published, limit_bytes=2**22)
            if page.run != self._run_id:
                self._run_id, self._published = page.run, 0
            for kept in page.messages:
                self._events.send_multipart(kept.parts)
            self._unpublished += sum(last - first + 1 for first, last in page.gone)
            self._published = page.next_seq
            if self._published >= page.newest_seq:
                return

    def _count_subscriptions(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                message = self._events.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if message[:1] not in (b"\0", b"\1") or self._events.getsockopt(zmq.RCVMORE):
                self._refused += 1
                continue
            self._subscriptions = max(0, self._subscriptions + (1 if message[:1] == b"\1" else -1))

    def _answer_requests(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                peer, *request = self._requests.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            reply, good = answer(request, self._history)
            self._answered += good
            self._refused += not good
            envelope = [peer, b""] if len(request) == 2 and not request[0] else [peer]
            self._requests.send_multipart([*envelope, *reply])

    def _close(self) -> None:
        """Let the last messages leave, for as long as we may linger.

        Not by ZMQ_LINGER: libzmq 4.3 ends the process ("Resource temporarily unavailable",
        session_base.cpp) when that time is up while a subscriber has read half of a multipart
        message. So the sockets linger for ever, and it is the waiting that has an end.
        """
        for used in (self._events, self._requests):
            used.setsockopt(zmq.LINGER, -1)
        self._events.close()
        self._requests.close()
        last = threading.Thread(target=self._context.term, name="stream-last-messages", daemon=True)
        last.start()
        last.join(self._linger_s)
        if last.is_alive():
            _log.warning("a subscriber that does not read was left behind with the last messages of the stream")


def _bind(made: "zmq.Socket[bytes]", endpoint: str) -> str:
    made.setsockopt(zmq.IPV6, int("[" in endpoint))
    made.bind(endpoint)
    return made.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def _refuse_open_endpoint(endpoint: str, *, safe: bool) -> None:
    found = re.fullmatch(r"tcp://\[?([^\]]+)\]?:(\d{1,5}|\*)", endpoint)
    if found is None and not endpoint.startswith("ipc://"):
        raise SinkError(f"an endpoint like tcp://127.0.0.1:5556 was expected for the stream, got {endpoint!r}")
    on_loopback = found is None or found[1] in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", found[1])
    if not on_loopback and not safe:
        raise SinkError(
            f"the stream at {endpoint} would be open to everybody on the network: give it CURVE keys, "
            "bind it to 127.0.0.1, or say that this is wanted (insecure)"
        )

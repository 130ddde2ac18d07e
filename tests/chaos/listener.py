"""Who listens to the stream: one that hears all of it, one that is slow, one that never reads."""

import threading
from dataclasses import dataclass

import zmq

from ringwatch_daemon.client import GAP, subscribe
from ringwatch_daemon.core.errors import SubscriptionError
from ringwatch_daemon.core.wire import StreamMessage

LOOK_S = 0.3


@dataclass(frozen=True, slots=True)
class Heard:
    """What is kept of a published frame."""

    seq: int
    row: int
    unique_id: int
    state: str
    received_ns: int


class Listener:
    """Hears a stream through all deaths of its publisher, by the client that everybody uses."""

    def __init__(self, endpoint: str) -> None:
        self._messages = subscribe(endpoint, timeout_s=LOOK_S)
        self.frames: list[Heard] = []
        self.numbers: list[int] = []
        self.gaps: list[tuple[int, int]] = []
        self.runs: set[str] = set()
        self.stopped = threading.Event()
        self.failure: Exception | None = None
        self.newest_processed_ns = 0
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._leaving.set()
        self._thread.join(30.0)
        self._messages.close()

    def _hear(self) -> None:
        try:
            while not self._leaving.is_set():
                message = self._next()
                if message is not None:
                    self._take(message)
        except Exception as error:
            self.failure = error

    def _next(self) -> StreamMessage | None:
        try:
            return next(self._messages)
        except SubscriptionError as error:
            if "no message came" in str(error):
                return None
            raise

    def _take(self, message: StreamMessage) -> None:
        self.runs.add(message.run)
        if message.kind == GAP:
            self.gaps.append((int(message.data["first_seq"]), int(message.data["last_seq"])))
            return
        self.numbers.append(message.seq)
        if message.kind == "frame.tracking":
            told = message.data
            self.frames.append(
                Heard(message.seq, message.frame, told["unique_id"], told["state"], int(told["received_ns"]))
            )
            if told["state"] == "PROCESSED":
                self.newest_processed_ns = int(told["received_ns"])
        elif message.kind == "run.stop":
            self.stopped.set()


class DeafSubscriber:
    """Subscribes to everything and never reads; its buffers are as small as they can be."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 1)
        self._socket.setsockopt(zmq.RCVBUF, 4096)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.subscribe(b"")
        self._socket.connect(endpoint)

    def close(self) -> None:
        """Leave."""
        self._socket.close()
        self._context.term()

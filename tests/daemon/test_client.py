import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import zmq

from fakes import records
from ringwatch_daemon.client import Subscription, subscribe
from ringwatch_daemon.core.errors import SubscriptionError
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.sinks.zmq_publisher import CurveKeys, ZmqPublisher

pytestmark = pytest.mark.sockets
ANY_PORT = "tcp://127.0.0.1:*"


@pytest.fixture
def publisher() -> Iterator[ZmqPublisher]:
    made = ZmqPublisher(endpoint=ANY_PORT)
    yield made
    made.close()


class PublisherAtAKnownPlace:
    """Finds two free neighbouring ports; the publisher itself is started, and started again, later."""

    def __enter__(self):
        found = ZmqPublisher(endpoint=ANY_PORT)
        found.close()
        self.endpoint = found.endpoint
        self.running: ZmqPublisher | None = None
        return self.endpoint, self.start

    def start(self, **options) -> ZmqPublisher:
        self.stop()
        self.running = ZmqPublisher(endpoint=self.endpoint, **options)
        return self.running

    def stop(self) -> None:
        if self.running is not None:
            self.running.close()

    def __exit__(self, *_error) -> None:
        self.stop()


def publish_a_run(publisher: ZmqPublisher, frames: int, run_id: str = "run_one", *, stop: bool = True) -> int:
    publisher.accept(records.run_start(run_id=run_id))
    for row in range(frames):
        publisher.accept(records.frame_record(row))
    if stop:
        publisher.accept(records.run_stop(frames))
    return 1 + 2 * frames + stop


def until_stop(subscription: Subscription) -> list[StreamMessage]:
    came = []
    for message in subscription:
        came.append(message)
        if message.kind == "run.stop":
            break
    return came


def test_a_late_joiner_hears_the_run_from_its_start(publisher):
    count = publish_a_run(publisher, 20)
    with subscribe(publisher.endpoint, timeout_s=10) as subscription:
        came = until_stop(subscription)
        assert subscription.missed == 0
        assert subscription.run == "run_one"
    assert [message.seq for message in came] == list(range(count))
    assert came[0].kind == "run.start"


def test_joining_in_the_middle_of_a_busy_run_leaves_no_hole_and_no_double(publisher):
    publish_a_run(publisher, 30, stop=False)

    def go_on() -> None:
        for row in range(30, 300):
            publisher.accept(records.frame_record(row))
        publisher.accept(records.run_stop(300))

    busy = threading.Thread(target=go_on)
    with subscribe(publisher.endpoint, timeout_s=10) as subscription:
        first = next(subscription)
        busy.start()
        came = [first, *until_stop(subscription)]
        busy.join()
    assert [message.seq for message in came] == list(range(602))
    assert subscription.missed == 0


def test_who_comes_before_the_publisher_waits_for_it():
    with PublisherAtAKnownPlace() as (endpoint, start):
        came: list[StreamMessage] = []
        with subscribe(endpoint, timeout_s=20) as subscription:
            listener = threading.Thread(target=lambda: came.extend(until_stop(subscription)))
            listener.start()
            count = publish_a_run(start(), 3)
            listener.join()
    assert [message.seq for message in came] == list(range(count))


def test_a_restarted_publisher_is_followed_into_its_new_run():
    with PublisherAtAKnownPlace() as (endpoint, start):
        publish_a_run(start(), 3, "one", stop=False)
        with subscribe(endpoint, timeout_s=30) as subscription:
            first = [next(subscription) for _ in range(7)]
            count = publish_a_run(start(), 2, "two")
            second = until_stop(subscription)
            assert subscription.missed == 0
    assert {message.run for message in first} == {"one"}
    assert [(message.run, message.seq) for message in second] == [("two", seq) for seq in range(count)]


def test_what_left_the_history_is_told_as_a_gap_at_its_place():
    publisher = ZmqPublisher(endpoint=ANY_PORT, history_bytes=30_000)
    count = publish_a_run(publisher, 100)
    with subscribe(publisher.endpoint, timeout_s=10) as subscription:
        came = until_stop(subscription)
    publisher.close()
    assert [message.kind for message in came[:2]] == ["run.start", "gap"]
    gap = came[1]
    assert (gap.seq, gap.data["first_seq"]) == (1, 1)
    assert came[2].seq == gap.data["last_seq"] + 1
    assert came[-1].seq == count - 1
    assert subscription.missed == gap.data["last_seq"]


def test_a_slow_listener_fetches_what_its_queue_lost():
    publisher = ZmqPublisher(endpoint=ANY_PORT, high_water=2)
    with subscribe(publisher.endpoint, timeout_s=10) as subscription:
        publisher.accept(records.run_start())
        assert next(subscription).kind == "run.start"
        for row in range(400):
            publisher.accept(records.frame_record(row, bins=2000))
        publisher.accept(records.run_stop(400))
        came = until_stop(subscription)
    publisher.close()
    assert [message.seq for message in came] == list(range(1, 802))
    assert subscription.missed == 0


def test_a_choice_of_topics_raises_no_false_alarm(publisher):
    publish_a_run(publisher, 10)
    with subscribe(publisher.endpoint, topics=["frame.tracking", "run.stop"], timeout_s=10) as subscription:
        came = until_stop(subscription)
    assert [message.frame for message in came] == [*range(10), -1]
    assert subscription.missed == 0


def test_silence_beyond_the_timeout_is_told():
    with (
        PublisherAtAKnownPlace() as (endpoint, _start),
        subscribe(endpoint, timeout_s=0.2) as subscription,
        pytest.raises(SubscriptionError, match="no message came from"),
    ):
        next(subscription)


def test_a_closed_subscription_ends_its_iteration(publisher):
    subscription = subscribe(publisher.endpoint)
    subscription.close()
    subscription.close()
    assert list(subscription) == []


def test_a_forgotten_subscription_closes_itself_without_a_warning(publisher):
    publish_a_run(publisher, 1)
    for message in subscribe(publisher.endpoint, timeout_s=10):
        assert message.kind == "run.start"
        break
    gc.collect()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"endpoint": "tcp://127.0.0.1:1", "topics": ["frames"]}, "got 'frames'"),
        ({"endpoint": "nowhere"}, "an endpoint like"),
        ({"endpoint": "nowhere", "snapshot_endpoint": "tcp://127.0.0.1:1"}, "cannot be subscribed"),
        ({"endpoint": "tcp://127.0.0.1:1", "server_key": "short"}, "cannot be subscribed"),
    ],
)
def test_what_cannot_be_subscribed_to_is_told(arguments, sentence):
    with pytest.raises(SubscriptionError, match=sentence):
        subscribe(**arguments)


def test_a_stranger_on_the_endpoint_is_told():
    with zmq.Context() as context, context.socket(zmq.XPUB) as stranger, context.socket(zmq.ROUTER) as silent:
        stranger.linger = silent.linger = 0
        port = stranger.bind_to_random_port("tcp://127.0.0.1")
        other = silent.bind_to_random_port("tcp://127.0.0.1")
        endpoints = (f"tcp://127.0.0.1:{port}", None, f"tcp://127.0.0.1:{other}")
        with subscribe(*endpoints, timeout_s=10) as subscription:
            stranger.recv()
            stranger.send(b"weather: fine")
            with pytest.raises(SubscriptionError, match="no message of ringwatch"):
                next(subscription)


def test_curve_needs_the_key_of_the_server(tmp_path):
    keys = CurveKeys.from_directory(tmp_path)
    publisher = ZmqPublisher(endpoint=ANY_PORT, curve=keys)
    count = publish_a_run(publisher, 2)
    with subscribe(publisher.endpoint, server_key=keys.public, timeout_s=10) as subscription:
        assert len(until_stop(subscription)) == count
    wrong, _ = zmq.curve_keypair()
    for key in (None, wrong.decode()):
        with (
            subscribe(publisher.endpoint, server_key=key, timeout_s=0.5) as subscription,
            pytest.raises(SubscriptionError),
        ):
            next(subscription)
    publisher.close()


def test_the_client_imports_nothing_heavy():
    heavy = ("pyFAI", "h5py", "hdf5plugin", "scipy", "numba", "p4p", "epics", "softioc", "fabio", "pydantic", "typer")
    script = f"import sys, ringwatch_daemon.client; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

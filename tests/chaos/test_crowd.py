"""Strangers at the stream's sockets; ``make chaos`` sends ten thousand of them to a whole daemon."""

import pytest

from chaos.crowd import connect_and_leave, deaf_crowd
from fakes import records
from ringwatch_daemon.client import subscribe
from ringwatch_daemon.sinks.zmq_publisher import ZmqPublisher

STRANGERS = 1000


@pytest.mark.sockets
def test_a_thousand_strangers_and_subscribers_that_never_read_keep_no_newcomer_out():
    publisher = ZmqPublisher(endpoint="tcp://127.0.0.1:*", linger_s=0.1)
    try:
        publisher.accept(records.run_start())
        with deaf_crowd(publisher.endpoint, count=3):
            assert connect_and_leave(publisher.endpoint, connections=STRANGERS) == STRANGERS
            for row in range(50):
                publisher.accept(records.frame_record(row))
            with subscribe(publisher.endpoint, timeout_s=30.0) as messages:
                heard = [next(messages).seq for _ in range(101)]
        assert heard == list(range(101))
    finally:
        publisher.close()

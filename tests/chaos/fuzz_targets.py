"""Every way in, and its share of the nonsense."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from chaos.fuzz import Attempt, Target
from chaos.fuzz_bytes import checkpoints, cycler_files, spooled, stream_messages, stream_requests
from chaos.fuzz_frames import image_files, ndarrays, packed, waveforms
from chaos.fuzz_stream import burst
from chaos.violations import Violation
from fakes import records
from fakes.service import wait_until
from ringwatch_daemon.client import subscribe
from ringwatch_daemon.sinks.zmq_publisher import ZmqPublisher

BURST = 200


@contextmanager
def sockets() -> Iterator[Attempt]:
    """Both sockets of a publisher; each attempt is a burst, after which a newcomer must still be served."""
    publisher = ZmqPublisher(endpoint="tcp://127.0.0.1:*")
    publisher.accept(records.run_start())

    def attempt(chance: random.Random) -> str:
        before = publisher.statistics().refused
        burst(publisher.endpoint, chance, messages=BURST)
        publisher.accept(records.event())
        with subscribe(publisher.endpoint, timeout_s=20.0) as messages:
            if next(messages).kind != "run.start":
                raise Violation("a newcomer after the nonsense does not hear the start of the run")
        wait_until(lambda: publisher.statistics().refused > before, "a refusal of nonsense")
        return ""

    try:
        yield attempt
    finally:
        publisher.close()


TARGETS = (
    Target("snapshot requests", 0.26, stream_requests),
    Target("stream messages", 0.18, stream_messages),
    Target("NTNDArrays", 0.22, ndarrays),
    Target("CA waveforms", 0.16, waveforms),
    Target("codecs", 0.06, packed),
    Target("checkpoints, run memory", 0.06, checkpoints),
    Target("spooled frames", 0.02, spooled),
    Target("image files", 0.02, image_files),
    Target("cyclers' files", 0.02, cycler_files),
)
SOCKETS = Target(f"stream sockets (bursts of {BURST})", 1.0, sockets)

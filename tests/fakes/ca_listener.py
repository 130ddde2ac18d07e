"""A Channel Access source in a process of its own, since libca reads its environment once.

Run as ``python ca_listener.py PREFIX [PV=VALUE ...]``: prints one line of JSON for each thing that the
source tells, puts the values once it is connected, ends when its input does.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class PrintingIntake:
    def __init__(self) -> None:
        self.connected = threading.Event()
        self._one_line_at_a_time = threading.Lock()

    def _print(self, kind: str, **told: object) -> None:
        with self._one_line_at_a_time:
            print(json.dumps({"kind": kind, **told}), flush=True)

    def frame(self, frame: Any) -> None:
        self._print(
            "frame",
            id=frame.unique_id,
            first=float(frame.image[0, 0]),
            shape=frame.image.shape,
            dtype=str(frame.image.dtype),
            timestamp_ns=frame.timestamp_ns,
            exposure_s=frame.exposure_s,
            trigger_mode=frame.conditions.trigger_mode,
            gain=frame.conditions.gain,
            writeable=frame.image.flags.writeable,
        )

    def refused(self, *, unique_id: int | None, timestamp_ns: int, reason: str, text: str) -> None:
        self._print("refused", id=unique_id, timestamp_ns=timestamp_ns, reason=str(reason), text=text)

    def connection(self, *, connected: bool, text: str, restarted_ns: int = 0) -> None:
        self._print("connection", connected=connected, text=text, restarted_ns=restarted_ns)
        if connected:
            self.connected.set()

    def counted(self, count: int | None) -> None:
        self._print("counted", count=count)

    def warning(self, *, kind: str, text: str) -> None:
        self._print("warning", warning=kind, text=text)


def main(prefix: str, puts: list[str]) -> None:
    from ringwatch_daemon.core.clock import SystemClock
    from ringwatch_daemon.sources.area_detector import perkin_elmer_pvs
    from ringwatch_daemon.sources.channel_access import (
        ChannelAccessSource,
        ChannelAccessSourceConfig,
        attach_to_context,
    )

    intake, stop = PrintingIntake(), threading.Event()
    config = ChannelAccessSourceConfig(
        f"{prefix}image1:", beside=perkin_elmer_pvs(prefix, plugin="image1:"), stall_s=1.0
    )
    thread = threading.Thread(target=ChannelAccessSource(config, SystemClock()).run, args=(intake, stop))
    thread.start()
    if intake.connected.wait(30):
        attach_to_context()
        from epics import caput

        for put in puts:
            pv, _, value = put.partition("=")
            caput(pv, value, wait=False)
    sys.stdin.read()
    stop.set()
    thread.join()


class Listener:
    """What a listening process has told so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._changed = threading.Condition()
        self.told: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.told.append(json.loads(line))
                self._changed.notify_all()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [told for told in self.told if told["kind"] == kind]

    @property
    def ids(self) -> list[int]:
        return [told["id"] for told in self.of("frame")]

    @property
    def is_connected(self) -> bool:
        return bool(self.of("connection")) and self.of("connection")[-1]["connected"]

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), f"not seen within {timeout_s:g} s: {self.told[-20:]}"

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            assert self._process.wait(30) == 0
        finally:
            self._process.kill()
            self._reader.join(10)
            assert self._process.stdout is not None
            self._process.stdout.close()


@contextmanager
def listening(prefix: str, environment: dict[str, str], *puts: str) -> Iterator[Listener]:
    command = [sys.executable, str(Path(__file__)), prefix, *puts]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    listener = Listener(process)
    try:
        yield listener
    finally:
        listener.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

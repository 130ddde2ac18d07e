"""Signals that come while the main thread holds the lock of the request itself."""

import subprocess
import sys

import pytest

STORM = """
import os, signal, threading
from ringwatch_daemon.stop_signals import stop_on_signals

class Watched(threading.Event):
    def wait(self, timeout=None):
        with self._cond:  # where a handler that sets the event would wait for this very thread
            os.kill(os.getpid(), {number})
            for _ in range(1000):
                pass
        return super().wait(timeout)

import ringwatch_daemon.stop_signals as module
module.Event = Watched
stop = stop_on_signals()
print("asked" if stop.wait(20.0) else "never heard")
"""


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_while_the_request_is_locked_by_the_main_thread_is_heard(number):
    told = subprocess.run(
        [sys.executable, "-c", STORM.format(number=number)], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.strip() == "asked"


def test_a_second_signal_changes_nothing():
    code = (
        "import os, signal, time\n"
        "from ringwatch_daemon.stop_signals import stop_on_signals\n"
        "stop = stop_on_signals()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "assert stop.wait(20.0)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(0.1)\n"
        "print('alive')\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "alive"

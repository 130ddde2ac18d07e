"""A request to stop, set by signals."""

import signal
import socket
from threading import Event, Thread

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> Event:
    """A request that SIGINT and SIGTERM set; the work drains on the main path.

    A thread sets it, which hears of signals by a socket. A handler must not: it runs in the main thread at any moment,
    also while that thread holds the lock of the very request, and would then wait for it for ever.
    """
    stop = Event()
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    Thread(target=_pass_on, args=(stop, heard, told), name="signals", daemon=True).start()
    return stop


def _pass_on(stop: Event, heard: socket.socket, told: socket.socket) -> None:
    with heard, told:
        while numbers := heard.recv(64):
            if any(number in numbers for number in SIGNALS):
                stop.set()

"""The live terminal view: a reader of the stream and nothing more.

Messages come in bursts and then not at all. So reading and drawing are two threads that share one
name: the reader binds the newest view to it, the drawer takes what stands there when its time comes.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console, RenderableType
from rich.live import Live

from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.dashboard.panels import view_panel
from ringwatch_daemon.dashboard.plain import PlainLog
from ringwatch_daemon.dashboard.run_view import RunView
from ringwatch_daemon.dashboard.updates import updated

_PLAIN_TICK_S = 0.5


class _Watcher:
    """Holds the newest view."""

    def __init__(self, console: Console, expected_frames: int | None) -> None:
        self._console = console
        self._expected_frames = expected_frames
        self.view = RunView()

    def take(self, message: StreamMessage) -> None:
        self.view = updated(self.view, message, now_s=time.monotonic())

    def panel(self) -> RenderableType:
        width, height = self._console.size
        return view_panel(
            self.view, width=width, height=height, now_s=time.monotonic(), expected_frames=self._expected_frames
        )


def show(
    messages: Iterable[StreamMessage],
    *,
    console: Console | None = None,
    expected_frames: int | None = None,
    refresh_per_s: float = 4,
) -> RunView:
    """Show a run until it stops or `messages` end.

    On a terminal this is a panel that draws itself anew; elsewhere, and where the terminal has not the
    letters for it, plain lines without control codes.

    Parameters
    ----------
    messages
        Of all topics, as `ringwatch_daemon.client.subscribe` gives them.
    console
        Where to show it; standard output by default.
    expected_frames
        Length of the run, for a progress bar.
    refresh_per_s
        How often the panel is drawn.

    Returns
    -------
    RunView
        What was known at the end.
    """
    console = console or Console()
    watcher = _Watcher(console, expected_frames)
    with _drawing(watcher, console, refresh_per_s) as goes_on:
        for message in messages:
            watcher.take(message)
            if watcher.view.stopped is not None or not goes_on():
                break
    return watcher.view


def _drawing(watcher: _Watcher, console: Console, refresh_per_s: float) -> AbstractContextManager[Callable[[], bool]]:
    """Draw in a thread; what it gives says whether there is still somebody to draw for."""
    has_the_letters = console.encoding.startswith("utf")
    if console.is_terminal and has_the_letters and not console.is_dumb_terminal:
        return _panel(watcher, console, refresh_per_s)
    return _lines(watcher, console)


@contextmanager
def _panel(watcher: _Watcher, console: Console, refresh_per_s: float) -> Iterator[Callable[[], bool]]:
    with Live(console=console, get_renderable=watcher.panel, refresh_per_second=refresh_per_s):
        yield lambda: True


@contextmanager
def _lines(watcher: _Watcher, console: Console) -> Iterator[Callable[[], bool]]:
    log, done = PlainLog(), threading.Event()

    def say(*, last: bool = False) -> None:
        for line in log.lines(watcher.view, now_s=time.monotonic(), last=last):
            # A text from elsewhere must not fail on a stream that has no letter for it.
            safe = line.encode(console.encoding, "replace").decode(console.encoding)
            console.print(safe, markup=False, highlight=False, soft_wrap=True)

    def work() -> None:
        while not done.wait(_PLAIN_TICK_S):
            say()

    # Where the reader of a pipe leaves, the console ends this thread by SystemExit and goes quiet.
    thread = threading.Thread(target=work, name="plain view", daemon=True)
    thread.start()
    try:
        yield thread.is_alive
    finally:
        done.set()
        thread.join()
        say(last=True)

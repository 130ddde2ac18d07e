"""Serves the page: on loopback unless told otherwise, for reading only, everything bounded."""

import logging
import sys
import threading
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from ipaddress import ip_address
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from ringwatch_daemon.core.errors import PageError
from ringwatch_daemon.core.wire import StreamMessage
from ringwatch_daemon.dashboard.page.model import PageModel

LOG = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
MOST_CONNECTIONS = 32
PATIENCE_S = 10.0
"""A browser that does not take what it is sent, or does not say what it wants, for so long is let go."""
NEWS_EVERY_S, SHARED_S = 1.0, 0.3
"""How often a browser hears, and how long what was made for one browser serves the others."""
HEARTBEAT_S = 5.0
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_SAFE = (
    ("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class PageServer:
    """The page at an address of its own, from `__enter__` to `__exit__`.

    Parameters
    ----------
    model
        What is shown; somebody else gives it the messages.
    port
        0 takes a free one.

    Raises
    ------
    PageError
        The address cannot be bound.
    """

    def __init__(self, model: PageModel, *, host: str = LOOPBACK, port: int = 0) -> None:
        try:
            self._server = _Server((host, port), model)
        except (OSError, OverflowError) as error:
            raise PageError(f"the page cannot be served at {host}:{port}: {error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", args=(0.2,), daemon=True)

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/"

    def __enter__(self) -> "PageServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def follow(messages: Iterable[StreamMessage], model: PageModel) -> Iterable[StreamMessage]:
    """The messages themselves, each shown on the page before it is passed on."""
    for message in messages:
        model.take(message)
        yield message


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], model: PageModel) -> None:
        self.model = model
        self.closing = threading.Event()
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    @property
    def own_names(self) -> frozenset[str]:
        """Host names under which requests may come; empty where any may."""
        host = str(self.server_address[0])
        return frozenset({"localhost", "127.0.0.1", "::1", host}) if ip_address(host).is_loopback else frozenset()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - given by the library
        LOG.debug("a browser at %s was let go: %s", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_S
    server_version, sys_version = "ringwatch", ""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_asked_by_own_name():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif path in _FILES:
            name, kind = _FILES[path]
            self._answer(files(__package__).joinpath(name).read_bytes(), kind)
        elif path == "/state":
            self._answer(self.server.model.encoded(), "application/json")
        elif path == "/events":
            self._tell_news()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        LOG.debug(format, *args)

    def _is_asked_by_own_name(self) -> bool:
        """A page elsewhere must not reach this one by a name that it lets point here."""
        names = self.server.own_names
        asked = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return not names or asked in names

    def _answer(self, data: bytes, kind: str) -> None:
        self._begin(kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _begin(self, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        for name, value in _SAFE:
            self.send_header(name, value)

    def _tell_news(self) -> None:
        """Server-sent events: the whole state whenever there is news, at most once a second."""
        self._begin("text/event-stream")
        self.end_headers()
        seen = -1
        while not self.server.closing.is_set():
            version = self.server.model.wait_for_news(seen, HEARTBEAT_S)
            # Also without news: how long nothing has come is news of a kind, and a browser that has gone is noticed.
            seen = version
            self.wfile.write(b"data: " + self.server.model.encoded(max_age_s=SHARED_S) + b"\n\n")
            self.wfile.flush()
            self.server.closing.wait(NEWS_EVERY_S)

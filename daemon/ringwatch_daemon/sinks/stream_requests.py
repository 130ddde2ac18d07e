"""What the snapshot socket understands, and what it answers.

A request is one strict JSON object: ``{"request": "snapshot"}`` or ``{"request": "since",
"seq": N}``, the latter optionally with the ``run`` that is meant, both optionally with an
``id`` that the answer repeats.

An answer is a head (JSON) and then the parts of all its messages, one message after the other:

``schema``, ``id``, ``reply``
    ``reply`` is ``snapshot``, ``since`` or ``error``; an error has a ``text`` and nothing else.
``run``, ``next_seq``, ``newest_seq``, ``gone``
    as in `ringwatch_daemon.sinks.stream_history.Page`.
``parts``
    how many parts each message has.

A long history is asked for page by page, so that a peer that never reads holds little memory.
"""

from collections.abc import Sequence
from typing import Any

from ringwatch_daemon.core.errors import WireError
from ringwatch_daemon.core.records import SCHEMA
from ringwatch_daemon.core.wire import MAX_NAME, decode_json, encode_json
from ringwatch_daemon.sinks.stream_history import Page, StreamHistory

MAX_REQUEST_BYTES = 4096
PAGE_BYTES = 2**20

_KEYS = {"snapshot": {"request", "id"}, "since": {"request", "id", "seq", "run"}}


def answer(parts: Sequence[bytes], history: StreamHistory) -> tuple[list[bytes], bool]:
    """The answer to a request, and whether the request was a good one."""
    try:
        request = _request_from_parts(parts)
    except WireError as error:
        return [encode_json({"schema": SCHEMA, "id": None, "reply": "error", "text": str(error)})], False
    if request["request"] == "snapshot":
        return _reply(request, history.snapshot()), True
    page = history.since(run=request.get("run"), seq=request["seq"], limit_bytes=PAGE_BYTES)
    return _reply(request, page), True


def _request_from_parts(parts: Sequence[bytes]) -> dict[str, Any]:
    bodies = [part for part in parts if part]  # a REQ socket puts an empty part before its request
    if len(bodies) != 1 or len(parts) > 2:
        raise WireError(f"a request is one JSON object, got {len(parts)} parts")
    request = decode_json(bodies[0], limit=MAX_REQUEST_BYTES)
    if not isinstance(request, dict) or request.get("request") not in ("snapshot", "since"):
        raise WireError('a request needs "request": "snapshot" or "since"')
    unknown = request.keys() - _KEYS[request["request"]]
    if unknown:
        raise WireError(f"a {request['request']} request has no key {min(unknown)[:40]!r}")
    _check_numbers(request)
    return request


def _check_numbers(request: dict[str, Any]) -> None:
    wanted = ("id", "seq") if request["request"] == "since" else ("id",)
    for name in wanted:
        value = request.get(name, 0 if name == "id" else None)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise WireError(f"{name} of a request must be an integer from 0")
    run = request.get("run")
    if run is not None and (not isinstance(run, str) or len(run) > MAX_NAME):
        raise WireError(f"run of a request must be a text of at most {MAX_NAME} characters")


def _reply(request: dict[str, Any], page: Page) -> list[bytes]:
    head = {
        "schema": SCHEMA,
        "id": request.get("id"),
        "reply": request["request"],
        "run": page.run,
        "next_seq": page.next_seq,
        "newest_seq": page.newest_seq,
        "gone": [list(pair) for pair in page.gone],
        "parts": [len(kept.parts) for kept in page.messages],
    }
    return [encode_json(head), *(part for kept in page.messages for part in kept.parts)]

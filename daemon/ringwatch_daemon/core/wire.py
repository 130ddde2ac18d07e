"""The wire contract: what a message of the stream looks like, byte by byte.

A message is multipart: topic, header (JSON, UTF-8), then one raw little-endian buffer for each
entry of the header's ``buffers``, in that order. The header has exactly the keys ``schema``,
``run``, ``seq``, ``kind``, ``frame``, ``timestamp_ns``, ``data`` and ``buffers``; a buffer is told
by ``name``, ``dtype`` and ``shape``.

JSON here is strict: no NaN or infinity (null stands for "no value"), no doubled keys. Whatever
comes in is checked against a bound before it is used, and nothing in it is ever executed.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import WireError
from ringwatch_daemon.core.records import SCHEMA

TOPICS = ("run.start", "frame.pattern", "frame.tracking", "cycling", "event", "status", "run.stop")

MAX_HEADER_BYTES = 4 * 2**20
MAX_MESSAGE_BYTES = 64 * 2**20
MAX_BUFFERS = 1024
MAX_DIMENSIONS = 4
MAX_DEPTH = 12
MAX_NAME = 200

DTYPES = ("<f4", "<f8", "<i2", "<i4", "<i8", "<u2", "<u4", "<u8", "|i1", "|u1", "|b1")

_KEYS = frozenset({"schema", "run", "seq", "kind", "frame", "timestamp_ns", "data", "buffers"})
_BUFFER_KEYS = frozenset({"name", "dtype", "shape"})
_INT64 = 2**63

Json = dict[str, Any] | list[Any] | str | int | float | bool | None
Part = bytes | memoryview


@dataclass(frozen=True, slots=True, eq=False)
class StreamMessage:
    """One message of the stream.

    Parameters
    ----------
    topic
        One of `TOPICS`.
    run
        Name of the run.
    seq
        Counts the messages of a run from 0, whatever their topic, without a gap.
    kind
        What the message is, where a topic carries several kinds.
    frame
        Row of the frame in the run's file, -1 where the message belongs to none.
    timestamp_ns
        UTC, nanoseconds since 1970, of what the message tells.
    data
        The values, as JSON has them.
    arrays
        Named arrays, read-only when they came over the wire.
    """

    topic: str
    run: str
    seq: int
    kind: str
    frame: int
    timestamp_ns: int
    data: dict[str, Any] = field(default_factory=dict)
    arrays: tuple[tuple[str, NDArray[Any]], ...] = ()

    def array(self, name: str) -> NDArray[Any]:
        """The array called `name`.

        Raises
        ------
        KeyError
            The message carries no such array.
        """
        for own, array in self.arrays:
            if own == name:
                return array
        raise KeyError(f"a {self.kind} message with the arrays {[own for own, _ in self.arrays]} has no {name!r}")


def encode(message: StreamMessage) -> list[bytes]:
    """The parts of a message, ready to be sent.

    Raises
    ------
    WireError
        The message holds something that the contract has no form for.
    """
    arrays = [(name, _little_endian(name, array)) for name, array in message.arrays]
    header = {
        "schema": SCHEMA,
        "run": message.run,
        "seq": message.seq,
        "kind": message.kind,
        "frame": message.frame,
        "timestamp_ns": message.timestamp_ns,
        "data": message.data,
        "buffers": [{"name": name, "dtype": a.dtype.str, "shape": list(a.shape)} for name, a in arrays],
    }
    parts = [message.topic.encode(), encode_json(header), *(array.tobytes() for _, array in arrays)]
    _check_sizes(parts)
    return parts


def decode(parts: Sequence[Part]) -> StreamMessage:
    """The message that `parts` make.

    Raises
    ------
    WireError
        They are not a message of this contract.
    """
    _check_sizes(parts)
    topic = _topic(parts[0])
    header = decode_json(parts[1], limit=MAX_HEADER_BYTES)
    if not isinstance(header, dict) or header.keys() != _KEYS:
        raise WireError(f"a header needs the keys {sorted(_KEYS)}, got {_short(_outline(header))}")
    if header["schema"] != SCHEMA or header["schema"] is True:
        raise WireError(f"this program reads schema {SCHEMA} of the stream, got {_short(header['schema'])}")
    data = header["data"]
    if not isinstance(data, dict):
        raise WireError(f"data of a {topic} message must be an object, got {_short(data)}")
    return StreamMessage(
        topic=topic,
        run=_name(header["run"], "run"),
        seq=_integer(header["seq"], "seq", lowest=0),
        kind=_name(header["kind"], "kind"),
        frame=_integer(header["frame"], "frame", lowest=-1),
        timestamp_ns=_integer(header["timestamp_ns"], "timestamp_ns", lowest=-_INT64),
        data=data,
        arrays=_arrays(header["buffers"], parts[2:]),
    )


def encode_json(value: Json) -> bytes:
    """Strict JSON in UTF-8.

    Raises
    ------
    WireError
        A number is not finite, or a value has no form in JSON.
    """
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise WireError(f"a message needs values that strict JSON can hold: {error}") from error


def decode_json(part: Part, *, limit: int) -> Json:
    """Strict JSON of at most `limit` bytes and `MAX_DEPTH` levels.

    Raises
    ------
    WireError
        It is not that.
    """
    if len(part) > limit:
        raise WireError(f"JSON of at most {limit} bytes was expected, got {len(part)}")
    try:
        value: Json = json.loads(
            bytes(part).decode(),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_object_of_different_keys,
        )
    except (ValueError, RecursionError) as error:
        raise WireError(f"strict JSON was expected, got {_short(bytes(part[:60]))}: {_short(error)}") from error
    if _depth(value) > MAX_DEPTH:
        raise WireError(f"JSON of at most {MAX_DEPTH} levels was expected, got {_depth(value)}")
    return value


def finite_or_none(value: float) -> float | None:
    """A number as JSON has it: null where there is none."""
    number = float(value)
    return number if math.isfinite(number) else None


def next_port_endpoint(endpoint: str) -> str:
    """Where the snapshot socket of a publisher at `endpoint` is by default: one port further.

    Raises
    ------
    WireError
        The endpoint is not ``tcp://HOST:PORT`` with a port below 65535.
    """
    found = re.fullmatch(r"(tcp://.+:)(\d{1,5})", endpoint)
    if found is None or not 0 < int(found[2]) < 65535:
        raise WireError(
            f"an endpoint like tcp://HOST:PORT was expected, got {endpoint!r}; name the snapshot endpoint too"
        )
    return f"{found[1]}{int(found[2]) + 1}"


def _little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(array)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if little.dtype.str not in DTYPES or little.ndim > MAX_DIMENSIONS:
        raise WireError(f"array {name!r} of dtype {array.dtype} and shape {array.shape} has no form on the wire")
    return little


def _check_sizes(parts: Sequence[Part]) -> None:
    if not 2 <= len(parts) <= 2 + MAX_BUFFERS:
        raise WireError(f"a message has 2 to {2 + MAX_BUFFERS} parts, got {len(parts)}")
    size = sum(len(part) for part in parts)
    if size > MAX_MESSAGE_BYTES:
        raise WireError(f"a message has at most {MAX_MESSAGE_BYTES} bytes, got {size}")
    if len(parts[1]) > MAX_HEADER_BYTES:
        raise WireError(f"a header has at most {MAX_HEADER_BYTES} bytes, got {len(parts[1])}")


def _topic(part: Part) -> str:
    for topic in TOPICS:
        if bytes(part[:64]) == topic.encode():
            return topic
    raise WireError(f"a topic of {', '.join(TOPICS)} was expected, got {_short(bytes(part[:64]))}")


def _arrays(told: object, parts: Sequence[Part]) -> tuple[tuple[str, NDArray[Any]], ...]:
    if not isinstance(told, list) or len(told) != len(parts):
        count = len(told) if isinstance(told, list) else _short(told)
        raise WireError(f"the header must tell of each of the {len(parts)} buffers, it tells of {count}")
    arrays = tuple(_array(entry, part) for entry, part in zip(told, parts, strict=True))
    if len({name for name, _ in arrays}) != len(arrays):
        raise WireError("buffers of one message need different names")
    return arrays


def _array(told: object, part: Part) -> tuple[str, NDArray[Any]]:
    if not isinstance(told, dict) or told.keys() != _BUFFER_KEYS:
        raise WireError(f"a buffer needs name, dtype and shape, got {_short(told)}")
    name, code, shape = _name(told["name"], "name of a buffer"), told["dtype"], told["shape"]
    if code not in DTYPES:
        raise WireError(f"a dtype of {', '.join(DTYPES)} was expected for buffer {name!r}, got {_short(code)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise WireError(f"a shape of at most {MAX_DIMENSIONS} lengths was expected for {name!r}, got {_short(shape)}")
    lengths = [_integer(length, f"length of buffer {name!r}", lowest=0) for length in shape]
    dtype = np.dtype(code)
    if math.prod(lengths) * dtype.itemsize != len(part):
        raise WireError(f"buffer {name!r} of shape {lengths} and dtype {code} does not have {len(part)} bytes")
    array = np.frombuffer(part, dtype).reshape(lengths)
    array.flags.writeable = False
    return name, array


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        raise WireError(f"{what} must be a text of 1 to {MAX_NAME} characters, got {_short(value)}")
    return value


def _integer(value: object, what: str, *, lowest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value < _INT64:
        raise WireError(f"{what} must be an integer from {lowest}, got {_short(value)}")
    return value


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _object_of_different_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object has a key twice")
    return values


def _depth(value: Json) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        inner: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = inner
    return depth


def _outline(value: object) -> object:
    return sorted(value) if isinstance(value, dict) else value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."

"""NTNDArrays that a detector should never send, and some day does.

Each is told by the fields of the structure, so that it can be posted through any PVA server; the
same corpus serves the adapter and the whole service.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

NOW_S = 1_800_000_000
"""A day in 2027, the stamp of every frame that does not lie about its time."""
SHAPE = (6, 8)


@dataclass(frozen=True, slots=True)
class HostileFrame:
    """A bad frame and what an honest source does with it.

    Parameters
    ----------
    fields
        Of the NTNDArray.
    reason
        Why it is refused; empty where the source passes it on as it is.
    says
        Words of the refusal.
    """

    name: str
    fields: Mapping[str, Any]
    reason: str = ""
    says: str = ""
    tags: frozenset[str] = field(default_factory=frozenset)


def counts(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=dtype)


def fields_of(
    unique_id: int,
    *,
    member: str = "ushortValue",
    pixels: np.ndarray | None = None,
    shape: tuple[int, ...] = SHAPE,
    stamp_s: int = NOW_S,
    codec: str = "",
    codec_type: object = None,
    attributes: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The fields of an NTNDArray whose `shape` is (rows, columns)."""
    pixels = counts(*SHAPE) if pixels is None else pixels
    stamp = {"secondsPastEpoch": stamp_s, "nanoseconds": unique_id}
    return {
        "value": (member, pixels),
        "codec": {"name": codec, "parameters": codec_type},
        "compressedSize": pixels.nbytes,
        "uncompressedSize": int(np.prod(shape)) * 2,
        "uniqueId": unique_id,
        "timeStamp": stamp,
        "dataTimeStamp": stamp,
        "dimension": [{"size": size, "fullSize": size} for size in reversed(shape)],
        "attribute": [{"name": name, "value": value} for name, value in (attributes or {}).items()],
    }


_RANDOM = np.frombuffer(np.random.default_rng(1).bytes(60), np.uint8)
_BLOSC_BOMB = np.frombuffer(struct.pack("<BBBBIII", 2, 1, 1, 2, 2**31 - 1, 2**31 - 1, 60) + bytes(44), np.uint8)
_UINT16 = 6


def _packed(unique_id: int, codec: str, pixels: np.ndarray = _RANDOM, codec_type: object = _UINT16) -> dict[str, Any]:
    return fields_of(unique_id, member="ubyteValue", pixels=pixels, codec=codec, codec_type=codec_type)


_NAN = np.full(48, np.nan, dtype=np.float32)

HOSTILE_NTNDARRAYS = (
    HostileFrame("truncated", fields_of(101, pixels=counts(5, 8)), "WRONG_SHAPE", "48 pixels, got 40"),
    HostileFrame("too many pixels", fields_of(102, pixels=counts(7, 8)), "WRONG_SHAPE", "48 pixels, got 56"),
    HostileFrame("no pixels", fields_of(103, pixels=counts(0)), "WRONG_SHAPE", "got 0"),
    HostileFrame("one dimension", fields_of(104, shape=(48,)), "WRONG_SHAPE", "two dimensions"),
    HostileFrame("three dimensions", fields_of(105, shape=(2, 3, 8)), "WRONG_SHAPE", "two dimensions"),
    HostileFrame("a dimension of zero", fields_of(106, shape=(0, 8)), "WRONG_SHAPE", "larger than zero"),
    HostileFrame("a negative dimension", fields_of(107, shape=(-6, -8)), "WRONG_SHAPE", "larger than zero"),
    HostileFrame("absurd dimensions", fields_of(108, shape=(2**31 - 1, 2**31 - 1)), "WRONG_SHAPE", "at most"),
    HostileFrame("a thousand dimensions", fields_of(109, shape=(1,) * 1000), "WRONG_SHAPE", "1000"),
    HostileFrame("colour", fields_of(110, attributes={"ColorMode": 2}), "WRONG_SHAPE", "RGB1"),
    HostileFrame("an unknown colour mode", fields_of(111, attributes={"ColorMode": 99}), "WRONG_SHAPE", "99"),
    HostileFrame(
        "booleans", fields_of(112, member="booleanValue", pixels=counts(6, 8) > 3), "WRONG_TYPE", "counts, got bool"
    ),
    HostileFrame("an unknown codec", _packed(113, "zzip"), "WRONG_TYPE", "zzip"),
    HostileFrame("blosc garbage", _packed(114, "blosc"), "UNREADABLE", "blosc"),
    HostileFrame("a blosc bomb", _packed(115, "blosc", _BLOSC_BOMB), "UNREADABLE", "2147483647"),
    HostileFrame("lz4 garbage", _packed(116, "lz4"), "UNREADABLE", "lz4"),
    HostileFrame("bslz4 garbage", _packed(117, "bslz4"), "UNREADABLE", "bslz4"),
    HostileFrame("jpeg garbage", _packed(118, "jpeg", codec_type=5), "UNREADABLE", "jpeg"),
    HostileFrame("a codec without a type", _packed(119, "lz4", codec_type=None), "WRONG_TYPE", "codec.parameters"),
    HostileFrame("a codec of an unknown type", _packed(120, "lz4", codec_type=77), "WRONG_TYPE", "77"),
    HostileFrame("a compressed frame of no bytes", _packed(121, "blosc", _RANDOM[:0]), "UNREADABLE", "0 bytes"),
    HostileFrame("not a number", fields_of(122, member="floatValue", pixels=_NAN), tags=frozenset({"nan"})),
    HostileFrame("another type", fields_of(123, member="doubleValue", pixels=counts(6, 8, dtype="float64"))),
    HostileFrame("another shape", fields_of(124, pixels=counts(3, 4), shape=(3, 4))),
    HostileFrame("a time that was never set", fields_of(125, stamp_s=0), tags=frozenset({"time"})),
    HostileFrame("the EPICS epoch", fields_of(126, stamp_s=631_152_000), tags=frozenset({"time"})),
    HostileFrame("the far future", fields_of(127, stamp_s=NOW_S * 2), tags=frozenset({"time"})),
    HostileFrame("the end of time", fields_of(128, stamp_s=2**62), tags=frozenset({"time"})),
    HostileFrame("a time before 1970", fields_of(129, stamp_s=-(2**62)), tags=frozenset({"time"})),
    HostileFrame("a repeated id", fields_of(129), tags=frozenset({"id"})),
    HostileFrame("an id that went back", fields_of(3), tags=frozenset({"id"})),
    HostileFrame("a negative id", fields_of(-5), tags=frozenset({"id"})),
    HostileFrame("attributes that are no scalars", fields_of(130, attributes={"roi": np.arange(4), "none": None})),
    HostileFrame("an exposure that is no number", fields_of(131, attributes={"AcquireTime": "fast"})),
    HostileFrame("an infinite exposure", fields_of(132, attributes={"AcquireTime": float("inf")})),
    HostileFrame("a thousand attributes", fields_of(133, attributes={f"a{n}": "x" * 4096 for n in range(1000)})),
)

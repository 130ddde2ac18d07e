"""A checkpoint as bytes: a JSON head and raw arrays behind it. Images of darks go into files of their own.

Layout: magic (8), length of all that follows the checksum (8), CRC-32 of that (4), length of the head (4),
head, arrays in its order. Integers are little-endian.
"""

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.core.records import Checkpoint
from ringwatch_pipelines.analysis_memory import AnalyserMemory
from ringwatch_pipelines.frames import DetectorConditions, read_only
from ringwatch_pipelines.patterns import BinSums
from ringwatch_pipelines.reduction.corrections import Dark
from ringwatch_pipelines.reduction.darks import DarkMemory, DarkSeries
from ringwatch_pipelines.reduction.frame_quality import JudgeState, QualityState
from ringwatch_pipelines.reduction.lag import LagState, Light
from ringwatch_pipelines.several_cells import CellsMemory
from ringwatch_pipelines.tracks.change_points import OnsetRule, OnsetState
from ringwatch_pipelines.tracks.onsets import OnsetMemory

Array = NDArray[Any]
_MAGIC = b"RWCHECK1"
_FRAME = struct.Struct("<8sQI")
_LENGTH = struct.Struct("<I")
_NOTHING = np.empty((0, 3))
_SUMS = ("raw", "dark", "norm", "variance")


def encode_checkpoint(row: int, checkpoint: Checkpoint) -> tuple[bytes, dict[str, Array]]:
    """The checkpoint after `row` as bytes, and the images it names, by the names of their files."""
    arrays, images = _Arrays(), dict[str, Array]()
    of_cells = checkpoint.memory if isinstance(checkpoint.memory, CellsMemory) else CellsMemory("", checkpoint.memory)
    head: dict[str, Any] = {
        "row": row,
        "flags": list(checkpoint.flags),
        "several_cells": isinstance(checkpoint.memory, CellsMemory),
        "current": of_cells.current,
        "memory": _told_memory(of_cells.memory, arrays, images),
        "waiting": [[name, _told_memory(one, arrays, images)] for name, one in of_cells.waiting],
    }
    head["arrays"] = [[array.dtype.str, list(array.shape)] for array in arrays.held]
    told = json.dumps(head).encode()
    body = b"".join([_LENGTH.pack(len(told)), told, *(array.tobytes() for array in arrays.held)])
    return _FRAME.pack(_MAGIC, len(body), zlib.crc32(body)) + body, images


def decode_checkpoint(data: bytes, image_of: Callable[[str], Array]) -> tuple[int, Checkpoint]:
    """Row and checkpoint from bytes.

    Parameters
    ----------
    image_of
        Reads an image by the name of its file.

    Raises
    ------
    InputFileError
        The bytes are no whole checkpoint.
    """
    head, arrays = _parts(data)
    memory = _memory(head["memory"], arrays, image_of)
    if head["several_cells"]:
        waiting = tuple((name, _memory(told, arrays, image_of)) for name, told in head["waiting"])
        return head["row"], Checkpoint(CellsMemory(head["current"], memory, waiting), tuple(head["flags"]))
    return head["row"], Checkpoint(memory, tuple(head["flags"]))


def row_of_checkpoint(data: bytes) -> int:
    """The row that a checkpoint stands after.

    Raises
    ------
    InputFileError
        The bytes are no whole checkpoint.
    """
    return int(_parts(data)[0]["row"])


def images_of_checkpoint(data: bytes) -> frozenset[str]:
    """Names of the files that a checkpoint needs.

    Raises
    ------
    InputFileError
        The bytes are no whole checkpoint.
    """
    told = _parts(data)[0]["memory"]  # the darks are the detector's: those of other cells' memories are the same
    series = [told["series"]] if told["series"] is not None else []
    return frozenset(dark["image"] for dark in [*told["kept"], *series])


class _Arrays:
    """Arrays that go along, each known by its place."""

    def __init__(self) -> None:
        self.held: list[Array] = []

    def add(self, array: Array | None) -> int | None:
        if array is None:
            return None
        self.held.append(np.ascontiguousarray(array))
        return len(self.held) - 1


def _parts(data: bytes) -> tuple[dict[str, Any], list[Array]]:
    if len(data) < _FRAME.size:
        raise InputFileError(f"a checkpoint was expected, got {len(data)} bytes")
    magic, length, checksum = _FRAME.unpack_from(data)
    body = memoryview(data)[_FRAME.size : _FRAME.size + length]
    if magic != _MAGIC or len(body) != length or zlib.crc32(body) != checksum:
        raise InputFileError(f"a whole checkpoint of {length} bytes was expected, got one that was cut off or damaged")
    (told,) = _LENGTH.unpack_from(body)
    head = json.loads(bytes(body[_LENGTH.size : _LENGTH.size + told]))
    at, arrays = _LENGTH.size + told, []
    for dtype, shape in head["arrays"]:
        size = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
        arrays.append(read_only(np.frombuffer(body[at : at + size], dtype=dtype).reshape(shape)))
        at += size
    return head, arrays


def _told_memory(memory: AnalyserMemory, arrays: _Arrays, images: dict[str, Array]) -> dict[str, Any]:
    return {
        "parameters": arrays.add(memory.parameters),
        "chi_square": memory.chi_square,
        "misfits": memory.misfits,
        "sums": _told_sums(memory.sums, arrays),
        "sum_began_ns": memory.sum_began_ns,
        "textures": [_told_sums(sums, arrays) for sums in memory.textures],
        "onsets": _told_onsets(memory.onsets, arrays),
        "lags": [_told_lag(lag, arrays) for lag in memory.lags],
        "judge": _told_judge(memory.judge, arrays),
        "told_dark": memory.told_dark,
        "told_offset": memory.told_offset,
        "rings_checked": memory.rings_checked,
        "next_index": memory.darks.next_index,
        "kept": [_told_dark(index, dark, images) for index, dark in memory.darks.kept],
        "series": _told_series(memory.darks, images),
    }


def _memory(told: dict[str, Any], arrays: list[Array], image_of: Callable[[str], Array]) -> AnalyserMemory:
    darks = DarkMemory(
        kept=tuple((dark["index"], _dark(dark, image_of)) for dark in told["kept"]),
        next_index=told["next_index"],
        series=None if told["series"] is None else _series(told["series"], image_of),
    )
    return AnalyserMemory(
        darks=darks,
        parameters=_array(told["parameters"], arrays),
        chi_square=told["chi_square"],
        misfits=told["misfits"],
        sums=_sums(told["sums"], arrays),
        sum_began_ns=told["sum_began_ns"],
        textures=tuple(_sums(texture, arrays) for texture in told["textures"]),
        onsets=_onsets(told["onsets"], arrays),
        lags=tuple(_lag(lag, arrays) for lag in told["lags"]),
        judge=_judge(told["judge"], arrays),
        told_dark=told["told_dark"],
        told_offset=told["told_offset"],
        rings_checked=told["rings_checked"],
    )


def _told_sums(sums: BinSums | None, arrays: _Arrays) -> dict[str, int | None] | None:
    if sums is None:
        return None
    return {"frames": sums.frames} | {name: arrays.add(getattr(sums, name)) for name in _SUMS}


def _sums(told: dict[str, int] | None, arrays: list[Array]) -> BinSums | None:
    if told is None:
        return None
    return BinSums(**{name: arrays[told[name]] for name in _SUMS}, frames=told["frames"])


def _told_onsets(onsets: OnsetMemory, arrays: _Arrays) -> dict[str, Any]:
    states = [
        [name, asdict(replace(state, history=_NOTHING)) | {"history": arrays.add(state.history)}]
        for name, state in onsets.states
    ]
    return {"origin_ns": onsets.origin_ns, "states": states}


def _onsets(told: dict[str, Any], arrays: list[Array]) -> OnsetMemory:
    states = (
        (name, OnsetState(**state | {"rule": OnsetRule(**state["rule"]), "history": arrays[state["history"]]}))
        for name, state in told["states"]
    )
    return OnsetMemory(told["origin_ns"], tuple(states))


def _told_lag(lag: LagState, arrays: _Arrays) -> dict[str, Any]:
    before = [[arrays.add(light.counts), arrays.add(light.variance), light.measured] for light in lag.before]
    return {"last_id": lag.last_id, "before": before}


def _lag(told: dict[str, Any], arrays: list[Array]) -> LagState:
    before = (Light(arrays[counts], arrays[variance], measured) for counts, variance, measured in told["before"])
    return LagState(told["last_id"], tuple(before))


def _told_judge(judge: JudgeState, arrays: _Arrays) -> dict[str, Any]:
    quality = judge.quality
    return {
        "frames": judge.frames,
        "usual": judge.usual,
        "reference": arrays.add(quality.reference),
        "variance": arrays.add(quality.variance),
        "conditions": asdict(quality.conditions),
        "poor": quality.poor,
        "poor_light": quality.poor_light,
    }


def _judge(told: dict[str, Any], arrays: list[Array]) -> JudgeState:
    quality = QualityState(
        reference=_array(told["reference"], arrays),
        variance=_array(told["variance"], arrays),
        conditions=DetectorConditions(**told["conditions"]),
        poor=told["poor"],
        poor_light=told["poor_light"],
    )
    return JudgeState(quality, told["frames"], told["usual"])


def _array(place: int | None, arrays: list[Array]) -> Array | None:
    return None if place is None else arrays[place]


def _told_dark(index: int, dark: Dark, images: dict[str, Array]) -> dict[str, Any]:
    name = f"dark-{dark.checksum}.npy"
    images[name] = dark.image
    return {
        "index": index,
        "image": name,
        "conditions": asdict(dark.conditions),
        "timestamp_ns": dark.timestamp_ns,
        "frames": dark.frames,
        "checksum": dark.checksum,
        "origin": dark.origin,
    }


def _dark(told: dict[str, Any], image_of: Callable[[str], Array]) -> Dark:
    return Dark(
        image=image_of(told["image"]),
        conditions=DetectorConditions(**told["conditions"]),
        timestamp_ns=told["timestamp_ns"],
        frames=told["frames"],
        checksum=told["checksum"],
        origin=told["origin"],
    )


def _told_series(darks: DarkMemory, images: dict[str, Array]) -> dict[str, Any] | None:
    series = darks.series
    if series is None:
        return None
    name = f"series-{darks.next_index}-{series.last_timestamp_ns}-{series.frames}.npy"
    images[name] = series.total
    return {
        "image": name,
        "conditions": asdict(series.conditions),
        "last_timestamp_ns": series.last_timestamp_ns,
        "origin": series.origin,
        "frames": series.frames,
    }


def _series(told: dict[str, Any], image_of: Callable[[str], Array]) -> DarkSeries:
    return DarkSeries(
        total=image_of(told["image"]),
        conditions=DetectorConditions(**told["conditions"]),
        last_timestamp_ns=told["last_timestamp_ns"],
        origin=told["origin"],
        frames=told["frames"],
    )

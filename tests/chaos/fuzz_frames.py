"""Nonsense in the place of frames: NTNDArrays, waveforms of Channel Access, codecs, files."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fabio
import h5py
import numpy as np
from p4p import Value

from chaos.fuzz import Attempt, mutated
from chaos.violations import Violation
from fakes.clock import ManualClock
from fakes.intake import RecordingIntake
from fakes.pva_server import NTNDARRAY
from ringwatch_daemon.core.errors import InputFileError
from ringwatch_daemon.sources.area_detector import AreaDetectorPvs, DetectorState
from ringwatch_daemon.sources.codecs import decompress
from ringwatch_daemon.sources.handover import Arrival, Handover
from ringwatch_daemon.sources.images import read_frames
from ringwatch_daemon.sources.metadata import MetadataNames
from ringwatch_daemon.sources.ndarray import announcement_of, image_of, is_empty, is_ntndarray
from ringwatch_daemon.sources.refusals import FrameRefusedError
from ringwatch_daemon.sources.times import StampMarks
from ringwatch_daemon.sources.watchdog import FrameWatchdog
from ringwatch_daemon.sources.wire_arrays import image_from_pixels, pixels_from_wire

NOW_NS = 1_800_000_000_000_000_000
MOST_BYTES = 64 * 2**20
MEMBERS = {
    "booleanValue": "?", "byteValue": "i1", "shortValue": "i2", "intValue": "i4", "longValue": "i8", "ubyteValue": "u1",
    "ushortValue": "u2", "uintValue": "u4", "ulongValue": "u8", "floatValue": "f4", "doubleValue": "f8",
}  # fmt: skip
CODECS = ("", "", "", "blosc", "lz4", "bslz4", "jpeg", "zzip", "\x00", "BLOSC", "é" * 100)
SIZES = (0, 1, 2, 3, 7, 8, 16, 64, 255, 4096, 65536, 2**31 - 1, -1, -8, -(2**31))
STAMPS = (0, 1, 631_152_000, 1_800_000_000, 4_000_000_000, 2**40, 2**62, -1, -(2**62))


@contextmanager
def ndarrays() -> Iterator[Attempt]:
    """NTNDArrays, decoded as the PVA source decodes them."""
    intake, clock = RecordingIntake(), ManualClock(NOW_NS)
    handover = Handover(
        intake,
        clock,
        origin="P:Pva1:Image",
        names=MetadataNames(),
        marks=StampMarks.END,
        state=DetectorState(AreaDetectorPvs()),
        watchdog=FrameWatchdog(intake, clock, stall_s=1e9, stage="P:Pva1:Image"),
    )

    def attempt(chance: random.Random) -> str:
        value = ndarray(chance)
        if not is_ntndarray(value) or is_empty(value):
            return ""
        before = len(intake.frames) + len(intake.refusals)
        said = announcement_of(value)
        arrival = Arrival(said.unique_id, said.stamp_ns, said.data_stamp_ns, said.attributes)
        handover.arrived(arrival, lambda: image_of(value, said.attributes, max_image_bytes=MOST_BYTES))
        if len(intake.frames) + len(intake.refusals) - before > 1:
            raise Violation("one array made more than one frame")
        sentence = intake.refusals[-1].text if intake.refusals else ""
        intake.frames.clear()
        intake.refusals.clear()
        intake.warnings.clear()
        return sentence

    yield attempt


def ndarray(chance: random.Random) -> Any:
    """An NTNDArray in which anything may contradict anything."""
    member = chance.choice(list(MEMBERS))
    dtype = np.dtype(MEMBERS[member])
    pixels = np.frombuffer(chance.randbytes(chance.choice((0, 1, 8, 64, 96, 4096)) * dtype.itemsize), dtype=np.uint8)
    image = (pixels & 1).astype(bool) if dtype.kind == "b" else pixels.view(dtype)
    dimensions = [chance.choice(SIZES) for _ in range(chance.choice((0, 1, 2, 2, 2, 2, 3, 5, 400)))]
    if chance.random() < 0.4 and image.size:
        rows = chance.choice([size for size in range(1, 9) if image.size % size == 0])
        dimensions = [image.size // rows, rows]
    return Value(
        NTNDARRAY,
        {
            "value": (member, image),
            "codec": {"name": chance.choice(CODECS), "parameters": _variant(chance)},
            "compressedSize": chance.choice((image.nbytes, 0, -1, 2**62)),
            "uncompressedSize": chance.choice((image.nbytes, 0, -1, 2**62)),
            "uniqueId": chance.choice((chance.randrange(2**31), 0, -1, -(2**31), 2**31 - 1)),
            "timeStamp": _stamp(chance),
            "dataTimeStamp": _stamp(chance),
            "dimension": [{"size": size, "fullSize": size} for size in dimensions],
            "attribute": [
                {"name": _name(chance), "value": _variant(chance)} for _ in range(chance.choice((0, 0, 1, 3, 300)))
            ],
        },
    )


def _stamp(chance: random.Random) -> dict[str, int]:
    return {
        "secondsPastEpoch": chance.choice(STAMPS),
        "nanoseconds": chance.choice((0, 1, 999_999_999, 2**31 - 1, -1, -(2**31))),
    }


def _name(chance: random.Random) -> str:
    known = ("ColorMode", "AcquireTime", "TriggerMode", "PEGain", "ShutterClosed", "IonChamber", "PEUseOffset")
    return chance.choice((*known, "", "\x00", "é" * 200, "a b\nc"))


def _variant(chance: random.Random) -> Any:
    return chance.choice(
        (
            None, 0, 1, 5, 6, 9, 10, 77, -1, 2**31 - 1, 2**62, 0.5, -1e300, float("nan"), float("inf"), "", "Mono",
            "RGB1", "fast", "\n", "x" * 5000, np.arange(3), np.array([], dtype=np.float64), ["a", "b"],
        )
    )  # fmt: skip


@contextmanager
def waveforms() -> Iterator[Attempt]:
    """Waveforms of Channel Access with records that contradict them."""
    types = ("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float32", "Float64")

    def attempt(chance: random.Random) -> str:
        wire = np.frombuffer(chance.randbytes(8 * chance.choice((0, 1, 6, 8, 64, 100))), dtype=np.uint8)
        wire = wire.view(chance.choice(("i1", "u1", "i2", "i4", "f4", "f8")))
        sizes = tuple(chance.choice((*SIZES, wire.size)) for _ in range(3))
        try:
            pixels = pixels_from_wire(wire, chance.choice((*types, "", "UInt16 ", "uint16", "7", "Mono", "\n")))
            image = image_from_pixels(pixels, sizes=sizes, colour_mode=chance.choice(("Mono", "", "RGB1", "0", "9\n")))
        except FrameRefusedError as error:
            return str(error)
        if image.flags.writeable or image.ndim != 2 or image.size != wire.size:
            raise Violation(f"{wire.size} of {wire.dtype} became {image.shape} of {image.dtype}")
        return ""

    yield attempt


@contextmanager
def packed() -> Iterator[Attempt]:
    """Compressed frames that are none, or were one."""

    def attempt(chance: random.Random) -> str:
        dtype = np.dtype(chance.choice(("u1", "u2", "i4", "f4", "f8")))
        pixels = chance.choice((1, 7, 8, 48, 1000, 4096))
        codec = chance.choice(CODECS[3:])
        data = chance.randbytes(chance.choice((0, 1, 15, 16, 60, 300)))
        if chance.random() < 0.7:
            data = _header(codec, data, pixels * dtype.itemsize, chance)
        try:
            image = decompress(codec, data, dtype=dtype, pixels=pixels)
        except FrameRefusedError as error:
            return str(error)
        if image.size != pixels:
            raise Violation(f"{pixels} pixels were asked of {codec}, {image.size} came")
        return ""

    yield attempt


def _header(codec: str, data: bytes, unpacked: int, chance: random.Random) -> bytes:
    """Bytes that begin as those of the codec do."""
    if codec == "blosc":
        flags = bytes((2, 1, chance.randrange(256), chance.choice((1, 2, 4, 8, 0, 255))))
        lengths = (unpacked, chance.choice((unpacked, 1, 0, 2**31)), len(data) + 16)
        return flags + b"".join(length.to_bytes(4, "little") for length in lengths) + data
    if codec == "bslz4":
        return len(data).to_bytes(4, "big") + data
    if codec == "jpeg":
        return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + data
    return data


@contextmanager
def image_files() -> Iterator[Attempt]:
    """Files of images that something has gnawed at."""
    with TemporaryDirectory(prefix="ringwatch-fuzz-") as folder:
        whole = _whole_files(Path(folder))

        def attempt(chance: random.Random) -> str:
            suffix, data = chance.choice(whole)
            path = Path(folder) / f"gnawed{suffix}"
            path.write_bytes(
                chance.randbytes(chance.randint(0, 600)) if chance.random() < 0.1 else mutated(data, chance)
            )
            try:
                for frame in read_frames(path):
                    if frame.image.ndim != 2:
                        raise Violation(f"{path.name} became an image of shape {frame.image.shape}")
            except InputFileError as error:
                return str(error)
            return ""

        yield attempt


def _whole_files(folder: Path) -> list[tuple[str, bytes]]:
    image = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    header = {"Exposure_time": "1.5", "Date": "2026-01-02T03:04:05Z"}
    for kind, suffix in ((fabio.edfimage.EdfImage, ".edf"), (fabio.tifimage.TifImage, ".tif")):
        kind(data=image, header=header).write(str(folder / f"whole{suffix}"))
    fabio.cbfimage.CbfImage(data=image.astype(np.int32)).write(str(folder / "whole.cbf"))
    np.save(folder / "whole.npy", image)
    with h5py.File(folder / "whole.h5", "w") as file:
        file["entry/data/data"] = np.stack([image, image])
        file["entry/data/exposure"] = np.array([1.0, 2.0])
    return [(suffix, (folder / f"whole{suffix}").read_bytes()) for suffix in (".edf", ".tif", ".cbf", ".npy", ".h5")]

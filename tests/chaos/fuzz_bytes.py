"""Nonsense in place of bytes that we wrote or would send: messages, requests, what a kill leaves, cyclers' files."""

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from chaos.fuzz import Attempt, mutated
from chaos.fuzz_stream import requests
from chaos.violations import Violation
from fakes import records
from fakes.checkpoints import checkpoint
from fakes.clock import ManualClock
from fakes.stages import frame
from ringwatch_daemon.core.errors import CyclerError, InputFileError, WireError
from ringwatch_daemon.core.messages import messages_from_record
from ringwatch_daemon.core.wire import decode, encode
from ringwatch_daemon.cyclers.declarations import Declarations, FileCyclerConfig
from ringwatch_daemon.cyclers.open_reader import open_reader
from ringwatch_daemon.sinks.checkpoint_codec import encode_checkpoint, row_of_checkpoint
from ringwatch_daemon.sinks.run_memory import RunIdentity, checkpoint_at, identity_in
from ringwatch_daemon.sinks.sequence_mark import next_seq_after
from ringwatch_daemon.sinks.stream_history import StreamHistory
from ringwatch_daemon.sinks.stream_requests import answer
from ringwatch_daemon.workers.frame_spool import FrameSpool
from ringwatch_daemon.workers.spooled_frames import read_frame, write_frame

LONG_AGO_S = 1_000_000_000
BIOLOGIC = """EC-Lab ASCII FILE
Nb header lines : 3
mode\ttime/s\tEwe/V\tI/mA\tcycle number
"""
TABLES = (
    "time,voltage_V,current_A,cycle\n" + "".join(f"2026-01-02T03:04:{s:02d}Z,3.1,0.001,1\n" for s in range(60)),
    "Test_Time(s),Voltage(V),Current(A),Cycle_Index,Step_Index\n" + "".join(f"{s},3.1,0.1,1,2\n" for s in range(60)),
    BIOLOGIC + "".join(f"1\t{s},5\t3,25\t-0,5\t0\n" for s in range(60)),
)


@contextmanager
def stream_requests() -> Iterator[Attempt]:
    """Requests at the snapshot socket, without the socket."""
    history = StreamHistory(2**20)
    for message in _messages():
        history.append(message)

    def attempt(chance: random.Random) -> str:
        reply, good = answer(next(requests(chance)), history)
        head = json.loads(reply[0])
        if good != (head["reply"] != "error") or (not good and len(reply) > 1):
            raise Violation(f"an answer that contradicts itself: {head}")
        return "" if good else head["text"]

    yield attempt


@contextmanager
def stream_messages() -> Iterator[Attempt]:
    """Messages as a subscriber gets them, gnawed at."""
    whole = [encode(message) for message in _messages()]

    def attempt(chance: random.Random) -> str:
        parts = list(chance.choice(whole))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(parts))
            parts[at] = mutated(parts[at], chance)
        if chance.random() < 0.2:
            del parts[chance.randrange(len(parts))]
        try:
            decode(parts)
        except WireError as error:
            return str(error)
        return ""

    yield attempt


def _messages() -> list:
    start = records.run_start()
    told, messages = [start, *(records.frame_record(row) for row in range(5)), records.event(), records.status()], []
    for record in told:
        messages += messages_from_record(record, start=start, first_seq=len(messages), now_ns=1)
    return messages


@contextmanager
def checkpoints() -> Iterator[Attempt]:
    """The state of a run as a damaged disk gives it back, slot by slot and all of it."""
    with TemporaryDirectory(prefix="ringwatch-fuzz-") as place:
        folder = Path(place)
        data, images = encode_checkpoint(7, checkpoint())
        for name, image in images.items():
            np.save(folder / name, image)
        whole = {
            "checkpoint-0": data,
            "sequence": b"\0" * 52,
            **{name: (folder / name).read_bytes() for name in images},
        }
        identity = RunIdentity("run", 1, "0" * 64)
        whole["run.json"] = json.dumps({name: getattr(identity, name) for name in identity.__slots__}).encode()

        def attempt(chance: random.Random) -> str:
            name = chance.choice(list(whole))
            path = folder / name
            path.write_bytes(mutated(whole[name], chance))
            try:
                return _read_memory(folder, chance)
            finally:
                path.write_bytes(whole[name])

        yield attempt


def _read_memory(folder: Path, chance: random.Random) -> str:
    """As the start of a daemon reads it: nothing raises but an `InputFileError`."""
    found = checkpoint_at(folder, chance.choice((0, 7, 8, 100)))
    if found is not None and found.memory is None:
        raise Violation("a checkpoint without a memory")
    if not 0 <= next_seq_after(folder / "sequence") < 2**64:
        raise Violation("a number of the stream beyond all numbers")
    try:
        identity_in(folder)
        row_of_checkpoint((folder / "checkpoint-0").read_bytes())
    except (InputFileError, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


@contextmanager
def spooled() -> Iterator[Attempt]:
    """Frames that waited on a damaged disk: found again at the start, then loaded or refused."""
    with TemporaryDirectory(prefix="ringwatch-fuzz-") as place:
        folder = Path(place)
        write_frame(folder / "whole", frame(5))
        whole = (folder / "whole").read_bytes()
        names = count()

        def attempt(chance: random.Random) -> str:
            path = folder / f"{next(names):012d}.frame"
            path.write_bytes(mutated(whole, chance))
            spool = FrameSpool(folder, quota_bytes=2**20)
            found = spool.recover(frozenset())
            try:
                for place in found:
                    read_frame(place.path)
                    place.load()
            except InputFileError as error:
                return str(error)
            finally:
                path.unlink(missing_ok=True)
                spool.close()
            return "" if found else "it is lost"

        yield attempt


@contextmanager
def cycler_files() -> Iterator[Attempt]:
    """Texts of cyclers that something has gnawed at, finished long ago."""
    with TemporaryDirectory(prefix="ringwatch-fuzz-") as folder:
        path = Path(folder) / "cell.txt"
        clock = ManualClock()

        def attempt(chance: random.Random) -> str:
            table = chance.choice(TABLES).encode()
            path.write_bytes(chance.randbytes(400) if chance.random() < 0.1 else mutated(table, chance))
            os.utime(path, (LONG_AGO_S, LONG_AGO_S))
            reader = open_reader(
                FileCyclerConfig(path, Declarations(zone="UTC", start="2026-01-02T03:04:05")), clock=clock
            )
            sentence = ""
            try:
                for _ in range(4):
                    try:
                        samples = reader.poll()
                    except CyclerError as error:
                        sentence = str(error)
                        continue
                    if samples is not None and samples.timestamp_ns.size > 200:
                        raise Violation(f"60 lines became {samples.timestamp_ns.size} samples")
            finally:
                reader.close()
            return sentence

        yield attempt

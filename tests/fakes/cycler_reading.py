"""Reads a cycler's file to its end, as a run does."""

import os
from dataclasses import dataclass, fields

import numpy as np

from ringwatch_daemon.core.errors import CyclerError
from ringwatch_daemon.cyclers.declarations import Declarations, FileCyclerConfig
from ringwatch_daemon.cyclers.open_reader import open_reader
from ringwatch_pipelines.cell.cycling import CyclerSamples

from .clock import ManualClock

LONG_AGO_S = 1_000_000_000


@dataclass(frozen=True)
class FullyRead:
    samples: CyclerSamples
    said: tuple[str, ...]


def reader_of(path, *, clock=None, **declared):
    """A reader for which, by its clock, every file was finished long ago."""
    return open_reader(FileCyclerConfig(path, Declarations(**declared)), clock=clock or ManualClock())


def drained(reader) -> FullyRead:
    blocks, said, silent = [], [], 0
    while silent < 3 and len(said) < 10:
        try:
            samples = reader.poll()
        except CyclerError as error:
            silent += str(error) in said
            said.append(str(error))
            continue
        silent = 0 if samples is not None else silent + 1
        if samples is not None:
            blocks.append(samples)
    return FullyRead(joined(blocks), tuple(dict.fromkeys(said)))


def everything(path, **declared) -> FullyRead:
    reader = reader_of(path, **declared)
    try:
        return drained(reader)
    finally:
        reader.close()


def joined(blocks) -> CyclerSamples:
    if not blocks:
        return CyclerSamples(**{field.name: np.empty(0) for field in fields(CyclerSamples)})
    return CyclerSamples(
        **{
            field.name: np.concatenate([getattr(block, field.name) for block in blocks])
            for field in fields(CyclerSamples)
        }
    )


def written(path, text, *, encoding="utf-8"):
    """A text file that was finished long ago."""
    path.write_text(text, encoding=encoding)
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return path

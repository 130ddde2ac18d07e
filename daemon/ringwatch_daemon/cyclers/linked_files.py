"""The linked files of one run, one a technique, as one series."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ringwatch_daemon.core.clock import Clock
from ringwatch_daemon.cyclers.declarations import FileCyclerConfig
from ringwatch_daemon.cyclers.recognised_file import RecognisedFileCycler
from ringwatch_pipelines.cell.cycling import CyclerSamples
from ringwatch_pipelines.frames import read_only

_WILDCARDS = re.compile(r"[*?\[]")


def is_pattern(path: Path) -> bool:
    """Whether a path stands for several files."""
    return bool(_WILDCARDS.search(str(path))) and not path.exists()


class LinkedFilesCycler:
    """Reads every file that a pattern matches, also those that come later, in the natural order of their names.

    Each file counts its charge from its own beginning, so the charge between two files is integrated
    from the current: the first row of a further file tells none.

    Parameters
    ----------
    config
        Its path is a pattern.
    clock
        As for a single file.
    """

    def __init__(self, config: FileCyclerConfig, *, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._readers: dict[Path, RecognisedFileCycler] = {}
        self._begun: set[Path] = set()
        self._next = 0

    def poll(self) -> CyclerSamples | None:
        """New samples of one of the files, or None where there are none in any.

        Raises
        ------
        CyclerError
            One of the files cannot be understood; the next call goes on with the others.
        """
        self._find()
        paths = list(self._readers)
        for _ in paths:
            path = paths[self._next % len(paths)]
            self._next += 1
            samples = self._readers[path].poll()
            if samples is not None:
                # The rest of this file before the next one.
                self._next -= 1
                return self._placed(path, samples)
        return None

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._readers.values():
            reader.close()

    def _find(self) -> None:
        pattern = self._config.path
        anchor = Path(pattern.anchor)
        for path in sorted(anchor.glob(str(pattern.relative_to(anchor))), key=_natural_order):
            if path not in self._readers:
                self._readers[path] = RecognisedFileCycler(replace(self._config, path=path), clock=self._clock)

    def _placed(self, path: Path, samples: CyclerSamples) -> CyclerSamples:
        is_further = bool(self._begun) and path not in self._begun
        self._begun.add(path)
        if not is_further:
            return samples
        charge_C = samples.charge_C.copy()
        charge_C[0] = np.nan
        return replace(samples, charge_C=read_only(charge_C))


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Technique 10 comes after technique 9."""
    parts = (part for part in re.split(r"(\d+)", str(path)) if part)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]

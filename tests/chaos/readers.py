"""Who reads the file of a run while it grows."""

import subprocess
import sys
from pathlib import Path

from chaos.violations import Violation

FOLLOWER = Path(__file__).with_name("follower.py")


class SwmrReader:
    """The program of `chaos.follower` beside a run."""

    def __init__(self, run: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(FOLLOWER), str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> str:
        """End it and return what it says of itself.

        Raises
        ------
        Violation
            What it had read has changed, or it could not read on.
        """
        said, _ = self._process.communicate("", timeout=60.0)
        if self._process.returncode:
            raise Violation(f"a SWMR reader complains: {said.strip()[-500:]}")
        return said.strip()

    def abandon(self) -> None:
        """End it whatever it found."""
        self._process.kill()
        self._process.communicate()


HOLDER = """
import sys, h5py
file = h5py.File(sys.argv[1])
print(len(file["entry/frames/unique_id"]), flush=True)
sys.stdin.read()
"""


class PlainReader:
    """Another program that has the file open plainly and does not let go."""

    def __init__(self, run: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline().strip().isdigit():
            raise Violation(f"{run} cannot be opened plainly while it grows")

    def close(self) -> None:
        """Let go."""
        self._process.communicate("", timeout=30.0)

"""A run whose disk cannot take it up at the moment is waited for: no other one is begun in its place."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from ringwatch_daemon.core.errors import StorageError
from ringwatch_daemon.sinks.cut_off_run import find_cut_off_run
from ringwatch_daemon.sinks.run_memory import RunIdentity, memory_folder

FINGERPRINT = "f" * 64


def mount(*arguments: object) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system of its own was wanted for this test: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid():
        pytest.skip("only root can mount a file system for this test")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def cut_off(disk: Path, fingerprint: str) -> Path:
    run = disk / "run.h5"
    run.write_bytes(b"whatever")
    memory_folder(run).mkdir()
    (memory_folder(run) / "run.json").write_text(json.dumps(asdict(RunIdentity("run", 1, fingerprint))))
    mount("-o", "remount,ro", disk)
    return run


def test_a_run_on_a_disk_that_is_read_only_is_waited_for(disk):
    run = cut_off(disk, FINGERPRINT)
    for place in (run, disk):
        with pytest.raises(StorageError, match=r"run\.h5 cannot be taken up now: Read-only"):
            find_cut_off_run(place, fingerprint=FINGERPRINT, max_age_s=1e12, now_ns=0)


def test_a_run_of_another_configuration_is_of_no_concern(disk):
    run = cut_off(disk, FINGERPRINT)
    assert find_cut_off_run(run, fingerprint="0" * 64, max_age_s=1e12, now_ns=0) is None

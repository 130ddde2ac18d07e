"""`make systemd-test` never fails for lack of permission: it says what is missing, and leaves nothing behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SYSTEMD_TEST = Path(__file__).resolve().parents[1] / "systemd" / "run.py"


def without_the_right_to_mount() -> list[str]:
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not on this machine")
    return ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]


def mounts_of_the_test() -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "ringwatch-systemd-" in line]


def test_where_mounting_is_not_permitted_it_says_so_and_mounts_nothing() -> None:
    before = mounts_of_the_test()
    command = [*without_the_right_to_mount(), sys.executable, str(SYSTEMD_TEST)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("systemd-test is skipped: ")
    assert mounts_of_the_test() == before

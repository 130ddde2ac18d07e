"""``make systemd-test``: the service under a real systemd, through what happens at night.

Ends with 0 when everything held or when this machine does not permit it, which is said; else with 1.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import (
    REBOOT_ASKED,
    Binding,
    NotPermittedError,
    boot,
    control_groups,
    forget_control_groups,
    require_permission,
)
from staging import REPOSITORY, build_wheel, install, lay_out, make_environment, system_python

STAGE_PREFIX = "ringwatch-systemd-"
KEPT = REPOSITORY / ".systemd-test"
LIMIT_S = 300.0
"""For both boots together; the packages are installed before."""
TAIL_LINES = 60
HEADINGS = ("what", "took s", "frames", "processed", "lost, named", "lost, unnamed")


def main() -> int:
    """Run the test; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    mounts, groups = _mounts(), control_groups()
    try:
        code = _test()
    except NotPermittedError as reason:
        print(f"systemd-test is skipped: {reason}")
        code = 0
    except KeyboardInterrupt:
        print("stopped by hand", file=sys.stderr)
        code = 130
    finally:
        forget_control_groups(groups)
    left = sorted(_mounts() - mounts)
    if left:
        print(f"still mounted: {'; '.join(left)}", file=sys.stderr)
    return code or bool(left)


def _test() -> int:
    require_permission()
    version = system_python()
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=STAGE_PREFIX) as folder:
        stage = Path(folder)
        stage.chmod(0o755)
        root = stage / "root"
        root.mkdir()
        wheel = build_wheel(stage)
        environment = make_environment(KEPT / "environment", wheel, version)
        bindings = lay_out(stage, environment, wheel)
        wrong = install(root, bindings, wheel)
        if wrong:
            raise NotPermittedError(f"systemd-nspawn does not run here: {wrong}")
        return _go_through_the_night(stage, root, bindings)


def _go_through_the_night(stage: Path, root: Path, bindings: list[Binding]) -> int:
    log, begun_s = stage / "console", time.monotonic()
    codes = []
    complaint = ""
    try:
        while len(codes) < 2 and (not codes or codes[-1] == REBOOT_ASKED):
            codes.append(boot(root, bindings, log, limit_s=begun_s + LIMIT_S - time.monotonic()))
    except subprocess.TimeoutExpired:
        complaint = f"the machine did not end within {LIMIT_S:g} s and was ended by force"
    if not (stage / "stage" / "booted-1").exists() and not complaint:
        raise NotPermittedError(f"systemd does not boot here: {_last_line(log)}")
    if not complaint and codes != [REBOOT_ASKED, 0]:
        complaint = f"the machine was expected to end with a reboot and then well, it ended with {codes}"
    outcomes = _outcomes(stage / "stage" / "results.jsonl")
    _print_table(outcomes)
    unmet = [f"{each['what']}: {text}" for each in outcomes for text in each["unmet"]] + [complaint] * bool(complaint)
    for text in unmet:
        print(f"FAILED {text}")
    print(f"{time.monotonic() - begun_s:.0f} s in all; {_systemd_version()}")
    if unmet:
        _keep_what_was_said(stage)
    return int(bool(unmet))


def _outcomes(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _print_table(outcomes: list[dict]) -> None:
    lines = [HEADINGS, *(_cells(each) for each in outcomes)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    for line in lines:
        print(
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        )


def _cells(outcome: dict) -> tuple[str, ...]:
    frames = [str(outcome[name]) for name in ("served", "processed", "named", "unnamed")]
    reasons = f" ({', '.join(outcome['reasons'])})" if outcome["reasons"] else ""
    return (outcome["what"] + reasons, f"{outcome['took_s']:.1f}", *frames)


def _keep_what_was_said(stage: Path) -> None:
    said = KEPT / "said"
    shutil.rmtree(said, ignore_errors=True)
    said.mkdir()
    for path in [stage / "console", *(stage / "stage").glob("journal-*.txt")]:
        shutil.copy(path, said)
        tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        print(f"--- {path.name}, to be found in {said}", *tail, sep="\n")


def _systemd_version() -> str:
    told = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
    return told.splitlines()[0] if told else "no systemctl here"


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _mounts() -> set[str]:
    """What is mounted in folders of this test; others may mount what they like meanwhile."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if STAGE_PREFIX in line}


if __name__ == "__main__":
    sys.exit(main())

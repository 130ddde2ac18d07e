"""Runs inside the booted machine: does to the service what happens at night, and notes what came of it.

It knows the service as an operator does: by systemctl, by the detector's PVs and by the files of the runs.
"""

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
from p4p.client.thread import Context

STAGE = Path("/stage")
RESULTS, REBOOTED = STAGE / "results.jsonl", STAGE / "rebooted.json"
RUNS = Path("/var/lib/ringwatch/detector")
UNIT = "ringwatch@detector.service"
PREFIX = "13PE1:"
PATIENCE_S = 60.0
WATCHDOG_S = 10.0
"""Instead of the unit's, once the first daemon has compiled its loops, so that the test is over sooner."""
SOONER = Path("/run/systemd/system/ringwatch@.service.d/watchdog.conf")
A_FEW = 16
"""Frames, the four darks included."""
US_PER_S = 1e6


class NotSeenError(Exception):
    """Something that was waited for did not come."""


@dataclass
class Outcome:
    """A row of the table."""

    what: str
    took_s: float = float("nan")
    served: int = 0
    processed: int = 0
    named: int = 0
    unnamed: int = 0
    reasons: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)

    def expect(self, holds: object, text: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.unmet.append(text)


def systemctl(*arguments: str) -> str:
    """What systemctl answers."""
    return subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    ).stdout.strip()


def shown(name: str, unit: str = UNIT) -> str:
    """A property of the service, or of systemd itself."""
    return systemctl("show", "--value", "--property", name, *([unit] if unit else []))


def main_pid() -> int:
    """The daemon's process, 0 for none."""
    return int(shown("MainPID"))


def running_pid() -> int:
    """The daemon's process, which must be there: a signal to 0 would be one to ourselves."""
    pid = main_pid()
    if pid == 0:
        raise NotSeenError("the daemon does not run")
    return pid


def since_boot_s(name: str) -> float:
    """A time stamp of the service, from when systemd began."""
    return (int(shown(name)) - int(shown("UserspaceTimestampMonotonic", unit=""))) / US_PER_S


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until `condition` holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            raise NotSeenError(f"not seen within {PATIENCE_S:g} s: {what}")
        time.sleep(0.05)


def wait_ready(*, other_than: int = 0) -> None:
    """Wait until a daemon, and not the one with that process, is ready."""
    wait_until(lambda: main_pid() not in {0, other_than} and shown("ActiveState") == "active", "a ready daemon")


def wait_connected() -> None:
    """Wait until the daemon says that it has its detector."""
    wait_until(lambda: shown("StatusText").startswith("connected"), "a connected daemon")


class Detector:
    """The simulated detector, by its PVs."""

    def __init__(self) -> None:
        self._context = Context("pva", nt=False)

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            self._context.get(f"{PREFIX}cam1:ArrayCounter_RBV", timeout=1.0)
        except TimeoutError:
            return False
        return True

    def counter(self) -> int:
        """Unique id of the newest frame."""
        return int(self._context.get(f"{PREFIX}cam1:ArrayCounter_RBV", timeout=PATIENCE_S).value)

    def acquire(self) -> None:
        """Let frames come."""
        self._context.put(f"{PREFIX}cam1:Acquire", 1, timeout=PATIENCE_S, wait=False)

    def pause(self) -> None:
        """Let no more frames come."""
        self._context.put(f"{PREFIX}cam1:Acquire", 0, timeout=PATIENCE_S, wait=False)
        busy = f"{PREFIX}cam1:AcquireBusy"
        wait_until(lambda: not self._context.get(busy, timeout=PATIENCE_S).value.index, "a detector at rest")


def files() -> set[Path]:
    """The files of all runs."""
    return set(RUNS.glob("*.h5"))


def rows(paths: set[Path]) -> dict[int, tuple[str, str]]:
    """State and reason of every frame in these files, by unique id."""
    found: dict[int, tuple[str, str]] = {}
    for path in paths:
        with h5py.File(path) as file:
            frames = file["entry/frames"]
            columns = (frames["unique_id"][()], frames["state"][()], frames["reason"][()])
            # A writer may be between two columns: only whole rows are read.
            found.update(
                {
                    int(number): (state.decode(), reason.decode())
                    for number, state, reason in zip(*columns, strict=False)
                }
            )
    return found


def processed_after(first: int, paths: Callable[[], set[Path]] = files) -> int:
    """How many frames later than that one have been processed."""
    try:
        return sum(number > first and state == "PROCESSED" for number, (state, _) in rows(paths()).items())
    except (OSError, KeyError):  # a file that is just being made
        return 0


def is_closed(path: Path) -> bool:
    """Whether a run has ended properly, with totals that balance."""
    with h5py.File(path) as file:
        ledger = file["entry/ledger"]
        totals = {name: int(ledger[name][()]) for name in ("announced", "processed", "rejected", "lost")}
        balance = totals["announced"] == totals["processed"] + totals["rejected"] + totals["lost"]
        return bool(ledger["stopped"][()].decode()) and balance


@contextmanager
def episode(
    what: str, detector: Detector | None = None, paths: Callable[[], set[Path]] = files, *, spare: bool = False
) -> Iterator[Outcome]:
    """One row: whatever happens in the block, then what became of the frames that were served.

    Parameters
    ----------
    spare
        Nothing is served while nobody takes it, so nothing may be lost.
    """
    outcome = Outcome(what)
    first = detector.counter() if detector is not None else 0
    try:
        yield outcome
        if detector is not None:
            detector.pause()
            account(outcome, first, detector.counter(), paths)
        outcome.expect(not (spare and outcome.named), f"no frame is lost, not {outcome.named}")
    except (NotSeenError, TimeoutError, subprocess.SubprocessError, OSError, KeyError) as error:
        outcome.unmet.append(f"{type(error).__name__}: {error}; STATUS is {shown('StatusText')!r}")
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(asdict(outcome)) + "\n")


def account(outcome: Outcome, first: int, last: int, paths: Callable[[], set[Path]]) -> None:
    """Hold what was served against what stands in the files."""
    wanted = set(range(first + 1, last + 1))
    wait_until(lambda: not wanted or last in rows(paths()), f"a row of frame {last}")
    told = {number: row for number, row in rows(paths()).items() if number in wanted}
    lost = [reason for state, reason in told.values() if state != "PROCESSED"]
    outcome.served = len(wanted)
    outcome.processed = len(told) - len(lost)
    outcome.named = len(lost)
    outcome.unnamed = len(wanted) - len(told)
    outcome.reasons = sorted(set(lost))
    outcome.expect(outcome.unnamed == 0, "every served frame has a row")


def start_without_ioc() -> None:
    """The service comes up before its detector does."""
    with episode("boot without IOC: ready, waits for it") as outcome:
        wait_ready()
        outcome.took_s = since_boot_s("ActiveEnterTimestampMonotonic")
        wait_until(lambda: f"{PREFIX}Pva1:Image" in shown("StatusText"), "a STATUS that says what is waited for")
        outcome.expect(shown("StatusText").startswith("not connected"), "STATUS says that the detector is not there")


def ioc_arrives() -> Detector:
    """The detector comes later, and is found."""
    detector = Detector()
    systemctl("start", "beamline.service")
    wait_until(detector.answers, "the simulated detector")
    begun_s = time.monotonic()
    with episode("IOC arrives: connected, frames in the file", detector) as outcome:
        wait_connected()
        outcome.took_s = time.monotonic() - begun_s
        detector.acquire()
        wait_until(lambda: processed_after(0) >= A_FEW, "the first frames")
        owner = {pwd.getpwuid(path.stat().st_uid).pw_name for path in files()}
        outcome.expect(owner == {"ringwatch"}, f"the run belongs to ringwatch, not {owner}")
    return detector


def bite_sooner() -> None:
    """A shorter watchdog for the daemons to come."""
    SOONER.parent.mkdir(parents=True, exist_ok=True)
    SOONER.write_text(f"[Service]\nWatchdogSec={WATCHDOG_S:g}\n", encoding="utf-8")
    systemctl("daemon-reload")


def idle_detector(detector: Detector) -> None:
    """A detector that rests is no reason to restart anything."""
    with episode("detector rests for longer than the watchdog bears", detector, spare=True) as outcome:
        pid, begun_s = main_pid(), time.monotonic()
        time.sleep(1.3 * WATCHDOG_S)
        outcome.took_s = time.monotonic() - begun_s
        outcome.expect(main_pid() == pid, "the daemon is left alone")
        detector.acquire()
        first = detector.counter()
        wait_until(lambda: processed_after(first) >= A_FEW, "frames after the rest")


def killed_at_rest(detector: Detector) -> None:
    """Nothing is served meanwhile, so nothing may be lost."""
    with episode("kill -9 at rest: the same run goes on", detector, spare=True) as outcome:
        struck(outcome, detector, signal.SIGKILL)


def killed_at_work(detector: Detector) -> None:
    """What is served meanwhile is named."""
    with episode("kill -9 while frames come: the same run goes on", detector) as outcome:
        detector.acquire()
        wait_a_few_frames(detector)
        struck(outcome, detector, signal.SIGKILL)


def frozen(detector: Detector) -> None:
    """A daemon that does not turn over is ended by systemd."""
    with episode("SIGSTOP while frames come: watchdog, same run", detector) as outcome:
        detector.acquire()
        wait_a_few_frames(detector)
        struck(outcome, detector, signal.SIGSTOP)
        said = journal()
        outcome.expect("Watchdog timeout" in said, "systemd says that it was the watchdog")


def wait_a_few_frames(detector: Detector) -> None:
    """Wait until frames come and are processed."""
    first = detector.counter()
    wait_until(lambda: processed_after(first) >= A_FEW // 2, "frames in the file")


def struck(outcome: Outcome, detector: Detector, number: signal.Signals) -> None:
    """Send the signal; wait for a new daemon that goes on with the run."""
    before, pid, begun_s = files(), running_pid(), time.monotonic()
    os.kill(pid, number)
    wait_ready(other_than=pid)
    wait_connected()
    detector.acquire()
    first = detector.counter()
    wait_until(lambda: processed_after(first), "a frame after the restart")
    outcome.took_s = time.monotonic() - begun_s
    outcome.expect(files() == before, f"no new run: {sorted(path.name for path in files() - before)}")


def stopped_with_work_left(detector: Detector) -> None:
    """What waits is worked off, and the file is closed."""
    with episode("stop with frames waiting: drained, file closed", detector, spare=True) as outcome:
        detector.acquire()
        wait_a_few_frames(detector)
        os.kill(running_pid(), signal.SIGSTOP)
        time.sleep(0.2 * WATCHDOG_S)
        detector.pause()
        os.kill(running_pid(), signal.SIGCONT)
        time.sleep(0.2)
        begun_s = time.monotonic()
        systemctl("stop", UNIT)
        outcome.took_s = time.monotonic() - begun_s
        outcome.expect(shown("Result") == "success", f"it ends well, not with {shown('Result')}")
        outcome.expect(all(map(is_closed, files())), "the file is closed and its totals balance")


def before_the_reboot(detector: Detector) -> None:
    """A run is under way when the machine goes down."""
    old = files()
    with episode("started again: a new run", detector, lambda: files() - old, spare=True) as outcome:
        begun_s = time.monotonic()
        systemctl("start", UNIT)
        outcome.took_s = time.monotonic() - begun_s
        wait_connected()
        detector.acquire()
        wait_until(lambda: processed_after(0, lambda: files() - old) >= A_FEW, "frames of the new run")
        outcome.expect(len(files() - old) == 1, "it has a file of its own")


def after_the_reboot() -> None:
    """The service comes back by itself, and so do the frames."""
    told = json.loads(REBOOTED.read_text(encoding="utf-8"))
    old = {Path(path) for path in told["files"]}
    with episode("reboot: back by itself") as outcome:
        wait_ready()
        outcome.took_s = int(shown("ActiveEnterTimestampMonotonic")) / US_PER_S - told["asked_s"]
        outcome.expect(all(map(is_closed, old)), "the files of before are closed")
    detector = Detector()
    systemctl("start", "beamline.service")
    wait_until(detector.answers, "the simulated detector")
    begun_s = time.monotonic()
    with episode("after it the IOC arrives: frames again", detector, lambda: files() - old) as outcome:
        wait_connected()
        outcome.took_s = time.monotonic() - begun_s
        detector.acquire()
        wait_until(lambda: processed_after(0, lambda: files() - old) >= A_FEW, "frames after the reboot")


def journal() -> str:
    """What the service and systemd have said about it."""
    command = ["journalctl", "--boot", "--no-pager", "--output=short-monotonic", "--unit", UNIT]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S).stdout


def first_boot() -> None:
    """Everything up to the reboot."""
    start_without_ioc()
    detector = ioc_arrives()
    bite_sooner()
    killed_at_rest(detector)
    idle_detector(detector)
    killed_at_work(detector)
    frozen(detector)
    stopped_with_work_left(detector)
    before_the_reboot(detector)


def main() -> None:
    """Go through the night; leave by a reboot, then by the end."""
    boot = 2 if REBOOTED.exists() else 1
    (STAGE / f"booted-{boot}").touch()
    try:
        after_the_reboot() if boot == 2 else first_boot()
    finally:
        (STAGE / f"journal-{boot}.txt").write_text(journal(), encoding="utf-8")
    if boot == 1:
        told = {"asked_s": time.monotonic(), "files": [str(path) for path in sorted(files())]}
        REBOOTED.write_text(json.dumps(told), encoding="utf-8")
        systemctl("--no-block", "reboot")
    else:
        systemctl("--no-block", "exit", "0")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the exit handlers of the EPICS libraries may hang on their own threads

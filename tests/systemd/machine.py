"""A real systemd, booted from this machine's own root as a throw-away overlay.

Everything that is mounted lies in a mount namespace of its own, and everything that runs in a process
namespace of its own: both go with the process that holds them, however it ends.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("setpriv", "unshare", "mount")
CONTAINER, ITS_PACKAGE = "systemd-nspawn", "systemd-container"
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=60")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
ITS_GROUPS = {"payload", "supervisor"}
REBOOT_ASKED = 133
"""What systemd-nspawn ends with when the machine inside asks for a reboot."""
INSTALL_WITHIN_S = 300.0
ENDED_WITHIN_S = 20.0


class NotPermittedError(Exception):
    """This machine does not let us boot another; the message says why."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What the booted machine sees of ours.

    Parameters
    ----------
    writable
        Otherwise it is a copy that cannot be changed.
    """

    ours: Path
    theirs: str
    writable: bool = False

    def argument(self) -> str:
        """For systemd-nspawn."""
        return f"--bind{'' if self.writable else '-ro'}={self.ours}:{self.theirs}"


def require_permission() -> None:
    """Make sure that a machine can be booted, installing what is missing where that is possible.

    Raises
    ------
    NotPermittedError
        It cannot.
    """
    if sys.platform != "linux":
        raise NotPermittedError(f"systemd runs on Linux, this is {sys.platform}")
    if os.geteuid() != 0:
        raise NotPermittedError("only root may boot a container")
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        raise NotPermittedError(f"{', '.join(missing)} of util-linux is missing")
    tried = _in_namespaces("mount --bind / /mnt && mount -o remount,ro,bind /mnt", limit_s=30.0)
    if tried.returncode:
        raise NotPermittedError(f"mount namespaces are not permitted here: {_last_line(tried.stderr)}")
    if shutil.which(CONTAINER) is None:
        install_package(ITS_PACKAGE)


def boot(root: Path, bindings: list[Binding], log: Path, *, limit_s: float) -> int:
    """Boot into ``selftest.service`` and return what the machine ended with.

    Raises
    ------
    subprocess.TimeoutExpired
        It did not end in time; it has been ended by force.
    """
    nspawn = [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--private-network",
        "--link-journal=no", f"--directory={root}", *(binding.argument() for binding in bindings),
        "--boot", "systemd.unit=selftest.service",
    ]  # fmt: skip
    with log.open("ab") as out:
        return _in_namespaces(_mounting(root, nspawn), limit_s=limit_s, out=out.fileno()).returncode


def call(root: Path, bindings: list[Binding], command: list[str], *, limit_s: float) -> str:
    """Run a command in the same machine without booting it; return what went wrong, or nothing."""
    nspawn = [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--volatile=overlay", "--private-network",
        "--link-journal=no", "--as-pid2", "--pipe", f"--directory={root}",
        *(binding.argument() for binding in bindings), *command,
    ]  # fmt: skip
    done = _in_namespaces(_mounting(root, nspawn), limit_s=limit_s)
    return "" if done.returncode == 0 else _last_line(done.stderr) or f"it ended with {done.returncode}"


def control_groups() -> set[Path]:
    """The groups that systemd-nspawn makes for a machine, which outlive it."""
    return {path for path in CONTROL_GROUPS.rglob("*") if path.is_dir() and ITS_GROUPS & set(path.parts)}


def forget_control_groups(before: set[Path]) -> None:
    """Remove those that were not there `before`; one with processes in it stays, since it is in use."""
    for path in sorted(control_groups() - before, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            path.rmdir()


def _mounting(root: Path, command: list[str]) -> str:
    quoted = " ".join(f"'{word}'" for word in command)
    return f"mount --bind / '{root}' && mount -o remount,ro,bind '{root}' && exec {quoted}"


def _in_namespaces(script: str, *, limit_s: float, out: int = subprocess.PIPE) -> "subprocess.CompletedProcess[str]":
    """Run a shell script whose mounts and processes are gone with it, and it with us."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
    command += ["--kill-child=KILL", "--mount-proc", "sh", "-c", script]
    err = subprocess.PIPE if out == subprocess.PIPE else subprocess.STDOUT
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, text=True, errors="replace", start_new_session=True
    )
    try:
        told, complained = process.communicate(timeout=limit_s)
    except BaseException:
        _end(process)
        raise
    return subprocess.CompletedProcess(command, process.returncode, told or "", complained or "")


def _end(process: "subprocess.Popen[str]") -> None:
    """End by force the first process of the namespace: it is gone only when all others in there are."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for child in children.read_text(encoding="ascii").split() if children.exists() else []:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    try:
        process.communicate(timeout=ENDED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def install_package(name: str) -> None:
    """Install a Debian package.

    Raises
    ------
    NotPermittedError
        It cannot be installed.
    """
    if shutil.which(APT[0]) is None:
        raise NotPermittedError(f"{name} is missing, and there is no {APT[0]} to install it")
    print(f"installing {name}", flush=True)
    _apt_get("update")
    complaint = _apt_get("install", "--yes", "--no-install-recommends", name)
    if complaint:
        raise NotPermittedError(f"{name} is missing and cannot be installed: {complaint}")


def _apt_get(*arguments: str) -> str:
    """Return what went wrong, or nothing."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            [*APT, "-qq", *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_WITHIN_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"apt-get {arguments[0]} did not end within {INSTALL_WITHIN_S:g} s"
    return "" if done.returncode == 0 else _last_line(done.stderr) or f"it ended with {done.returncode}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""

"""What the booted machine gets: the program as it would be installed, a configuration, the units."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from machine import Binding, NotPermittedError, call, install_package

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SYSTEM_PYTHON = Path("/usr/bin/python3")
OLDEST = (3, 11)
INSTALL_WITHIN_S = 600.0
UNITS, SYSUSERS = "/etc/systemd/system", "/etc/sysusers.d"
LOOPBACK = {
    "EPICS_CA_ADDR_LIST": "127.0.0.1",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_PVA_ADDR_LIST": "127.0.0.1",
    "EPICS_PVA_AUTO_ADDR_LIST": "NO",
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
}


def system_python() -> str:
    """The version of the Python that the service will run with.

    Raises
    ------
    NotPermittedError
        There is none that is new enough, or it makes no virtual environments.
    """
    if not SYSTEM_PYTHON.exists():
        raise NotPermittedError(f"{SYSTEM_PYTHON} is missing; another Python may lie where a service cannot see it")
    version = _answer("print('.'.join(map(str, sys.version_info[:3])))")
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise NotPermittedError(f"{SYSTEM_PYTHON} is {version}, ringwatch needs {'.'.join(map(str, OLDEST))}")
    if not _answer("import ensurepip, venv; print('yes')"):
        install_package("python3-venv")
    return version


def _answer(code: str) -> str:
    done = subprocess.run([SYSTEM_PYTHON, "-c", f"import sys; {code}"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def build_wheel(folder: Path) -> Path:
    """The wheel of this working tree."""
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, REPOSITORY])
    (wheel,) = folder.glob("ringwatch-*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path, version: str) -> Path:
    """An environment with the pinned packages, made anew only when the pins or the Python change.

    ringwatch itself is put in by the booted machine, since programs know the path they were installed at.

    Raises
    ------
    NotPermittedError
        The packages do not come, or there are none for this Python.
    """
    pins = REPOSITORY / "constraints.txt"
    key = hashlib.sha256(
        b"".join([version.encode(), pins.read_bytes(), (REPOSITORY / "pyproject.toml").read_bytes()])
    ).hexdigest()
    mark = folder / "made-from"
    if mark.exists() and mark.read_text(encoding="utf-8") == key:
        return folder
    print("installing the pinned packages for the service (once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    try:
        _run([SYSTEM_PYTHON, "-m", "venv", folder])
        _run([*pip, "install", "--constraint", pins, wheel])
        _run([*pip, "uninstall", "--yes", "ringwatch"])
    except subprocess.SubprocessError as error:
        raise NotPermittedError(f"the pinned packages cannot be installed for Python {version}: {error}") from error
    mark.write_text(key, encoding="utf-8")
    return folder


def lay_out(stage: Path, environment: Path, wheel: Path) -> list[Binding]:
    """Put everything in place as ``deploy/INSTALL.md`` says; return what the machine is to see of it."""
    for name in ("stage", "configuration", "state", "cache"):
        (stage / name).mkdir()
    shutil.copy(HERE / "guest.py", stage / "stage")
    shutil.copy(wheel, stage / "stage")
    _configure(stage / "configuration")
    deploy = REPOSITORY / "deploy"
    return [
        Binding(environment, "/opt/ringwatch", writable=True),
        Binding(stage / "stage", "/stage", writable=True),
        Binding(stage / "state", "/var/lib/ringwatch", writable=True),
        Binding(stage / "cache", "/var/cache/ringwatch", writable=True),
        Binding(stage / "configuration", "/etc/ringwatch"),
        Binding(deploy / "ringwatch.sysusers", f"{SYSUSERS}/ringwatch.conf"),
        Binding(deploy / "ringwatch@.service", f"{UNITS}/ringwatch@.service"),
        Binding(HERE / "units" / "sooner.conf", f"{UNITS}/ringwatch@.service.d/sooner.conf"),
        Binding(HERE / "units" / "selftest.service", f"{UNITS}/selftest.service"),
        Binding(HERE / "units" / "beamline.service", f"{UNITS}/beamline.service"),
    ]


def install(root: Path, bindings: list[Binding], wheel: Path) -> str:
    """Install the wheel where the unit expects it; return what went wrong, or nothing."""
    pip = ["/opt/ringwatch/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "install", "--force-reinstall", "--no-deps", "--no-index", f"/stage/{wheel.name}"]
    return call(root, bindings, command, limit_s=INSTALL_WITHIN_S)


def _configure(folder: Path) -> None:
    """The example beamline in front of a small panel."""
    _run([sys.executable, "-m", "ringwatch_daemon", "init", folder])
    _run([sys.executable, "-m", "ringwatch_simulators", "files", "--scenario", "small", "--output", folder])
    text = (folder / "beamline.toml").read_text(encoding="utf-8")
    for old, new in (
        ('directory = "runs"', 'directory = "/var/lib/ringwatch/detector"'),
        ("mask.edf.gz", "mask.edf"),
        ("background_terms = 10 ", "background_terms = 24 "),
        ('background_file = "empty_cell.xy"', ""),
        ('kind = "csv"', 'kind = "none"'),
        # A run that begins between two darks has none.
        ("[geometry]", "[dark]\nrequired = false\n\n[geometry]"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "detector.toml").write_text(text, encoding="utf-8")
    lines = [f"{name}={value}\n" for name, value in LOOPBACK.items()]
    (folder / "detector.env").write_text("".join(lines), encoding="utf-8")


def _run(command: list[str | Path]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=INSTALL_WITHIN_S)

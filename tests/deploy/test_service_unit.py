import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ringwatch_daemon.workers.analysis_stage import TAKE_WAIT_S
from ringwatch_daemon.workers.sink_stage import BATCH_WAIT_S

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "ringwatch@.service"
EXECUTABLE = "/opt/ringwatch/bin/ringwatch"
INSTANCE = "ringwatch@detector.service"
BACK_OFF = ("RestartSteps", "RestartMaxDelaySec")
FIRST_WITH_BACK_OFF = 254


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of the unit whose program exists here."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text(encoding="utf-8").replace(EXECUTABLE, "/bin/true"), encoding="utf-8")
    return copy


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def systemd_version() -> int:
    return int(run(tool("systemd-analyze"), "--version").stdout.split()[1])


def verify(unit: Path) -> str:
    """What systemd has to say about an instance of `unit`; nothing is good."""
    instance = unit.with_name(INSTANCE)
    shutil.copy(unit, instance)
    verdict = run(tool("systemd-analyze"), "verify", "--man=no", str(instance))
    lines = (verdict.stdout + verdict.stderr).splitlines(keepends=True)
    too_old = systemd_version() < FIRST_WITH_BACK_OFF
    return "".join(line for line in lines if not (too_old and any(f"'{name}'" in line for name in BACK_OFF)))


def test_systemd_has_nothing_to_say_against_the_unit(installed: Path) -> None:
    assert verify(installed) == ""


def test_systemd_would_say_so_of_a_directive_that_it_does_not_know(installed: Path) -> None:
    installed.write_text(installed.read_text(encoding="utf-8").replace("UMask=", "UMsk="), encoding="utf-8")
    assert "UMsk" in verify(installed)


def test_the_sandbox_is_a_tight_one(installed: Path) -> None:
    verdict = run(tool("systemd-analyze"), "security", "--offline=yes", "--threshold=20", "--no-pager", str(installed))
    if "unrecognized option" in verdict.stderr:
        pytest.skip("this systemd cannot judge a unit that is not installed")
    assert "Overall exposure level" in verdict.stdout + verdict.stderr
    assert verdict.returncode == 0, verdict.stdout[-400:]


def settings() -> list[tuple[str, str]]:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [
        (name, value) for name, equals, value in (line.partition("=") for line in lines) if equals and name.isalnum()
    ]


def test_the_unit_runs_the_command_with_the_configuration_of_its_instance() -> None:
    assert ("ExecStart", f"{EXECUTABLE} serve /etc/ringwatch/%i.toml") in settings()
    assert ("AssertPathExists", "/etc/ringwatch/%i.toml") in settings()


def test_a_daemon_that_fails_again_and_again_is_started_ever_more_slowly_but_always() -> None:
    unit = dict(settings())
    assert set(BACK_OFF) <= set(unit)
    assert int(unit["RestartSec"]) < int(unit["RestartMaxDelaySec"])
    assert unit["StartLimitIntervalSec"] == "0"


def test_the_watchdog_bears_many_turns_of_the_slowest_loop() -> None:
    unit = dict(settings())
    assert unit["NotifyAccess"] == "main"
    assert int(unit["WatchdogSec"]) > 20 * max(BATCH_WAIT_S, TAKE_WAIT_S)


def test_compiled_code_may_run_and_sockets_may_be_opened() -> None:
    unit = dict(settings())
    assert "MemoryDenyWriteExecute" not in unit
    assert set(unit["RestrictAddressFamilies"].split()) == {"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}


def test_the_user_of_the_unit_is_the_one_that_is_made() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read(UNIT, encoding="utf-8")
    made = re.findall(r"^u (\S+)", (DEPLOY / "ringwatch.sysusers").read_text(encoding="utf-8"), re.MULTILINE)
    assert made == [parser["Service"]["User"]]


def test_systemd_understands_the_declaration_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = run(tool("systemd-sysusers"), f"--root={tmp_path}", str(DEPLOY / "ringwatch.sysusers"))
    assert made.returncode == 0, made.stderr
    assert "ringwatch" in (tmp_path / "etc" / "passwd").read_text(encoding="utf-8")


def test_the_guide_names_only_files_that_are_here_and_the_paths_of_the_unit() -> None:
    guide = (DEPLOY / "INSTALL.md").read_text(encoding="utf-8")
    for name in re.findall(r"deploy/([\w@.-]+)", guide):
        assert (DEPLOY / name).exists(), name
    for path in ("/opt/ringwatch", "/etc/ringwatch/NAME.toml", "/etc/ringwatch/NAME.env", "/var/lib/ringwatch/NAME"):
        assert path in guide

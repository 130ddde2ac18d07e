import logging
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.clock import ManualClock
from ringwatch_daemon.core.service_notify import ServiceNotifier


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """A service manager's end, not yet bound."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(10.0)
        yield listening


@pytest.fixture(params=["path", "abstract"])
def notifier(request: pytest.FixtureRequest, manager: socket.socket, tmp_path: Path) -> ServiceNotifier:
    if request.param == "path":
        address = str(tmp_path / "notify")
        manager.bind(address)
    else:
        address = f"@ringwatch-test-{secrets.token_hex(8)}"
        manager.bind("\0" + address[1:])
    return ServiceNotifier.from_environment({"NOTIFY_SOCKET": address})


def test_ready_comes_with_how_things_stand(notifier: ServiceNotifier, manager: socket.socket) -> None:
    notifier.ready("waits for 13PE1:Pva1:Image")
    assert manager.recv(4096) == b"READY=1\nSTATUS=waits for 13PE1:Pva1:Image"


def test_every_notice_is_a_datagram_of_its_own(notifier: ServiceNotifier, manager: socket.socket) -> None:
    notifier.status("frame 12, ratio 5.4(2), 25 °C")
    notifier.alive(True)
    notifier.stopping("3 frames still to be written")
    assert manager.recv(4096).decode() == "STATUS=frame 12, ratio 5.4(2), 25 °C"
    assert manager.recv(4096) == b"WATCHDOG=1"
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=3 frames still to be written"


def test_more_time_is_asked_for_only_while_stopping_and_only_with_work_left(
    notifier: ServiceNotifier, manager: socket.socket
) -> None:
    notifier.alive(True)
    notifier.stopping("what waits is worked off")
    notifier.alive(False)
    notifier.alive(True)
    heard = [manager.recv(4096) for _ in range(4)]
    assert heard[0] == heard[2] == b"WATCHDOG=1"
    assert heard[3] == b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000"


def test_a_manager_that_never_reads_holds_nobody_up_and_is_complained_of_once(
    notifier: ServiceNotifier, manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3000):  # half a second each, were they waited with
        notifier.status(f"frame {number}")
        notifier.alive(True)
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1
    assert manager.recv(4096) == b"STATUS=frame 0"


def test_a_status_cannot_smuggle_in_another_notice(notifier: ServiceNotifier, manager: socket.socket) -> None:
    notifier.status("fine\nREADY=1")
    assert manager.recv(4096) == b"STATUS=fine READY=1"


def test_without_a_socket_in_the_environment_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    ServiceNotifier.from_environment({}).ready("nobody asked")
    assert caplog.records == []


def test_an_address_of_another_kind_is_said_once_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    notifier = ServiceNotifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"})
    notifier.alive(True)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "vsock:2:1234" in caplog.text


def test_a_manager_that_is_gone_does_not_stop_the_daemon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ServiceNotifier(str(tmp_path / "nobody")).alive(True)
    assert "the service manager did not take WATCHDOG=1" in caplog.text


def test_no_machine_is_kept_from_being_turned_off_for_ever(tmp_path: Path, manager: socket.socket) -> None:
    manager.bind(str(tmp_path / "notify"))
    clock = ManualClock()
    notifier = ServiceNotifier(str(tmp_path / "notify"), clock=clock)
    notifier.stopping("a full spool is worked off")
    heard = [manager.recv(4096)]
    for _ in range(100):
        clock.go_on(10.0)
        notifier.alive(True)
        heard.append(manager.recv(4096))
    asked = sum(b"EXTEND_TIMEOUT_USEC" in notice for notice in heard)
    assert 10.0 * asked + 30.0 <= 600.0
    assert heard[1].endswith(b"EXTEND_TIMEOUT_USEC=30000000")
    assert heard[-1] == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "silence_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getppid())}, None),
    ],
)
def test_the_silence_that_is_borne_is_that_of_the_environment_when_it_means_this_process(
    environment: dict[str, str], silence_s: float | None
) -> None:
    assert ServiceNotifier.from_environment(environment).watchdog_s == silence_s


@pytest.mark.parametrize("text", ["soon", "-1", "0", "1.5"])
def test_a_silence_that_is_no_number_of_microseconds_is_said_and_ignored(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ServiceNotifier.from_environment({"WATCHDOG_USEC": text}).watchdog_s is None
    assert repr(text) in caplog.text
